"""Classification, multilabel and regression from the candidate to an answer: labels all the way."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from onward import files
from onward.config import Prepare
from onward.errors import ExportError, IntegrityError, UsageError
from onward.evaluation.ledger import read_parts, row_hash
from onward.evaluation.runner import TorchRunner
from onward.learning import closed_form, pooled
from onward.project import Project
from onward.recipes import classification
from onward.recipes.shapes import ExportSpec
from onward.runtime import bench, memory, parity, probe, quantise
from onward.runtime import graph as graphs
from onward.runtime import package as packages
from onward.runtime.session import Session
from tests import toys
from tests.runtime import labelled
from tests.runtime.labelled import LABELS, UNIT, WINDOW


@pytest.fixture(scope="module")
def packed(classified: Project) -> Path:
    return classified.made("export") / "package"


@pytest.fixture
def package(packed: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(packed, tmp_path / "package"))


@pytest.fixture(scope="module")
def session(packed: Path) -> Session:
    return Session(packed, "fp32", "cpu", threads=1)


@pytest.fixture(scope="module")
def heldout(classified: Project) -> list[dict[str, Any]]:
    from onward.episodes.turn import rows

    return rows(classified, UNIT, "heldout")


def _parsed(model: bytes) -> Any:
    import onnx

    return onnx.load_model_from_string(model)


def test_the_package_names_its_labels_in_the_order_of_the_outputs(
    packed: Path, session: Session
) -> None:
    assert files.read_json(packed / "package.json")["labels"] == list(LABELS)
    assert session.labels == LABELS
    report = files.read_json(packed.parent / "report.json")
    assert report["graph"]["attention_fused"] == report["graph"]["layers"] == 2
    assert report["parity"]["logit_difference"] < 1e-4
    assert report["parity"]["units"][0]["rows"] == 100
    assert report["parity"]["units"][0]["torch"] > 60


def test_only_the_batch_is_dynamic_in_the_output(packed: Path, session: Session) -> None:
    (output,) = _parsed((packed / "model.onnx").read_bytes()).graph.output
    batch, width = output.type.tensor_type.shape.dim
    assert batch.HasField("dim_param") and width.dim_value == 3
    made = session.predict([{"input_ids": [2, 9, 3], "attention_mask": [1] * 3}] * 2)
    assert [one["logits"].shape for one in made] == [(3,), (3,)]


def test_logits_are_those_of_torch_whatever_the_padding(
    classified: Project, session: Session, heldout: list[dict[str, Any]]
) -> None:
    runner = TorchRunner(classified.made("finetune") / "model", 1, "cpu", recipe=classification)
    rows = sorted(heldout[:24], key=lambda row: len(row["text"]))
    made = classification.encode(rows, session.tokenizer, Prepare(**WINDOW), labels=None)
    alone = [runner.predict([feature])[0] for feature in made]
    for ours, theirs in zip(session.predict(made), alone, strict=True):
        np.testing.assert_allclose(ours["logits"], theirs["logits"], atol=1e-4)


def test_it_answers_as_the_ledger_says(
    classified: Project, session: Session, heldout: list[dict[str, Any]]
) -> None:
    parts = read_parts(classified.made("export") / "ledger.parquet")
    told = next(p for p in parts if p.artifact == session.artifact).predictions(UNIT)
    assert {row["pair"] is None for row in heldout[:20]} == {True, False}
    for row in heldout[:20]:
        got = session.answer(classification.inputs(row))
        expected = told[row_hash(classification, row)]
        assert got["label"] == got["text"] == expected["label"]
        assert got["probability"] == pytest.approx(expected["probability"], abs=1e-4)
        assert {one["text"] for one in got["n_best"]} == set(LABELS)


def test_a_fresh_process_answers_the_probes(package: Path) -> None:
    assert probe.probe(package)["probes"] == 4
    spec = files.read_json(package / "package.json")
    assert all(set(one) - {"pair"} == {"unit", "text", "answers"} for one in spec["probes"])


def test_labels_that_were_exchanged_are_noticed(package: Path) -> None:
    """The labels are part of what the artifact's name stands for."""
    labelled.reseal(package, labels=[LABELS[1], LABELS[0], LABELS[2]])
    with pytest.raises(IntegrityError, match="names another fp32 graph or tokenizer"):
        Session(package, "fp32")


@pytest.mark.parametrize(
    ("labels", "what"),
    [
        (["city", "animal"], "names 2 labels; logits has 3"),
        ([*LABELS, "plant"], "names 4 labels; logits has 3"),
        (None, "names no labels for the graph's 3 outputs"),
        (["city", "animal", "city"], "no usable 'labels'"),
        (["city", "animal", 7], "no usable 'labels'"),
        (["city", "animal", " "], "no usable 'labels'"),
        ([], "no usable 'labels'"),
        ("abc", "no usable 'labels'"),
    ],
)
def test_a_package_has_one_label_for_each_output(package: Path, labels: Any, what: str) -> None:
    labelled.reseal(package, labels=labels)
    with pytest.raises(IntegrityError, match=what):
        packages.read(package)


def test_wrong_inputs_are_named_with_the_right_ones(session: Session) -> None:
    with pytest.raises(UsageError, match="reads no context") as caught:
        session.answer({"text": "red", "context": "x"})
    assert caught.value.fix == "classification is asked by `onward ask TEXT [--pair TEXT]`"
    with pytest.raises(UsageError, match="The text is missing"):
        session.answer({"pair": "red"})


