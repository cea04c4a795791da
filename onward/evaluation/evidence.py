"""Evidence: everything that a gate's decision rests on, and nothing else.

Which rows a unit must hold is fixed before anything is scored. A side whose rows are missing,
doubled, extra or not finite is described by `problem`, never an exception: the gate refuses it.

>>> side = Side(("b", "a"), np.array([[1.0, 0.0], [1.0, 1.0]]))
>>> unit = Unit("0001-faq", known=True, learning=False, rows=("a", "b"), new=side)
>>> unit.problem("new", width=2), unit.problem("old", width=2)
('', 'was not scored')
>>> side.aligned()[:, 1]
array([1., 0.])
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Kind = Literal["accuracy", "final"]
Which = Literal["new", "old"]
DOUBLED = "has scored rows that are doubled or not in its test set"


@dataclass(frozen=True, eq=False)
class Side:
    """The scored rows of one artifact in one unit: statistics [n, k] aligned with row hashes."""

    rows: tuple[str, ...]
    statistics: Array
    predictions: tuple[str, ...] = ()
    """JSON of each prediction, aligned with rows; kept for the examples, not used to decide."""
    artifact: str = ""
    provider: str = ""
    scorer: str = ""
    quality: Array | None = None
    """Statistics [n, q] of the answers' quality, aligned with rows; None: not scored."""

    @cached_property
    def ordered(self) -> tuple[str, ...]:
        """The row hashes, sorted."""
        return tuple(sorted(self.rows))

    def aligned(self) -> Array:
        """Statistics [n, k] in the order of the row hashes."""
        table = np.asarray(self.statistics, dtype=np.float64)
        if self.rows == self.ordered:
            return table
        return table[sorted(range(len(self.rows)), key=self.rows.__getitem__)]

    def aligned_quality(self) -> Array | None:
        """Quality [n, q] in the order of the row hashes; None where it was not scored whole."""
        if self.quality is None or len(self.quality) != len(self.rows):
            return None
        order = sorted(range(len(self.rows)), key=self.rows.__getitem__)
        return np.asarray(self.quality, dtype=np.float64)[order]

    def problem(self, wanted: tuple[str, ...], width: int) -> str:
        """Why it cannot be used for these rows, sorted; empty: it can."""
        if self.ordered != wanted:
            missing = len(set(wanted) - set(self.rows))
            if missing:
                return f"{missing} of {len(set(wanted))} rows were not scored"
            return DOUBLED
        if np.shape(self.statistics) != (len(self.rows), width):
            return "has statistics that do not fit its rows"
        if np.isfinite(self.statistics).all():
            return ""
        wrong = int((~np.isfinite(self.statistics)).any(axis=1).sum())
        return f"{wrong} of {len(self.rows)} rows are not finite"


@dataclass(frozen=True, eq=False)
class Unit:
    """One episode's held-out rows, as both sides answered them."""

    name: str
    known: bool
    learning: bool
    rows: tuple[str, ...]
    """The row hashes that must be there: the test set, fixed before scoring."""
    new: Side | None = None
    old: Side | None = None
    baseline: float | None = None
    """The trivial baseline's score on these rows, in percent; needed for a first champion."""
    group: str | None = None
    """The group of small episodes it was opened in; known units of one group are pooled."""
    seeds: tuple[Side | None, ...] = ()
    """Every challenger's checkpoint on these rows, the candidate's first; empty: only one was
    trained."""
    slices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Slice -> its value for each of `rows`; "" where a row has none."""

    def side(self, which: Which) -> Side | None:
        """The challenger's or the champion's rows."""
        return self.new if which == "new" else self.old

    def problem(self, which: Which, width: int) -> str:
        """Why this side cannot be used, in words that follow the unit's name; empty: it can."""
        return self._problem(self.side(which), width)

    def seed_problem(self, at: int, width: int) -> str:
        """Why the challenger at this place cannot be used, as `problem`."""
        return self._problem(self.seeds[at] if at < len(self.seeds) else None, width)

    def _problem(self, side: Side | None, width: int) -> str:
        if not self.rows:
            return "has no test rows"
        if side is None:
            return "was not scored"
        return side.problem(self._ordered, width) or (DOUBLED if self._doubled else "")

    @cached_property
    def _ordered(self) -> tuple[str, ...]:
        return tuple(sorted(self.rows))

    @cached_property
    def _doubled(self) -> bool:
        return len(set(self.rows)) != len(self.rows)

    def members(self, name: str) -> NDArray[np.str_]:
        """A slice's value of each row, in the order of the row hashes; "" where it has none."""
        values = self.slices.get(name, ())
        if len(values) != len(self.rows):
            values = ("",) * len(self.rows)
        if self.rows != self._ordered:
            order = sorted(range(len(self.rows)), key=self.rows.__getitem__)
            values = tuple(values[at] for at in order)
        return np.array(values, dtype=np.str_)


@dataclass(frozen=True)
class Budgets:
    """Timings at the serving shape and memory, of the chosen variant and of the champion's."""

    new_ms: tuple[float, ...] = ()
    old_ms: tuple[float, ...] = ()
    memory_mb: float | None = None
    compared: bool = True
    """Whether the benchmark was to time the champion: it times the turn's base beside the
    challenger, which is the champion except in a turn that starts afresh. Then the absolute limits
    alone hold."""


@dataclass(frozen=True, eq=False)
class Swapped:
    """The rows of one kind of exchange, answered by the challenger's checkpoint in both forms."""

    kind: str
    rows: tuple[tuple[str, str], ...]
    """Unit and hash of each row as it was opened."""
    plain: Array
    """Statistics [n, k] of the rows as they are."""
    swapped: Array
    """The same rows exchanged, [n, k]."""
    changed: NDArray[np.bool_]
    """Whether the answer is another one, the exchange itself left aside, [n]."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """What `decide` looks at."""

    kind: Kind
    turn: str
    candidate: str
    champion: str | None
    """The version's name; None: there is none, so this would be the first champion."""
    units: tuple[Unit, ...]
    budgets: Budgets = field(default_factory=Budgets)
    recipe: str = "extractive"
    statistics: tuple[str, ...] = ()
    """Names of the k statistics."""
    metric: str = "F1"
    subject: str = "checkpoint"
    """What was scored, in words: "fp32 package, CPU"."""
    tries: int = 0
    """Other candidates already judged in this turn."""
    problems: tuple[str, ...] = ()
    """What could not be loaded or scored, each a reason to refuse."""
    right_or_wrong: bool = False
    """Whether every row's own score is 0 or 100, so that counts say all."""
    challengers: tuple[int, ...] = ()
    """Seeds that were trained, the candidate's first; fewer than two: there is no spread."""
    vanished: tuple[str, ...] = ()
    """Labels that the champion gives and the candidate does not have."""
    quality: tuple[str, ...] = ()
    """Names of the q statistics of answers' quality; empty: they are not scored."""
    swapped: tuple[Swapped, ...] | None = None
    """Rows answered in two forms, a kind of exchange each; None: not measured."""

    @property
    def learning(self) -> tuple[str, ...]:
        """Names of the learning units, sorted."""
        return tuple(sorted(unit.name for unit in self.units if unit.learning))
