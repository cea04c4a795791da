"""The ledger: one row per (artifact, provider, scorer, test row): prediction and statistics.

Every metric, slice and gate is computed from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from onward.recipes.shapes import Prediction, Row


@dataclass(frozen=True)
class LedgerPart:
    """What one artifact answered on one provider under one scorer; rows sorted by unit and row."""

    artifact: str
    provider: str
    scorer: str
    table: pa.Table

    def units(self) -> list[str]:
        """The units that have rows here, sorted."""
        raise NotImplementedError

    def statistics(self, unit: str) -> tuple[list[str], NDArray[np.float64]]:
        """Row hashes of a unit, sorted, and their statistics [n, k] in the same order."""
        raise NotImplementedError

    def predictions(self, unit: str) -> dict[str, Prediction]:
        """Row hash -> prediction of a unit."""
        raise NotImplementedError

    def total(self, unit: str) -> NDArray[np.float64]:
        """Sum of a unit's statistics [k]."""
        raise NotImplementedError

    def complete(self, rows_by_unit: Mapping[str, Sequence[Row]]) -> None:
        """Raise IntegrityError naming unit and first row ids unless each row given is here."""
        raise NotImplementedError


def write_parts(path: Path, parts: Sequence[LedgerPart]) -> None:
    """One parquet file with the columns artifact, provider, scorer, unit, row, ...; same bytes."""
    raise NotImplementedError


def read_parts(path: Path) -> list[LedgerPart]:
    """The parts of a file, in the order of (artifact, provider, scorer)."""
    raise NotImplementedError
