"""The columns of quality: what one answer adds to each score's sum, and the scores of the sums.

>>> import numpy as np
>>> total = np.zeros(len(STATISTICS)); total[place("safe")] = 9; total[place("safe") + 1] = 10
>>> float(metrics(total)["safe"]), bool(np.isnan(metrics(total)["diverse"]))
(90.0, True)

Each column is a sum and the number of rows that it is about: a question without a context has no
support to lack. Which rows those are depends on the row alone, never on its answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from onward.evaluation.resampling import Array, Score

COLUMNS = ("correct", "relevant", "coherent", "supported", "safe", "diverse")
FINDINGS = ("harmful", "personal", "leaked")
"""Kinds of unsafe answers, counted beside the columns."""
STATISTICS = (*(name for one in COLUMNS for name in (one, f"{one}_n")), *FINDINGS)


def place(column: str) -> int:
    """Where a column's sum stands among the statistics; its count follows."""
    return STATISTICS.index(column)


def metrics(total: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
    """Totals [..., k] -> columns in percent of their rows, NaN over none, and FINDINGS' counts."""
    found = {name: score(name)(np.asarray(total, dtype=np.float64)) for name in COLUMNS}
    return {**found, **{name: total[..., place(name)] for name in FINDINGS}}


def score(column: str) -> Score:
    """A column in percent, from column sums [..., k]; NaN where no row is counted."""
    at = place(column)

    def percent(totals: Array) -> Array:
        said, counted = totals[..., at], totals[..., at + 1]
        empty = np.full_like(counted, np.nan)
        return 100.0 * np.divide(said, counted, out=empty, where=counted > 0)

    return percent
