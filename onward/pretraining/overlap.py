"""No text that is learned from may hold what a held-out row of any episode asks.

A text holds a held-out one where SPAN words in a row are the same, after normalisation: the test
of Brown et al. 2020 (GPT-3, appendix C), with their 13 words; and the whole of a held-out text that
is shorter, from LEAST words on. Shorter ones ("Who was she?") stand everywhere; they count only
where they are a text by themselves. In scripts without spaces a character is a word.

>>> held = Held()
>>> held.add("0001-a", "the museum opened in 1851 and moved in 1900")
>>> held.within("they say the museum opened in 1851 and moved in 1900 again")
'0001-a'
>>> held.within("the museum opened in 1851 and burned in 1900")
''

What this does not cover: another wording, a translation, a held-out row of an episode that is
opened later: `refuse_overlap` looks again before anything is trained on such an encoder, or on a
version that began with it, where it is on this machine.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from onward import recipes
from onward.episodes import rows as parquet
from onward.episodes.folders import folders
from onward.episodes.rows import normalised
from onward.episodes.shingles import words
from onward.errors import DataError
from onward.project import Project
from onward.recipes.shapes import each_text

SPAN, LEAST = 13, 5
TEXTS, EARLIER = "texts.parquet", "earlier.parquet"
"""The texts that were learned from, in the folder of the result, and those that its encoder had
learned from before, where that was such a result, too."""

_BASE = np.uint64(0x9E3779B97F4A7C15)
_POWERS = _BASE ** np.arange(SPAN, dtype=np.uint64)


class Held:
    """The held-out texts of episodes, as hashes of their runs of words."""

    def __init__(self) -> None:
        self._runs: dict[int, dict[int, str]] = {}
        """Words of a run -> hash -> the episode that holds it out."""
        self._whole: dict[str, str] = {}
        """Short texts -> the episode."""

    def add(self, episode: str, form: str) -> None:
        """Take in one held-out text, normalised."""
        found = words(form)
        if len(found) < LEAST:
            self._whole.setdefault(form, episode)
            return
        length = min(len(found), SPAN)
        into = self._runs.setdefault(length, {})
        for run in _runs(_hashed(found), length).tolist():
            into.setdefault(run, episode)

    def within(self, form: str) -> str:
        """The episode of a held-out text that a normalised text holds; "" where it holds none."""
        if form in self._whole:
            return self._whole[form]
        hashed = _hashed(words(form))
        for length, into in self._runs.items():
            for run in _runs(hashed, length).tolist():
                if run in into:
                    return into[run]
        return ""


def _hashed(found: list[str]) -> NDArray[np.uint64]:
    return np.fromiter((zlib.crc32(word.encode()) for word in found), np.uint64, len(found))


def _runs(hashed: NDArray[np.uint64], length: int) -> NDArray[np.uint64]:
    """A 64-bit hash of every `length` words in a row: a polynomial, modulo 2**64."""
    last = len(hashed) - length + 1
    if last < 1:
        return np.empty(0, np.uint64)
    total = np.zeros(last, np.uint64)
    for at in range(length):
        total += (hashed[at : at + last] + np.uint64(1)) * _POWERS[at]
    return total


def held_out(project: Project, recipe: ModuleType) -> Held:
    """The held-out texts of every episode in data/, withdrawn and replaced ones included.

    What a study carved off training rows is held out from nobody: an encoder may have read it.
    """
    held = Held()
    for folder in (one for one in folders(project) if not one.carved):
        before = ""
        for row in parquet.read(project.episode(folder.folder) / "heldout.parquet"):
            # Options stand in many a text by chance; entities are marked for people alone.
            asked = {name: row[name] for name in recipe.inputs(row) if name != "options"}
            for _, text in each_text(asked):
                if text != before:  # many rows in a row share a context
                    held.add(folder.folder, normalised(text))
                before = text
    return held


def refuse_overlap(project: Project, recipe: str, folder: Path) -> None:
    """Refuse an encoder that has read what an episode holds out.

    Args:
        project: whose episodes.
        recipe: theirs.
        folder: of a result; one without texts was made elsewhere, and nothing is known of it.

    Raises:
        DataError: how many of its texts, and the first one's episode.
    """
    if not (folder / TEXTS).is_file():
        return
    held = held_out(project, recipes.get(recipe))
    found = [where for where in map(held.within, map(normalised, learned(folder))) if where]
    if found:
        raise DataError(
            f"The encoder {folder.name} has read {len(found):,} texts that episodes hold out, "
            f"first of {found[0]}",
            where=str(folder),
            fix="name in project.encoder what it was made of (its lineage.json says what), then "
            "`onward pretrain` under another name leaves them out; name that one, then "
            "`onward run --fresh`",
            details={"texts": len(found), "episodes": sorted(set(found))},
        )


def learned(folder: Path) -> Iterator[str]:
    """All texts that an encoder is known to have learned from; none of one made elsewhere."""
    for path in (folder / EARLIER, folder / TEXTS):
        if path.is_file():
            yield from (row["text"] for row in parquet.read(path, ["text"]))
