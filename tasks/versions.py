"""The one module that talks to DVC, and the face of those that talk to Git; free of Prefect.

    versions.add_data(project)                    # {"md5": "….dir", "size": …, "nfiles": …}
    versions.stale(project, "finetune")           # 10 ms: would `dvc repro` run it?
    versions.reproduce(project, "finetune", on_line=print, run_id="…")

tasks/child.py runs a stage in a session of its own, tasks/restore.py knows the layout of DVC's
cache, tasks/tags.py speaks Git. Callers import this module.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onward import files
from onward.errors import Busy, InternalError, MissingFiles, OnwardError
from onward.project import Project
from tasks import child, dead_locks
from tasks.restore import Restored, recorded, restore, write_data_pointer
from tasks.tags import commit_promotion, require_committer, revision

if TYPE_CHECKING:
    from dvc.repo import Repo

__all__ = [
    "Restored",
    "add",
    "add_data",
    "commit_promotion",
    "ensure_initialised",
    "fetch",
    "opened",
    "repair_data",
    "repair_version",
    "reproduce",
    "require_committer",
    "revision",
    "stale",
    "write_data_pointer",
]

_CONFIG = "[core]\n    analytics = false\n    check_update = false\n"
_NO_GIT = "[core]\n    no_scm = true\n"
_MISSING = ("CheckoutError", "FileMissingError", "MissingDataSource", "NoRemoteError")


def ensure_initialised(project: Project) -> None:
    """Make `.dvc` where it is missing, and let it work in and out of Git.

    A folder without Git needs `core.no_scm`; it goes into config.local, which Git never sees, and
    leaves it again once there is Git.
    """
    os.environ.update({key: os.environ.get(key, value) for key, value in child.QUIET.items()})
    folder = project.root / ".dvc"
    if not (folder / "config").exists():
        # What `dvc init` writes, but it would also stage files for the next commit.
        files.write_text(folder / ".gitignore", "/config.local\n/tmp\n/cache\n")
        files.write_text(folder / "config", _CONFIG)
    root = project.root.resolve()
    in_git = any((path / ".git").exists() for path in (root, *root.parents))
    local = folder / "config.local"
    text = local.read_text() if local.exists() else ""
    if not in_git and "no_scm" not in text:
        files.write_text(local, text + _NO_GIT)
    elif in_git and _NO_GIT in text:
        files.write_text(local, text.replace(_NO_GIT, ""))


@contextmanager
def opened(project: Project) -> Iterator[Repo]:
    """The project's DVC repository, quiet, made where there is none.

    Raises:
        Busy: another process works on the same files.
        MissingFiles: named, but neither in the cache nor in a remote.
        DiskFull: the device is full.
        InternalError: DVC refused for another reason.
    """
    ensure_initialised(project)
    dead_locks.release(project.root)
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    # It reminds of `git add` at every step; what it refuses comes as an exception.
    for name in ("dvc", "dvc_data", "dvc_objects"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with (
            files.disk_errors(project.root / ".dvc", 0),
            Repo(str(project.root)) as repo,
            repo.scm_context(quiet=True),
        ):
            yield repo
    except DvcException as error:
        raise _typed(error, project) from error


def _typed(error: Exception, project: Project) -> OnwardError:
    text, name = " ".join(str(error).split())[:300], type(error).__name__
    if name == "LockError":
        # DVC names the path, a page about locks, and every process; the first one is enough here.
        who = re.search(r"\(PID (\d+)\)", text)
        named = f", process {who[1]}" if who else ""
        return Busy(
            f"Busy: another DVC command, such as `dvc repro`, is at work{named}",
            where=str(project.root / ".dvc"),
            fix="wait for it to end; nothing was changed",
        )
    if name in _MISSING or "missing" in text.lower():
        return MissingFiles(
            f"Files that the project names are not on this machine: {text}",
            where=str(project.root),
            fix="`dvc pull` fetches them from the remote; nothing was changed",
        )
    return InternalError(
        f"DVC refused: {name}: {text}",
        where=str(project.root),
        fix="`dvc status` and `dvc doctor` show more",
    )


def add(project: Project, path: Path) -> dict[str, Any]:
    """`dvc add` of a file or folder. Returns its entry: md5, size and, of a folder, nfiles."""
    with opened(project) as repo:
        (stage,) = repo.add(str(path))
        entry: dict[str, Any] = stage.outs[0].dumpd()
    return {key: entry[key] for key in ("md5", "size", "nfiles") if key in entry}


def add_data(project: Project) -> dict[str, Any]:
    """`dvc add data`. Returns {md5, size, nfiles}, as data.dvc names them."""
    return add(project, project.data)


def stale(project: Project, stage: str) -> bool:
    """Whether `dvc repro --single-item STAGE` would run it: DVC's own status, in this process.

    A stage that is always_changed is always stale.
    """
    with opened(project) as repo:
        return bool(repo.status(targets=[f"{project.pipeline}:{stage}"]))


def foreseen(project: Project, stage: str, made: Mapping[str, bytes]) -> bool:
    """`stale`, once some files that the stage depends on hold these bytes.

    Args:
        project: whose stage.
        stage: as dvc.yaml names it.
        made: path from the project's root -> bytes.
    """
    target = f"{project.pipeline}:{stage}"
    ours = {(project.root / path).resolve() for path in made}
    with opened(project) as repo:
        for what in (each for found in repo.status(targets=[target]).values() for each in found):
            changed = what.get("changed deps", {}) if isinstance(what, dict) else {}
            if not changed or len(what) > 1 or {Path(path).resolve() for path in changed} - ours:
                return True
        (found,) = repo.stage.collect(target)
        held = {dep.def_path: dep.hash_info.value for dep in found.deps}
    now = {path: hashlib.md5(data).hexdigest() for path, data in made.items()}  # noqa: S324 - DVC's
    return any(held[path] != now[path] for path in now.keys() & held.keys())


def as_locked(project: Project, stage: str) -> bool:
    """Whether an always_changed stage is as dvc.lock has it: files, command and dependencies."""
    with opened(project) as repo:
        found = repo.status(targets=[f"{project.pipeline}:{stage}"])
    return list(found.values()) == [["always changed"]]


def reproduce(
    project: Project,
    stage: str,
    *,
    on_line: Callable[[str], None],
    run_id: str,
    env: Mapping[str, str] | None = None,
) -> None:
    """`dvc repro --single-item STAGE` in a session of its own; see `tasks.child.reproduce`."""
    ensure_initialised(project)
    dead_locks.release(project.root)
    child.reproduce(project, stage, on_line=on_line, run_id=run_id, env=env)


def fetch(project: Project, targets: Sequence[str | Path] = ()) -> None:
    """Bring what Git names from the remote, where there is one, and put it in its place.

    Args:
        project: whose files.
        targets: paths under DVC, such as models/registry/v3; none means all of them.

    Raises:
        MissingFiles: the cache and the remote do not have them.
    """
    names = [str(project.root / target) for target in targets] or None
    with opened(project) as repo:
        if repo.config.get("remote"):
            repo.fetch(targets=names)
        repo.checkout(targets=names)


def repair_data(project: Project) -> Restored:
    """Make data.dvc and data/ what the turn says again, byte by byte.

    Raises:
        MissingFiles: there is no turn, so nothing is on record.
    """
    entry = files.read_json(project.turn)["data"]
    write_data_pointer(project, entry)
    return _restore(project, project.data, entry["md5"])


def repair_version(project: Project, folder: Path) -> Restored:
    """Make a version's or a verdict's folder what the .dvc file beside it says again.

    Raises:
        MissingFiles: there is no .dvc file.
    """
    return _restore(project, folder, recorded(folder))


def _restore(project: Project, folder: Path, md5: str) -> Restored:
    from dvc.exceptions import DvcException

    with opened(project) as repo:

        def fetch_again() -> None:
            if not repo.config.get("remote"):
                return
            try:
                repo.fetch(targets=[str(folder)])
            except DvcException:
                return  # what it did not bring is named at the end, with its path

        return restore(folder, md5, repo.cache.local.oid_to_path, fetch_again)
