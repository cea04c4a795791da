"""DVC in this process: the repository opened quietly, its errors typed, dead locks cleared."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onward import files
from onward.errors import Busy, InternalError, MissingFiles, OnwardError
from onward.project import Project

if TYPE_CHECKING:
    from dvc.repo import Repo

QUIET = {"DVC_NO_ANALYTICS": "1", "DO_NOT_TRACK": "1"}
_CONFIG = "[core]\n    analytics = false\n    check_update = false\n"
_NO_GIT = "[core]\n    no_scm = true\n"


@contextmanager
def opened(project: Project) -> Iterator[Repo]:
    """The project's DVC repository, made where there is none.

    Raises:
        Busy: another process works on the same files.
        MissingFiles: named, but neither in the cache nor in a remote.
        InternalError: DVC refused for another reason.
    """
    ensure_initialised(project)
    release_dead_locks(project)
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(project.root)) as repo, repo.scm_context(quiet=True):
            yield repo
    except DvcException as error:
        raise typed(error, project) from error


def ensure_initialised(project: Project) -> None:
    """Make `.dvc` where it is missing, and let it work in and out of Git.

    A folder without Git needs `core.no_scm`; it goes into config.local, which Git never sees, and
    leaves it again once there is Git.
    """
    os.environ.update({key: os.environ.get(key, value) for key, value in QUIET.items()})
    top = _git_top(project.root)
    if not (project.root / ".dvc").is_dir():
        _initialise(project, top)
    local = project.root / ".dvc" / "config.local"
    text = local.read_text() if local.exists() else ""
    if top is None and "no_scm" not in text:
        files.write_text(local, text + _NO_GIT)
    elif top is not None and _NO_GIT in text:
        files.write_text(local, text.replace(_NO_GIT, ""))


def _initialise(project: Project, top: Path | None) -> None:
    from dvc.repo import Repo

    inside = top is not None and top != project.root.resolve()
    Repo.init(str(project.root), no_scm=top is None, subdir=inside).close()
    files.write_text(project.root / ".dvc" / "config", _CONFIG)


def _git_top(folder: Path) -> Path | None:
    at = folder.resolve()
    return next((path for path in (at, *at.parents) if (path / ".git").exists()), None)


def release_dead_locks(project: Project) -> None:
    """Drop what killed processes left in DVC's own lock file.

    DVC drops entries of process numbers that are gone; it stops on a number that another program
    has by now, and on a file that a killed writer left half written.
    """
    folder = project.root / ".dvc" / "tmp"
    path = folder / "rwlock"
    if not path.exists():
        return
    from dvc.lock import LockError, make_lock

    try:
        with make_lock(str(folder / "rwlock.lock"), tmp_dir=str(folder)):
            before = path.read_bytes()
            after = files.canonical(_living(before))
            if before.strip() and json.loads(after) == _parsed(before):
                return
            path.write_bytes(after)
    except LockError:
        return  # somebody is editing it right now, so somebody lives


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _living(data: bytes) -> dict[str, Any]:
    value = _parsed(data)
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


def typed(error: Exception, project: Project) -> OnwardError:
    """DVC's error as one of ours."""
    text = " ".join(str(error).split())
    name = type(error).__name__
    if name == "LockError":
        return Busy(
            f"Busy: {text[:300]}", where=str(project.root / ".dvc"), fix="wait for it to end"
        )
    missing = ("CheckoutError", "FileMissingError", "MissingDataSource", "NoRemoteError")
    if name in missing or "missing" in text.lower():
        return MissingFiles(
            f"Files that the project names are not on this machine: {text[:300]}",
            where=str(project.root),
            fix="`dvc pull` fetches them from the remote; nothing was changed",
        )
    return InternalError(
        f"DVC refused: {name}: {text[:300]}",
        where=str(project.root),
        fix="`dvc status` and `dvc doctor` show more",
    )
