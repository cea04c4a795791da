"""An OS lock on a file that says who holds it and since when.

The kernel drops the lock with the process, so a killed holder never blocks anyone. What the holder
calls may take the lock again: that is a no-op in the holder's own context (and in the tasks and
threads that copy it), never in another thread or process.

>>> import tempfile; path = Path(tempfile.mkdtemp()) / "run.lock"
>>> with held(path, "a test"):
...     pass
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from onward.errors import Busy

LOOK = 0.2
"""Seconds after which whoever holds the lock is no `is_held`, which takes it for a moment."""

_own: ContextVar[frozenset[Path]] = ContextVar("locks held by this context", default=frozenset())


@contextmanager
def held(path: Path, purpose: str, *, wait: float = 0.0) -> Iterator[None]:
    """Hold the lock for the block. Inherited by no child.

    Args:
        path: the lock's file, made if needed and never removed.
        purpose: what the holder does, shown to others.
        wait: seconds to wait for another holder; 0 refuses after LOOK.

    Raises:
        Busy: another process holds it: which, what it does, since when.
    """
    path = path.resolve()
    if path in _own.get():
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    before = _own.get()
    try:
        _take(descriptor, path, wait)
        _own.set(before | {path})
        since = datetime.now(UTC).isoformat(timespec="seconds")
        note = {"pid": os.getpid(), "purpose": purpose, "since": since}
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(note).encode(), 0)
        yield
    finally:
        _own.set(before)
        os.close(descriptor)


def _take(descriptor: int, path: Path, wait: float) -> None:
    deadline = time.monotonic() + max(wait, LOOK)
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                who = holder(path)
                busy = f"Busy: {who['purpose']} is going on"
                raise Busy(
                    f"{busy}, process {who['pid']} since {who['since']}",
                    where=str(path),
                    fix="wait for it to end, as `onward run --wait` does; nothing was changed",
                    details=who,
                ) from None
            time.sleep(LOOK / 10)


def holder(path: Path) -> dict[str, Any]:
    """What the present or last holder wrote about itself."""
    try:
        note = json.loads(path.read_bytes() or b"{}")
    except (OSError, ValueError):
        note = {}
    return {
        "pid": note.get("pid", "?"),
        "purpose": note.get("purpose", "another run"),
        "since": note.get("since", "?"),
    }


def is_held(path: Path) -> bool:
    """Whether another process (or another open of this one) holds the lock now."""
    if not path.exists():
        return False
    # Where the project is read-only it can be asked all the same.
    writable = os.access(path, os.W_OK)
    descriptor = os.open(path, (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC)
    try:
        # Shared, so that of two who ask at once neither is told of the other.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
