"""The gate's rule: a pure, total function from evidence to a verdict."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from onward.config import Gate
from onward.evaluation.evidence import Evidence
from onward.evaluation.statistics import Score

PASS, FAIL, OPEN = "✓", "✗", "?"
Outcome = Literal["passed", "promoted", "refused", "undecided"]


@dataclass(frozen=True)
class Check:
    """One line of the verdict's table."""

    kind: Literal["gain", "harm", "floor", "budget"]
    unit: str
    """The episode's folder, "learning" for the pooled learning rows, or a budget's name."""
    mark: Literal["✓", "✗", "?"]
    rows: int = 0
    old: float | None = None
    new: float | None = None
    change: float | None = None
    low: float | None = None
    high: float | None = None
    limit: float | None = None
    p: float | None = None
    rows_needed: int | None = None
    note: str = ""


@dataclass(frozen=True)
class Verdict:
    """What a gate decided, with each reason, number, limit and sample size."""

    outcome: Outcome
    kind: Literal["accuracy", "final"]
    checks: tuple[Check, ...]
    reasons: tuple[str, ...]
    level: float
    candidate: str
    champion: str | None
    turn: str
    metric: str = "F1"
    subject: str = ""
    learning: tuple[str, ...] = ()
    key: str = ""
    forced: str = ""
    """The reason that a person gave for promoting against the rule."""
    evidence: Evidence | None = field(default=None, compare=False, repr=False)
    """What it rests on, for `verdicts.keep`; not part of the JSON."""

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` restores the same verdict, without its evidence."""
        value = {k: v for k, v in vars(self).items() if k != "evidence"}
        return {**value, "checks": [asdict(c) for c in self.checks]}

    @staticmethod
    def from_json(value: dict[str, Any]) -> Verdict:
        """The verdict that `to_json` described."""
        raise NotImplementedError

    def summary(self) -> dict[str, Any]:
        """Fields of its journal line: turn, candidate, key, champion, episodes, learning_change,
        worst_unit, worst_change, rows_needed, because."""
        raise NotImplementedError


def decide(evidence: Evidence, settings: Gate, level: float, score: Score) -> Verdict:
    """The verdict on this evidence: pure, and defined for any evidence whatever."""
    raise NotImplementedError
