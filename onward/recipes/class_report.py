"""What sums over rows do not give: scores by label, their plain mean, and calibration.

>>> found = by_class([{"a"}, {"a"}, {"b"}], [{"a"}, {"b"}, {"b"}])
>>> found["macro_f1"], [one["f1"] for one in found["classes"]]
(66.6667, [66.6667, 66.6667])
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence, Set
from typing import Any

import numpy as np

BINS = 15
_DECIMALS = 4


def by_class(
    gold: Sequence[Set[Any]], told: Sequence[Set[Any]], label_of: Callable[[Any], str] = str
) -> dict[str, Any]:
    """Each label with rows, precision, recall and F1 in percent, and the mean of the F1.

    Args:
        gold: what is right of each row: its labels, or things that have a label.
        told: what the model gave; right where it is equal.
        label_of: the label of a thing, whose things rows counts.

    Returns:
        classes: {label, rows, precision, recall, f1}, by label, of every label that is right or
        was given somewhere; macro_f1. A share of nothing is 0.
    """
    right: Counter[str] = Counter()
    given: Counter[str] = Counter()
    found: Counter[str] = Counter()
    for wanted, got in zip(gold, told, strict=True):
        right.update(map(label_of, wanted))
        given.update(map(label_of, got))
        found.update(map(label_of, wanted & got))
    every = sorted({*right, *given})
    classes = [
        {
            "label": label,
            "rows": right[label],
            "precision": _percent(found[label], given[label]),
            "recall": _percent(found[label], right[label]),
            "f1": _percent(2 * found[label], given[label] + right[label]),
        }
        for label in every
    ]
    exact = [200.0 * found[one] / (given[one] + right[one]) for one in every]
    return {"classes": classes, "macro_f1": round(float(np.mean(exact or [0.0])), _DECIMALS)}


def _percent(part: int, whole: int) -> float:
    return round(100.0 * part / whole, _DECIMALS) if whole else 0.0


def calibration(probabilities: Sequence[float], right: Sequence[bool]) -> dict[str, Any]:
    """Whether "sure to 80%" is right in 80 of 100 rows: the expected calibration error.

    Guo et al. 2017, On Calibration of Modern Neural Networks: the mean distance of accuracy and
    confidence over BINS equal bins (a, b] of the probability, weighed by their rows.

    Returns:
        ece in percent; bins: {from, to, rows, confidence, accuracy}, both in percent, 0 where a
        bin has no rows.
    """
    sure = np.asarray(probabilities, dtype=np.float64)
    correct = np.asarray(right, dtype=np.float64)
    edges = np.linspace(0.0, 1.0, BINS + 1)
    places = np.clip(np.searchsorted(edges, sure, side="left") - 1, 0, BINS - 1)
    bins, ece = [], 0.0
    for at in range(BINS):
        inside = places == at
        rows = int(inside.sum())
        confidence = float(sure[inside].mean()) if rows else 0.0
        accuracy = float(correct[inside].mean()) if rows else 0.0
        ece += rows * abs(confidence - accuracy)
        bins.append(
            {
                "from": round(float(edges[at]), _DECIMALS),
                "to": round(float(edges[at + 1]), _DECIMALS),
                "rows": rows,
                "confidence": round(100.0 * confidence, _DECIMALS),
                "accuracy": round(100.0 * accuracy, _DECIMALS),
            }
        )
    return {"ece": round(100.0 * ece / max(len(sure), 1), _DECIMALS), "bins": bins}
