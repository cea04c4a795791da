"""Drop what killed processes left in DVC's own lock file, .dvc/tmp/rwlock.

DVC drops entries of process numbers that are gone; it stops on a number that another program has
by now, and on a file that a killed writer left half written.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from onward import files


def release(root: Path) -> None:
    """Drop the entries of dead processes, under the same guard that DVC takes to edit the file."""
    import zc.lockfile

    path = root / ".dvc" / "tmp" / "rwlock"
    if not path.exists():
        return
    try:
        guard = zc.lockfile.LockFile(str(path.with_name("rwlock.lock")))
    except zc.lockfile.LockError:
        return  # somebody is editing it right now, so somebody lives
    try:
        before = path.read_bytes()
        alive = _living(_parsed(before))
        if alive != _parsed(before) or not before.strip():
            path.write_bytes(files.canonical(alive))
    finally:
        guard.close()


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _living(value: dict[str, Any]) -> dict[str, Any]:
    reads = {path: [i for i in found if _lives(i)] for path, found in value.get("read", {}).items()}
    writes = {path: info for path, info in value.get("write", {}).items() if _lives(info)}
    return {"read": {path: found for path, found in reads.items() if found}, "write": writes}


def _lives(info: dict[str, Any]) -> bool:
    """Whether the process of this number is still the one that wrote the entry."""
    import psutil

    try:
        command = " ".join(psutil.Process(int(info["pid"])).cmdline())
    except (psutil.Error, KeyError, ValueError):
        return False
    arguments = str(info.get("cmd", "")).partition(" ")[2]
    return command.endswith(arguments)
