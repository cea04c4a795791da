"""Optuna's record of a search, kept by `onward.files` as every other durable file is.

    storage = optuna.storages.JournalStorage(Journal(folder / "journal.log"))

Optuna's own file leaves the part of a line that a full disk took where it is, appends the next line
to it, and can then read neither. Here a line that does not fit is not there at all. The lock of the
search is held meanwhile: one process reads and writes.

What this does not cover: a record that is damaged and still JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend

from onward import files


class Journal(BaseJournalBackend):
    """The records of PATH, a JSON object a line.

    What follows the first line that is none is dropped as it is opened: a torn end, or what an
    earlier release wrote after one. The tries in it are drawn again as they were, and their
    trainings are sealed.

    Raises:
        DiskFull: a record does not fit; those before it stay.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        data = path.read_bytes() if path.is_file() else b""
        self._records, whole = _whole(data)
        if whole < len(data):
            files.write_bytes(path, data[:whole])

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """The records from this number on."""
        yield from self._records[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append records, each durably."""
        for log in logs:
            files.append_line(self.path, log)
            self._records.append(json.loads(files.canonical(log)))


def _whole(data: bytes) -> tuple[list[dict[str, Any]], int]:
    """The records before the first line that is none, and their bytes."""
    records, size = [], 0
    for line in data.splitlines(keepends=True):
        try:
            found = json.loads(line)
        except ValueError:
            break
        if not line.endswith(b"\n") or not isinstance(found, dict):
            break
        records.append(found)
        size += len(line)
    return records, size
