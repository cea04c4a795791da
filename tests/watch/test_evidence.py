"""What is measured of the champion on new rows, with stated answers in place of a session."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from onward import costs
from onward.costs import Cost
from onward.episodes import turn as turns
from onward.episodes.turn import Turn
from onward.errors import IntegrityError
from onward.evaluation import scorer
from onward.project import Project
from onward.registry import journal
from onward.registry.rollback import reinstate
from onward.serving import ask
from onward.watch import evidence, record
from tests.evaluation import toy_turn


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """v1 answers every new row wrong."""
    at = toy_turn.project(tmp_path, known=("old",))
    part = toy_turn.ledger(at, "onnx-old", "onnx-cpu", {"old": 1.0, "new": 0.0})
    part = type(part)(part.artifact, part.provider, part.scorer, part._unit("0002-new"))
    session: Any = SimpleNamespace(tokenizer=None, prepare=None, evaluate=None)
    monkeypatch.setattr(ask, "open_champion", lambda *_args, **_named: session)
    monkeypatch.setattr(scorer, "score", lambda *_args, **_named: part)
    return at


def test_the_errors_lower_bound_allows_for_one_row_more(served: Project) -> None:
    """60 wrong rows in a row may hide one in twenty that is right."""
    rows = {"0002-new": turns.rows(served, "0002-new", "heldout")}
    found = evidence._error(served, Turn.read(served), rows, level=0.05)
    assert found is not None
    assert (found["value"], found["high"]) == (100.0, 100.0)
    assert found["low"] == pytest.approx(100 + 100 * math.log(0.05) / 60, abs=0.01)


def test_what_the_present_turn_took_is_no_cost_of_the_last(
    served: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = Turn.read(served)
    earlier, present = (Cost(seconds, 10.0, ("finetune",)) for seconds in (120.0, 600.0))
    monkeypatch.setattr(costs, "by_turn", lambda _project: {"other": earlier, turn.id: present})
    assert evidence._last_cost(served, turn) == (earlier.minutes, earlier.peak_mb)


def test_what_was_rolled_back_is_no_promotion_any_more_and_a_reinstatement_asks_for_the_turn(
    served: Project,
) -> None:
    turn, candidate = Turn.read(served), "a" * 64
    made = {"turn": turn.id, "candidate": candidate, "version": "v2"}
    journal.append(served, "promoted", **made)
    assert evidence._settled(served, turn) == "turn 1 was promoted, and no episode came since"
    journal.append(served, "rollback", version="v1", withdraws=[candidate])
    told = "turn 1 was promoted and rolled back, and no episode came since"
    assert evidence._settled(served, turn) == told
    assert evidence._asked(served, turn, None) == ""

    reinstate(served, "v2", "it was not to blame")
    assert evidence._settled(served, turn) == ""
    asked = "the candidate of turn 1 was reinstated and is to be judged again"
    assert evidence._asked(served, turn, None) == asked
    journal.append(served, "refused", **made)
    assert evidence._settled(served, turn) == "turn 4 was refused, and no episode came since"


@pytest.mark.parametrize("name", ["watch.jsonl", "costs.jsonl"])
def test_a_damaged_note_is_removed_and_not_asked_of_git(served: Project, name: str) -> None:
    (served.private / name).parent.mkdir(exist_ok=True)
    (served.private / name).write_text("{}}\n{}\n")
    with pytest.raises(IntegrityError, match=f"Line 1 of {name}") as caught:
        record.look(served)
    assert caught.value.fix == f"`rm {served.private / name}`: it holds no more than notes"
