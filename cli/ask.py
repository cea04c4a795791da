"""`onward ask` and `onward report`: what the champion says, and how it stands, as a page."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cli.output import Json, answer, here
from onward.errors import UsageError


def ask(
    question: Annotated[str, typer.Argument(help="A question in plain words.")] = "",
    context: Annotated[
        str | None, typer.Option("--context", "-c", help="The text to answer from.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="A UTF-8 file to answer from.")
    ] = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="Ask a held-out question of the first episode.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Ask the champion about a context.

    The answer is a piece of the context and nothing else.
    """
    if demo:
        question, context = _held_out(question)
    elif file is not None:
        context = _text(file)
    from onward.serving.ask import ask as ask_champion

    found = ask_champion(here(), question, context)
    text = "no answer in the context" if found.no_answer else found.text
    lines = [f"Q  {question}"] if demo else []
    lines += [
        f"{'A  ' if demo else ''}{text}",
        f"   {found.probability:.0%} · {found.version} {found.variant} on {found.provider}",
    ]
    answer(as_json, {"question": question, **asdict(found)}, *lines)


def _held_out(question: str) -> tuple[str, str]:
    from onward.episodes.turn import Turn, rows

    project = here()
    turn = Turn.read(project)
    first = [*turn.known_episodes, *turn.learning_episodes][0]
    for row in rows(project, first, "heldout"):
        if row["answers"] and question in ("", row["question"]):
            return row["question"], row["context"]
    raise UsageError(
        f"Episode {first} holds out no such question", where=first, fix="ask with --context"
    )


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
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
