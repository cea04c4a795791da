"""Resamples of summed statistics: row by row, or by the normal limit of the same draws.

A metric over a test set is a function of column sums, so a resample needs only those. Rows are
drawn with replacement within their unit; those of units of fewer than `LEAST` rows from one pool,
because n rows drawn among themselves show only (n - 1) / n of their variance, and one row none of
it. How units differ counts as noise there, so that bounds are wider rather than too narrow. Where
many rows move, the sums of a resample are all but normal, and then they are drawn as such: one
multivariate normal with the rows' covariance, and the metric of its sums. That is done only where
(`near_normal`)

- at least `FEW` rows move, that is, differ between the two sides, and
- the bound's first Edgeworth term, skew (z^2 - 1) / 6 standard errors of the linearised metric
  (Hall, The Bootstrap and Edgeworth Expansion, 1992), is below the Monte Carlo error of as many
  draws row by row, sqrt(a (1 - a) / R) / phi(z).

So the limit is never used where it is known to be further off than the draws themselves are. More
resamples ask for more: they shrink the second number.

>>> import numpy as np
>>> rows = Strata([np.column_stack([np.ones(400), np.arange(400) % 2])])
>>> sums = resampled(rows, lambda t: t[..., 1] / t[..., 0], Draws(2_000))
>>> sums.shape, round(float(sums[:, 1].std()))
((2000, 2), 10)

Equal rows in equal order give equal bits; `Side.aligned` sorts them by their hashes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Score = Callable[[Array], Array]
"""Column sums [..., k] -> the primary metric in percent [...]."""

FEW = 100
"""Rows below which the limit is not asked: there, drawing row by row costs little."""
LEAST = 30
"""Rows of a unit that are drawn among themselves: their deviation is told within 2%."""
CHUNK = 2_000_000
"""Counts held at once: 16 MB."""
_NORMAL = NormalDist()


@dataclass(frozen=True)
class Draws:
    """How to resample: how often, at which one-sided level, from which seed."""

    resamples: int = 10_000
    level: float = 0.05
    seed: int = 0

    def generator(self, stream: int = 0) -> np.random.Generator:
        """A fresh generator of a fixed kind; streams of one seed are independent."""
        return np.random.Generator(np.random.PCG64([self.seed % 2**63, stream]))


class Strata:
    """Rows [n, k] of each unit, small ones together, with what is needed more than once."""

    def __init__(self, rows: Sequence[Array], moving: Sequence[NDArray[np.bool_]] | None = None):
        """`moving`: which rows of each differ between two sides; default all, for one side."""
        given = moving or [np.ones(len(one), dtype=np.bool_) for one in rows]
        every = [(one, moves) for one, moves in zip(rows, given, strict=True) if len(one)]
        kept = [pair for pair in every if len(pair[0]) >= LEAST]
        if small := [pair for pair in every if len(pair[0]) < LEAST]:
            pool, moves = (np.concatenate(part) for part in zip(*small, strict=True))
            kept.append((pool, moves))
        self.rows, self.moving = [one for one, _ in kept], [moves for _, moves in kept]
        self.n = sum(len(one) for one in self.rows)

    @staticmethod
    def of_pairs(pairs: Sequence[tuple[Array, Array]]) -> Strata:
        """Two sides of the same rows, new [n, k] before old [n, k], as rows [n, 2k]."""
        moving = [(new != old).any(axis=1) for new, old in pairs]
        return Strata([np.concatenate(pair, axis=1) for pair in pairs], moving)

    @cached_property
    def total(self) -> Array:
        """Column sums [k]."""
        return np.asarray(np.sum([rows.sum(axis=0) for rows in self.rows], axis=0))

    @cached_property
    def centred(self) -> list[Array]:
        """Rows less their stratum's mean."""
        return [rows - rows.mean(axis=0) for rows in self.rows]

    @cached_property
    def scatter(self) -> Array:
        """The covariance [k, k] of the sums of a resample."""
        return np.asarray(np.sum([rows.T @ rows for rows in self.centred], axis=0))

    @cached_property
    def moved(self) -> int:
        """How many rows move."""
        return sum(int(moves.sum()) for moves in self.moving)

    def apart(self) -> Array:
        """Of pairs, new less old in the rows that move [m, k / 2]."""
        some = np.concatenate(
            [rows[moves] for rows, moves in zip(self.rows, self.moving, strict=True)]
        )
        half = some.shape[1] // 2
        return some[:, :half] - some[:, half:]


def resampled(strata: Strata, score: Score, draws: Draws) -> Array:
    """Column sums of each resample [R, k]; rows are drawn within their stratum.

    Args:
        strata: the rows.
        score: what is made of the sums; it says whether they are near enough to normal.
        draws: resamples, level and seed.
    """
    generator = draws.generator()
    if near_normal(strata, score, draws):
        return strata.total + _normal(strata.scatter, generator, draws.resamples)
    drawn = (
        _row_by_row(rows, moves, generator, draws.resamples)
        for rows, moves in zip(strata.rows, strata.moving, strict=True)
    )
    return sum(drawn, np.zeros((draws.resamples, len(strata.total))))


