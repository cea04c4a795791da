"""Whether whoever started this process is still there.

DVC starts a stage through a shell, so the starter is the nearest ancestor that is no shell. A
training that nobody waits for any more saves a checkpoint and stops: its result would be thrown
away, and it would hold the lock against the next run.
"""

from __future__ import annotations

import os

import psutil

_SHELLS = {"sh", "bash", "dash", "zsh", "ash", "ksh", "fish", "busybox"}


class Starter:
    """The processes from this one's parent up to the first that is no shell."""

    def __init__(self) -> None:
        self._parent = os.getppid()
        self._line: list[psutil.Process] = []
        try:
            process: psutil.Process | None = psutil.Process(self._parent)
            while process is not None:
                self._line.append(process)
                process = process.parent() if process.name() in _SHELLS else None
        except psutil.Error:
            # Gone before it could be looked at, or not ours to see: the parent's id still tells.
            pass

    def name(self) -> str:
        """The starter's id, for messages."""
        return f"process {self._line[-1].pid if self._line else self._parent}"

    def gone(self) -> bool:
        """Whether one of them died; an id that another process took over counts as dead."""
        if os.getppid() != self._parent:
            return True
        return any(not _alive(process) for process in self._line)


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
