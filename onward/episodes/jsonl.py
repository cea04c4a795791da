"""JSONL as a stream of rows: one object a line.

The file of quarantined rows of an earlier opening is read as well: of its lines {line, reason,
detail, row} the row is taken, which is there to be mended.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from onward.episodes import text
from onward.episodes.incoming import Incoming, Unreadable, loads

QUARANTINED = {"line", "reason", "detail", "row"}
"""The keys of a line in quarantined.jsonl."""

MOST_COLUMNS = 1_000
"""Keys that are kept: where rows have keys of their own, there is no end of them."""


def read(path: Path, most_bytes: int) -> Iterator[Incoming]:
    """One row a line; blank lines are skipped.

    Args:
        path: the file.
        most_bytes: a longer line is unreadable.
    """
    for line in text.lines(path, most_bytes):
        if line.reason:
            yield Incoming(line.number, None, line.reason, "", line.text[: text.SHOWN])
        elif line.text.strip():
            yield _row(line.number, line.text)


def _row(number: int, source: str) -> Incoming:
    shown = source[: text.SHOWN]
    try:
        value = loads(source)
    except Unreadable as error:
        reason = "nul-character" if "\0" in source else error.reason
        return Incoming(number, None, reason, str(error), shown)
    value = _mended(value)
    if not isinstance(value, dict):
        return Incoming(number, None, "wrong-type", "a row is an object", shown)
    return Incoming(number, value)


def _mended(value: Any) -> Any:
    return value["row"] if isinstance(value, dict) and set(value) == QUARANTINED else value


def columns(path: Path, most_bytes: int) -> list[str]:
    """The keys of all readable rows, in the order they appear; the first MOST_COLUMNS of them.

    A field that a row may lack is often in none of the first.
    """
    names: dict[str, None] = {}
    for row in read(path, most_bytes):
        if row.values is not None and len(names) < MOST_COLUMNS:
            names.update(dict.fromkeys(row.values))
    return list(names)[:MOST_COLUMNS]
