"""`onward ask` and `onward report`: what the champion says, and how it stands, as a page."""

from __future__ import annotations

import json
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated

import typer

from cli.output import Json, answer, here, plain, require_file
from onward.errors import UsageError

if TYPE_CHECKING:
    from onward.project import Project
    from onward.recipes.shapes import Inputs
    from onward.serving.ask import Answer

Text = Annotated[
    str,
    typer.Argument(metavar="TEXT", help="A question, or the text that the model is to judge."),
]
Context = Annotated[
    str | None,
    typer.Option("--context", "-c", help="Extractive, choice, chat: the text to answer from."),
]
Pair = Annotated[
    str | None, typer.Option("--pair", "-p", help="Others: the second text, where rows have one.")
]
Option = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        "-o",
        metavar="TEXT",
        help="Choice: one of the options; give each with an --option.",
    ),
]
History = Annotated[
    Path | None,
    typer.Option(
        "--history", help="Chat: the turns before, as a JSON list: the user's first, by turns."
    ),
]
Talk = Annotated[
    bool, typer.Option("--talk", help="Chat: ask on and on, a line a question; an empty one ends.")
]
File = Annotated[
    Path | None, typer.Option("--file", "-f", help="A UTF-8 file in the place of the long text.")
]
EMPTY = "an empty answer"
_ALONE = {
    "--talk": ("A conversation", "leave one of them out; a long text goes into --context"),
    "--demo": ("A held-out row", "leave one of them out; TEXT names the row that is asked"),
}

Demo = Annotated[bool, typer.Option("--demo", help="Ask a held-out row of the first episode.")]


def ask(
    text: Text = "",
    context: Context = None,
    pair: Pair = None,
    option: Option = None,
    history: History = None,
    talk: Talk = False,
    file: File = None,
    demo: Demo = False,
    as_json: Json = False,
) -> None:
    """Ask the champion.

    A piece of the context, an option, labels, a number or words of its own, as the project's
    recipe has it.
    """
    from onward import recipes
    from onward.config import Identity, read
    from onward.serving.ask import ask as ask_champion

    project = here()
    recipe = recipes.get(read(project.params, Identity).recipe)
    given = {"context": context, "pair": pair, "options": option or None}
    given |= {"history": _turns(history) if history else None}
    if talk:
        _alone("--talk", {"--json": as_json, "--demo": demo, "--file": file is not None})
        _talk(project, text, {k: v for k, v in given.items() if v is not None})
        return
    if demo:
        named = {f"--{name.removesuffix('s')}": texts for name, texts in given.items()}
        named |= {"--file": file}
        _alone("--demo", {name: texts is not None for name, texts in named.items()})
        inputs = _held_out(project, recipe, text)
    else:
        inputs = _inputs(recipe, text, file, {k: v for k, v in given.items() if v is not None})
    found = ask_champion(project, inputs)
    answer(as_json, found.to_json(), *_asked(found, demo), *_told(found, demo))


def _inputs(recipe: ModuleType, text: str, file: Path | None, given: Inputs) -> Inputs:
    """TEXT is the recipe's first input; a file holds the last text that is needed, or beside TEXT
    the context.

    Args:
        recipe: the project's.
        text: TEXT; may be empty.
        file: in the place of the long text.
        given: inputs that have an option of their own.
    """
    from onward.runtime import asking

    texts = {field.name for field in recipe.SCHEMA if asking.is_text(field)}
    names = asking.names(recipe)
    needed = [name for name, needed in names.items() if needed and name in texts]
    inputs: Inputs = {needed[0]: text} if text or file is None or len(needed) > 1 else {}
    inputs = {**inputs, **given}
    if file is None:
        return inputs
    long = "context" if text and "context" in names else needed[-1]
    if long in inputs:
        raise UsageError(
            "The text is given twice, once as a file",
            where=str(file),
            fix="leave the file or the text out",
        )
    return {**inputs, long: _text(file)}


