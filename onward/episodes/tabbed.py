"""TSV, in which a quote may be one of the text's own: each record tells by itself.

A line with a field for each column is a record. A field that stands in quotes altogether loses
them, as in CSV; any other quote belongs to the text, as in files that were never quoted. Only where
a quote begins a field and closes it later, over tabs or lines that are no records of their own, is
it read as CSV quotes.

What this does not cover: a quoted text over several lines, each of which has as many tabs as a
record. They are taken as records.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain

from onward.episodes.incoming import Incoming
from onward.episodes.text import SHOWN, Line

TAB = "\t"

Record = tuple[int, str, list[str]]
"""Number and text of a record's first line, and its values."""


def records(lines: Iterable[Line], width: int, most: int) -> Iterator[Record | Incoming]:
    """The records of lines that follow a header; blank lines skip.

    Args:
        lines: from the one after the header on.
        width: columns that the header has.
        most: characters that a quoted record may have.
    """
    ahead = _Ahead(iter(lines))
    for line in ahead:
        if line.reason:
            yield Incoming(line.number, None, line.reason, f"line {line.number}", line.text[:SHOWN])
        elif line.text:
            yield _record(line, ahead, width, most)


class _Ahead:
    """Lines that can be given back."""

    def __init__(self, lines: Iterator[Line]) -> None:
        self._lines, self._back = lines, deque[Line]()

    def __iter__(self) -> Iterator[Line]:
        while (line := self.take()) is not None:
            yield line

    def take(self) -> Line | None:
        """The next line; None at the end."""
        return self._back.popleft() if self._back else next(self._lines, None)

    def give_back(self, lines: Iterable[Line]) -> None:
        """These come next, in their order."""
        self._back.extendleft(reversed(list(lines)))


def _record(line: Line, ahead: _Ahead, width: int, most: int) -> Record | Incoming:
    parts, shown = line.text.split(TAB), line.text[:SHOWN]
    if any(part.startswith('"') and not _whole(part) for part in parts):
        values, more = _quoted(line, ahead, most)
        each = [len(one.text.split(TAB)) == width for one in (line, *more)]
        if values is not None and len(values) == width and not all(each):
            return line.number, shown, values
        ahead.give_back(more)
    if len(parts) != width:
        detail = f"{len(parts)} columns where the header has {width}"
        return Incoming(line.number, None, "malformed", detail, shown)
    return line.number, shown, [_bare(part) for part in parts]


def _whole(part: str) -> bool:
    """Whether a field stands in quotes, its own ones doubled."""
    inside = len(part) > 1 and part[0] == part[-1] == '"'
    return inside and '"' not in part[1:-1].replace('""', "")


def _bare(part: str) -> str:
    return part[1:-1].replace('""', '"') if _whole(part) else part


def _quoted(line: Line, ahead: _Ahead, most: int) -> tuple[list[str] | None, list[Line]]:
    """The record that begins here if its quotes are CSV's, and the lines after the first it takes.

    None in place of the record where they are not.
    """
    more: list[Line] = []

    def following() -> Iterator[str]:
        left = most - len(line.text)
        while (found := ahead.take()) is not None:
            more.append(found)
            left -= len(found.text)
            if found.reason or left < 0:
                return
            yield found.text + found.end

    before = csv.field_size_limit(most)
    try:
        fed = chain([line.text + line.end], following())
        return next(csv.reader(fed, delimiter=TAB, strict=True)), more
    except (csv.Error, StopIteration):
        return None, more
    finally:
        csv.field_size_limit(before)
