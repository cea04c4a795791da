"""One side against the other on the rows of some units: the change, its bounds and its p values.

    rows = Rows(evidence, settings, level, score)
    found = rows.change([(unit, None)])     # or some of a unit's rows, by a mask
    found.interval.low, found.p_change, found.test

Where every row is right or wrong, counts say all (`proportions`); else rows are resampled
(`statistics`). Both allow for what no row of the sample happened to show.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from onward.config import Gate
from onward.evaluation import proportions, statistics
from onward.evaluation.evidence import Evidence, Unit, Which
from onward.evaluation.statistics import Array, Draws, Interval, Paired, Score

Chosen = tuple[Unit, NDArray[np.bool_] | None]
"""A unit, and which of its rows (sorted by hash); None: all."""

Sizes = Callable[[Array], Array]
"""Statistics [n, k] -> how much of the metric hangs on each row [n]: a recipe's `sizes`."""

BOOTSTRAP, FLIPS = "paired bootstrap", "sign flips"
TANGO, MCNEMAR = "Tango's score", "exact McNemar"
ONE_SIDE, WILSON = "bootstrap", "Wilson's score"
MOST_RESAMPLES = 100_000
"""However many slices there are: 16 MB for each of two statistics."""


def worth(tables: Sequence[Array], sizes: Sizes | None) -> float:
    """How many rows of one size those of some units [n, k] are worth."""
    if not tables:
        return 0.0
    every = np.concatenate(tables)
    return statistics.alike(sizes(every)) if sizes else float(len(every))


@dataclass(frozen=True)
class Change:
    """What was found on some rows."""

    rows: int
    interval: Interval
    test: str
    """What gave the bounds and what gave `p_change`."""
    new: float | None
    old: float | None = None
    p_change: float | None = None
    """Two-sided, against no change at all; None where one side stands alone."""
    moved: int = 0
    """Rows whose statistics differ between the sides."""
    alike: float = 0.0
    """Rows of one size that they are worth: fewer, where some hold more of the metric."""


class Rows:
    """The rows of one decision and how they are compared."""

    def __init__(
        self,
        evidence: Evidence,
        settings: Gate,
        level: float,
        score: Score,
        sizes: Sizes | None = None,
    ) -> None:
        self.evidence, self.score, self.sizes = evidence, score, sizes
        self.draws = Draws(settings.resamples, level, settings.seed)
        self._kept: dict[tuple[int, Which | int], Array] = {}

    def table(self, unit: Unit, side: Which | int) -> Array:
        """Statistics [n, k] of "new", "old" or a challenger's place, by row hash."""
        key = (id(unit), side)
        if key not in self._kept:
            found = unit.seeds[side] if isinstance(side, int) else unit.side(side)
            assert found is not None  # noqa: S101 - the problems were asked for before
            self._kept[key] = found.aligned()
        return self._kept[key]

    def change(self, chosen: Sequence[Chosen], draws: Draws | None = None) -> Change:
        """The change, new minus old, on the rows of several units.

        `draws`: default those of the settings.
        """
        pairs = [(self._some(one, "new"), self._some(one, "old")) for one in chosen]
        found = Paired.of(pairs, self.score, draws or self.draws)
        new, old = found.scores()
        alike = worth([pair[1] for pair in pairs], self.sizes)
        interval, p_change, test = self._tested(pairs, found, alike)
        return Change(found.strata.n, interval, test, new, old, p_change, found.strata.moved, alike)

    def among(self, hypotheses: int) -> Draws:
        """Draws that can show the finest level that Holm asks of one among so many."""
        wanted = MOST_RESAMPLES
        if hypotheses < MOST_RESAMPLES * self.draws.level:
            wanted = math.ceil(hypotheses / self.draws.level)
        return replace(self.draws, resamples=max(self.draws.resamples, wanted))

    def alone(self, units: Sequence[Unit]) -> Change:
        """The new side's score on the rows of several units."""
        tables = [self.table(unit, "new") for unit in units]
        rows = sum(len(table) for table in tables)
        right, alike = self._right(tables), worth(tables, self.sizes)
        found: Interval
        if right is None:
            found = statistics.single(tables, self.score, self.draws, unseen=alike)
        else:
            found = proportions.share(int(right.sum()), rows, self.draws.level)
        test = ONE_SIDE if right is None else WILSON
        return Change(rows, found, test, statistics.pooled(tables, self.score), alike=alike)

    def seeds(self, units: Sequence[Unit], value: float) -> tuple[float, ...]:
        """`value`, the candidate's, as each challenger has it.

        What the other seeds differ by is measured between checkpoints on the same rows, so that it
        also serves where the candidate was judged as a package.
        """
        scores = [
            statistics.pooled([self.table(unit, at) for unit in units], self.score) or 0.0
            for at in range(len(self.evidence.challengers))
        ]
        return tuple(round(value + score - scores[0], statistics.DECIMALS) for score in scores)

    def _some(self, chosen: Chosen, side: Which) -> Array:
        unit, mask = chosen
        table = self.table(unit, side)
        return table if mask is None else table[mask]

    def _tested(
        self, pairs: list[tuple[Array, Array]], found: Paired, alike: float
    ) -> tuple[Interval, float | None, str]:
        new, old = (self._right([pair[side] for pair in pairs]) for side in (0, 1))
        if new is not None and old is not None:
            gained, lost = int((new & ~old).sum()), int((old & ~new).sum())
            counted = proportions.change(gained, lost, len(new), self.draws.level)
            return counted, proportions.mcnemar(gained, lost), f"{TANGO}, {MCNEMAR}"
        change = found.change(unseen=alike)
        if change.flag in (statistics.NO_ROWS, statistics.NOT_FINITE):
            return change, None, ""
        return change, found.no_change(), f"{BOOTSTRAP}, {FLIPS}"

    def _right(self, tables: list[Array]) -> NDArray[np.bool_] | None:
        """Which rows are right; None where the recipe's rows are more than right or wrong."""
        if not self.evidence.right_or_wrong or not tables:
            return None
        with np.errstate(all="ignore"):
            scores = np.asarray(self.score(np.concatenate(tables)))
        return scores == 100 if np.isin(scores, (0, 100)).all() else None
