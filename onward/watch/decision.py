"""Whether a turn is worth its cost: a pure function of what was measured and of the settings.

>>> seen = Evidence(champion="v1", learning=("0002-faq",), rows=12, heldout=6)
>>> decision = decide(seen, Watch())
>>> decision.outcome, decision.reasons[0]
('wait', '12 new training rows, 100 would do')

A turn is worth it where at least one thing speaks for it: nothing serves yet, many new rows, an
error of the champion on their held-out part that is shown to be high, or a shift of labels or
lengths. It waits all the same where the last turn took more minutes or memory than is allowed.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from onward.config import Watch
from onward.evaluation.checks import probability
from onward.wording import counted

Outcome = Literal["learn", "wait", "nothing"]
Says = Literal["learn", "wait", ""]


@dataclass(frozen=True)
class Error:
    """100 minus the primary metric, in points, with its two bounds at `watch.level` each."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Evidence:
    """What is known before a turn is begun. None: not measured, or nothing to measure."""

    champion: str | None
    learning: tuple[str, ...]
    """Episodes of the turn that the champion has not learned."""
    rows: int = 0
    """Their training rows."""
    heldout: int = 0
    """Their held-out rows."""
    error: Error | None = None
    """The champion's, on those held-out rows."""
    labels: float | None = None
    """p of "the labels of the new rows come in the known shares"."""
    lengths: float | None = None
    """p of "the texts of the new rows are as long as the known ones"."""
    minutes: float | None = None
    """What the last turn took on this machine."""
    memory_mb: float | None = None
    """The most memory that a stage of it held, in 10^6 bytes."""
    settled: str = ""
    """Why there is nothing to learn, where that is so."""
    asked: str = ""
    """Why a person's deed already asks for this turn, where that is so."""


@dataclass(frozen=True)
class Check:
    """One line: what was found, the limit, and what it says where it says anything."""

    name: str
    found: str
    limit: str
    says: Says = ""
    reason: str = ""


@dataclass(frozen=True)
class Decision:
    """What to do now and why, in words and numbers."""

    outcome: Outcome
    reasons: tuple[str, ...]
    checks: tuple[Check, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "outcome": self.outcome,
            "reasons": list(self.reasons),
            "checks": [asdict(check) for check in self.checks],
        }


def decide(seen: Evidence, settings: Watch) -> Decision:
    """Learn now, wait, or nothing to learn.

    Args:
        seen: what was measured.
        settings: the limits.
    """
    if seen.settled:
        return Decision("nothing", (seen.settled,))
    checks = _checks(seen, settings)
    costs = tuple(check.reason for check in checks if check.says == "wait")
    if costs:
        return Decision("wait", costs, checks)
    worth = [check.reason for check in checks if check.says == "learn"]
    if seen.champion is None:
        worth.insert(0, "nothing serves yet")
    if seen.asked:
        worth.insert(0, seen.asked)
    if worth:
        return Decision("learn", tuple(worth), checks)
    return Decision("wait", tuple(check.reason for check in checks if check.reason), checks)


def _checks(seen: Evidence, settings: Watch) -> tuple[Check, ...]:
    compared = (
        _error(seen, settings),
        _shift("labels", seen.labels, settings.level),
        _shift("lengths", seen.lengths, settings.level),
    )
    return (
        _rows(seen, settings),
        *(compared if seen.champion is not None else ()),
        _cost("minutes", seen.minutes, settings.max_minutes, "min"),
        _cost("memory", seen.memory_mb, settings.max_memory_mb, "MB"),
    )


def _rows(seen: Evidence, settings: Watch) -> Check:
    found, limit = f"{seen.rows:,}", f"≥ {settings.min_rows:,}"
    said = counted(seen.rows, "new training row")
    if seen.rows >= settings.min_rows:
        return Check("new rows", found, limit, "learn", f"{said}, at least {settings.min_rows:,}")
    return Check("new rows", found, limit, "", f"{said}, {settings.min_rows:,} would do")


def _error(seen: Evidence, settings: Watch) -> Check:
    limit = f"> {settings.max_error:g}"
    if seen.error is None:
        return Check("error", "not known", limit)
    error = seen.error
    found = f"{error.value:.1f} [{error.low:.1f}, {error.high:.1f}]"
    said = f"{seen.champion} errs by {found} on {seen.heldout:,} new held-out rows"
    if math.isfinite(error.low) and error.low > settings.max_error:
        reason = f"{said}, shown to be above {settings.max_error:g}"
        return Check("error", found, limit, "learn", reason)
    reason = f"{said}, not shown to be above {settings.max_error:g}"
    return Check("error", found, limit, "", reason)


def _shift(name: str, p: float | None, level: float) -> Check:
    limit = f"p ≤ {level:g}"
    if p is None or not math.isfinite(p):
        return Check(name, "cannot be compared", limit)
    found = f"p {probability(p)}"
    if p <= level:
        return Check(
            name, found, limit, "learn", f"{name} are not those of the known rows, {found}"
        )
    return Check(name, found, limit, "", f"{name} as in the known rows, {found}")


def _cost(name: str, found: float | None, limit: float, unit: str) -> Check:
    allowed = f"≤ {limit:,.6g} {unit}"
    if found is None:
        return Check(name, "not known", allowed)
    told = f"{found:,.1f} {unit}" if found < 100 else f"{found:,.0f} {unit}"
    if math.isfinite(found) and found <= limit:
        return Check(name, told, allowed)
    reason = f"the last turn took {told}, allowed are {limit:,.6g}"
    return Check(name, told, allowed, "wait", reason)
