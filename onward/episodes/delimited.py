"""CSV and TSV as a stream of rows, values as text: "null" and "NaN" stay words.

A record that is not one (other number of columns, a quote in the wrong place, too long) is handed
on as unreadable. In CSV a quote that is never closed swallows what follows, so it refuses the file.
TSV is often written without quotes: `tabbed` says how its own are told.

What this does not cover: a quote of a CSV that opens by mistake and is closed by the next quote,
lines later. The rows between become one record with too many columns, and are counted as that one.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from onward.episodes import tabbed, text
from onward.episodes.incoming import Incoming
from onward.episodes.tabbed import Record
from onward.errors import DataError, FormatError


@dataclass
class _Feed:
    """Lines for csv.reader, and what was wrong with those of the present record."""

    path: Path
    most_bytes: int
    first: int = 1
    reasons: dict[str, str] = field(default_factory=dict)
    shown: str = ""

    def __iter__(self) -> Iterator[str]:
        for line in text.lines(self.path, self.most_bytes):
            if not self.shown:
                self.first, self.shown = line.number, line.text[: text.SHOWN]
            if line.reason:
                self.reasons[line.reason] = f"line {line.number}"
            yield ("" if line.reason == "line-too-long" else line.text) + line.end

    def take(self) -> tuple[int, dict[str, str], str]:
        """Where the record began, its reasons and its first line; then forget them."""
        taken = self.first, self.reasons, self.shown
        self.reasons, self.shown = {}, ""
        return taken


def separator(header: str) -> str:
    """The separator that a CSV's first line uses: a comma, or a semicolon where it has more."""
    return ";" if header.count(";") > header.count(",") else ","


def header(path: Path, delimiter: str, most_bytes: int) -> list[str]:
    """The names of the columns.

    The first may have none, as where pandas or R wrote the numbers of their rows, and the last, as
    where a spreadsheet has an empty column; each is called by its place.

    Raises:
        FormatError: any other name is empty, or one stands twice, or the first line is no record or
            no UTF-8.
    """
    for record in _records(path, delimiter, most_bytes):
        if isinstance(record, Incoming):
            if record.reason == "invalid-encoding":
                raise text.not_utf8(path, f":{record.line}")
            raise FormatError(
                f"The first line of {path.name} is not a header: {record.detail}",
                where=f"{path}:{record.line}",
                fix="the first line names the columns",
            )
        names = [name.strip() for name in record[2]]
        for at in {0, len(names) - 1}:
            names[at] = names[at] or f"unnamed {at + 1}"
        double = [name for name in names if names.count(name) > 1 or not name]
        if double:
            raise FormatError(
                f"The header of {path.name} has the column {double[0]!r} twice or without a name",
                where=f"{path}:1",
                fix="give every column a name of its own",
            )
        return names
    raise DataError(f"{path.name} is empty", where=str(path), fix="send a file with rows")


def read(path: Path, delimiter: str, most_bytes: int) -> Iterator[Incoming]:
    """The records after the header.

    Args:
        path: the file.
        delimiter: "," or ";" or a tab.
        most_bytes: a longer line is unreadable; a longer record refuses the file.

    Raises:
        FormatError: a quote of a CSV is never closed.
    """
    names = header(path, delimiter, most_bytes)
    for record in _after_header(path, delimiter, most_bytes, len(names)):
        if isinstance(record, Incoming):
            yield record
            continue
        line, shown, values = record
        if len(values) == len(names):
            yield Incoming(line, dict(zip(names, values, strict=True)))
        else:
            detail = f"{len(values)} columns where the header has {len(names)}"
            yield Incoming(line, None, "malformed", detail, shown)


def _after_header(
    path: Path, delimiter: str, most_bytes: int, width: int
) -> Iterator[Record | Incoming]:
    records = _records(path, delimiter, most_bytes)
    first = next(records)
    if delimiter != tabbed.TAB:
        yield from records
        return
    begins = first.line if isinstance(first, Incoming) else first[0]
    lines = (line for line in text.lines(path, most_bytes) if line.number > begins)
    yield from tabbed.records(lines, width, most_bytes)


def _records(path: Path, delimiter: str, most_bytes: int) -> Iterator[Record | Incoming]:
    """(first line, its text, values) of each record, or what cannot be read. Blank lines skip."""
    feed = _Feed(path, most_bytes)
    reader = csv.reader(iter(feed), delimiter=delimiter, strict=True)
    before = csv.field_size_limit(most_bytes)
    try:
        while True:
            try:
                values = next(reader, None)
            except csv.Error as error:
                yield _unreadable(path, feed, str(error))
                continue
            line, reasons, shown = feed.take()
            if values is None:
                return
            if reasons:
                reason, where = next(iter(reasons.items()))
                yield Incoming(line, None, reason, where, shown)
            elif values:
                yield line, shown, values
    finally:
        csv.field_size_limit(before)


def _unreadable(path: Path, feed: _Feed, message: str) -> Incoming:
    line, reasons, shown = feed.take()
    if "unexpected end" in message or "field larger" in message:
        raise FormatError(
            f"{path.name} has a quote that is never closed",
            where=f"{path}:{line}",
            fix='close the quote, or double it ("") where it belongs to the text',
        )
    reason = next(iter(reasons), "malformed")
    return Incoming(line, None, reason, message, shown)
