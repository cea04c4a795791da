"""Two ledger parts over the same rows, side by side: what slices and examples are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from onward.evaluation.ledger import LedgerPart, row_hash
from onward.recipes.shapes import Prediction, Row


@dataclass(frozen=True, eq=False)
class Comparison:
    """Row i of every field belongs together; sorted by unit and row hash."""

    units: list[str]
    hashes: list[str]
    rows: list[Row]
    before: NDArray[np.float64]
    after: NDArray[np.float64]
    predicted_before: list[Prediction]
    predicted_after: list[Prediction]

    def __len__(self) -> int:
        return len(self.rows)


def compare(
    recipe: ModuleType,
    rows_by_unit: Mapping[str, Sequence[Row]],
    before: LedgerPart,
    after: LedgerPart,
) -> Comparison:
    """All rows with their statistics [n, k] and predictions before and after.

    Raises:
        MissingFiles: a part lacks a row.
    """
    named = {
        (unit, row_hash(recipe, row)): row for unit, rows in rows_by_unit.items() for row in rows
    }
    order = sorted(named)
    wanted: dict[str, list[str]] = {unit: [] for unit in rows_by_unit}
    for unit, hashed in order:
        wanted[unit].append(hashed)
    old, new = (_aligned(recipe, part, wanted, order) for part in (before, after))
    return Comparison(
        units=[unit for unit, _ in order],
        hashes=[hashed for _, hashed in order],
        rows=[named[key] for key in order],
        before=old[0],
        after=new[0],
        predicted_before=old[1],
        predicted_after=new[1],
    )


def _aligned(
    recipe: ModuleType,
    part: LedgerPart,
    wanted: Mapping[str, Sequence[str]],
    order: Sequence[tuple[str, str]],
) -> tuple[NDArray[np.float64], list[Prediction]]:
    part.require(wanted)
    statistics: dict[tuple[str, str], NDArray[np.float64]] = {}
    predictions: dict[tuple[str, str], Prediction] = {}
    for unit in wanted:
        predictions |= {(unit, hashed): told for hashed, told in part.predictions(unit).items()}
        statistics |= {(unit, h): one for h, one in zip(*part.statistics(unit), strict=True)}
    table = np.array([statistics[key] for key in order]).reshape(-1, len(recipe.STATISTICS))
    return table, [predictions[key] for key in order]
