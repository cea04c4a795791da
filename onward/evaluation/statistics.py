"""Paired bootstrap over statistics that sum, one-sided bounds, p values and rows needed.

A metric such as F1 over a test set is a function of column sums, so a resample needs only how often
each row was drawn: `counts [R, u] @ distinct rows [u, k]`. Rows with equal statistics are drawn
together (a multinomial over distinct rows is the same law as one over rows), so the cost grows with
the number of different rows, not of rows. Everything is float64, from one seeded PCG64 generator,
and resampled scores are rounded to nine decimals: equal inputs give equal bits, whatever the order
of the rows or the machine's summing order.

>>> import numpy as np
>>> old = np.column_stack([np.ones(200), np.arange(200) % 2])
>>> new = np.column_stack([np.ones(200), np.ones(200)])
>>> found = paired([(new, old)], lambda t: 100 * t[..., 1] / t[..., 0], Draws(1000))
>>> found.value, found.low > 40, found.high < 60, found.p_below(1.0) < 0.01
(50.0, True, True, True)

What it does not cover: rows that depend on each other (several questions on one context) count as
independent, and with fewer than some 30 rows a percentile bound is too narrow; `gate.min_rows`
keeps the gate away from there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Score = Callable[[Array], Array]
"""Column sums [..., k] -> the primary metric in percent [...]."""

POWER = 0.80
DECIMALS = 9
CHUNK = 4_000_000
"""Counts drawn at once: 32 MB."""
MIN_TIMINGS = 20
"""Below this the 95th percentile is the largest value, and its resamples cannot exceed it."""

NO_ROWS, ONE_ROW, NOT_FINITE = "no rows", "one row only", "not finite"
TOO_FINE, FEW_TIMINGS = "more resamples needed", "too few timings"


@dataclass(frozen=True)
class Draws:
    """How to resample: how often, at which one-sided level, from which seed."""

    resamples: int = 10_000
    level: float = 0.05
    seed: int = 0

    def generator(self) -> np.random.Generator:
        """A fresh generator of a fixed kind."""
        return np.random.Generator(np.random.PCG64(self.seed % 2**63))


@dataclass(frozen=True)
class Interval:
    """A value with its one-sided bounds at one level, from sorted resamples.

    Where `flag` is set, the bounds are the value itself (0 where there is none) and mean nothing.
    """

    value: float
    low: float
    high: float
    error: float
    """The standard deviation of the resamples: the standard error of `value`."""
    flag: str = ""
    samples: Array = field(default_factory=lambda: np.zeros(0), repr=False, compare=False)

    def p_below(self, limit: float) -> float:
        """p of "the truth lies below `limit`": (resamples below + 1) / (R + 1)."""
        below = int(np.searchsorted(self.samples, limit, side="left"))
        return (below + 1) / (len(self.samples) + 1)

    def p_above(self, limit: float) -> float:
        """p of "the truth lies above `limit`"."""
        above = len(self.samples) - int(np.searchsorted(self.samples, limit, side="right"))
        return (above + 1) / (len(self.samples) + 1)


def paired(strata: Sequence[tuple[Array, Array]], score: Score, draws: Draws) -> Interval:
    """The change, new minus old, on the same rows.

    Args:
        strata: (new [n, k], old [n, k]) of each unit; rows are drawn within their own unit.
        score: from column sums to percent.
        draws: resamples, level and seed.
    """
    joined = [np.concatenate([new, old], axis=1) for new, old in strata]
    width = joined[0].shape[1] // 2 if joined else 0

    def change(totals: Array) -> Array:
        return score(totals[..., :width]) - score(totals[..., width:])

    return _bootstrap(joined, change, draws)


def single(strata: Sequence[Array], score: Score, draws: Draws) -> Interval:
    """One side's score; as `paired`, with one [n, k] array for each unit."""
    return _bootstrap(list(strata), score, draws)


def pooled(strata: Sequence[Array], score: Score) -> float | None:
    """The score of all rows together; None where it is not finite."""
    with np.errstate(all="ignore"):
        value = float(np.round(score(_total(list(strata))), DECIMALS))
    return value if math.isfinite(value) else None


def _bootstrap(strata: list[Array], score: Score, draws: Draws) -> Interval:
    rows = sum(len(stratum) for stratum in strata)
    if rows == 0:
        return Interval(0.0, 0.0, 0.0, 0.0, NO_ROWS)
    if not all(np.isfinite(stratum).all() for stratum in strata):
        return Interval(0.0, 0.0, 0.0, 0.0, NOT_FINITE)
    with np.errstate(all="ignore"):  # an overflow shows as a value that is not finite
        value = np.round(score(_total(strata)), DECIMALS)
        samples = np.round(score(_resampled(strata, draws)), DECIMALS)
    flag = ONE_ROW if rows == 1 else ""
    return _interval(float(value), np.asarray(samples, dtype=np.float64), draws.level, flag)


