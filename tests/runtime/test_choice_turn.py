"""The recipe choice from a delivery to an answer: every stage and both gates, in one process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from onward import files
from onward.errors import UsageError
from onward.evaluation import evaluate
from onward.evaluation.ledger import read_parts
from onward.learning import finetune, prepare
from onward.project import Project
from onward.recipes import choice
from onward.runtime import export, probe
from onward.runtime.session import Session
from onward.validation import run as validation
from tests import toys

PARAMS: dict[str, dict[str, Any]] = {
    "finetune": {
        **toys.PARAMS["finetune"],
        "first_learning_rate": 0.003,
        "first_epochs": 6,
        "batch_size": 16,
        "micro_batch": 8,
    },
    "evaluate": {"threads": 1, "batch_size": 32},
    "export": {"threads": 1, "int8": False},
}


@pytest.fixture(scope="module")
def learned(toy_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A turn over one episode: validated, prepared, trained, evaluated, exported."""
    root = tmp_path_factory.mktemp("choice")
    rows = toys.toy_choices(200, seed=1)
    project: Project = toys.toy_project(root, toy_encoder, {"first": rows}, "choice", **PARAMS)
    for stage in (validation, prepare, finetune, evaluate, export):
        stage.run(project)
    return project


def test_it_learns_and_its_graph_answers_as_torch_does(learned: Project) -> None:
    summary = files.read_json(learned.made("evaluate") / "summary.json")
    scores = summary["units"]["0001-first"]
    assert scores["after"]["accuracy"] > 90 > 60 > scores["baseline"]["accuracy"]
    assert {one["label"] for one in summary["classes"]} >= {"A", "B"}
    assert {one["slice"] for one in summary["slices"]} >= {"options", "right option", "context"}
    report = files.read_json(learned.made("export") / "report.json")
    (unit,) = report["parity"]["units"]
    assert unit["onnx"] == unit["torch"] and report["parity"]["logit_difference"] < 1e-4
    parts = read_parts(learned.made("export") / "ledger.parquet")
    assert {float(choice.metrics(p.total("0001-first"))["n"]) for p in parts} == {scores["rows"]}


def test_it_is_asked_with_any_number_of_options(learned: Project) -> None:
    package = learned.made("export") / "package"
    assert probe.check(package)["probes"] == 4
    session = Session(package, "fp32", "cpu", threads=1)
    options = ["red", "oslo", "otter", "blue", "lima", "green", "quito"]
    asked = {"question": "which animal is named ?", "options": options}
    found = session.answer(asked)
    assert (found["text"], found["option"]) == ("otter", 2) and len(found["n_best"]) == 5
    turned = session.answer({**asked, "options": options[::-1]})
    assert (turned["text"], turned["option"]) == ("otter", 4)
    assert session.answer({**asked, "context": "it was seen near a box"})["text"] == "otter"
    for wrong, why in (
        ({"question": "which ?"}, "options is missing"),
        ({"question": "which ?", "options": ["red"]}, "two options or more"),
        ({"question": "which ?", "options": ["red", " red"]}, "stands there twice"),
        ({"question": "which ?", "options": ["red", " "]}, "empty"),
        ({"options": ["red", "blue"]}, "question is missing"),
    ):
        with pytest.raises(UsageError, match=why):
            session.answer(wrong)  # type: ignore[arg-type]
