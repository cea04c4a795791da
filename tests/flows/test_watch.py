"""The flow `watch` against a real local server: its states, and what it starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from onward import locks
from onward.errors import IntegrityError
from onward.project import Project
from onward.registry import journal, versions
from onward.watch import record
from tests.flows import projects
from tests.flows.test_improve import _held_by_another

pytestmark = pytest.mark.timeout(1200)


def watch(project: Project) -> Any:
    from flows.watch import watch as flow

    return flow(str(project.root), return_state=True)


def test_worth_it_starts_the_loop_once(made: Project, connected: str) -> None:
    state = watch(made)
    assert (state.name, state.type.value) == ("Learn", "COMPLETED")
    assert state.message.startswith("Promoted: v1 serves") and "nothing serves yet" in state.message
    assert [line["what"] for line in journal.lines(made)] == ["promoted"]

    state = watch(made)
    assert (state.name, state.type.value) == ("NothingToDo", "COMPLETED")
    assert "turn 1 was promoted" in state.message
    assert [line["what"] for line in journal.lines(made)] == ["promoted"]


def test_not_worth_it_is_recorded_and_starts_nothing(made: Project, connected: str) -> None:
    projects.change(made.root, watch={"max_minutes": 1e-6})
    costs = made.private / "costs.jsonl"
    before = costs.read_text().replace('"turn":"', '"turn":"another ')
    costs.write_text(before)
    state = watch(made)
    assert (state.name, state.type.value) == ("Wait", "COMPLETED")
    assert "the last turn took" in state.message
    assert journal.lines(made) == [] and costs.read_text() == before
    told = record.told(made)
    assert told and told["outcome"] == "wait"


def test_while_a_turn_goes_on_it_waits(made: Project, connected: str) -> None:
    with _held_by_another(made.run_lock):
        state = watch(made)
    assert state.name == "Wait" and "is going on" in state.message
    assert versions.pointer(made) is None


def test_F03_the_trainer_of_a_killed_run_is_waited_for(tmp_path: Path) -> None:
    """A worker that is ended leaves it; each watch until its end was Failed as Busy."""
    from tasks.watch import running

    project = Project(tmp_path)
    assert running(project) == ""
    with locks.held(project.train_lock, "training of 0001-a"):
        assert running(project).startswith("training of 0001-a is going on, process ")


def test_F10_while_another_looks_it_waits(
    made: Project, connected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look may score for minutes; a second one that came meanwhile was Failed."""
    monkeypatch.setattr(record, "PATIENCE", 0.0, raising=False)
    with _held_by_another(made.private / "watch.lock"):
        state = watch(made)
    assert (state.name, state.type.value) == ("Wait", "COMPLETED")
    assert "is going on" in state.message and versions.pointer(made) is None


def test_F10_a_turn_that_began_during_the_look_is_waited_for(
    made: Project, connected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows import watch as flow

    told = iter(["", "a run is going on"])
    monkeypatch.setattr(flow, "running", lambda _project: next(told))
    state = watch(made)
    assert (state.name, state.message) == ("Wait", "a run is going on")
    assert versions.pointer(made) is None


def test_I4_neither_a_failed_look_nor_a_failed_turn_is_green(made: Project, connected: str) -> None:
    path = made.data / "0001-first" / "train.parquet"
    whole = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(whole[:-1] + b"?")
    state = watch(made)  # the look reads the damaged file
    assert (state.name, state.type.value) == ("Failed", "FAILED")
    assert isinstance(state.result(raise_on_failure=False), IntegrityError)
    assert record.told(made) is None

    path.write_bytes(whole)
    assert record.look(made).decision.outcome == "learn"
    path.write_bytes(whole[:-1] + b"?")
    state = watch(made)  # the look knows the answer; the turn meets the damaged file
    assert (state.name, state.type.value) == ("Failed", "FAILED")
    assert isinstance(state.result(raise_on_failure=False), IntegrityError)
    assert journal.lines(made) == []
