"""Adapters served by ONNX Runtime: one graph, a router, and a file for each adapter."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onward import files, recipes
from onward.config import Prepare
from onward.errors import IntegrityError
from onward.evaluation import evaluate
from onward.evaluation.runner import TorchRunner
from onward.learning import models
from onward.project import Project
from onward.runtime import export, parity, probe, switchable
from onward.runtime import package as packages
from onward.runtime.session import Session
from tests import toys
from tests.learning.structures.turns import learn, project_of

NAMES = ["0001-one", "0002-two"]
EPISODES = {
    "classification": {
        "one": toys.toy_texts(48, 1, kinds=("colour", "animal", "city")),
        "two": toys.toy_texts(48, 2, kinds=("city", "animal")),
    },
    "extractive": {"one": toys.toy_rows(40, 1), "two": toys.toy_rows(40, 2)},
}


def exported(root: Path, encoder: Path, recipe: str) -> Project:
    """Two turns of adapters, of which the second is exported."""
    blocks: dict[str, Any] = {
        "strategy": {"rows": "naive", "structure": "adapters"},
        "finetune": {"tuning": "lora", "lora_rank": 4, "first_epochs": 3, "epochs": 3},
        "evaluate": {"threads": 1},
        "export": {"threads": 1},
    }
    project = project_of(root, encoder, recipe, EPISODES[recipe], NAMES[:1], **blocks)
    learn(project, 1)
    toys.toy_turn(
        project, encoder, learning=NAMES[1:], known=NAMES[:1], version="v1", recipe=recipe
    )
    learn(project, 2)
    evaluate.run(project)
    export.run(project)
    return project


@pytest.fixture(scope="module")
def project(toy_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    return exported(tmp_path_factory.mktemp("switched") / "p", toy_encoder, "classification")


def agree(project: Project, recipe_name: str) -> float:
    """The largest difference of outputs between the package and torch, on unequal lengths."""
    recipe = recipes.get(recipe_name)
    torch = TorchRunner(project.made("finetune") / "model", 1, "cpu", recipe=recipe)
    session = Session(project.made("export") / "package", provider="cpu", threads=1)
    rows = toys.toy_rows(8, 9) if recipe_name == "extractive" else toys.toy_texts(8, 9)
    window = Prepare.model_validate({"max_length": 64, "stride": 16})
    features = recipe.encode(rows, torch.tokenizer, window, labels=None)
    return parity.difference(session.predict(features), torch.predict(features))


def test_the_package_answers_as_torch_does(project: Project) -> None:
    report = files.read_json(project.made("export") / "report.json")
    assert report["graph"]["attention_fused"] == report["graph"]["layers"] == 2
    assert report["parity"]["logit_difference"] < 1e-4
    assert "adapters are switched in fp32" in report["int8"]["why"]
    assert agree(project, "classification") < 1e-4
    folder = project.made("export") / "package"
    assert {path.name for path in folder.iterdir()} == {
        "model.onnx",
        "router.onnx",
        "adapter-1.onnx_adapter",
        "adapter-2.onnx_adapter",
        "tokenizer.json",
        "tokenizer_config.json",
        "package.json",
        files.MANIFEST,
    }
    assert packages.read(folder).spec["adapters"] == [
        {"episode": NAMES[0], "labels": ["animal", "city", "colour"]},
        {"episode": NAMES[1], "labels": ["animal", "city"]},
    ]
    assert probe.check(folder, "fp32")["variant"] == "fp32"
    session = Session(folder, provider="cpu", threads=1)
    assert session.answer({"text": "the fox and a box"})["label"] in session.labels


def test_each_row_is_read_by_its_own_adapter(project: Project) -> None:
    """Both adapters read rows of one batch; without its adapter a row is answered otherwise."""
    session = Session(project.made("export") / "package", provider="cpu", threads=1)
    features = recipes.get("classification").encode(
        [row for rows in EPISODES["classification"].values() for row in rows],
        session.tokenizer,
        session.prepare,
        labels=None,
    )
    feeds = session.feeds(features)
    runtime = session._runtime
    chosen = runtime.routes(feeds).argmax(axis=1)
    assert set(chosen) == {0, 1}
    whole = runtime.run(["logits"], feeds)[0]
    for row in (int(np.argmax(chosen == 0)), int(np.argmax(chosen == 1))):
        (alone,) = runtime.run(["logits"], {n: v[row : row + 1] for n, v in feeds.items()})
        assert np.allclose(alone[0], whole[row], atol=1e-5)
    runtime.options.reverse()
    runtime._places.reverse()
    assert not np.allclose(runtime.run(["logits"], feeds)[0], whole, atol=1e-2)


def test_a_later_adapter_needs_no_new_graph(project: Project) -> None:
    """The second turn's graph is the first one's to the byte, and so is the first adapter."""
    recipe = recipes.get("classification")
    model = models.load(recipe, project.version("v1") / "checkpoint", {})
    first = switchable.export(model, recipe.graphs(model)[0], opset=20)
    folder = project.made("export") / "package"
    assert (folder / "model.onnx").read_bytes() == first.graph.model
    assert [(folder / "adapter-1.onnx_adapter").read_bytes()] == list(first.adapters)


@pytest.mark.slow
def test_readers_of_spans_are_switched_too(toy_encoder: Path, tmp_path: Path) -> None:
    project = exported(tmp_path / "p", toy_encoder, "extractive")
    assert agree(project, "extractive") < 1e-4


def _rewritten(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        (folder / name).write_bytes(change((folder / name).read_bytes()))

    return spoil


def _spec(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        spec = json.loads((folder / packages.SPEC).read_text())
        change(spec)
        (folder / packages.SPEC).write_text(json.dumps(spec))
        files.seal(folder)

    return spoil


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (_rewritten("adapter-2.onnx_adapter", lambda data: data[:-1] + b"\1"), "is changed"),
        (_rewritten("router.onnx", lambda data: data + b"\0"), "is changed"),
        (lambda folder: (folder / "adapter-1.onnx_adapter").unlink(), "is missing"),
        (
            lambda folder: shutil.copy(
                folder / "adapter-1.onnx_adapter", folder / "adapter-3.onnx_adapter"
            ),
            "is extra",
        ),
        (lambda folder: (folder / "adapter-01.onnx_adapter").write_bytes(b""), "not belong"),
        (_spec(lambda spec: spec["adapters"].pop()), "names 1 adapters"),
        (_spec(lambda spec: spec["adapters"][0].update(labels=["x"])), "not those of its adapters"),
        (_spec(lambda spec: spec.update(adapters=[1])), "no usable 'adapters'"),
        (
            _spec(lambda spec: spec["variants"]["fp32"]["parts"].append("../adapter-1")),
            "names unknown parts",
        ),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_S12_a_changed_package_is_refused_before_it_is_loaded(
    spoil: Callable[[Path], None], why: str, project: Project, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(project.made("export") / "package", tmp_path / "package"))
    spoil(folder)
    with pytest.raises(IntegrityError, match=why):
        packages.read(folder)


def test_what_is_no_adapter_is_refused_by_the_runtime(project: Project) -> None:
    package = packages.read(project.made("export") / "package")
    wrong = replace(package, parts={**package.parts, "adapter-1": b"no adapter"})
    with pytest.raises(IntegrityError, match="cannot load an adapter"):
        Session(wrong, provider="cpu", threads=1)
    swapped = replace(package, parts={**package.parts, "adapter-1": package.parts["adapter-2"]})
    assert swapped.artifact != package.artifact
