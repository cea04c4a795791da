"""Which format a file is in, told by its content, and its rows as a stream.

>>> import tempfile; path = Path(tempfile.mkdtemp()) / "rows.csv"
>>> _ = path.write_text("question,context,answer\\nWho?,Ana did.,Ana\\n")
>>> source = sniff(path, 1_000)
>>> source.format, source.columns
('csv', ['question', 'context', 'answer'])
>>> next(read(source)).values["answer"]
'Ana'
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import ijson

from onward import files
from onward.episodes import blocks, columnar, delimited, jsonl, nested, parallel, squad, text
from onward.episodes.incoming import Incoming
from onward.errors import DataError, FormatError, MissingFiles, UsageError

FORMATS = {
    "squad": "SQuAD JSON",
    "jsonl": "JSONL",
    "csv": "CSV",
    "tsv": "TSV",
    "parquet": "Parquet",
    "conll": "CoNLL",
    "tagged": "tagged lines",
    "semeval": "SemEval-2010 task 8",
    "parallel": "parallel lines",
}
"""Format -> its name for people."""

ROWS_LOOKED_AT = 100
"""Rows that tell whether a column holds a text in each of two languages."""

LINE_FACTOR = 16
"""Bytes of a line for each character a field may have: twelve for \\uXXXX pairs, and room."""

_SUFFIXES = {
    ".json": ("squad", "jsonl"),
    ".jsonl": ("jsonl",),
    ".ndjson": ("jsonl",),
    ".csv": ("csv",),
    ".tsv": ("tsv",),
    ".tab": ("tsv",),
    ".parquet": ("parquet",),
    ".pq": ("parquet",),
    ".conll": ("conll",),
    ".bio": ("conll",),
    ".iob2": ("conll",),
}

PLAIN = "plain text without columns"
"""What a file is called that holds lines of text alone."""

_MARKED, _LISTED = "HTML or XML", "a JSON list (send one object a line: JSONL)"
_BEGINNINGS = (_MARKED, _LISTED)
"""What a first character makes of a text; subtitles begin so, too."""

_ROW = re.compile(rb'^\{\s*"', re.MULTILINE)

_FOREIGN = (
    (b"\x1f\x8b", "a gzip archive"),
    (b"PK\x03\x04", "a zip archive (or an Excel file)"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"%PDF", "a PDF"),
    (b"ARROW1", "an Arrow file"),
    (b"SQLite format 3", "a SQLite database"),
    (b"\x80\x04", "a pickle"),
    (b"\x80\x05", "a pickle"),
)


@dataclass(frozen=True)
class Source:
    """A file to read rows from. `delimiter` belongs to CSV and TSV, `target` to parallel lines."""

    path: Path
    format: str
    columns: list[str]
    most_bytes: int
    delimiter: str = ","
    target: Path | None = None

    @property
    def name(self) -> str:
        """The file's name; of two files both."""
        return self.path.name + (f" and {self.target.name}" if self.target else "")

    @property
    def bytes(self) -> int:
        """How large it is."""
        return sum(path.stat().st_size for path in (self.path, self.target) if path)

    @property
    def cells(self) -> bool:
        """Whether its values are texts alone, so that a list is the JSON of one."""
        return self.format in ("csv", "tsv")

    def sha256(self) -> str:
        """Hash of the file; of two files, of both hashes."""
        found = [files.sha256(path) for path in (self.path, self.target) if path]
        return found[0] if len(found) == 1 else files.digest(found)


