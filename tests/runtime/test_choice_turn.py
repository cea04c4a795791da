"""The recipe choice from a delivery to an answer: every stage and both gates, in one process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli import main
from onward import files
from onward.errors import UsageError
from onward.evaluation import verdicts
from onward.evaluation.comparing import WILSON
from onward.evaluation.ledger import read_parts
from onward.project import Project
from onward.recipes import choice
from onward.report import examples
from onward.runtime import probe
from onward.runtime.session import Session
from tests import loop, toys

PARAMS: dict[str, dict[str, Any]] = {
    "prepare": {"max_length": 64},
    "finetune": {
        "first_learning_rate": 0.003,
        "first_epochs": 6,
        "batch_size": 16,
        "micro_batch": 8,
    },
    "gate": {"floor": 70.0},
    "benchmark": {"shapes": [[5, 16]], "serving_shape": [5, 16]},
}


@pytest.fixture(scope="module")
def learned(toy_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose first candidate was promoted; read only."""
    project = loop.begun(tmp_path_factory.mktemp("choice"), toy_encoder, "choice", **PARAMS)
    with pytest.MonkeyPatch.context() as patched:
        verdict = loop.learned(project, "first", toys.toy_choices(200, seed=1), patched)
    assert verdict.outcome == "promoted", verdict
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


def test_its_rows_are_shown_with_their_options(learned: Project) -> None:
    found = files.read_json(learned.made("evaluate") / "summary.json")["candidate"]
    shown = examples.read(learned, found)
    assert shown is not None and shown.won
    for one in shown.won:
        question, *options = one.heading  # below the answers, where there is no context
        assert question.endswith("?") and " / " in (*options, *one.text)[0]


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


def test_the_gate_judged_it_as_a_share_of_rows(learned: Project) -> None:
    (floor,) = (one for one in verdicts.read(learned, 1).checks if one.kind == "floor")
    assert floor.mark == "✓" and floor.test == WILSON


def test_the_command_line_asks_with_options(
    learned: Project, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(learned.root)
    question = "which animal is named ?"
    given = ["--option", "red", "-o", "heron", "--option", "lima"]
    assert main.start(["ask", question, *given, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["text"], told["option"], told["version"]) == ("heron", 1, "v1")
    assert told["inputs"] == {"question": question, "options": ["red", "heron", "lima"]}
    assert main.start(["ask", question, *given, "--context", "a box"]) == 0
    first, *others, last = capsys.readouterr().out.splitlines()
    assert first == "heron" and len(others) == 3 and "v1 fp32" in last
    assert main.start(["ask", "--demo"]) == 0
    assert capsys.readouterr().out.startswith("Q  ")
    for arguments, what in (
        ([question], "options is missing"),
        ([question, "-o", "red", "-o", "red"], "stands there twice"),
        ([question, *given, "--pair", "x"], "reads no pair"),
    ):
        assert main.start(["ask", *arguments]) == 3
        said = capsys.readouterr().err
        assert what in said and "onward ask QUESTION --option TEXT ..." in said
