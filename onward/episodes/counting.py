"""From where a file's answers count its options, which no row by itself can say: from 0 or from 1.

>>> rows = [(n, {"options": {"A": "red", "B": "blue"}, "answer": n}) for n in (0, 1)]
>>> first(rows, "a.csv", "a.csv")
0

An answer of 0 is the first option where numbers count from 0, and none where they count from 1; an
answer of 4 is the last of four where they count from 1. Every row of the file is looked at. Where
the rows disagree, or letters stand beside numbers that are never 0 and never the last, the file is
refused: shifted by one, nearly every answer would be wrong.

What this does not cover: fewer numbers than other answers; they are read by the labels alone. And
options numbered from 1 whose answers count from 0 and never are 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from onward.episodes import options
from onward.episodes.values import Fault
from onward.errors import DataError

FEW = 10
"""So many times as many rows must say the one as the other; the others are mistakes then."""

_FIX = "write the right option's letter (A is the first) or its text in place of its number"


def first(rows: Iterable[tuple[int, Mapping[str, Any]]], name: str, where: str) -> int | None:
    """The number of the first option in the answers; None where labels or rows say enough.

    Args:
        rows: line and canonical fields of each row.
        name: the file's, for the error.
        where: its path.

    Raises:
        DataError: some rows count from 0 and others from 1, or nothing tells.
    """
    only: dict[int, list[tuple[int, int]]] = {0: [], 1: []}
    numbers = others = unclear = 0
    for line, fields in rows:
        row = _numbered(fields)
        if row is None or row.same is not None:
            others += fields.get("answer") not in (None, "")
            continue
        numbers += 1
        fits = [row.fits(start) for start in (0, 1)]
        unclear += all(fits) and row.own is None
        if fits[0] != fits[1]:
            only[fits[1]].append((line, row.number))
    if others > numbers:
        return None
    few, many = sorted(only, key=lambda start: len(only[start]))
    if not only[many]:
        if unclear:
            raise _unclear(name, where)
        return None
    if len(only[few]) * FEW > len(only[many]):
        raise _both(only, name, where)
    return many


def _numbered(fields: Mapping[str, Any]) -> options.Numbered | None:
    try:
        return options.numbered(fields)
    except Fault:
        return None


def _unclear(name: str, where: str) -> DataError:
    return DataError(
        f"The answers of {name} are numbers, its options have no numbers, and no answer is 0 or "
        "the last: they may count from 0 or from 1",
        where=where,
        fix=_FIX,
    )


def _both(only: Mapping[int, list[tuple[int, int]]], name: str, where: str) -> DataError:
    shown = [f"from {start} (line {found[0][0]}: {found[0][1]})" for start, found in only.items()]
    return DataError(
        f"The answers of {name} count its options {shown[0]} in {len(only[0]):,} rows, and "
        f"{shown[1]} in {len(only[1]):,}",
        where=where,
        fix=f"mend the rows that are mistaken, or {_FIX}",
        details={"from 0": only[0][:5], "from 1": only[1][:5]},
    )
