from __future__ import annotations

from pathlib import Path

import pytest

from onward.project import Project
from tests.tasks.pipelines import git, make


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make(tmp_path / "project")


@pytest.fixture
def in_git(project: Project) -> Project:
    project.root.joinpath(".gitignore").write_text("/data\n/.onward/\n/models/registry/?*/\n")
    git(project, "init", "--quiet", "--initial-branch", "main")
    git(project, "config", "user.name", "Ana")
    git(project, "config", "user.email", "ana@example.com")
    git(project, "add", "params.yaml", "dvc.yaml", "stage.py", ".gitignore")
    git(project, "commit", "--quiet", "--message", "Begin")
    return project