def _turns(file: Path) -> list[str]:
    """The turns in a file: texts, or messages with role and content."""
    from onward.episodes import exchanges
    from onward.episodes.values import Fault, opened

    try:
        told = json.loads(_text(file))
        if told is None:
            raise ValueError("it holds nothing")
        if told and isinstance(told, list) and isinstance(told[0], str):
            told = [
                {"role": ("user", "assistant")[place % 2], "content": words}
                for place, words in enumerate(told)
            ]
        *_, last = exchanges.several({"messages": told})
        turns = [*last["history"], last["question"], *last["references"]]
        if last["context"] is not None:
            raise ValueError("it holds a system message, which is given by --context")
        if len(exchanges.messages(opened(told))) > len(turns):
            raise ValueError("it ends with a question, which is what is asked now")
    except (ValueError, RecursionError, Fault) as error:
        raise UsageError(
            f"{file.name} cannot be the turns before a question: {str(error)[:200]}",
            where=str(file),
            fix='write the turns before as ["what was asked", "what was answered", ...]',
        ) from error
    return turns


def _alone(mode: str, others: dict[str, bool]) -> None:
    """A conversation is on the terminal alone, and a held-out row has all of its texts."""
    what, fix = _ALONE[mode]
    for name in (name for name, given in others.items() if given):
        raise UsageError(f"{what} has no use for {name}", where=f"{mode} {name}", fix=fix)


def _talk(project: Project, first: str, given: Inputs) -> None:
    """Ask line by line; each answer is history to the next question."""
    from onward.serving.talk import Talk

    said = Talk.begin(project, given)
    for question in chain([first] if first else [], iter(_line, "")):
        for piece in said.pieces(question):
            typer.echo(plain(piece), nl=False)
        typer.echo("" if said.said.strip() else EMPTY)
        for line in _left_out(said.ended, said.cut, said.session.prepare.max_length):
            typer.echo(line)


def _line() -> str:
    """What is typed next; nothing at the end of the input. Raises UsageError: it is no text."""
    try:
        return input("> ").strip()
    except EOFError:
        return ""
    except UnicodeDecodeError as error:
        raise UsageError(
            f"What was typed cannot be read as {error.encoding.upper()}",
            where="the input of --talk",
            fix="type or send it in the character set of the terminal, best UTF-8",
        ) from error


def _asked(found: Answer, demo: bool) -> list[str]:
    """What the demo asked: the first of the row's texts."""
    return [f"Q  {next(iter(found.inputs.values()))}"] if demo else []


def _told(found: Answer, demo: bool) -> list[str]:
    made = found.prediction
    nothing = "no label" if found.vocabulary else "no answer in the context"
    if "ended" in made:
        nothing = EMPTY
    by = f"{found.version} {found.variant} on {found.provider}"
    # A number comes without a probability.
    sure = "" if "value" in made else f"{made['probability']:.0%} · "
    lines = [f"{'A  ' if demo else ''}{found.text or nothing}"]
    if made.get("triple"):
        lines.append(f"   {' · '.join(made['triple'])}")
    if found.vocabulary or "option" in made:
        lines += [f"   {one['probability']:.0%}  {one['text']}" for one in made["n_best"]]
    left_out = _left_out(str(made.get("ended")), found.cut, found.window)
    return [*lines, *left_out, f"   {sure}{by}"]


def _left_out(ended: str, cut: bool, window: int) -> list[str]:
    """What of an answer was not written, and of what was asked not read; a line each."""
    stopped = "   stopped at evaluate.max_new_tokens, it might have gone on"
    unread = f"   a part was not read: the window has {window} tokens"
    return [line for line, so in ((stopped, ended == "length"), (unread, cut)) if so]


def _held_out(project: Project, recipe: ModuleType, text: str) -> Inputs:
    from onward.episodes.turn import Turn, rows

    turn = Turn.read(project)
    first = [*turn.known_episodes, *turn.learning_episodes][0]
    for row in rows(project, first, "heldout"):
        inputs: Inputs = recipe.inputs(row)
        if recipe.gold(row) and text in ("", next(iter(inputs.values()))):
            return inputs
    raise UsageError(
        f"Episode {first} holds out no such row", where=first, fix="ask with a text of your own"
    )


def _text(file: Path) -> str:
    if file.is_dir() or not file.exists():  # a pipe, as of `--file /dev/stdin`, is taken
        require_file(file)
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{file.name} cannot be read as UTF-8 text: {error}",
            where=str(file),
            fix="name a readable text file",
        ) from error


def report(as_json: Json = False) -> None:
    """Write the report page, report/index.html.

    It is readable without a server.
    """
    from onward.report.page import write

    path = write(here())
    answer(as_json, {"report": str(path)}, f"Report  {path}")


COMMANDS = (ask, report)