def _total(strata: list[Array]) -> Array:
    """Column sums [k], the same bits in whatever order the rows come."""
    distinct = [
        np.unique(stratum, axis=0, return_counts=True) for stratum in strata if len(stratum)
    ]
    return sum((counts @ rows for rows, counts in distinct), np.zeros(strata[0].shape[1]))


def _resampled(strata: list[Array], draws: Draws) -> Array:
    """Column sums of each resample [R, k]; rows are drawn within their stratum."""
    generator = draws.generator()
    totals = np.zeros((draws.resamples, strata[0].shape[1]))
    for stratum in strata:
        if not len(stratum):
            continue
        rows, counts = np.unique(stratum, axis=0, return_counts=True)
        share = counts / len(stratum)
        step = max(1, CHUNK // len(rows))
        for start in range(0, draws.resamples, step):
            size = min(step, draws.resamples - start)
            drawn = generator.multinomial(len(stratum), share, size=size)
            totals[start : start + step] += drawn @ rows
    return totals


def _interval(value: float, samples: Array, level: float, flag: str = "") -> Interval:
    """Bounds by order statistics: `low >= x` exactly where `p_below(x) <= level`."""
    with np.errstate(all="ignore"):
        error = float(np.round(samples.std(), DECIMALS))
    if not (math.isfinite(value) and math.isfinite(error)):
        return Interval(0.0, 0.0, 0.0, 0.0, NOT_FINITE)
    ordered = np.sort(samples)
    # The guard against 0.05 * 10_001 falling a hair below a whole number.
    reach = level * (len(ordered) + 1) + 1e-9
    if not (reach >= 1 and level < 1):
        return Interval(value, value, value, error, flag or TOO_FINE, ordered)
    index = math.floor(reach) - 1
    low, high = float(ordered[index]), float(ordered[len(ordered) - 1 - index])
    return Interval(value, low, high, error, flag, ordered)


def rows_needed(rows: int, error: float, distance: float, level: float) -> int | None:
    """Rows that would show a true `distance` from the limit with 80% power: n((z_a+z_.8)se/D)^2.

    None: no number of rows would (the distance is not positive), or nothing is known of the noise.
    """
    if rows < 2 or not (math.isfinite(error) and math.isfinite(distance) and distance > 0):
        return None
    if not 0 < level < 1:
        return None
    reach = NormalDist().inv_cdf(POWER) - NormalDist().inv_cdf(level)
    needed = rows * (reach * error / distance) ** 2
    return math.ceil(needed) if math.isfinite(needed) else None


def p95(samples: Sequence[float], draws: Draws) -> Interval:
    """The 95th percentile (nearest rank) of timings, in their unit."""
    return _latency([np.asarray(samples, dtype=np.float64)], draws)


def p95_change(new: Sequence[float], old: Sequence[float], draws: Draws) -> Interval:
    """The change of the 95th percentile in percent of the old one's."""
    return _latency([np.asarray(side, dtype=np.float64) for side in (new, old)], draws)


def _latency(sides: list[Array], draws: Draws) -> Interval:
    if any(side.size == 0 for side in sides):
        return Interval(0.0, 0.0, 0.0, 0.0, NO_ROWS)
    if not all(np.isfinite(side).all() and (side > 0).all() for side in sides):
        return Interval(0.0, 0.0, 0.0, 0.0, NOT_FINITE)
    flag = FEW_TIMINGS if min(side.size for side in sides) < MIN_TIMINGS else ""
    values = [np.sort(side)[_rank(side.size) - 1] for side in sides]
    generator = draws.generator()
    drawn = [_quantiles(np.sort(side), draws.resamples, generator) for side in sides]
    if len(sides) == 1:
        return _interval(float(values[0]), np.round(drawn[0], DECIMALS), draws.level, flag)
    with np.errstate(all="ignore"):
        value = 100 * (values[0] / values[1] - 1)
        samples = np.round(100 * (drawn[0] / drawn[1] - 1), DECIMALS)
    return _interval(float(np.round(value, DECIMALS)), samples, draws.level, flag)


def _rank(size: int) -> int:
    """Nearest rank of the 95th percentile: the smallest k with k/n >= .95, in whole numbers."""
    return -(-95 * size // 100)


def _quantiles(ordered: Array, resamples: int, generator: np.random.Generator) -> Array:
    """The 95th percentile of each resample [R], exactly as if every resample were sorted.

    The k-th smallest of n uniforms is Beta(k, n+1-k); times n, cut to a whole number, it is the
    place in `ordered` of the k-th smallest of n draws with replacement.
    """
    size = len(ordered)
    rank = _rank(size)
    place = np.floor(size * generator.beta(rank, size + 1 - rank, size=resamples)).astype(int)
    return np.asarray(ordered[np.minimum(place, size - 1)], dtype=np.float64)
