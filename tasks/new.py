"""Git and DVC of a new project."""

from __future__ import annotations

import subprocess

from onward.errors import InternalError
from onward.project import Project
from tasks import versions


def begin(project: Project) -> bool:
    """`git init` where the folder lies in no repository, then `dvc init`.

    Returns:
        Whether a Git repository was made.

    Raises:
        InternalError: Git refused.
    """
    root = project.root
    inside = any((folder / ".git").exists() for folder in (root, *root.parents))
    if not inside:
        done = subprocess.run(
            ["git", "init", "--quiet", "--initial-branch=main", "."],
            cwd=root,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise InternalError(
                f"Git refused: {done.stderr.strip()[:300]}",
                where=str(root),
                fix="install Git, then `git init` and `dvc init` there",
            )
    versions.ensure_initialised(project)
    return not inside