def sniff(
    path: Path, max_field_chars: int, declared: str | None = None, *, target: Path | None = None
) -> Source:
    """Find the format and the columns by content; the suffix or `declared` must agree.

    Args:
        path: the file.
        max_field_chars: the longest field that may be taken; limits of lines follow from it.
        declared: one of FORMATS, where a person says so; the suffix then does not matter.
        target: the file whose lines translate those of `path`; the format is then "parallel".

    Raises:
        MissingFiles: there is no such file.
        DataError: it is empty or damaged.
        FormatError: the content is another format than the name says; both are named. Or it is
            text in another encoding.
        UsageError: `declared` is not one of FORMATS.
    """
    for each in filter(None, (path, target)):
        if not each.is_file():
            raise MissingFiles("There is no such file", where=str(each), fix="check the path")
    if declared is not None and declared not in FORMATS:
        raise UsageError(
            f"{declared!r} is not a format", where=str(path), fix=f"one of {', '.join(FORMATS)}"
        )
    most = LINE_FACTOR * max_field_chars
    if target is not None or declared == "parallel":
        return _two(path, target, declared, most)
    name = Path(path.stem) if text.compressed(path) else path
    expected = (declared,) if declared else _SUFFIXES.get(name.suffix.lower(), tuple(FORMATS))
    kind = _content(path, likely_rows=expected == ("jsonl",))
    if kind == PLAIN and expected in (("csv",), ("tsv",)) and _names_one(text.head(path)):
        kind = expected[0]
    if kind == "parquet" and text.compressed(path):
        raise _differs(path, "text in gzip", "Parquet in gzip (expand it first)")
    if kind not in expected:
        raise (
            _differs(path, " or ".join(FORMATS[e] for e in expected), _called(kind))
            if len(expected) < len(FORMATS)
            else _unknown(path, kind)
        )
    return _with_columns(path, kind, most)


def _two(path: Path, target: Path | None, declared: str | None, most: int) -> Source:
    """Parallel lines: two files of plain text."""
    if target is None or declared not in (None, "parallel"):
        raise UsageError(
            "Parallel lines are two files, a text and its translation",
            where=str(path),
            fix="name the translation with --target FILE, and no other --format",
        )
    for each in (path, target):
        found = _content(each, likely_rows=False)
        taken = ("csv", "tsv", PLAIN)
        said = (*taken, *_BEGINNINGS, *(kind for kind in FORMATS if kind != "parquet"))
        if found not in (taken if declared is None else said):
            fix = "where it is lines of text, add --format parallel" if found in said else ""
            raise _differs(each, "lines of plain text", _called(found), fix)
    return Source(path, "parallel", list(parallel.COLUMNS), most, target=target)


def _with_columns(path: Path, kind: str, most: int) -> Source:
    """The source; a column of two languages is two of its columns."""
    found = _plain(path, kind, most)
    if nested.COLUMN not in found.columns or kind not in ("jsonl", "parquet"):
        return found
    first = islice(_rows(found, [nested.COLUMN]), ROWS_LOOKED_AT)
    return replace(found, columns=nested.columns(found.columns, (row.values for row in first)))


def _plain(path: Path, kind: str, most: int) -> Source:
    if kind in blocks.COLUMNS:
        return Source(path, kind, list(blocks.COLUMNS[kind]), most)
    if kind == "parquet":
        return Source(path, kind, columnar.columns(path), most)
    if kind == "squad":
        return Source(path, kind, list(squad.COLUMNS), most)
    if kind == "jsonl":
        return Source(path, kind, jsonl.columns(path, most), most)
    delimiter = "\t" if kind == "tsv" else delimited.separator(_first_line(text.head(path)))
    return Source(path, kind, delimited.header(path, delimiter, most), most, delimiter)


def read(source: Source, wanted: Sequence[str] = ()) -> Iterator[Incoming]:
    """The rows of a file. `wanted`: the columns that will be used (Parquet reads only those).

    Raises:
        FormatError, DataError: the file breaks where rows cannot be told any more.
    """
    if not nested.some(source.columns):
        return _rows(source, wanted)
    rows = _rows(source, nested.sources(wanted or source.columns))
    return (row if row.values is None else _apart(row, row.values) for row in rows)


def _apart(row: Incoming, values: dict[str, Any]) -> Incoming:
    return replace(row, values=nested.apart(values))


def _rows(source: Source, wanted: Sequence[str]) -> Iterator[Incoming]:
    if source.target is not None:
        return parallel.read(source.path, source.target, source.most_bytes)
    if source.format in blocks.COLUMNS:
        return blocks.read(source.path, source.format, source.most_bytes)
    if source.format == "parquet":
        return columnar.read(source.path, wanted or source.columns)
    if source.format == "squad":
        return squad.read(source.path, source.most_bytes)
    if source.format == "jsonl":
        return jsonl.read(source.path, source.most_bytes)
    return delimited.read(source.path, source.delimiter, source.most_bytes)


