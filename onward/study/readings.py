"""Test rows are read once for each published row of the table; reading them again is refused.

Before a combination is first scored on the test rows, a marker is sealed in the study's folder. The
same combination with other settings, threads, encoder or code would be a second try on the same
test rows: it is refused, or, where a person wants it all the same, counted, and the table says so.
What this does not cover: a study in another folder.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from onward import files
from onward.errors import UsageError
from onward.study.trial import Trial

FOLDER = "test_read"


def announce(folder: Path, trials: Iterable[Trial], *, again: bool) -> None:
    """Seal the marker of every configuration that is about to be scored on test rows.

    Raises:
        UsageError: they were read for another configuration of a combination, and `again` is false.
    """
    found = {(trial.combination, _configuration(trial)): trial for trial in trials}
    places = {pair: folder.joinpath(FOLDER, *pair) for pair in found}
    new = [pair for pair, place in places.items() if not (place / files.MANIFEST).is_file()]
    twice = sorted({name for name, _ in new if times(folder, name)})
    if twice and not again:
        raise UsageError(
            f"The test rows were read for other settings, or other code, of {', '.join(twice)}",
            where=str(folder),
            fix="choose settings on training rows (--select) in a study of another --name, or say "
            "--again: the table then tells how often they were read",
        )
    for pair in new:
        with files.building(places[pair], replace=True) as at:
            files.write_json(at / "configuration.json", _described(found[pair]))


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
