"""Cells of the matrix on disk: what a version answered on a unit, row by row.

    cells = stored(project.version("v3"), "v3")   # v3's, and those of the versions before it
    to_bytes(cells)                               # as matrix.parquet

Row hashes are sorted and lie next to each other for all versions, so a carried row costs few bytes.
What was never scored, or is not finite, has no cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from onward import files, recipes
from onward.evaluation import ledger
from onward.evaluation.evidence import Evidence
from onward.evaluation.transfer import BASELINE, Cell

ROWS_FILE = "matrix.parquet"
ROWS = pa.schema(
    [pa.field(name, pa.string(), nullable=False) for name in ("version", "unit", "row")]
    + [pa.field("statistics", pa.list_(pa.float64()), nullable=False)]
)

_DECIMALS = 4

Found = dict[tuple[str, str], Cell]
"""(version, unit) -> cell."""


def judged(evidence: Evidence | None, new: str, old: str | None) -> Found:
    """The cells of a final verdict: of the version `new`, and of the champion `old` before it.

    A side that lacks a row of its unit, as where a person forced the promotion, has no cell.
    """
    found: Found = {}
    for unit in evidence.units if evidence else ():
        for name, side in ((new, unit.new), (old, unit.old)):
            whole = side is not None and set(side.rows) == set(unit.rows)
            cell = _cell(side.rows, side.statistics) if side is not None and whole else None
            if name is not None and cell is not None:
                found[name, unit.name] = cell
    return found


def _cell(rows: Sequence[str], statistics: Any) -> Cell | None:
    """A cell of rows that are there once each and finite; None otherwise."""
    table = np.asarray(statistics, dtype=np.float64)
    if table.ndim != 2 or len(set(rows)) != len(table) or not len(table):
        return None
    order = sorted(range(len(rows)), key=rows.__getitem__)
    return Cell(tuple(rows[at] for at in order), table[order]) if np.isfinite(table).all() else None


def stored(folder: Path, version: str) -> Found:
    """The cells that a version's folder holds: its matrix's, else its own from its ledger."""
    path = folder / ROWS_FILE
    if not path.exists():
        return from_ledger(folder, version)
    table = ledger.from_bytes(path.read_bytes(), ROWS, path)
    lists: dict[tuple[str, str], tuple[list[str], list[Any]]] = {}
    columns = (table[name].to_pylist() for name in ROWS.names)
    for name, unit, row, statistics in zip(*columns, strict=True):
        rows, values = lists.setdefault((name, unit), ([], []))
        rows.append(row)
        values.append(statistics)
    cells = {key: _cell(rows, values) for key, (rows, values) in lists.items()}
    return {key: cell for key, cell in cells.items() if cell is not None}


def from_ledger(folder: Path, version: str) -> Found:
    """A version's own cells: what the variant that serves answered."""
    path, package = folder / "ledger.parquet", folder / "package"
    if not path.exists():
        return {}
    variant = files.read_json(package / "serving.json")["variant"]
    artifact = files.read_json(package / "package.json")["variants"][variant]["artifact"]
    return _part(path, artifact, version)


def baseline(path: Path) -> Found:
    """The trivial baseline's cells, where the ledger of the stage evaluate holds them."""
    return _part(path, BASELINE, BASELINE) if path.exists() else {}


def _part(path: Path, artifact: str, name: str) -> Found:
    for part in ledger.read_parts(path):
        if part.artifact == artifact:
            made = {(name, unit): _cell(*part.statistics(unit)) for unit in part.units()}
            return {key: cell for key, cell in made.items() if cell is not None}
    return {}


def fitting(found: Found, recipe: str) -> Found:
    """Without cells whose statistics another release of the recipe counted otherwise."""
    width = len(recipes.get(recipe).STATISTICS)
    return {key: cell for key, cell in found.items() if cell.statistics.shape[1] == width}


def metrics(found: Found, version: str, recipe: str) -> dict[str, dict[str, float]]:
    """A version's metrics and rows on each unit, and pooled as "all"; empty where it has none."""
    module, own = recipes.get(recipe), fitting(found, recipe)
    totals = {unit: own[name, unit].statistics.sum(axis=0) for name, unit in own if name == version}
    if totals:
        totals["all"] = np.sum(list(totals.values()), axis=0)
    told = {}
    for unit, total in totals.items():
        scores = module.metrics(total)
        told[unit] = {name: round(float(scores[name]), _DECIMALS) for name in module.METRICS}
        told[unit]["rows"] = int(scores["n"])
    return told


def to_bytes(found: Found) -> bytes:
    """The cells as matrix.parquet: equal cells give equal bytes, each page has a checksum."""
    keys = [
        (unit, row, name, at) for (name, unit), c in found.items() for at, row in enumerate(c.rows)
    ]
    keys.sort()
    columns = [
        [name for _, _, name, _ in keys],
        [unit for unit, _, _, _ in keys],
        [row for _, row, _, _ in keys],
        [found[name, unit].statistics[at].tolist() for unit, _, name, at in keys],
    ]
    arrays = [pa.array(column, kind.type) for column, kind in zip(columns, ROWS, strict=True)]
    return ledger.to_bytes(pa.Table.from_arrays(arrays, schema=ROWS))
