"""`onward watch` on a toy project with a champion and one new episode."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cli import main
from onward import files, fingerprints
from onward.project import Project
from onward.serving import ask
from tests.flows import projects

pytestmark = pytest.mark.timeout(1200)

HIGH = {
    "min_rows": 100_000,
    "max_error": 100.0,
    "level": 1e-3,
    "max_minutes": 1e6,
    "max_memory_mb": 1e9,
}
"""Limits that nothing reaches."""


@pytest.fixture(scope="module")
def cities(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The champion was taught colours and animals; the new episode asks for cities."""
    project = projects.promoted(tmp_path_factory.mktemp("watch"))
    projects.open_episode(project, "cities", projects.rows(2, "city"))
    return project


@pytest.fixture(scope="module")
def again(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The new episode asks for what the champion was taught."""
    project = projects.promoted(tmp_path_factory.mktemp("again"))
    projects.open_episode(project, "again", projects.rows(2, "colour", "animal"))
    return project


def _watch(
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    **limits: Any,
) -> tuple[int, dict[str, Any]]:
    monkeypatch.chdir(project.root)
    projects.change(project.root, watch={**HIGH, **limits})
    code = main.start(["watch", "--json"])
    return code, json.loads(capsys.readouterr().out)


def _lines(project: Project) -> list[dict[str, Any]]:
    return list(files.read_lines(project.private / "watch.jsonl"))


def test_what_the_champion_cannot_answer_is_worth_a_turn(
    cities: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, told = _watch(cities, monkeypatch, capsys, max_error=1.0)
    evidence = told["evidence"]
    assert (code, told["outcome"]) == (0, "learn")
    assert evidence["champion"] == "v1" and evidence["learning"] == ["0002-cities"]
    manifest = files.read_json(cities.episode("0002-cities") / files.MANIFEST)
    assert evidence["rows"] == manifest["counts"]["train"]
    assert evidence["heldout"] == manifest["counts"]["heldout"]
    assert 1 < evidence["error"]["low"] <= evidence["error"]["value"] <= 100
    assert evidence["minutes"] > 0 and evidence["memory_mb"] > 10
    assert f"{evidence['heldout']} new held-out rows, shown to be above 1" in told["reasons"][0]
    assert main.start(["watch"]) == 0
    shown = capsys.readouterr().out
    assert "LEARN · cities against v1" in shown and "Next  onward run" in shown


def test_a_second_look_loads_no_model_and_adds_no_line(
    cities: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, told = _watch(cities, monkeypatch, capsys)
    before = _lines(cities)

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("the champion was opened again")

    monkeypatch.setattr(ask, "open_champion", never)
    _, again = _watch(cities, monkeypatch, capsys)
    assert again == told and _lines(cities) == before


def test_a_changed_scorer_measures_the_error_again(
    cities: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, told = _watch(cities, monkeypatch, capsys)
    opened, plain = [], ask.open_champion

    def noted(*args: Any, **named: Any) -> Any:
        opened.append(args)
        return plain(*args, **named)

    monkeypatch.setattr(ask, "open_champion", noted)
    source = fingerprints.code("evaluate", "extractive")
    changed = {**source, "modules": {**source["modules"], "onward.recipes.spans": "0" * 64}}
    monkeypatch.setattr(fingerprints, "code", lambda *_: changed)
    _, again = _watch(cities, monkeypatch, capsys)
    assert opened and again["evidence"]["error"] == told["evidence"]["error"]


def test_wait_is_2_recorded_with_its_numbers_and_shown_by_status(
    again: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, told = _watch(again, monkeypatch, capsys)
    assert (code, told["outcome"]) == (2, "wait")
    assert told["evidence"]["error"]["value"] < 50  # it was taught these
    last = _lines(again)[-1]
    assert (last["outcome"], last["reasons"]) == ("wait", told["reasons"])
    assert main.start(["status"]) == 0
    assert f"wait: {told['reasons'][0]}" in capsys.readouterr().out


@pytest.mark.parametrize("limit", [{"max_minutes": 1e-4}, {"max_memory_mb": 1.0}])
def test_a_turn_that_costs_too_much_is_not_worth_it(
    limit: dict[str, float],
    cities: Project,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, told = _watch(cities, monkeypatch, capsys, min_rows=1, **limit)
    assert (code, told["outcome"]) == (2, "wait")
    assert told["reasons"][0].startswith("the last turn took ")


def test_a_settled_turn_is_nothing_to_do_until_an_episode_comes(
    cities: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    projects.onward(cities.root, "episode", "withdraw", "cities", "--reason", "these were not ours")
    code, told = _watch(cities, monkeypatch, capsys, min_rows=1)
    assert (code, told["outcome"]) == (0, "nothing")
    assert told["reasons"] == ["every open episode is learned already"]
