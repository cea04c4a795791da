"""Bounds, p values and rows needed, from resamples of statistics that sum.

A bound is an order statistic of resampled scores (`resampling`), and a p value the smallest level
at which the bound would reach the limit. Resamples cannot hold what no row of the sample showed: of
100 rows none of which was lost, they all say "no loss", although 3 in 100 may be. So where a row's
reach is known (`unseen`), a bound also allows for one row more, at the worst end:

    w = value - order statistic,  u = what one such row would take off the value: 100 points over
    the rows, or over as many of one size as they are worth (`alike`)
    low = value - u - sqrt(w^2 + (u (-ln a - 1))^2)

Without any noise that is the rule of three (the exact bound of a count of none, -ln a rows), with
losses alone it is within 3% of the exact Poisson bound (Garwood, Biometrika 28, 1936), and with
noise all around it costs one row in n. Without it rare and total losses pass up to four times as
often as the level says; `benchmarks/gate_errors.py` shows both.

>>> import numpy as np
>>> old = np.column_stack([np.ones(200), np.arange(200) % 2])
>>> new = np.column_stack([np.ones(200), np.ones(200)])
>>> found = paired([(new, old)], lambda t: 100 * t[..., 1] / t[..., 0], Draws(1000))
>>> found.value, found.low > 40, found.high < 60, found.p_below(1.0) < 0.01
(50.0, True, True, True)

Everything is float64, from one seeded generator, and resampled scores are rounded to nine decimals:
equal rows in equal order give equal bits.

What it does not cover: rows that depend on each other (several questions on one context) count as
independent.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np

from onward.evaluation.resampling import Array, Draws, Score, Strata, resampled, swapped

__all__ = [
    "Array",
    "Draws",
    "Interval",
    "Paired",
    "Score",
    "holm",
    "p95",
    "p95_change",
    "paired",
    "pooled",
    "rows_needed",
    "single",
]

POWER = 0.80
DECIMALS = 9
MOST_ROWS = 1e12
"""More than this is as good as never."""
MIN_TIMINGS = 20
"""Below this the 95th percentile is the largest value, and its resamples cannot exceed it."""
SHARE = 0.95
"""Of the timings that lie at or below their 95th percentile."""

NO_ROWS, ONE_ROW, NOT_FINITE = "no rows", "one row only", "not finite"
TOO_FINE, FEW_TIMINGS = "more resamples needed", "too few timings"


@dataclass(frozen=True)
class Interval:
    """A value with its one-sided bounds at one level.

    Where `flag` is set, the bounds are the value itself (0 where there is none) and mean nothing.
    Only of FEW_TIMINGS `low` is a bound, and `high` the largest timing.
    """

    value: float
    low: float
    high: float
    error: float
    """The standard error of `value`."""
    flag: str = ""
    samples: Array = field(default_factory=lambda: np.zeros(0), repr=False, compare=False)
    """The resampled values, ascending."""
    lows: Array = field(default_factory=lambda: np.zeros(0), repr=False, compare=False)
    """The lower bound at each level 1/(R+1), 2/(R+1), ..., ascending."""
    highs: Array = field(default_factory=lambda: np.zeros(0), repr=False, compare=False)
    """The upper bound at each level, likewise; the finest level is the last."""

    def p_below(self, limit: float) -> float:
        """p of "the truth lies below `limit`": the smallest level whose bound reaches it."""
        below = int(np.searchsorted(self.lows, limit, side="left"))
        return min(1.0, (below + 1) / (len(self.lows) + 1))

    def p_above(self, limit: float) -> float:
        """p of "the truth lies above `limit`"."""
        above = len(self.highs) - int(np.searchsorted(self.highs, limit, side="right"))
        return min(1.0, (above + 1) / (len(self.highs) + 1))


@dataclass(frozen=True, eq=False)
class Paired:
    """Both sides of the same rows, one (new [n, k], old [n, k]) for each unit."""

    strata: Strata
    score: Score
    draws: Draws

    @staticmethod
    def of(pairs: Sequence[tuple[Array, Array]], score: Score, draws: Draws) -> Paired:
        """Rows are drawn within their own unit; `score` is from column sums to percent."""
        return Paired(Strata.of_pairs(pairs), score, draws)

    def scores(self) -> tuple[float | None, float | None]:
        """New and old, all rows together; None where one is not finite."""
        with np.errstate(all="ignore"):
            total = self.strata.total
        half = len(total) // 2
        return _finite(total[:half], self.score), _finite(total[half:], self.score)

    def change(self, *, unseen: float | None = None) -> Interval:
        """New minus old. `unseen`: allow for one row beside so many, lost or gained by 100."""
        return _bootstrap(self.strata, self._apart, self.draws, (-100.0, 100.0), unseen)

    def no_change(self) -> float:
        """Two-sided p of "both sides answer alike", by exchanging the sides of rows at random."""
        with np.errstate(all="ignore"):
            moved = abs(np.round(self._apart(self.strata.total), DECIMALS))
            shuffled = np.abs(np.round(swapped(self.strata, self.score, self.draws), DECIMALS))
        return (int((shuffled >= moved).sum()) + 1) / (self.draws.resamples + 1)

    def _apart(self, totals: Array) -> Array:
        half = totals.shape[-1] // 2
        return self.score(totals[..., :half]) - self.score(totals[..., half:])


def paired(strata: Sequence[tuple[Array, Array]], score: Score, draws: Draws) -> Interval:
    """The change, new minus old, on the same rows.

    Args:
        strata: (new [n, k], old [n, k]) of each unit; rows are drawn within their own unit.
        score: from column sums to percent.
        draws: resamples, level and seed.
    """
    return Paired.of(strata, score, draws).change()


def single(
    strata: Sequence[Array], score: Score, draws: Draws, *, unseen: float | None = None
) -> Interval:
    """One side's score; as `paired`, with one [n, k] array for each unit.

    `unseen`: allow for one row beside so many, worth 0 or 100.
    """
    return _bootstrap(Strata(strata), score, draws, (0.0, 100.0), unseen)


def alike(sizes: Array) -> float:
    """How many rows of one size rows of these sizes are worth (Kish, Survey Sampling, 1965).

    Where 300 rows hold 20 entities, a micro average over entities rests on 20 of them.

    >>> alike(np.ones(300)), alike(np.repeat([0.0, 1.0], [280, 20])), alike(np.array([4.0, 1, 1]))
    (300.0, 20.0, 2.0)

    Where no row has a size, each counts.
    """
    squares = float((sizes**2).sum())
    return float(sizes.sum()) ** 2 / squares if squares else float(len(sizes))


def pooled(strata: Sequence[Array], score: Score) -> float | None:
    """The score of all rows together; None where it is not finite."""
    with np.errstate(all="ignore"):
        return _finite(Strata(strata).total, score)


def _finite(total: Array, score: Score) -> float | None:
    with np.errstate(all="ignore"):
        value = float(np.round(score(total), DECIMALS)) + 0.0  # plain, where it is -0.0
    return value if math.isfinite(value) else None


def holm(p_values: Sequence[float], level: float) -> list[bool]:
    """Which of several hypotheses fall at a joint level (Holm, Scand. J. Statistics 6, 1979)."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    fallen = [False] * len(p_values)
    for rank, at in enumerate(order):
        if not p_values[at] <= level / (len(order) - rank):
            break
        fallen[at] = True
    return fallen


