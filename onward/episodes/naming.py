"""Which recipes a file is for: by its format, its columns, and what becomes of its first rows.

>>> import tempfile; from pathlib import Path; path = Path(tempfile.mkdtemp()) / "a.csv"
>>> _ = path.write_text("text,category\\nWhere is my card?,card_arrival\\n")
>>> [reading.recipe for reading in readings(formats.sniff(path, 1_000), 1_000)]
['classification']
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from onward import recipes
from onward.episodes import formats
from onward.episodes.checks import check
from onward.episodes.columns import fields_of, guessed
from onward.episodes.formats import FORMATS, Source
from onward.episodes.kinds import KINDS
from onward.episodes.values import Fault
from onward.errors import DataError

LIKELIEST = (
    "extractive",
    "choice",
    "tagging",
    "relation",
    "multilabel",
    "classification",
    "regression",
    "translation",
    "summarization",
    "chat",
)
"""The order in which recipes are named where a file fits several: those that ask for more come
first."""

TRIED = 50
"""Rows that are read to see whether a recipe can take them."""


@dataclass(frozen=True)
class Reading:
    """A recipe that can read a file, and how."""

    recipe: str
    mapping: dict[str, str]
    """Canonical field -> source column."""
    taken: int
    """Of the first rows."""
    tried: int
    """Of these: those that can be read at all, or all where none can."""


def known() -> list[str]:
    """The recipes of this release, in that order."""
    return sorted(recipes.NAMES, key=LIKELIEST.index)


def readings(source: Source, max_chars: int) -> list[Reading]:
    """The recipes whose columns a file has and that can take most of its first rows.

    Args:
        source: what `formats.sniff` found.
        max_chars: the longest text that is taken.

    Raises:
        FormatError, DataError: the file breaks within its first rows.
    """
    fits = {
        name: found
        for name in known()
        if source.format in KINDS[name].formats
        and (found := guessed(source.columns, {}, name)) is not None
    }
    tried = [tried_out(source, name, mapping, max_chars) for name, mapping in fits.items()]
    return [reading for reading in tried if 2 * reading.taken >= reading.tried]


def tried_out(source: Source, recipe: str, mapping: dict[str, str], max_chars: int) -> Reading:
    """How many of the first rows a recipe can take by these columns."""
    kind, taken, tried, seen = KINDS[recipe], 0, 0, 0
    for row in islice(formats.read(source), TRIED):
        seen += 1
        if row.values is None:
            continue
        tried += 1
        try:
            found = kind.rows(fields_of(row.values, mapping, cells=source.cells))
            taken += any(check(fields, max_chars, kind).row is not None for fields in found)
        except Fault:
            continue
    return Reading(recipe, mapping, taken, tried or seen)


def others(source: Source, recipe: str, max_chars: int) -> list[str]:
    """What else than the project's recipe a file could be for."""
    return [one.recipe for one in readings(source, max_chars) if one.recipe != recipe]


def refused(source: Source, recipe: str, fits: Sequence[str]) -> DataError:
    """The error of a file for another recipe than the project's."""
    return DataError(
        f"{source.name} ({FORMATS[source.format]}) is data for {' or '.join(fits)}, and this "
        f"project's recipe is {recipe}",
        where=str(source.path),
        fix=f"make a project for it with `onward new DIR --recipe {fits[0]}`",
        details={"format": source.format, "columns": source.columns, "recipes": list(fits)},
    )
