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

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Kind = Literal["accuracy", "final"]


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

    def aligned(self) -> Array:
        """Statistics [n, k] in the order of the row hashes."""
        order = sorted(range(len(self.rows)), key=self.rows.__getitem__)
        return np.asarray(self.statistics, dtype=np.float64)[order]


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

    def problem(self, which: Literal["new", "old"], width: int) -> str:
        """Why this side cannot be used, in words that follow the unit's name; empty: it can."""
        side = self.new if which == "new" else self.old
        if not self.rows:
            return "has no test rows"
        if side is None:
            return "was not scored"
        missing = len(set(self.rows) - set(side.rows))
        if missing:
            return f"{missing} of {len(set(self.rows))} rows were not scored"
        if sorted(side.rows) != sorted(self.rows) or len(set(side.rows)) != len(side.rows):
            return "has scored rows that are doubled or not in its test set"
        if np.shape(side.statistics) != (len(side.rows), width):
            return "has statistics that do not fit its rows"
        wrong = int((~np.isfinite(side.statistics)).any(axis=1).sum())
        return f"{wrong} of {len(side.rows)} rows are not finite" if wrong else ""


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

    @property
    def learning(self) -> tuple[str, ...]:
        """Names of the learning units, sorted."""
        return tuple(sorted(unit.name for unit in self.units if unit.learning))
