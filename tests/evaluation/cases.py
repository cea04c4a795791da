"""Evidence made by hand: a metric over two statistics (n, points), so that numbers can be read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from onward.config import Gate
from onward.evaluation.checks import Check, Verdict
from onward.evaluation.evidence import Budgets, Evidence, Side, Unit
from onward.evaluation.statistics import Array

STATISTICS = ("n", "points")


def score(totals: Array) -> Array:
    """Points in percent of rows; 0 without rows."""
    n, points = totals[..., 0], totals[..., 1]
    return 100 * np.divide(points, n, out=np.zeros_like(points), where=n != 0)


def settings(**changed: Any) -> Gate:
    return Gate.model_validate({"resamples": 2_000, "min_rows": 50, **changed})


def side(points: Sequence[float] | Array) -> Side:
    """A side whose row r0000, r0001, ... made these points, 0 to 1."""
    values = np.asarray(points, dtype=np.float64)
    return Side(hashes(len(values)), np.column_stack([np.ones(len(values)), values]))


def hashes(n: int) -> tuple[str, ...]:
    return tuple(f"r{number:04}" for number in range(n))


def unit(
    name: str,
    new: Sequence[float] | Array | None,
    old: Sequence[float] | Array | None = None,
    *,
    rows: int | None = None,
    known: bool = True,
    learning: bool = False,
    baseline: float | None = 5.0,
) -> Unit:
    given = new if new is not None else old
    count = len(given) if rows is None and given is not None else rows or 0
    return Unit(
        name=name,
        known=known,
        learning=learning,
        rows=hashes(count),
        new=None if new is None else side(new),
        old=None if old is None else side(old),
        baseline=baseline,
    )


def learning(
    new: Sequence[float] | Array, old: Sequence[float] | Array, name: str = "0009-new"
) -> Unit:
    return unit(name, new, old, known=False, learning=True)


def shares(*parts: tuple[int, float]) -> Array:
    """(count, value) pairs in a row: shares((60, 1), (40, 0)) has mean .6 over 100."""
    return np.concatenate([np.full(count, float(value)) for count, value in parts])


GAINED = learning(shares((90, 1), (10, 0)), shares((50, 1), (50, 0)))
"""A clear gain: +40 on 100 rows."""


def evidence(*units: Unit, champion: str | None = "v1", **changed: Any) -> Evidence:
    given: dict[str, Any] = {
        "kind": "accuracy",
        "turn": "t",
        "candidate": "c" * 64,
        "champion": champion,
        "units": units,
        "statistics": STATISTICS,
    }
    return Evidence(**{**given, **changed})


def budgets(
    new: float = 40.0, old: float = 40.0, n: int = 60, memory: float | None = 500.0
) -> Budgets:
    """Timings around two values, spread by 1%."""
    spread = np.linspace(0.99, 1.01, n)
    return Budgets(tuple(new * spread), tuple(old * spread), memory)


def check(verdict: Verdict, name: str) -> Check:
    """The one check of a unit."""
    return next(c for c in verdict.checks if c.unit == name)
