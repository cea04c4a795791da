"""The decision: each reason on its own turns it, in both directions."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from onward.config import Watch
from onward.watch.decision import Error, Evidence, decide

LIMITS = Watch(min_rows=100, max_error=40, level=0.01, max_minutes=60, max_memory_mb=8_000)
QUIET = Evidence(
    champion="v3",
    learning=("0004-faq",),
    rows=99,
    heldout=50,
    error=Error(45.0, 39.9, 50.0),
    labels=0.02,
    lengths=0.02,
    minutes=60.0,
    memory_mb=8_000.0,
)
"""Each number lies just on the side that says nothing."""


def outcome(**changes: Any) -> str:
    return decide(dataclasses.replace(QUIET, **changes), LIMITS).outcome


def test_nothing_speaks_for_it_and_all_is_said() -> None:
    decision = decide(QUIET, LIMITS)
    assert decision.outcome == "wait"
    assert decision.reasons == (
        "99 new training rows, 100 would do",
        "v3 errs by 45.0 [39.9, 50.0] on 50 new held-out rows, not shown to be above 40",
        "labels as in the known rows, p .020",
        "lengths as in the known rows, p .020",
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rows": 100}, "100 new training rows, at least 100"),
        ({"error": Error(45.0, 40.1, 50.0)}, "shown to be above 40"),
        ({"labels": 0.01}, "labels are not those of the known rows, p .010"),
        ({"lengths": 0.0001}, "lengths are not those of the known rows, p <.001"),
        ({"champion": None}, "nothing serves yet"),
        ({"asked": "toy was adopted"}, "toy was adopted"),
    ],
)
def test_each_reason_alone_makes_it_learn(change: dict[str, Any], said: str) -> None:
    decision = decide(dataclasses.replace(QUIET, **change), LIMITS)
    assert decision.outcome == "learn"
    (reason,) = decision.reasons
    assert reason.endswith(said)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"minutes": 60.1}, "the last turn took 60.1 min, allowed are 60"),
        ({"memory_mb": 8_001.0}, "the last turn took 8,001 MB, allowed are 8,000"),
        ({"minutes": math.nan}, "the last turn took nan min, allowed are 60"),
    ],
)
@pytest.mark.parametrize("worth", [{}, {"rows": 5_000}, {"champion": None}])
def test_each_cost_alone_makes_it_wait(
    worth: dict[str, Any], change: dict[str, Any], said: str
) -> None:
    decision = decide(dataclasses.replace(QUIET, **worth, **change), LIMITS)
    assert (decision.outcome, decision.reasons) == ("wait", (said,))


def test_what_was_settled_is_nothing_to_do_whatever_else_is_so() -> None:
    decision = decide(dataclasses.replace(QUIET, rows=5_000, settled="turn 3 was refused"), LIMITS)
    assert (decision.outcome, decision.reasons) == ("nothing", ("turn 3 was refused",))


@pytest.mark.parametrize("name", ["error", "labels", "lengths", "minutes", "memory_mb"])
def test_what_is_not_known_says_nothing(name: str) -> None:
    assert outcome(**{name: None}) == "wait"
    assert outcome(**{name: None}, rows=100) == "learn"


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_a_number_that_is_none_does_not_make_it_learn(broken: float) -> None:
    assert outcome(labels=math.nan, error=Error(broken, broken, broken)) == "wait"
