"""Rows that were scored already, so that no artifact answers the same row twice.

>>> import tempfile; cache = RowCache(Path(tempfile.mkdtemp()))
>>> cache.add({"h0": Entry('{"text":"x"}', (1.0, 0.0))}); sorted(cache.read())
['h0']
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from onward import files
from onward.errors import IntegrityError
from onward.evaluation.ledger import ROWS, Entry, damaged, from_bytes, part, to_bytes


class RowCache:
    """A folder of small immutable parquet files with the rows that were scored so far.

    Each file is named by the sha256 of its bytes, so a damaged one is known, dropped and its rows
    are scored again. Safe to delete, and safe to share: a file appears whole or not at all, and
    two writers of the same rows write the same entries.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self) -> dict[str, Entry]:
        """Row hash -> entry of every sound file; unsound ones are deleted."""
        found: dict[str, Entry] = {}
        for path in sorted(self.folder.glob("*.parquet")):
            try:
                table = _checked(path)
            except IntegrityError:
                path.unlink(missing_ok=True)
                continue
            columns = (table[name].to_pylist() for name in ("row", "prediction", "statistics"))
            for hashed, prediction, statistics in zip(*columns, strict=True):
                found[hashed] = Entry(prediction, tuple(statistics))
        return found

    def add(self, entries: Mapping[str, Entry]) -> None:
        """Write one more file."""
        data = to_bytes(part("", "", "", {"": entries}).table)
        files.write_bytes(self.folder / f"{hashlib.sha256(data).hexdigest()}.parquet", data)


def _checked(path: Path) -> pa.Table:
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != path.stem:
        raise damaged(path, "its bytes are not the ones that were written")
    return from_bytes(data, ROWS, path)
