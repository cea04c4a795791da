"""Git and DVC of a new project."""

from __future__ import annotations

import shutil
import subprocess

from onward.errors import InternalError, UsageError
from onward.project import Project
from tasks import versions

_FIX = "install Git, then `git init` and `dvc init` there"


def begin(project: Project) -> bool:
    """`git init` where the folder lies in no repository, then `dvc init`.

    Returns:
        Whether a Git repository was made.

    Raises:
        UsageError: there is no Git; the project's files are written all the same.
        InternalError: Git refused.
    """
    root = project.root
    inside = any((folder / ".git").exists() for folder in (root, *root.parents))
    if not inside:
        if shutil.which("git") is None:
            raise UsageError("Git is not on this machine", where=str(root), fix=_FIX)
        done = subprocess.run(
            ["git", "init", "--quiet", "--initial-branch=main", "."],
            cwd=root,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise InternalError(
                f"Git refused: {done.stderr.strip()[:300]}", where=str(root), fix=_FIX
            )
    versions.ensure_initialised(project)
    return not inside
