"""Right or wrong: bounds and p values from counts, where a metric is the share of right rows.

A paired change of two shares rests on the rows that changed: gained (wrong, then right) and lost.
Resampling gives no width at all where no row changed; the score interval of Tango (Statistics in
Medicine 17, 1998) does: it asks which true changes the counts are compatible with, each with the
variance it would have itself. Against "no change at all" stands McNemar's test, exact. A single
share has the score bounds of Wilson (JASA 22, 1927).

>>> found = change(gained=0, lost=0, rows=300, level=0.05)
>>> round(found.low, 2), round(found.high, 2), found.value
(-0.89, 0.89, 0.0)
>>> round(mcnemar(gained=2, lost=10), 4)
0.0386

What it does not cover: rows that depend on each other count as independent, and rows of several
units are pooled, which is never narrower than drawing within each.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np

from onward.evaluation.statistics import DECIMALS, NO_ROWS, TOO_FINE, Interval

_NORMAL = NormalDist()
_HALVINGS = 60


@dataclass(frozen=True)
class Shares(Interval):
    """An interval from a score statistic instead of resamples. All in points, 0 to 100."""

    deviate: Callable[[float], float] = field(default=lambda limit: 0.0, compare=False)
    """How many standard errors the value lies above a limit, were the limit the truth."""

    def p_below(self, limit: float) -> float:
        """p of "the truth lies below `limit`"."""
        return _NORMAL.cdf(-self.deviate(limit))

    def p_above(self, limit: float) -> float:
        """p of "the truth lies above `limit`"."""
        return _NORMAL.cdf(self.deviate(limit))


def change(gained: int, lost: int, rows: int, level: float) -> Shares:
    """The change of a paired share in points, with Tango's one-sided bounds.

    Args:
        gained: rows that were wrong and are right.
        lost: rows that were right and are wrong.
        rows: all of them.
        level: one-sided.
    """
    value = 100 * (gained - lost) / rows if rows else 0.0
    return _interval(value, -100.0, rows, level, lambda d: _tango(gained, lost, rows, d / 100))


def share(right: int, rows: int, level: float) -> Shares:
    """A share in points, with Wilson's one-sided bounds."""
    value = 100 * right / rows if rows else 0.0
    return _interval(value, 0.0, rows, level, lambda p: _wilson(right, rows, p / 100))


def mcnemar(gained: int, lost: int) -> float:
    """Two-sided p of "gains and losses are equally likely", from the binomial law; no rows: 1."""
    changed, fewer = gained + lost, min(gained, lost)
    if 2 * fewer >= changed:
        return 1.0
    first = math.lgamma(changed + 1) - math.lgamma(fewer + 1) - math.lgamma(changed - fewer + 1)
    down = np.arange(fewer, 0, -1)
    tail = 1 + float(np.cumprod(down / (changed - down + 1)).sum())
    return min(1.0, float(f"{2 * math.exp(first - changed * math.log(2)) * tail:.9g}"))


def _interval(
    value: float, least: float, rows: int, level: float, deviate: Callable[[float], float]
) -> Shares:
    if not rows:
        return Shares(0.0, 0.0, 0.0, 0.0, NO_ROWS)
    if not 0 < level < 0.5:
        return Shares(value, value, value, 0.0, TOO_FINE, deviate=deviate)
    z = -_NORMAL.inv_cdf(level)
    low = _where(deviate, z, least, value)
    high = _where(deviate, -z, value, 100.0)
    error = (high - low) / (2 * z)
    return Shares(value, low, high, round(error, DECIMALS), deviate=deviate)


def _where(deviate: Callable[[float], float], z: float, start: float, end: float) -> float:
    """The limit at which the falling `deviate` is z, by bisection; an end where it is not."""
    if deviate(start) < z:
        return start
    if deviate(end) > z:
        return end
    for _ in range(_HALVINGS):
        middle = (start + end) / 2
        start, end = (middle, end) if deviate(middle) >= z else (start, middle)
    return round(start, DECIMALS)


def _tango(gained: int, lost: int, rows: int, change: float) -> float:
    """Tango's score statistic of a true change, -1 to 1 (his equations 6 to 9)."""
    ahead = gained - lost - rows * change
    b = -gained - lost + (2 * rows - gained + lost) * change
    c = -lost * change * (1 - change)
    wrong = (math.sqrt(max(b * b - 8 * rows * c, 0.0)) - b) / (4 * rows)
    return _in_errors(ahead, rows * (2 * wrong + change * (1 - change)))


def _wilson(right: int, rows: int, share: float) -> float:
    return _in_errors(right - rows * share, rows * share * (1 - share))


def _in_errors(ahead: float, variance: float) -> float:
    if variance > 0:
        return ahead / math.sqrt(variance)
    return math.copysign(math.inf, ahead) if ahead else 0.0
