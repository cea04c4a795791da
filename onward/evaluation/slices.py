"""Scores by kind of row: where a model is weak, and where it changed."""

from __future__ import annotations

from collections import Counter
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onward.evaluation.comparison import Comparison
from onward.recipes.shapes import Row

TITLES = 8
"""How many titles, those with most rows, are slices of their own."""

_DECIMALS = 4


def slices(recipe: ModuleType, compared: Comparison) -> list[dict[str, Any]]:
    """Every slice with its number of rows and the primary metric before and after, in percent.

    Args:
        recipe: its `slices` say which values a row has.
        compared: all rows, answered before and after.

    Returns:
        {slice, value, rows, before, after, change}, by slice and then by value; of titles the
        TITLES largest. A slice that holds every row or none says nothing and is left out.
    """
    members: dict[tuple[str, str], list[int]] = {}
    for at, row in enumerate(compared.rows):
        for name, value in recipe.slices(row).items():
            members.setdefault((name, value), []).append(at)
    members |= _titles(compared.rows)
    return [
        {"slice": name, "value": value, **scores(recipe, compared, np.array(rows))}
        for (name, value), rows in sorted(members.items())
        if len(rows) < len(compared)
    ]


def _titles(rows: list[Row]) -> dict[tuple[str, str], list[int]]:
    counts = Counter(row["title"] for row in rows if row["title"])
    largest = sorted(counts, key=lambda title: (-counts[title], title))[:TITLES]
    found: dict[tuple[str, str], list[int]] = {("title", title): [] for title in largest}
    for at, row in enumerate(rows):
        if row["title"] in largest:
            found["title", row["title"]].append(at)
    return found


def scores(recipe: ModuleType, compared: Comparison, rows: NDArray[np.intp]) -> dict[str, Any]:
    """rows, before, after and change of the primary metric over some rows, in percent."""
    before, after = (
        float(recipe.metrics(statistics[rows].sum(axis=0))[recipe.PRIMARY])
        for statistics in (compared.before, compared.after)
    )
    return {
        "rows": len(rows),
        "before": round(before, _DECIMALS),
        "after": round(after, _DECIMALS),
        "change": round(after - before, _DECIMALS),
    }
