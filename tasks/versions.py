"""What talks to DVC and Git, free of Prefect: put under version control, ask, run, fetch, repair.

    versions.add_data(project)                    # {"md5": "….dir", "size": …, "nfiles": …}
    versions.stale(project, "finetune")           # 10 ms: would `dvc repro` run it?
    versions.reproduce(project, "finetune", on_line=print, run_id="…")

The parts lie in tasks/storage.py (the repository), child.py (running a stage), restore.py
(repair) and tags.py (Git); callers import this module.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from onward.project import Project
from tasks.child import reproduce
from tasks.restore import Restored, repair_data, repair_version, write_data_pointer
from tasks.storage import ensure_initialised, opened
from tasks.tags import commit_promotion, revision

__all__ = [
    "Restored",
    "add",
    "add_data",
    "commit_promotion",
    "ensure_initialised",
    "fetch",
    "repair_data",
    "repair_version",
    "reproduce",
    "revision",
    "stale",
    "write_data_pointer",
]


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
        return bool(repo.status(targets=[stage]))


def fetch(project: Project, targets: Sequence[str | Path] = ()) -> None:
    """Bring what Git names from the remote, where there is one, and put it in its place.

    Args:
        project: whose files.
        targets: paths under DVC, such as models/registry/v3; none means all of them.

    Raises:
        MissingFiles: the cache and the remote do not have them.
    """
    names = [str(target) for target in targets] or None
    with opened(project) as repo:
        if repo.config.get("remote"):
            repo.fetch(targets=names)
        repo.checkout(targets=names)