def test_the_benchmark_times_texts_of_the_recipe(
    classified: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "peak_mb", lambda ask: 100.0)
    project = Project(Path(shutil.copytree(classified.root, tmp_path / "project")))
    texts = files.read_json(project.made("export") / "texts.json")
    assert {len(row) for row in texts} == {1, 2}
    bench.run(project)
    report = files.read_json(project.made("benchmark") / "report.json")
    variants = files.read_json(project.made("export") / "report.json")["variants"]
    assert {entry["variant"] for entry in report["timings"]} == {"torch", *variants}
    assert report["logit_difference"] < 1e-4


def _graph(packed: Path) -> graphs.Graph:
    model = (packed / "model.onnx").read_bytes()
    names = ("input_ids", "token_type_ids", "attention_mask")
    return graphs.Graph(model, names, ("logits",), 49, 2, 2, "bert")


def _kinds(model: bytes) -> Counter[str]:
    return Counter(node.op_type for node in _parsed(model).graph.node)


def test_int8_takes_the_encoder_and_leaves_pooler_and_head(packed: Path) -> None:
    graph = _graph(packed)
    dynamic, mixed, blocks = (_kinds(scheme.make(graph)) for scheme in quantise.SCHEMES)
    assert (dynamic["QAttention"], dynamic["MatMulInteger"], dynamic["MatMul"]) == (2, 6, 2)
    assert (mixed["QAttention"], mixed["MatMulInteger"], mixed["MatMul"]) == (2, 4, 4)
    assert (blocks["Attention"], blocks["MatMulNBits"], blocks["Gemm"]) == (2, 6, 2)


def test_the_int8_variant_was_kept_and_answers_its_probes(
    packed: Path, session: Session, heldout: list[dict[str, Any]]
) -> None:
    assert set(packages.read(packed, "int8").spec["variants"]) == {"fp32", "int8"}
    assert probe.check(packed, "int8")["variant"] == "int8"
    small = Session(packed, "int8", "cpu", threads=1)
    assert small.labels == LABELS
    made = classification.encode(heldout[:40], session.tokenizer, Prepare(**WINDOW), labels=None)
    gap = parity.difference(small.predict(made), session.predict(made))
    assert 0 < gap < 1, "int8 must differ, and little beside logits of several units"


@pytest.mark.parametrize("per_token", [True, False])
def test_an_output_of_another_shape_than_the_recipe_says_is_an_error(per_token: bool) -> None:
    width: Any = 3 if per_token else "length"
    outputs = [SimpleNamespace(name="logits", shape=["batch", width])]
    spec = ExportSpec("model", ("input_ids",), ("logits",), per_token)
    with pytest.raises(ExportError, match="came out with the shape"):
        graphs._require_shapes(outputs, spec)


def test_multilabel_answers_with_any_number_of_labels(packed: Path) -> None:
    """The graph of a multilabel model is that of a classifier; what is made of it differs."""
    found = packages.read(packed, "fp32")
    session = Session(replace(found, spec={**found.spec, "recipe": "multilabel"}), provider="cpu")
    counts = set()
    for row in toys.toy_texts(40, seed=5, recipe="multilabel"):
        got = session.answer({"text": row["text"]})
        assert got["text"] == ", ".join(got["labels"]) and set(got["labels"]) <= set(LABELS)
        assert got["no_answer"] == (not got["labels"])
        counts.add(len(got["labels"]))
    assert counts


def test_a_number_may_differ_by_another_machines_last_bits() -> None:
    assert probe._same({"text": "0.123457", "value": 0.12345651}, "0.123456")
    assert not probe._same({"text": "0.13", "value": 0.13}, "0.123456")
    assert not probe._same({"text": "city"}, "animal")


@pytest.fixture(scope="module")
def analytic(toy_encoder: Path) -> Any:
    """Encoder, mean pooling, random features and linear head in one module."""
    import torch

    projection = closed_form.draw(32, 64, seed=0)
    weight = torch.randn(64, 3, generator=torch.Generator().manual_seed(1))
    return closed_form.assemble(pooled.encoder(toy_encoder), projection, weight, LABELS)


@pytest.fixture(scope="module")
def solved(analytic: Any) -> graphs.Graph:
    return graphs.export(analytic, classification.graphs(analytic)[0], opset=20)


def test_an_analytic_model_is_fused_and_answers_as_torch_does(
    analytic: Any, solved: graphs.Graph, packed: Path
) -> None:
    import torch

    assert (solved.attention_fused, solved.layers, solved.fusion_known) == (2, 2, True)
    found = packages.read(packed, "fp32")
    session = Session(replace(found, model=solved.model), provider="cpu", threads=1)
    rows = toys.toy_texts(16, seed=3)
    made = classification.encode(rows, session.tokenizer, Prepare(**WINDOW), labels=None)
    names = ("input_ids", "token_type_ids", "attention_mask")
    with torch.no_grad():
        alone = [
            analytic(**{name: torch.tensor([one[name]]) for name in names})["logits"][0].numpy()
            for one in made
        ]
    theirs = [{"logits": logits} for logits in alone]
    assert parity.difference(session.predict(made), theirs) < 1e-4
    assert min(float(np.std(logits)) for logits in alone) > 1e-3


def test_int8_of_an_analytic_model_leaves_features_and_head(solved: graphs.Graph) -> None:
    dynamic, _, blocks = (_kinds(scheme.make(solved)) for scheme in quantise.SCHEMES)
    assert (dynamic["QAttention"], dynamic["MatMulInteger"], dynamic["MatMul"]) == (2, 6, 2)
    assert (blocks["Attention"], blocks["MatMulNBits"], blocks["MatMul"]) == (2, 6, 2)