def _bootstrap(
    strata: Strata,
    score: Score,
    draws: Draws,
    ends: tuple[float, float],
    unseen: float | None,
) -> Interval:
    if strata.n == 0:
        return Interval(0.0, 0.0, 0.0, 0.0, NO_ROWS)
    if not all(np.isfinite(rows).all() for rows in strata.rows):
        return Interval(0.0, 0.0, 0.0, 0.0, NOT_FINITE)
    with np.errstate(all="ignore"):  # an overflow shows as a value that is not finite
        value = float(np.round(score(strata.total), DECIMALS)) + 0.0
        samples = np.round(score(resampled(strata, score, draws)), DECIMALS) + 0.0
    reach = (0.0, 0.0)
    if unseen is not None:
        reach = (max(value - ends[0], 0.0) / unseen, max(ends[1] - value, 0.0) / unseen)
    flag = ONE_ROW if strata.n == 1 else ""
    return _interval(value, np.asarray(samples, dtype=np.float64), draws.level, flag, reach)


def _interval(
    value: float,
    samples: Array,
    level: float,
    flag: str = "",
    unseen: tuple[float, float] = (0.0, 0.0),
) -> Interval:
    """Bounds by order statistics: `low >= x` exactly where `p_below(x) <= level`."""
    with np.errstate(all="ignore"):
        error = float(np.round(samples.std(), DECIMALS))
    if not (math.isfinite(value) and math.isfinite(error)):
        return Interval(0.0, 0.0, 0.0, 0.0, NOT_FINITE)
    ordered = np.sort(samples)
    lows = np.round(value - _widened(value - ordered, unseen[0]), DECIMALS) + 0.0
    highs = np.round(value + _widened(ordered[::-1] - value, unseen[1])[::-1], DECIMALS) + 0.0
    # The guard against 0.05 * 10_001 falling a hair below a whole number.
    reach = level * (len(ordered) + 1) + 1e-9
    if not (reach >= 1 and level < 1):
        return Interval(value, value, value, error, flag or TOO_FINE, ordered, lows, highs)
    index = math.floor(reach) - 1
    low, high = float(lows[index]), float(highs[len(highs) - 1 - index])
    return Interval(value, low, high, error, flag, ordered, lows, highs)


def _widened(widths: Array, unseen: float) -> Array:
    """Distances from the value to a bound, the finest level first, with one row more."""
    if not unseen:
        return widths
    levels = np.arange(1, len(widths) + 1) / (len(widths) + 1)
    tail = unseen * np.maximum(-np.log(levels) - 1, 0.0)
    outward = np.hypot(np.maximum(widths, 0.0), tail)
    return np.asarray(unseen + outward + np.minimum(widths, 0.0))