def near_normal(strata: Strata, score: Score, draws: Draws) -> bool:
    """Whether the limit's known error is below that of the draws, see the module."""
    level = min(max(draws.level, 1 / (draws.resamples + 1)), 0.5)
    if strata.moved < FEW or not level > 0:
        return False
    with np.errstate(all="ignore"):
        influence = _influence(strata, score)
        second, third = float(influence @ influence), float((influence**3).sum())
        if not (math.isfinite(second) and math.isfinite(third) and second > 0):
            return False
        skew = abs(third) / second**1.5
    z = _NORMAL.inv_cdf(level)
    edgeworth = skew * max(abs(z * z - 1), 1) / 6
    return edgeworth <= math.sqrt(level * (1 - level) / draws.resamples) / _NORMAL.pdf(z)


def swapped(strata: Strata, score: Score, draws: Draws) -> Array:
    """Changes [R] where the two sides of each pair change places by the toss of a coin.

    The permutation law of "both sides answer alike"; only rows that move matter. From `FEW` rows
    on, the sum of tosses is drawn by its normal limit: it has no skew.
    """
    generator = draws.generator(1)
    half = len(strata.total) // 2
    middle = (strata.total[:half] + strata.total[half:]) / 2
    apart = strata.apart() / 2
    if len(apart) < FEW:
        tosses = generator.integers(0, 2, size=(draws.resamples, len(apart)), dtype=np.bool_)
        lead = tosses.astype(np.float64) @ (2 * apart) - apart.sum(axis=0)
    else:
        lead = _normal(apart.T @ apart, generator, draws.resamples)
    return score(middle + lead) - score(middle - lead)


def _influence(strata: Strata, score: Score) -> Array:
    """What each row [n] adds to the linearised score.

    The slope along each column is taken over one standard error of its sum, the step that resamples
    make.
    """
    reach = np.sqrt(np.diag(strata.scatter))
    steps = np.diag(reach)
    rise = score(strata.total + steps) - score(strata.total - steps)
    slope = np.divide(rise, 2 * reach, out=np.zeros_like(reach), where=reach > 0)
    return np.concatenate([rows @ slope for rows in strata.centred])


def _row_by_row(
    rows: Array, moves: NDArray[np.bool_], generator: np.random.Generator, resamples: int
) -> Array:
    """Sums of n rows drawn with replacement [R, k].

    Where many rows stand still, how many of the draws move is drawn first, those are drawn one by
    one, and the sum of the others by its limit: equal on both sides, it does not shift a change.
    """
    still = rows[~moves]
    if len(still) < FEW:
        return _picked(rows, np.full(resamples, len(rows)), generator)
    counts = generator.binomial(len(rows), len(rows[moves]) / len(rows), size=resamples)
    rest = (len(rows) - counts)[:, None]
    noise = _normal(Strata([still]).scatter / len(still), generator, resamples)
    return _picked(rows[moves], counts, generator) + rest * still.mean(axis=0) + rest**0.5 * noise


def _picked(rows: Array, counts: NDArray[np.int64], generator: np.random.Generator) -> Array:
    """Sums of `counts` rows each [R, k], each drawn evenly from all."""
    totals = np.zeros((len(counts), rows.shape[1]))
    if not len(rows):
        return totals
    step = max(1, CHUNK // len(rows))
    for start in range(0, len(counts), step):
        some = counts[start : start + step]
        cells = np.repeat(np.arange(len(some)) * len(rows), some)
        cells += generator.integers(len(rows), size=len(cells))
        times = np.bincount(cells, minlength=len(some) * len(rows)).reshape(len(some), -1)
        totals[start : start + step] = times.astype(np.float64) @ rows
    return totals


def _normal(covariance: Array, generator: np.random.Generator, resamples: int) -> Array:
    """Draws [R, k] around 0.

    Without BLAS, whose threads cost more than they give on so little, and whose last bits depend
    on how many there are.
    """
    root = _root(covariance)
    root = root[:, root.any(axis=0)]
    drawn = generator.standard_normal((resamples, root.shape[1]))
    return np.asarray(np.einsum("rk,jk->rj", drawn, root))


def _root(covariance: Array) -> Array:
    """Lower triangular L with L L' = covariance, which may be singular.

    A column that the earlier ones explain gets 0. Unlike an eigendecomposition it moves little with
    the last bits of its input, so that other machines draw the same.
    """
    root = np.zeros_like(covariance)
    for at in range(len(covariance)):
        rest = covariance[at:, at] - root[at:, :at] @ root[at, :at]
        if rest[0] > 1e-10 * covariance[at, at]:
            root[at:, at] = rest / math.sqrt(rest[0])
    return root
