"""Several seeds of one turn: each a model of its own, the first one's the candidate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from onward import files
from onward.learning import finetune, prepare
from onward.project import Project
from tests import toys
from tests.learning.structures.turns import bytes_of


def trained(root: Path, encoder: Path, **settings: Any) -> Path:
    """turn/finetune after a turn with these settings of the training."""
    project: Project = toys.toy_project(
        root, encoder, {"one": toys.toy_rows(40, 1)}, finetune={"dropout": 0.1, **settings}
    )
    prepare.run(project)
    finetune.run(project)
    return project.made("finetune")


@pytest.fixture(scope="module")
def two(toy_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("two") / "p", toy_encoder, seed=3, challengers=2)


def test_spec_names_every_seed_and_where_its_model_lies(two: Path) -> None:
    assert files.read_json(two / "spec.json")["challengers"] == [
        {"seed": 3, "model": "model"},
        {"seed": 4, "model": "challengers/4/model"},
    ]
    made = {path.relative_to(two).as_posix() for path in two.rglob("*") if path.is_dir()}
    assert made == {"model", "memory", "challengers", "challengers/4", "challengers/4/model"}
    assert bytes_of(two / "model").keys() == bytes_of(two / "challengers" / "4" / "model").keys()


def test_each_is_what_its_seed_alone_would_be(two: Path, toy_encoder: Path, tmp_path: Path) -> None:
    """So the candidate does not depend on how many others there are."""
    for seed, place in ((3, "model"), (4, "challengers/4/model")):
        alone = trained(tmp_path / str(seed), toy_encoder, seed=seed)
        assert bytes_of(alone / "model") == bytes_of(two / place)
        assert files.read_json(alone / "spec.json")["challengers"] == [
            {"seed": seed, "model": "model"}
        ]
        if seed == 3:
            assert bytes_of(alone / "memory") == bytes_of(two / "memory")
    models = [
        bytes_of(two / place)["model.safetensors"] for place in ("model", "challengers/4/model")
    ]
    assert models[0] != models[1]


def test_twice_gives_the_same_bytes(two: Path, toy_encoder: Path, tmp_path: Path) -> None:
    again = trained(tmp_path / "p", toy_encoder, seed=3, challengers=2)
    assert files.sha256(again / files.MANIFEST) == files.sha256(two / files.MANIFEST)