def _content(path: Path, *, likely_rows: bool) -> str:
    """One of FORMATS, or a name for what else it is.

    `likely_rows`: it is called JSONL, so a strange first line is one bad row where others are good.

    Raises:
        DataError: it is empty.
        FormatError: it is text in another encoding.
    """
    start = text.start(path, 16)
    if not start:
        raise DataError(f"{path.name} is empty (0 bytes)", where=str(path), fix="send it again")
    if start.startswith(b"PAR1"):
        return "parquet"
    for mark, name in _FOREIGN:
        if start.startswith(mark):
            return name
    found = text.head(path)
    body = found.lstrip()
    if not body:
        raise DataError(f"{path.name} holds only white space", where=str(path), fix="send it again")
    if found[:1000].count(b"\0") > len(found[:1000]) / 10:
        return "binary data, or UTF-16 without a byte order mark (save it as UTF-8)"
    if text.foreign(found):
        raise text.not_utf8(path)
    if likely_rows and _ROW.search(body) and (body[:1] != b"{" or _json_kind(body) == "jsonl"):
        return "jsonl"
    if body.startswith(b"<"):
        return _MARKED
    if body.startswith(b"["):
        return _LISTED
    if body.startswith(b"{"):
        return _json_kind(body)
    return blocks.kind(found.decode("utf-8", "replace")) or _delimited_kind(found)


def _json_kind(body: bytes) -> str:
    """SQuAD where the first object opens a list `data` or goes on over lines; JSONL otherwise."""
    first = body.split(b"\n", 1)[0].rstrip()
    events = ijson.sendable_list()
    parser = ijson.get_backend("python").basic_parse_coro(events)
    # Only the part before a fault (or the end of `body`) is looked at; reading names the fault.
    with suppress(ijson.JSONError, ValueError, ArithmeticError, StopIteration):
        parser.send(body.decode("utf-8", "replace").encode())
    with suppress(ijson.JSONError, ValueError, ArithmeticError):
        parser.close()
    depth = 0
    for number, (kind, value) in enumerate(events[:-1]):
        if depth == 1 and (kind, value) == ("map_key", "data"):
            return "squad" if events[number + 1][0] == "start_array" else "jsonl"
        depth += kind.startswith("start") - kind.startswith("end")
        if number and depth == 0:
            return "jsonl"
    one_line = b"\n" not in body.strip()
    whole = (
        first.endswith(b"}")
        or b"\n{" in body
        or (one_line and not re.match(rb'\{\s*"(data|version)"', first))
    )
    return "jsonl" if whole else "squad"


def _first_line(found: bytes) -> str:
    return found.split(b"\n", 1)[0].decode("utf-8", "replace").strip("\r")


def _delimited_kind(found: bytes) -> str:
    header = _first_line(found)
    if "\t" in header:
        return "tsv"
    return "csv" if "," in header or ";" in header else PLAIN


def _names_one(found: bytes) -> bool:
    """Whether the first line is a word, as a table of one column begins; its text may be such."""
    return re.fullmatch(r'\w[\w-]*|"\w[\w-]*"', _first_line(found).strip()) is not None


def _called(kind: str) -> str:
    return FORMATS.get(kind, kind)


def _unknown(path: Path, found: str) -> FormatError:
    """Where the name promises nothing either."""
    other = "name the file with its translation by --target FILE; or " if found == PLAIN else ""
    return FormatError(
        f"{path.name} is in none of the known formats: {found}",
        where=str(path),
        fix=f"{other}send one of {', '.join(FORMATS.values())}",
    )


def _differs(path: Path, expected: str, found: str, fix: str = "") -> FormatError:
    known = {name: key for key, name in FORMATS.items()}
    fix = fix or (
        f"if that is meant, say `--format {known[found]}`"
        if found in known
        else f"send one of {', '.join(FORMATS.values())}"
    )
    return FormatError(
        f"{path.name} should be {expected}, but its content is {found}", where=str(path), fix=fix
    )
