"""How a file's numbers count, which no row by itself can say.

Options count from 0 or from 1; an entity of tokens ends with its last one, or before the next.

>>> rows = [(n, {"options": {"A": "red", "B": "blue"}, "answer": n}) for n in (0, 1)]
>>> first(rows, "a.csv", "a.csv")
0

An answer of 0 is the first option where numbers count from 0, and none where they count from 1; an
answer of 4 is the last of four where they count from 1. Every row of the file is looked at. Where
the rows disagree, or letters stand beside numbers that are never 0 and never the last, the file is
refused: shifted by one, nearly every answer would be wrong.

So it is with entities of tokens: one that begins where it ends has one token, and its end is its
last token. One that ends where the tokens do, or where the other begins, ends before what is named.

What this does not cover: fewer numbers than other answers; they are read by the labels alone. And
options numbered from 1 whose answers count from 0 and never are 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onward.episodes import marked, options
from onward.episodes.values import Fault
from onward.errors import DataError

FEW = 10
"""So many times as many rows must say the one as the other; the others are mistakes then."""

_FIX = "write the right option's letter (A is the first) or its text in place of its number"
_MARK = "mark both entities in a text: '<e1>Smog</e1> causes <e2>asthma</e2>.'"


@dataclass
class _Lines:
    """Rows that say the same: how many, and the line of the first."""

    count: int = 0
    first: int = 0

    def add(self, line: int) -> None:
        self.count, self.first = self.count + 1, self.first or line


def first(rows: Iterable[tuple[int, Mapping[str, Any]]], name: str, where: str) -> int | None:
    """The number of the first option in the answers; None where labels or rows say enough.

    Args:
        rows: line and canonical fields of each row.
        name: the file's, for the error.
        where: its path.

    Raises:
        DataError: some rows count from 0 and others from 1, or nothing tells.
    """
    only = (_Lines(), _Lines())
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
            only[fits[1]].add(line)
    if others > numbers:
        return None
    if unclear and not any(one.count for one in only):
        raise _unclear(name, where)
    return _decided(only, f"The answers of {name} count its options from", _FIX, where)


def last(rows: Iterable[tuple[int, Mapping[str, Any]]], name: str, where: str) -> int | None:
    """1 where entities end with the token that their end names, 0 where before it.

    None where places do not count tokens.

    Raises:
        DataError: some rows say the one and others the other, or nothing tells.
    """
    only = (_Lines(), _Lines())
    seen = False
    for line, fields in rows:
        found = marked.ends(fields)
        seen = seen or found is not None
        if found is not None and found[0] != found[1]:
            only[found[1]].add(line)
    if seen and not any(one.count for one in only):
        raise DataError(
            f"The places of {name} count tokens, and nothing tells whether an entity ends with the "
            "token that its end names or before it: no entity has one token alone",
            where=where,
            fix=_MARK,
        )
    said = f"The entities of {name} end with the token before (0) or the one that is named (1):"
    return _decided(only, said, _MARK, where)


def _decided(only: Sequence[_Lines], said: str, fix: str, where: str) -> int | None:
    """What nearly all rows say that can only mean the one; None where no row does."""
    few, many = sorted((0, 1), key=lambda way: only[way].count)
    if not only[many].count:
        return None
    if only[few].count * FEW <= only[many].count:
        return many
    told = [f"{way} in {one.count:,} rows (line {one.first})" for way, one in enumerate(only)]
    raise DataError(
        f"{said} {' and '.join(told)}",
        where=where,
        fix=f"mend the rows that are mistaken, or {fix}",
    )


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
