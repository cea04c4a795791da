"""Floor checks: Great Expectations passes vacuously, and these say when it did.

It passes a suite without expectations, a table without rows, and a column of nulls, because there
is nothing to fail. Each floor is an outcome like any other, and fails the report.
"""

from __future__ import annotations

from onward.validation.columns import Frames
from onward.validation.expectations import Frame, between
from onward.validation.suite import Outcome


def floors(outcomes: list[Outcome], frames: Frames) -> list[Outcome]:
    """What must hold before the outcomes mean anything, in a fixed order."""
    return [
        _floor("there are expectations", "rows", "expectations", len(outcomes)),
        _floor("there are episodes to learn", "learning", "episodes", len(frames.learning)),
        _floor("there are rows", "rows", "rows", len(frames.rows)),
        *(_all_checked(outcome, len(frames.of(outcome.expectation.frame))) for outcome in outcomes),
    ]


def _floor(name: str, frame: Frame, column: str, count: int) -> Outcome:
    expected = between(name, frame, column, low=1)
    observed = {"min": float(count), "max": float(count)}
    return Outcome(expected, count >= 1, count, int(count < 1), (), observed)


def _all_checked(outcome: Outcome, lines: int) -> Outcome:
    """The expectation looked at every line of its frame, and there was one."""
    of = outcome.expectation
    expected = between(f"all lines checked: {of.name}", of.frame, of.column, low=lines)
    looked = lines > 0 and outcome.checked == lines
    skipped = max(lines - outcome.checked, int(not looked))
    return Outcome(expected, looked, outcome.checked, skipped, (), None)
