"""How often test rows were looked at: once for each published row, and said so where more often.

Before a combination is first scored on the test rows, a marker is sealed in the study's folder. The
same combination with other settings (or other code) leaves a second one, and the table says so.
What this does not cover: a study in another folder.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from onward import files
from onward.study.trial import Trial

FOLDER = "test_read"


def announce(folder: Path, trials: Iterable[Trial]) -> None:
    """Seal the marker of every configuration that is about to be scored on test rows."""
    for trial in trials:
        place = folder / FOLDER / trial.combination / _configuration(trial)
        if not (place / files.MANIFEST).is_file():
            with files.building(place, replace=True) as at:
                files.write_json(at / "configuration.json", _described(trial))


def times(folder: Path, combination: str) -> int:
    """For how many configurations of a combination the test rows were read."""
    return len(list((folder / FOLDER / combination).glob(f"*/{files.MANIFEST}")))


def _described(trial: Trial) -> dict[str, object]:
    """The settings without the seed: seeds of one configuration are one published row."""
    blocks = {
        name: {key: value for key, value in block.items() if key != "seed"}
        for name, block in trial.blocks.items()
    }
    return {"combination": trial.combination, "settings": blocks, "code": trial.code}


def _configuration(trial: Trial) -> str:
    return files.digest(_described(trial))[:16]
