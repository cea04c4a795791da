"""Things to be found in a row (labels, entities, a relation): what was, as sums, and micro F1.

>>> total = counted({"a", "b"}, {"b", "c"}) + counted({"a"}, {"a"})
>>> {name: round(float(value), 1) for name, value in metrics(total).items()}
{'f1': 66.7, 'precision': 66.7, 'recall': 66.7, 'exact': 50.0, 'n': 2.0}
"""

from __future__ import annotations

from collections.abc import Set
from typing import Any

import numpy as np
from numpy.typing import NDArray

PRIMARY = "f1"
METRICS = ("f1", "precision", "recall", "exact")
"""Micro averages over all that is to be found, and the share of rows in which all is right."""

STATISTICS = ("n", "found", "false", "missed", "exact")
"""Rows; things rightly given, wrongly given and left out; rows in which all are right."""


def counted(right: Set[Any], told: Set[Any]) -> NDArray[np.float64]:
    """What a row adds to the totals, [5]."""
    counts = (1, len(right & told), len(told - right), len(right - told), right == told)
    return np.array(counts, dtype=np.float64)


def metrics(total: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
    """Totals [..., 5] -> METRICS in percent and n, each [...]; 0 over no rows.

    Where nothing was to be found and nothing was given, F1, precision and recall are 100; else a
    share of nothing is 0, as seqeval has it.
    """
    n, found, false, missed, exact = np.moveaxis(np.asarray(total, dtype=np.float64), -1, 0)
    nothing = np.where((n > 0) & (found + false + missed == 0), 100.0, 0.0)

    def share(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.divide(100.0 * part, whole, out=nothing.copy(), where=whole > 0)

    return {
        "f1": share(2 * found, 2 * found + false + missed),
        "precision": share(found, found + false),
        "recall": share(found, found + missed),
        "exact": 100.0 * np.divide(exact, n, out=np.zeros_like(n), where=n > 0),
        "n": n,
    }


def sizes(statistics: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much there is to be found in each row [n, 5]: what of the metric hangs on it."""
    found: NDArray[np.float64] = statistics[:, 1] + statistics[:, 3]
    return found


def row_scores(statistics: NDArray[np.float64]) -> NDArray[np.float64]:
    """What each row [n, 5] is worth: the F1 of what was to be found in it."""
    scores: NDArray[np.float64] = metrics(statistics)[PRIMARY]
    return scores
