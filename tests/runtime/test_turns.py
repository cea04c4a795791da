"""One turn of each other recipe and structure: its stages in one process, down to an answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from onward import files, recipes
from onward.evaluation import evaluate
from onward.evaluation.ledger import read_parts
from onward.learning import finetune, models, prepare
from onward.project import Project
from onward.runtime import export, probe
from onward.runtime.session import Session
from tests import toys

UNIT = "0001-first"
PARAMS: dict[str, dict[str, Any]] = {
    "finetune": {
        **toys.PARAMS["finetune"],
        "first_learning_rate": 0.002,
        "first_epochs": 12,
        "batch_size": 16,
        "micro_batch": 16,
    },
    "evaluate": {"threads": 1, "batch_size": 32},
}


def learned(root: Path, encoder: Path, recipe: str, **params: dict[str, Any]) -> Project:
    """A turn over one episode whose candidate is trained and evaluated by the stages."""
    rows = toys.toy_texts(400, seed=1, recipe=recipe, titles=8)
    blocks = {**PARAMS, **params}
    project: Project = toys.toy_project(root, encoder, {"first": rows}, recipe, **blocks)
    for stage in (prepare, finetune, evaluate):
        stage.run(project)
    return project


def served(project: Project, recipe: str, at_least: float) -> Session:
    """Export; both variants that may be are scored as torch was; the package answers its probes."""
    export.run(project)
    report = files.read_json(project.made("export") / "report.json")
    (unit,) = report["parity"]["units"]
    assert unit["unit"] == UNIT and unit["onnx"] > at_least
    assert abs(unit["change"]) <= report["parity"]["score_limit"]
    assert report["parity"]["logit_difference"] < 1e-3
    primary = recipes.get(recipe).PRIMARY
    for part in read_parts(project.made("export") / "ledger.parquet"):
        score = float(recipes.get(recipe).metrics(part.total(UNIT))[primary])
        assert abs(score - unit["torch"]) < 5, part.artifact
    package = project.made("export") / "package"
    assert probe.check(package)["probes"] == 4
    return Session(package, "fp32", "cpu", threads=1)


def test_multilabel_is_scored_exported_and_asked(toy_encoder: Path, tmp_path: Path) -> None:
    session = served(learned(tmp_path, toy_encoder, "multilabel"), "multilabel", 75)
    assert session.labels == ("animal", "city", "colour")
    found = session.answer({"text": "the otter was near paris ."})
    assert set(found["labels"]) <= set(session.labels)
    assert found["text"] == ", ".join(found["labels"]) and len(found["n_best"]) == 3


def test_regression_is_scored_exported_and_asked(toy_encoder: Path, tmp_path: Path) -> None:
    """Toy values are -1 where a colour is named, 0 for an animal and 1 for a city."""
    session = served(learned(tmp_path, toy_encoder, "regression"), "regression", 80)
    assert session.labels == ()
    told = [session.answer({"text": f"the {word} was seen ."}) for word in ("red", "fox", "oslo")]
    values = [one["value"] for one in told]
    assert values == sorted(values) and values[2] - values[0] > 1
    assert all(float(one["text"]) == pytest.approx(one["value"], rel=1e-4) for one in told)


def test_analytic_is_scored_exported_and_asked(toy_encoder: Path, tmp_path: Path) -> None:
    strategy: dict[str, Any] = {"rows": "naive", "structure": "analytic", "analytic_features": 512}
    strategy["analytic_ridge"] = 1.0
    project = learned(tmp_path, toy_encoder, "classification", strategy=strategy)
    assert models.kind(project.made("finetune") / "model") == "analytic"
    # An encoder that was never trained: most frequent is 37 here, a head on it reaches about 50.
    session = served(project, "classification", 45)
    assert session.labels == ("animal", "city", "colour")
    found = session.answer({"text": "the fox and the otter"})
    assert found["label"] in session.labels and len(found["n_best"]) == 3
