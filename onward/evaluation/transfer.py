"""What a line of versions kept and gained, from the rows that each of them was scored on.

With a[v, u] the score of version v on unit u, in percent, T the last version of the line, and
every mean taken over units:

    average     a[T, u] over the units learned by T or before it (where none was, as by a model that
                was adopted: over all that T was scored on)
    forgetting  max over v before T of a[v, u], minus a[T, u], over the units learned before T
                (Chaudhry et al. 2018, "Riemannian Walk for Incremental Learning")
    backward    a[T, u] minus a[first version that learned u, u], over the same units
    forward     a[version before that one, u] minus the recipe's trivial baseline, over the units
                learned by any version but the first (both: Lopez-Paz & Ranzato 2017, "Gradient
                Episodic Memory"; theirs is relative to a model with random weights, which for a
                new head answers about as the trivial baseline does)
    gap         a[J, u] minus a[T, u], J being a model trained on everything at once

The scores of a unit are compared on the rows that all of them have, and resampled together, so
each interval is a paired one. Units share no rows and are resampled independently of each other.

>>> cells = {(v, "a"): Cell(("r1", "r2"), np.array([[1.0, x], [1.0, 1.0]]))
...          for v, x in (("v1", 1.0), ("v2", 0.0))}
>>> line = Line(("v1", "v2"), {"v1": ("a",)}, cells, lambda t: 100 * t[..., 1] / t[..., 0])
>>> measure(line, "forgetting", Draws(1_000)).value
50.0

What it does not cover: the maximum in `forgetting` favours versions that were lucky on these rows,
so it lies above zero also where nothing was forgotten; `backward` has no such bias.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from onward.evaluation import statistics
from onward.evaluation.statistics import Array, Draws, Score

BASELINE = "baseline"
"""The name under which the trivial baseline's rows stand among the versions'."""

DRAWS = Draws(2_000)

Name = Literal["average", "forgetting", "backward", "forward", "gap"]
NAMES: tuple[Name, ...] = ("average", "forgetting", "backward", "forward", "gap")


@dataclass(frozen=True, eq=False)
class Cell:
    """What one version answered on one unit: row hashes, sorted, and their statistics [n, k]."""

    rows: tuple[str, ...]
    statistics: Array

    def of(self, rows: tuple[str, ...]) -> Array:
        """The statistics of these rows, which must be among its own; all in sorted order."""
        if rows == self.rows:
            return self.statistics
        wanted = set(rows)
        return self.statistics[[row in wanted for row in self.rows]]


Cells = Mapping[tuple[str, str], Cell]
"""(version, unit) -> cell; what was never scored is not there."""


@dataclass(frozen=True, eq=False)
class Line:
    """Versions from the first to T, each made while the one before it served."""

    versions: tuple[str, ...]
    learned: Mapping[str, tuple[str, ...]]
    """Version -> the units of its own turn."""
    cells: Cells
    score: Score
    gone: frozenset[str] = frozenset()
    """Withdrawn units: no measure counts them."""

    def units(self) -> list[str]:
        """The units that T was scored on and that are not withdrawn, sorted."""
        last = self.versions[-1] if self.versions else ""
        return sorted(u for v, u in self.cells if v == last and u not in self.gone)

    def first(self, unit: str) -> int | None:
        """The place in the line of the version that learned a unit first."""
        for at, version in enumerate(self.versions):
            if unit in self.learned.get(version, ()):
                return at
        return None


@dataclass(frozen=True)
class Measure:
    """A mean over units in points of the metric, with its two one-sided bounds."""

    name: Name
    value: float
    low: float
    high: float
    units: int
    rows: int


def measures(
    line: Line, joint: Mapping[str, Cell] | None = None, draws: Draws = DRAWS
) -> list[Measure]:
    """All measures that this line has rows for, in the order of NAMES.

    Args:
        line: the versions, what each learned, and what each was scored on.
        joint: unit -> the rows of the model that the gap is measured to.
        draws: resamples, one-sided level and seed.
    """
    found = (measure(line, name, draws, joint) for name in NAMES)
    return [one for one in found if one is not None]


def measure(
    line: Line, name: Name, draws: Draws = DRAWS, joint: Mapping[str, Cell] | None = None
) -> Measure | None:
    """One measure; None where no unit has the rows that it needs."""
    compared = list(_compared(line, name, joint or {}))
    if not compared:
        return None
    combine = _COMBINE[name]
    told = [_one(cells, combine, line.score, draws, at) for at, cells in enumerate(compared)]
    values = [value for value, _, _ in told]
    if not all(map(math.isfinite, values)):
        return None
    samples = np.mean([drawn for _, drawn, _ in told], axis=0)
    low, high = np.quantile(samples, [draws.level, 1 - draws.level], method="closest_observation")
    value = round(float(np.mean(values)), statistics.DECIMALS)
    low, high = (round(float(bound), statistics.DECIMALS) for bound in (low, high))
    return Measure(name, value, low, high, len(told), sum(rows for _, _, rows in told))


def value(cell: Cell | None, score: Score) -> float | None:
    """A cell's score in percent; None where there is no cell, or nothing finite in it."""
    return statistics.pooled([cell.statistics], score) if cell and cell.rows else None


