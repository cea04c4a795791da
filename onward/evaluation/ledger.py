"""The ledger: one row per (artifact, provider, scorer, test row): prediction and statistics.

Every metric, slice and gate is computed from it.

>>> one = Entry('{"text":"x"}', (1.0, 0.0))
>>> made = part("a", "torch", "s", {"0001-faq": {"h1": one, "h0": one}})
>>> made.statistics("0001-faq")[0], made.total("0001-faq").tolist()
(['h0', 'h1'], [2.0, 0.0])
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from onward import files
from onward.errors import IntegrityError, InternalError, MissingFiles
from onward.recipes.shapes import Prediction, Row

SCHEMA = 1

ROWS = pa.schema(
    [
        pa.field("unit", pa.string(), nullable=False),
        pa.field("row", pa.string(), nullable=False),
        pa.field("prediction", pa.string(), nullable=False),
        pa.field("statistics", pa.list_(pa.float64()), nullable=False),
    ]
)
_NAMED = ("artifact", "provider", "scorer")
_FILE = pa.schema([*(pa.field(name, pa.string(), nullable=False) for name in _NAMED), *ROWS])
_SHOWN = 5


class Entry(NamedTuple):
    """One row of the ledger without its names."""

    prediction: str
    """The canonical JSON of the prediction."""
    statistics: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class LedgerPart:
    """What one artifact answered on one provider under one scorer; rows sorted by unit and row."""

    artifact: str
    provider: str
    scorer: str
    table: pa.Table

    def units(self) -> list[str]:
        """The units that have rows here, sorted."""
        return sorted(pc.unique(self.table["unit"]).to_pylist())

    def _unit(self, unit: str) -> pa.Table:
        return self.table.filter(pc.equal(self.table["unit"], unit))

    def statistics(self, unit: str) -> tuple[list[str], NDArray[np.float64]]:
        """Row hashes of a unit, sorted, and their statistics [n, k] in the same order.

        A unit without rows gives ([], [0, 0]).
        """
        rows = self._unit(unit)
        if rows.num_rows == 0:
            return [], np.zeros((0, 0))
        flat = rows["statistics"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        return rows["row"].to_pylist(), flat.reshape(rows.num_rows, -1)

    def predictions(self, unit: str) -> dict[str, Prediction]:
        """Row hash -> prediction of a unit."""
        rows = self._unit(unit)
        texts = rows["prediction"].to_pylist()
        return dict(zip(rows["row"].to_pylist(), map(json.loads, texts), strict=True))

    def total(self, unit: str) -> NDArray[np.float64]:
        """Sum of a unit's statistics [k]."""
        return self.statistics(unit)[1].sum(axis=0)

    def missing(self, wanted: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
        """Unit -> row hashes that are wanted and not here, sorted; without complete units."""
        gaps = {
            unit: sorted(set(rows) - set(self._unit(unit)["row"].to_pylist()))
            for unit, rows in wanted.items()
        }
        return {unit: rows for unit, rows in gaps.items() if rows}

    def require(self, wanted: Mapping[str, Iterable[str]]) -> None:
        """Check that each row hash of each unit is here.

        Raises:
            MissingFiles: names the units, the number and the first missing rows.
        """
        gaps = self.missing(wanted)
        if not gaps:
            return
        told = "; ".join(f"{u}: {len(r)} rows, first {r[:_SHOWN]}" for u, r in gaps.items())
        raise MissingFiles(
            f"The ledger of {self.artifact[:12]} on {self.provider} lacks rows",
            where=told,
            fix="run the same command again: missing rows are scored",
            details={"missing": gaps},
        )


def row_hash(recipe: ModuleType, row: Row) -> str:
    """sha256 of a row's canonical form over the columns of the recipe's SCHEMA."""
    return files.digest({name: row[name] for name in recipe.SCHEMA.names})


def part(
    artifact: str, provider: str, scorer: str, units: Mapping[str, Mapping[str, Entry]]
) -> LedgerPart:
    """A part from unit -> row hash -> entry."""
    rows = [
        (unit, hashed, entry.prediction, list(entry.statistics))
        for unit, entries in sorted(units.items())
        for hashed, entry in sorted(entries.items())
    ]
    columns = zip(*rows, strict=True) if rows else ([] for _ in ROWS)
    arrays = [pa.array(list(c), f.type) for c, f in zip(columns, ROWS, strict=True)]
    return LedgerPart(artifact, provider, scorer, pa.Table.from_arrays(arrays, schema=ROWS))


def to_bytes(table: pa.Table) -> bytes:
    """A table as parquet: equal tables give equal bytes, each page has a checksum."""
    table = table.combine_chunks().replace_schema_metadata({"onward.ledger": str(SCHEMA)})
    out = io.BytesIO()
    pq.write_table(
        table, out, compression="zstd", row_group_size=8192, write_page_checksum=True, version="2.6"
    )
    return out.getvalue()


def write_parts(path: Path, parts: Sequence[LedgerPart]) -> None:
    """One parquet file with artifact, provider and scorer as columns, sorted: same bytes always.

    Raises:
        InternalError: two parts have the same names.
    """
    named_parts = {(one.artifact, one.provider, one.scorer): one for one in parts}
    if len(named_parts) < len(parts):
        raise InternalError("Two ledger parts have the same names", where=str(path))
    tables = []
    for names, one in sorted(named_parts.items(), key=lambda pair: pair[0]):
        named = [pa.repeat(pa.scalar(name), one.table.num_rows) for name in names]
        tables.append(pa.Table.from_arrays([*named, *one.table.columns], schema=_FILE))
    files.write_bytes(path, to_bytes(pa.concat_tables(tables) if tables else _FILE.empty_table()))


def read_parts(path: Path) -> list[LedgerPart]:
    """The parts of a file, sorted by (artifact, provider, scorer).

    Raises:
        MissingFiles: there is no such file.
        IntegrityError: it is not a ledger, or a page's checksum is wrong.
    """
    if not path.is_file():
        raise MissingFiles(
            f"{path.name} is not there", where=str(path), fix="`dvc pull`, or run the stage again"
        )
    table = from_bytes(path.read_bytes(), _FILE, path)
    keys = table.select(_NAMED).group_by(list(_NAMED)).aggregate([]).to_pylist()
    parts = []
    for artifact, provider, scorer in sorted(tuple(key[name] for name in _NAMED) for key in keys):
        mine = (
            (pc.field("artifact") == artifact)
            & (pc.field("provider") == provider)
            & (pc.field("scorer") == scorer)
        )
        rows = table.filter(mine).select(ROWS.names)
        parts.append(LedgerPart(artifact, provider, scorer, rows))
    return parts


def from_bytes(data: bytes, schema: pa.Schema, where: Path) -> pa.Table:
    """What `to_bytes` made, its pages checked. Raises IntegrityError."""
    try:
        table = pq.read_table(io.BytesIO(data), page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        raise damaged(where, " ".join(str(error).split())[:200]) from error
    known = (table.schema.metadata or {}).get(b"onward.ledger") == str(SCHEMA).encode()
    if not known or not table.schema.equals(schema, check_metadata=False):
        raise damaged(where, f"its columns are {table.schema.names}, not {schema.names}")
    return table


def damaged(path: Path, why: str) -> IntegrityError:
    """The error for a file that is not a ledger."""
    return IntegrityError(
        f"{path.name} is not a readable ledger: {why}",
        where=str(path),
        fix="`onward repair` brings the recorded file back, or run the stage again",
    )


def entry(recipe: ModuleType, row: Row, prediction: Prediction) -> Entry:
    """The ledger's row of a prediction."""
    statistics: Any = recipe.statistics(row, prediction)
    return Entry(files.canonical(prediction).decode(), tuple(float(s) for s in statistics))
