"""Evidence: everything a gate's decision rests on, and nothing else.

>>> side = Side(("a", "b"), np.ones((2, 2)))
>>> Unit("0001-faq", known=True, learning=False, rows=("a", "b"), new=side).problem("new")
''
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
    artifact: str = ""
    provider: str = ""
    scorer: str = ""


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


@dataclass(frozen=True)
class Budgets:
    """Timings at the serving shape and memory, of the chosen variant and of the champion's."""

    new_ms: tuple[float, ...] = ()
    old_ms: tuple[float, ...] = ()
    memory_mb: float | None = None


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
    statistics: tuple[str, ...] = ()
    """Names of the k statistics."""
    metric: str = "F1"
    subject: str = "checkpoint"
    """What was scored, in words: "fp32 package, CPU"."""
    tries: int = 0
    """Other candidates already judged in this turn."""
    problems: tuple[str, ...] = ()
    """What could not be loaded or scored, each a reason to refuse."""
