"""Rows of a delivery that nearly repeat a row on the other side: found, named, and given way.

Two directions, in this order:

1. A new held-out row that nearly repeats a training row of an earlier episode gives way: a model
   may know it by heart, and what is open is never changed.
2. A new training row that nearly repeats a held-out row, of an earlier episode or of this
   delivery, gives way.

All rows under one text have one side, so they go together.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from onward.config import Episode
from onward.episodes import near, signatures
from onward.episodes.rows import split_text
from onward.episodes.shingles import Kind
from onward.episodes.sieve import Sieve
from onward.errors import DataError
from onward.recipes.shapes import Row

SHOWN = 5
"""Leaks that are named in a message."""

_FIRSTS = """
CREATE TABLE firsts AS
SELECT MIN(ord) AS ord, context, side FROM rows WHERE reason = '' GROUP BY context
"""

_QUARANTINE = """
UPDATE rows SET reason = 'near-duplicate', detail = leaks.detail
FROM leaks WHERE rows.reason = '' AND rows.context = leaks.context
"""

_LINES = """
SELECT sketches.side, kind, placed.number, signature FROM sketches
JOIN (SELECT ord, ROW_NUMBER() OVER (ORDER BY ord) - 1 AS number
      FROM rows WHERE reason = '' AND side = ?) AS placed ON placed.ord = sketches.ord
WHERE sketches.side = ? ORDER BY sketches.ord, kind
"""


def look(sieve: Sieve, episodes: Sequence[Path], settings: Episode) -> None:
    """Find the rows that have to give way; quarantine them where the settings say so.

    Args:
        sieve: all rows have their sides.
        episodes: the folders of all earlier episodes, withdrawn ones too.
        settings: leakage and near_duplicate.

    Raises:
        MissingFiles, DataError: a file of an earlier episode is not there or damaged.
    """
    _sketch(sieve)

    def earlier(side: str) -> Iterator[near.Block]:
        return chain.from_iterable(signatures.blocks(folder, side) for folder in episodes)

    def held_out() -> Iterator[near.Block]:
        return chain(_blocks(sieve, "heldout"), earlier("heldout"))

    limit = settings.near_duplicate
    _accuse(sieve, near.pairs(_blocks(sieve, "heldout"), lambda: earlier("train"), limit))
    _accuse(sieve, near.pairs(_blocks(sieve, "train"), held_out, limit))
    if settings.leakage == "quarantine":
        sieve.db.execute(_QUARANTINE)


def _sketch(sieve: Sieve) -> None:
    """Fill `sketches`: the signatures of each different text of a kept row."""
    sieve.db.execute(_FIRSTS)
    read = sieve.db.cursor()
    read.execute(
        "SELECT firsts.ord, firsts.context, firsts.side, rows.body FROM firsts"
        " JOIN rows ON rows.ord = firsts.ord ORDER BY firsts.ord"
    )
    sieve.db.execute("BEGIN")
    sieve.db.executemany(
        "INSERT INTO sketches VALUES (?,?,?,?,?)",
        (
            (ord_, context, side, kind, signature)
            for ord_, context, side, body in read
            for kind, signature in near.signed(split_text(json.loads(body)))
        ),
    )
    sieve.db.execute("COMMIT")


def _blocks(sieve: Sieve, side: str) -> Iterator[near.Block]:
    """The delivery's own signatures of one side, but of texts that gave way already."""
    lines: Iterable[tuple[int, Kind, bytes]] = sieve.db.execute(
        "SELECT ord, kind, signature FROM sketches WHERE side = ?"
        " AND context NOT IN (SELECT context FROM leaks)",
        (side,),
    )
    where = f"the {signatures.SIDES[side]} row {{}} of this delivery"
    return near.blocks(lines, lambda numbers: _texts(sieve, numbers), where)


def _texts(sieve: Sieve, numbers: Sequence[int]) -> dict[int, near.Text]:
    found = {}
    for number in numbers:
        body = sieve.db.execute("SELECT body FROM rows WHERE ord = ?", (number,)).fetchone()[0]
        row: Row = json.loads(body)
        found[number] = near.Text(split_text(row), row["id"])
    return found


def _accuse(sieve: Sieve, found: Iterable[near.Near]) -> None:
    for one in list(found):  # a row each: the sieve is not written while it is read
        sieve.db.execute(
            "INSERT OR IGNORE INTO leaks SELECT context, ? FROM rows WHERE ord = ?",
            (one.told(), one.number),
        )


def kept(sieve: Sieve) -> tuple[int, list[str]]:
    """How many kept rows leak, and the first of them in words."""
    query = "FROM rows JOIN leaks ON leaks.context = rows.context WHERE reason = ''"
    count = sieve.db.execute(f"SELECT COUNT(*) {query}").fetchone()[0]
    shown = sieve.db.execute(
        f"SELECT line, leaks.detail {query} ORDER BY ord LIMIT ?",
        (SHOWN,),
    )
    return int(count), [f"line {line} {detail}" for line, detail in shown]


def refuse(sieve: Sieve, settings: Episode, where: str) -> None:
    """Refuse a delivery with rows that leak, where episode.leakage is `refuse`.

    Raises:
        DataError: how many, and the first of them.
    """
    count, told = kept(sieve)
    if settings.leakage == "refuse" and count:
        raise DataError(
            f"{count:,} rows nearly repeat a row on the other side of train and held-out, and "
            f"episode.leakage is refuse; nothing was opened ({told[0]})",
            where=where,
            fix="take these rows out of the source, or set episode.leakage to quarantine",
            details={"leaks": count, "samples": told},
        )


def lines(sieve: Sieve) -> Iterator[dict[str, object]]:
    """The lines of signatures.parquet: each text of kept rows, by its first row's number."""
    for side in signatures.SIDES:
        for line in sieve.db.execute(_LINES, (side, side)):
            yield dict(zip(("side", "kind", "row", "signature"), line, strict=True))
