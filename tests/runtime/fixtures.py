"""One trained and exported toy project for the whole session; tests that change one copy it.

`tests/conftest.py` loads these for every folder of tests.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from onward.project import Project
from onward.runtime.graph import Graph
from tests.runtime import labelled, projects


@pytest.fixture(scope="session")
def evaluated(tmp_path_factory: pytest.TempPathFactory, toy_encoder: Path) -> Project:
    """Trained and evaluated, not yet exported; read only."""
    return projects.make(tmp_path_factory.mktemp("evaluated") / "project", toy_encoder)


@pytest.fixture(scope="session")
def exported(evaluated: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """After the stage export; read only."""
    from onward.runtime import export

    root = tmp_path_factory.mktemp("exported") / "project"
    shutil.copytree(evaluated.root, root)
    export.run(Project(root))
    return Project(root)


@pytest.fixture(scope="session")
def classified(toy_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A classification project after the stage export; read only."""
    from onward.runtime import export

    project = labelled.make(tmp_path_factory.mktemp("c") / "p", toy_encoder)
    export.run(project)
    return project


@pytest.fixture(scope="session")
def packed(exported: Project) -> Path:
    """The exported package; read only."""
    return exported.made("export") / "package"


@pytest.fixture
def package(packed: Path, tmp_path: Path) -> Path:
    """A copy of the exported package that a test may spoil."""
    return Path(shutil.copytree(packed, tmp_path / "package"))


@pytest.fixture(scope="session")
def graph(packed: Path) -> Graph:
    """The exported fp32 graph."""
    model = (packed / "model.onnx").read_bytes()
    names = ("input_ids", "token_type_ids", "attention_mask")
    return Graph(model, names, ("start_logits", "end_logits"), 50, 2, 2, "bert")


@pytest.fixture
def project(evaluated: Project, tmp_path: Path) -> Project:
    """A copy of the evaluated project that a test may spoil; its ledger cache comes along."""
    return Project(Path(shutil.copytree(evaluated.root, tmp_path / "project")))
