"""Parquet from outside as a stream of rows, a few at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from onward.episodes.incoming import Incoming
from onward.episodes.rows import damaged
from onward.errors import FormatError

BATCH = 64
"""Rows in memory at a time; each may be a million characters long."""

BUFFER = 1 << 20
"""Bytes of a column that are read at once."""

# UnicodeDecodeError: the name of a column; that of a value is the row's own fault, see `_row`.
_BROKEN = (pa.ArrowException, OSError, UnicodeDecodeError)


def columns(path: Path) -> list[str]:
    """The names of the top-level columns.

    Raises:
        DataError: the file is cut off or damaged.
        FormatError: a name stands twice: nothing tells which of the columns is meant.
    """
    try:
        names = list(pq.read_schema(path).names)
    except _BROKEN as error:
        raise damaged(path, error) from error
    double = [name for name in names if names.count(name) > 1]
    if double:
        raise FormatError(
            f"{path.name} has the column {double[0]!r} twice",
            where=str(path),
            fix="give every column a name of its own",
        )
    return names


def read(path: Path, wanted: Sequence[str]) -> Iterator[Incoming]:
    """The rows of a Parquet file, of the wanted columns alone; `line` counts rows from 1.

    Raises:
        DataError: the file is cut off or damaged.
    """
    number = 0
    try:
        # With a buffer: without one a whole column of a row group is read at once, and many writers
        # put a million rows into a group.
        with pq.ParquetFile(
            path, buffer_size=BUFFER, page_checksum_verification=True, pre_buffer=False
        ) as source:
            for batch in source.iter_batches(batch_size=BATCH, columns=list(wanted)):
                for index in range(batch.num_rows):
                    number += 1
                    yield _row(number, batch, index)
    except _BROKEN as error:
        raise damaged(path, error) from error


def _row(number: int, batch: pa.RecordBatch, index: int) -> Incoming:
    values: dict[str, Any] = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            values[name] = column[index].as_py()
        except UnicodeDecodeError as error:
            return Incoming(number, None, "invalid-encoding", f"column {name!r}: {error.reason}")
        except (ValueError, OverflowError) as error:
            return Incoming(number, None, "wrong-type", f"column {name!r}: {error}")
    return Incoming(number, values)
