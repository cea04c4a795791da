"""Test rows are read once for each published row of the table; reading them again is refused.

As a trial begins, a marker of its configuration is sealed in the study's folder. The same
combination with other settings, steps, encoder or code would be a second try on the same test
rows: it is refused, or, where a person wants it all the same, counted, and the table says so.
What this does not cover: a study in another folder.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from onward import files
from onward.errors import UsageError
from onward.study.trial import Trial

FOLDER = "test_read"


def check(folder: Path, trials: Iterable[Trial], *, again: bool) -> None:
    """Whether these trials may be scored on test rows.

    Raises:
        UsageError: they were read for another configuration of a combination, and `again` is false.
    """
    new = {trial.combination for trial in trials if not _marked(folder, trial)}
    twice = sorted(name for name in new if times(folder, name))
    if twice and not again:
        raise UsageError(
            f"The test rows were read for other settings, or other code, of {', '.join(twice)}",
            where=str(folder),
            fix="choose settings on training rows (--select) in a study of another --name, or say "
            "--again: the table then tells how often they were read",
        )


def mark(folder: Path, trial: Trial) -> None:
    """Seal the marker of a trial's configuration: its test rows are about to be read."""
    if not _marked(folder, trial):
        with files.building(_place(folder, trial), replace=True) as at:
            files.write_json(at / "configuration.json", _described(trial))


def _place(folder: Path, trial: Trial) -> Path:
    return folder / FOLDER / trial.combination / files.digest(_described(trial))[:16]


def _marked(folder: Path, trial: Trial) -> bool:
    return (_place(folder, trial) / files.MANIFEST).is_file()


def times(folder: Path, combination: str) -> int:
    """For how many configurations of a combination the test rows were read."""
    return len(list((folder / FOLDER / combination).glob(f"*/{files.MANIFEST}")))


def _described(trial: Trial) -> dict[str, object]:
    """The settings without the seed: seeds of one configuration are one published row.

    As in a trial's keys the encoder is told by its bytes, and the project's own name by nothing.
    """
    blocks = {
        name: {key: value for key, value in block.items() if key != "seed"}
        for name, block in trial.blocks.items()
        if name != "project"
    }
    return {
        "combination": trial.combination,
        "steps": trial.steps,
        "settings": blocks,
        "recipe": trial.blocks["project"]["recipe"],
        "encoder": trial.encoder,
        "code": trial.code,
    }