_COMBINE: dict[Name, Callable[[Array], Array]] = {
    "average": lambda s: s[..., 0],
    "forgetting": lambda s: s[..., :-1].max(axis=-1) - s[..., -1],
    "backward": lambda s: s[..., 1] - s[..., 0],
    "forward": lambda s: s[..., 0] - s[..., 1],
    "gap": lambda s: s[..., 0] - s[..., 1],
}
"""Scores [..., m] of the cells that `_compared` gives -> the unit's value [...]."""


def _compared(line: Line, name: Name, joint: Mapping[str, Cell]) -> Iterator[list[Cell]]:
    """The cells of each unit that has all it needs."""
    last = len(line.versions) - 1
    taught = any(line.learned.get(version) for version in line.versions)
    for unit in line.units():
        at = {n: line.cells.get((v, unit)) for n, v in enumerate(line.versions)}
        first = line.first(unit)
        if name == "average":
            wanted = [at[last] if first is not None or not taught else None]
        elif name == "gap":
            wanted = [joint.get(unit), at[last]]
        elif name == "forward":
            wanted = [at[first - 1], line.cells.get((BASELINE, unit))] if first else [None]
        elif first is None or first == last:
            wanted = [None]
        elif name == "backward":
            wanted = [at[first], at[last]]
        else:
            earlier = [cell for n, cell in at.items() if n < last and cell is not None]
            wanted = [*earlier, at[last]] if earlier else [None]
        cells = [cell for cell in wanted if cell is not None]
        if len(cells) == len(wanted) and _shared(cells):
            yield cells


def _shared(cells: list[Cell]) -> tuple[str, ...]:
    """The rows that all of them have, sorted."""
    return tuple(sorted(set.intersection(*(set(cell.rows) for cell in cells))))


def _one(
    cells: list[Cell], combine: Callable[[Array], Array], score: Score, draws: Draws, at: int
) -> tuple[float, Array, int]:
    """One unit's value, its resamples [R] and its number of rows."""
    rows = _shared(cells)
    joined = np.concatenate([cell.of(rows) for cell in cells], axis=1)
    width = len(cells)

    def unit(totals: Array) -> Array:
        return combine(score(totals.reshape(*totals.shape[:-1], width, -1)))

    found = statistics.single([joined], unit, draws)
    if found.flag in (statistics.NO_ROWS, statistics.NOT_FINITE):
        return math.nan, np.zeros(draws.resamples), 0
    # The interval keeps its resamples sorted. Put back into some order, they are independent of
    # the other units' again, as the units are.
    order = np.random.Generator(np.random.PCG64([draws.seed % 2**63, at]))
    return found.value, order.permutation(found.samples), len(rows)