def rows_needed(
    rows: int, error: float, distance: float, level: float, unseen: float = 0.0
) -> int | None:
    """Rows that would show a true `distance` from the limit with 80% power.

    n with  distance * n - unseen = sqrt((z_a s)^2 n + (unseen (-ln a - 1))^2) + z_.8 s sqrt(n),
    s = error * sqrt(rows); without `unseen` that is rows * ((z_a + z_.8) * error / distance)^2.

    Args:
        rows: how many `error` was measured on.
        error: the standard error of the value.
        distance: from the limit, for the truth that is assumed.
        level: one-sided.
        unseen: points of the one row that the bound allows for.

    Returns:
        None: no number of rows would (the distance is not positive), or nothing is known of the
        noise.
    """
    if rows < 2 or not (math.isfinite(error) and math.isfinite(distance) and distance > 0):
        return None
    if not 0 < level < 1:
        return None
    z, power = -NormalDist().inv_cdf(level), NormalDist().inv_cdf(POWER)
    spread, tail = error * math.sqrt(rows), unseen * max(-math.log(level) - 1, 0.0)

    def enough(n: float) -> bool:
        noise = math.hypot(z * spread * math.sqrt(n), tail) + power * spread * math.sqrt(n)
        return distance * n - unseen >= noise

    least, most = 0.0, 1.0
    while not enough(most):
        least, most = most, 2 * most
        if not math.isfinite(most) or most > MOST_ROWS:
            return None
    for _ in range(60):
        middle = (least + most) / 2
        least, most = (least, middle) if enough(middle) else (middle, most)
    return math.ceil(round(most, 6))


def p95(samples: Sequence[float], draws: Draws) -> Interval:
    """The 95th percentile (nearest rank) of timings, in their unit, with exact bounds.

    The k-th smallest of n lies below the percentile with a chance of at most P(Bin(n, .95) >= k),
    whatever the timings' law (David and Nagaraja, Order Statistics, 2003, section 7.1). From above
    there is no bound where .95^n is more than the level: see `timings_needed`.
    """
    side = np.asarray(samples, dtype=np.float64)
    if flag := _unusable([side]):
        return Interval(0.0, 0.0, 0.0, 0.0, flag)
    ordered, tail = np.sort(side), _tail(side.size)
    levels = np.arange(1, draws.resamples + 1) / (draws.resamples + 1)
    value = float(ordered[_rank(side.size) - 1])
    low, high = (float(each[0]) for each in _exact(ordered, tail, np.array([draws.level])))
    lows, highs = _exact(ordered, tail, levels)
    flag = "" if math.isfinite(high) else FEW_TIMINGS
    high = float(ordered[-1]) if flag else high
    return Interval(value, low, high, 0.0, flag, ordered, lows, highs[::-1])


def timings_needed(level: float) -> int:
    """Timings below which none bounds their 95th percentile from above.

    >>> timings_needed(0.05), timings_needed(0.025)
    (59, 72)
    """
    return math.ceil(math.log(max(level, sys.float_info.min)) / math.log(SHARE))


def _tail(size: int) -> Array:
    """P(Bin(n, .95) >= k) for k = 0, 1, ..., n."""
    ways = [math.lgamma(size + 1) - math.lgamma(k + 1) - math.lgamma(size - k + 1)
            for k in range(size + 1)]  # fmt: skip
    k = np.arange(size + 1)
    chances = np.exp(np.array(ways) + k * math.log(SHARE) + (size - k) * math.log1p(-SHARE))
    return np.asarray(np.minimum(np.cumsum(chances[::-1])[::-1], 1.0))


def _exact(ordered: Array, tail: Array, levels: Array) -> tuple[Array, Array]:
    """The lower and the upper bound at each level; infinite where no timing is one from above."""
    above = np.searchsorted(-tail, -levels, side="left")
    below = np.searchsorted(-tail, -(1 - levels), side="right") - 1
    places = np.concatenate([[0.0], ordered, [math.inf]])
    return places[np.maximum(below, 0)], places[np.maximum(above, 1)]


def p95_change(new: Sequence[float], old: Sequence[float], draws: Draws) -> Interval:
    """The change of the 95th percentile in percent of the old one's, resampled."""
    sides = [np.asarray(side, dtype=np.float64) for side in (new, old)]
    if flag := _unusable(sides):
        return Interval(0.0, 0.0, 0.0, 0.0, flag)
    flag = FEW_TIMINGS if min(side.size for side in sides) < MIN_TIMINGS else ""
    values = [np.sort(side)[_rank(side.size) - 1] for side in sides]
    generator = draws.generator()
    drawn = [_quantiles(np.sort(side), draws.resamples, generator) for side in sides]
    with np.errstate(all="ignore"):
        value = 100 * (values[0] / values[1] - 1)
        samples = np.round(100 * (drawn[0] / drawn[1] - 1), DECIMALS)
    return _interval(float(np.round(value, DECIMALS)), samples, draws.level, flag)


def _unusable(sides: list[Array]) -> str:
    if any(side.size == 0 for side in sides):
        return NO_ROWS
    return "" if all(np.isfinite(s).all() and (s > 0).all() for s in sides) else NOT_FINITE


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
