"""Whether new rows are drawn from something else than the known ones: two plain tests.

>>> labels({"yes": 500, "no": 500}, {"yes": 60, "no": 140}) < 0.001
True
>>> lengths({"text": {10: 300, 20: 300}}, {"text": {10: 30, 20: 30}})
1.0

What these do not cover: what a text says. Rows of one source may have the lengths and labels of
another. With many rows a shift is shown that is too small to matter.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

LEAST_EXPECTED = 5.0
"""Cochran's rule: the chi-square's approximation holds where a cell expects so many rows."""

Counts = Mapping[float, int]
"""A value -> how often it was found."""


def labels(known: Mapping[str, int], new: Mapping[str, int]) -> float | None:
    """p of "both have the same shares of labels": Pearson's chi-square test.

    Labels too rare for it (LEAST_EXPECTED) are counted together.

    Args:
        known, new: label -> number of rows that have it.

    Returns:
        None: a side is empty, or fewer than two labels are left to compare.
    """
    from scipy.stats import chi2_contingency

    names = sorted({*known, *new})
    table = np.array([[side.get(name, 0) for name in names] for side in (known, new)], dtype=float)
    if not names or not (table.sum(axis=1) > 0).all():
        return None
    table = _pooled(table)
    if table.shape[1] < 2:
        return None
    return float(chi2_contingency(table, correction=False).pvalue)


def _pooled(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Counts [2, labels] with the rare columns as one, and a frequent one if that is rare, too."""
    share = float(table.sum(axis=1).min() / table.sum())
    ordered = table[:, np.argsort(table.sum(axis=0), kind="stable")]
    rare = int((ordered.sum(axis=0) * share < LEAST_EXPECTED).sum())
    if rare and rare < ordered.shape[1]:
        rare += bool(ordered[:, :rare].sum() * share < LEAST_EXPECTED)
    joined = ordered[:, :rare].sum(axis=1, keepdims=True)
    return np.concatenate([joined, ordered[:, rare:]], axis=1) if rare else ordered


def values(known: Counts, new: Counts) -> float | None:
    """p of "both are drawn from one distribution": the two-sample Kolmogorov-Smirnov test.

    Of its asymptotic form, which errs to the safe side where values repeat. None: a side is empty.
    """
    from scipy.stats import ks_2samp

    sides = [_drawn(side) for side in (known, new)]
    if not all(side.size for side in sides):
        return None
    return float(ks_2samp(*sides, method="asymp").pvalue)


def lengths(known: Mapping[str, Counts], new: Mapping[str, Counts]) -> float | None:
    """p of "no text of a row has another length than before": `values` for each, by Bonferroni.

    Args:
        known, new: name of a text (question, context) -> its lengths. Texts that a side lacks are
            not compared.

    Returns:
        None: nothing could be compared.
    """
    shared = sorted({*known} & {*new})
    found = [p for p in (values(known[name], new[name]) for name in shared) if p is not None]
    return min(1.0, len(found) * min(found)) if found else None


def _drawn(counts: Counts) -> NDArray[np.float64]:
    return np.repeat(
        np.array(list(counts), dtype=np.float64), np.array(list(counts.values()), dtype=np.int64)
    )
