"""Canonical rows and parquet: written and read in batches, each page with its checksum.

A row is a plain dict with the columns of a recipe's SCHEMA. Equal rows give equal bytes, whenever
and wherever they are written with the same release of pyarrow.

>>> import tempfile; path = Path(tempfile.mkdtemp()) / "rows.parquet"
>>> write(path, [{"id": "a", "n": 1}], pa.schema([("id", pa.string()), ("n", pa.int32())]))
1
>>> read_all(path)
[{'id': 'a', 'n': 1}]

What this does not cover: a file that was replaced by another good one. That is what manifests are
for.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from onward import files
from onward.errors import DataError, MissingFiles
from onward.recipes.shapes import Row

GROUP_ROWS = 1_000
"""Rows of a row group, where they are short."""

GROUP_CHARS = 8_000_000
"""Characters after which a row group is closed although it holds fewer rows."""

_BROKEN = (pa.ArrowException, OSError, UnicodeDecodeError)
_REPAIR = "`onward repair` brings an episode's files back; send another file where this one came in"


class Writer:
    """Streams rows into a parquet file; memory holds one row group.

    Use it as a context manager inside `files.building`, which flushes the file to disk.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.path, self.schema, self.written = path, schema, 0
        self._group: list[Row] = []
        self._chars = 0

    def __enter__(self) -> Writer:
        files.operation("open", self.path)
        self._out = pq.ParquetWriter(
            self.path, self.schema, compression="zstd", write_page_checksum=True
        )
        return self

    def write(self, row: Row) -> None:
        """Add one row; its keys are exactly the schema's."""
        self._group.append(row)
        self._chars += sum(map(_chars, row.values()))
        if len(self._group) >= GROUP_ROWS or self._chars >= GROUP_CHARS:
            self._flush()

    def _flush(self) -> None:
        files.operation("write", self.path)
        table = pa.Table.from_pylist(self._group, schema=self.schema)
        self._out.write_table(table, row_group_size=len(self._group))
        self.written += len(self._group)
        self._group, self._chars = [], 0

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None and self._group:
            self._flush()
        self._out.close()


def _chars(value: Any) -> int:
    """The characters of a text, or of all texts of a list: of a history the most are there."""
    if isinstance(value, str):
        return len(value)
    return sum(map(_chars, value)) if isinstance(value, list | tuple) else 0


def write(path: Path, rows: Iterable[Row], schema: pa.Schema) -> int:
    """Write rows to a new parquet file and return how many there were."""
    with Writer(path, schema) as out:
        for row in rows:
            out.write(row)
    return out.written


def read(path: Path, columns: Sequence[str] | None = None) -> Iterator[Row]:
    """The rows of a parquet file in order, a batch in memory at a time.

    Args:
        path: a file that `write` made.
        columns: which of them; all where None.

    Raises:
        MissingFiles: there is no such file.
        DataError: it is empty, cut off, damaged, or lacks a column: which file, and why.
    """
    for batch in batches(path, columns):
        yield from batch.to_pylist()


def read_all(path: Path, columns: Sequence[str] | None = None) -> list[Row]:
    """`read`, as a list."""
    return list(read(path, columns))


