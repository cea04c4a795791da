"""`onward compare` and `onward search` from the command line, on a toy project's own turn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli import compare as comparing
from cli import main, output
from cli import search as searching
from cli import study as studying
from onward import config
from onward.config import Finetune
from onward.project import Project
from onward.study import compared
from tests import toys


@pytest.fixture
def project(toy_encoder: Path, tmp_path: Path) -> Project:
    made: Project = toys.toy_project(
        tmp_path / "p", toy_encoder, {"one": toys.toy_texts(60, 1)}, recipe="classification"
    )
    return made


def told(capsys: pytest.CaptureFixture[str], project: Project, *words: str) -> dict[str, Any]:
    assert main.start(["-C", str(project.root), *words, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return found


@pytest.mark.slow
def test_a_comparison_and_a_search(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("compare", "--tunings", "full,prefix", "--threads", "1")
    table = told(capsys, project, *words)
    assert [row["name"] for row in table["rows"]] == ["full", "prefix"]
    assert told(capsys, project, *words) == table
    drawn = compared._png(compared._figure(table, "seconds"))
    assert (project.study("compare") / "report" / "score_and_time.png").read_bytes() == drawn

    found = told(capsys, project, "search", "--trials", "3", "--threads", "1")
    assert len(found["tries"]) == 3 and found["cost"]["seconds"] > 0
    assert not found["applied"]
    before = config.read(project.params, Finetune)
    best = told(capsys, project, "search", "--trials", "3", "--threads", "1", "--apply")
    assert best["tries"] == found["tries"]
    after = config.read(project.params, Finetune)
    for key, value in best["changed"].items():
        assert getattr(after, key.partition(".")[2]) == value
    assert (after == before) is (best["changed"] == {})
    assert not list(project.root.glob("turn/finetune/*"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["compare", "--tunings", "spell"], "no tuning 'spell'"),
        (["compare", "--seeds", "a"], "does not list seeds"),
        (["search", "gate"], "'gate' has no space"),
        (["compare", "no-such.yaml"], "There is no file no-such.yaml"),
        (["study", "no-such.yaml"], "There is no file no-such.yaml"),
        (["search", "--space", "tests"], "tests is a folder"),
        (["compare", "--jobs", "0"], "'--jobs': Input should be greater than or equal to 1"),
        (["study", "--threads", "0"], "'--threads': Input should be greater than or equal to 1"),
    ],
    ids=" ".join,
)
def test_wrong_words_are_refused(
    words: list[str], said: str, project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.start(["-C", str(project.root), *words]) == 3
    shown = capsys.readouterr().err
    assert said in shown


def test_a_narrow_table_is_folded_and_not_cut(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    row = {
        "name": "bottleneck-small",
        "score": {"value": 68.1, "low": 57.4, "high": 78.8},
        "change": {"value": -19.1, "low": -31.9, "high": -8.2},
        "trainable": 22_716_296,
        "trainable_percent": 100.0,
        "seconds": 320.5,
        "peak_mb": 998.0,
        "rate": 0.0001,
        "seeds": [0],
    }
    output.answer(False, {}, comparing.shown({"rows": [row], "against": "full"}))
    told = capsys.readouterr().out
    assert "…" not in told and "22,716,296" in told.replace("\n", "") and "78.8]" in told


@pytest.mark.parametrize("width", [60, 80, 100, 180])
def test_a_study_s_table_leaves_out_columns_and_breaks_no_word(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """At 80 columns its head read "combi natio n"."""
    monkeypatch.setenv("COLUMNS", str(width))
    value = {"value": 93.0, "low": 92.2, "high": 93.8}
    cost = dict.fromkeys(("turn_seconds", "turn_processor_seconds", "stored_mb"), 26.3)
    cost |= dict.fromkeys(("steps", "peak_mb", "stored_rows"), 1846)
    row = {
        "combination": "replay-herding+der",
        "seeds": [0, 1, 2],
        "measures": dict.fromkeys(
            ("average", "of_joint", "forgetting", "beyond_joint", "learned"), value
        ),
        "cost": cost,
        "test_read": 1,
    }
    output.answer(False, {}, studying.shown({"rows": [row]}))
    head, line = capsys.readouterr().out.rstrip().splitlines()
    assert len(line) <= width
    assert "combination" in head and "average" in head and "forgetting" in head
    assert line.startswith("replay-herding+der") and "93.0 [92.2, 93.8]" in line
    assert ("stored MB" in head) == (width == 180)


def test_the_change_and_its_cost_are_told() -> None:
    found: dict[str, Any] = {
        "metric": "accuracy",
        "space": {"finetune.epochs": [1, 2]},
        "present": {"values": {"finetune.epochs": 1}, "score": 70.0},
        "best": {"number": 2, "score": 74.25, "values": {"finetune.epochs": 2}},
        "changed": {"finetune.epochs": 2},
        "tries": [],
        "cost": {"seconds": 90.0, "tries": 3, "given_up": 1, "refused": 0, "trainings": 2.5},
    }
    assert searching.lines(found, applied=False) == [
        "best      accuracy 70.0 → 74.2, on training rows",
        "  finetune.epochs: 1 → 2",
        "cost      1.5 min, as much as 2.5 trainings; 1 of 3 tries given up early",
        "now       `onward search --apply` writes them; `onward run` trains with them, and the "
        "gate judges",
    ]
    assert "the present settings" in searching.lines({**found, "changed": {}}, applied=False)[0]
