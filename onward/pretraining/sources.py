"""A file of unlabelled texts: read, checked text by text, each counted once.

>>> import tempfile; path = Path(tempfile.mkdtemp()) / "a.txt"
>>> _ = path.write_text("One text\\nover two lines.\\n\\nAnother.\\n")
>>> [text for _, text in read(path, 1_000)]
['One text\\nover two lines.', 'Another.']

A file called .txt (or .txt.gz) holds texts between empty lines, or a text a line where it has no
empty one but at its ends; of a file with columns the one that is called text, or by another of
COLUMNS, is read. What a text must be is what every text of a row must be: readable, without NUL or
half a character, and not longer than episode.max_field_chars.

What this does not cover: whether the texts are true, clean, or of one language.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from onward.episodes import formats
from onward.episodes import text as lines
from onward.episodes.incoming import plain
from onward.episodes.rows import normalised, short
from onward.episodes.values import Fault, readable
from onward.errors import DataError, MissingFiles
from onward.pretraining.overlap import Held
from onward.recipes.texts import bare

COLUMNS = ("text", "content", "body", "document", "passage", "context", "sentence", "article")
"""Names that the column of texts may have, the likeliest first, compared by letters alone."""

SAMPLES = 5
"""Texts left out of which the line and the reason are kept."""


def read(path: Path, max_chars: int) -> Iterator[tuple[int, Any]]:
    """(line, text as it came) of every text of a file; None: the row has no text.

    Raises:
        MissingFiles, FormatError, DataError: as `onward.episodes.formats`; no column has texts.
    """
    if not path.is_file():
        raise MissingFiles("There is no such file", where=str(path), fix="check the path")
    if path.name.lower().endswith((".txt", ".txt.gz")):
        if lines.foreign(lines.head(path)):
            raise lines.not_utf8(path)
        yield from _paragraphs(path, max_chars)
        return
    source = formats.sniff(path, max_chars)
    column = _column(source)
    for row in formats.read(source, [column]):
        if row.values is None:
            yield row.line, Fault(row.reason, row.detail)
        else:
            yield row.line, row.values.get(column)


def _column(source: formats.Source) -> str:
    names = {bare(column): column for column in reversed(source.columns)}
    found = next((names[name] for name in COLUMNS if name in names), None)
    if found is None:
        raise DataError(
            f"No column is called as one of texts: {', '.join(source.columns)[:200]}",
            where=str(source.path),
            fix=f"call it {COLUMNS[0]}, or send a .txt file with empty lines between texts",
        )
    return found


def _paragraphs(path: Path, max_chars: int) -> Iterator[tuple[int, Any]]:
    held: list[str] = []
    first, broken = 0, ""
    most = formats.LINE_FACTOR * max_chars
    alone = _alone(line.text for line in lines.lines(path, most))
    for line in lines.lines(path, most):
        if alone and line.text.strip():
            yield line.number, Fault(line.reason, "") if line.reason else line.text
        elif line.text.strip():
            first = first or line.number
            held.append(line.text)
            broken = broken or (line.reason or "")
        elif held:
            yield first, Fault(broken, "") if broken else "\n".join(held)
            held, first, broken = [], 0, ""
    if held:
        yield first, Fault(broken, "") if broken else "\n".join(held)


def _alone(found: Iterable[str]) -> bool:
    """Whether each line is a text: none is empty but those at the file's ends."""
    texts = empty = False
    for line in found:
        if line.strip() and empty:
            return False
        texts = texts or bool(line.strip())
        empty = texts and not line.strip()
    return True


class Texts:
    """The texts of a file that can be learned from; what was left out is counted by reason."""

    def __init__(self, path: Path, max_chars: int, held: Held) -> None:
        """Read `path` when iterated over, without texts that hold what `held` does."""
        self.path, self.max_chars, self.held = path, max_chars, held
        self.left_out: Counter[str] = Counter()
        self.samples: list[dict[str, Any]] = []
        self.seen = 0

    def __iter__(self) -> Iterator[str]:
        met: set[bytes] = set()
        for line, value in read(self.path, self.max_chars):
            self.seen += 1
            try:
                yield self._checked(value, met)
            except Fault as fault:
                self.left_out[fault.reason] += 1
                if len(self.samples) < SAMPLES:
                    detail = str(plain(str(fault)))
                    told = {"line": line, "reason": fault.reason, "detail": detail}
                    self.samples.append(told)

    def _checked(self, value: Any, met: set[bytes]) -> str:
        if isinstance(value, Fault):
            raise value
        if value is None:
            raise Fault("missing-field", "text is missing")
        found = readable(value, "text", self.max_chars).strip()
        form = normalised(found)
        key = short(form)
        if key in met:
            raise Fault("duplicate", "the same text came before")
        met.add(key)
        where = self.held.within(form)
        if where:
            raise Fault("held-out", f"it holds a held-out text of {where}")
        return found