def batches(path: Path, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Arrow batches of at most GROUP_ROWS rows. Raises as `read` does."""
    _refuse_empty(path)
    try:
        with pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=False) as source:
            _refuse_without(path, source.schema_arrow.names, columns)
            _refuse_bytes(path, source.schema_arrow)
            # A group at a time: a batch over two could hold more than Arrow can count.
            for group in range(source.num_row_groups):
                yield from source.iter_batches(GROUP_ROWS, row_groups=[group], columns=columns)
    except _BROKEN as error:
        raise damaged(path, error) from error


def count(path: Path) -> int:
    """How many rows a parquet file says it holds. Raises as `read` does."""
    _refuse_empty(path)
    try:
        return int(pq.read_metadata(path).num_rows)
    except _BROKEN as error:
        raise damaged(path, error) from error


def _refuse_empty(path: Path) -> None:
    if not path.is_file():
        raise MissingFiles(f"{path.name} is not there", where=str(path), fix="`dvc pull`")
    if path.stat().st_size == 0:
        raise DataError(f"{path.name} is empty (0 bytes)", where=str(path), fix=_REPAIR)


def _refuse_without(path: Path, found: Sequence[str], wanted: Sequence[str] | None) -> None:
    missing = [name for name in wanted or () if name not in found]
    if missing:
        raise DataError(
            f"{path.name} has no column {missing[0]!r}; it has {', '.join(found)}",
            where=str(path),
            fix=_REPAIR,
        )


def _refuse_bytes(path: Path, schema: pa.Schema) -> None:
    """Text whose footer has lost that it is text would come as bytes; Onward writes none."""
    for field in schema:
        kind = field.type
        while pa.types.is_list(kind):
            kind = kind.value_type
        if pa.types.is_binary(kind):
            raise damaged(path, TypeError(f"its column {field.name!r} holds bytes"))


def damaged(path: Path, error: Exception) -> DataError:
    """The typed error of a parquet file that pyarrow cannot read."""
    return DataError(
        f"{path.name} is cut off or damaged: {' '.join(str(error).split())[:200]}",
        where=str(path),
        fix=_REPAIR,
    )


def row_hash(row: Mapping[str, Any]) -> str:
    """sha256 (hex) of a canonical row: the key of a test row in every ledger."""
    return files.digest(dict(row))


def split_text(row: Mapping[str, Any]) -> str:
    """The text of a row that must not straddle train and held-out.

    Its context; where it has none its text, or what was asked first: all answers of a conversation
    are on one side, because each is in the history of the next.
    """
    found: str = row.get("context") or row.get("text") or ""
    return found or [*(row.get("history") or []), row["question"]][0]


def short(text: str) -> bytes:
    """16 bytes of sha256, to compare texts by."""
    return hashlib.sha256(text.encode()).digest()[:16]


def side_key(text: str) -> bytes:
    """What sides.parquet knows a `split_text` by: the hash of its normalised form."""
    return short(f"context:{normalised(text)}")


def title_key(title: str) -> bytes:
    """What sides.parquet knows a normalised title by."""
    return short(f"title:{title}")


def normalised(text: str) -> str:
    """The form in which texts are compared for leakage.

    NFKC and case folded; spaces, controls and punctuation become one space; characters that do
    not show (zero-width, direction marks) are dropped. Letters, marks, digits and symbols stay.

    >>> normalised("  Who wrote\u200b it?! ") == normalised("who wrote it")
    True
    """
    # First what does not show: between two marks it would hinder their canonical order.
    shown = text if text.isascii() else text.translate(_SHOWN)
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", shown).casefold())
    return " ".join(folded.translate(_SPACED).split())


def is_blank(text: str) -> bool:
    """Whether nothing is left to read: only spaces, controls, punctuation, unseen characters.

    >>> is_blank(" \u200b?!"), is_blank("$5")
    (True, False)
    """
    return not any(unicodedata.category(character) in _READABLE for character in text)


_READABLE = frozenset("Lu Ll Lt Lm Lo Nd Nl No Sm Sc Sk So Mc Co Cn".split())


class _Spaced(dict[int, str]):
    """Code point -> itself, or a space for controls and punctuation; each is looked up once."""

    def __missing__(self, code: int) -> str:
        kind = unicodedata.category(chr(code))
        return self.setdefault(code, " " if kind[0] in "PZ" or kind == "Cc" else chr(code))


class _Shown(dict[int, str]):
    """Code point -> itself, or nothing for a character that does not show."""

    def __missing__(self, code: int) -> str:
        return self.setdefault(code, "" if unicodedata.category(chr(code)) == "Cf" else chr(code))


_SPACED, _SHOWN = _Spaced(), _Shown()
