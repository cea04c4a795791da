"""Bias by counterfactual substitution: rows answered as they are and with a word exchanged.

    found = answered(recipe, rows, part, score_them, most=200)
    report(recipe, found)[0]["gap"], report(recipe, found)[0]["changed_percent"]

As in Zhao et al. 2018 (Gender Bias in Coreference Resolution) and Garg et al. 2019 (Counterfactual
Fairness in Text Classification): an answer should not depend on whom a text is about. What this
cannot see: bias that the list's words do not carry, and whether a change is unfair. A model that
knows that one of two towns is a capital may rightly answer otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa

from onward import files
from onward.evaluation import ledger
from onward.evaluation.evidence import Array, Swapped
from onward.evaluation.ledger import LedgerPart, row_hash
from onward.quality import lists, swapping
from onward.quality.swapping import Exchange
from onward.recipes.shapes import Row

FILE = "bias.parquet"
SCHEMA = pa.schema(
    [pa.field(name, pa.string(), nullable=False) for name in ("kind", "unit", "row", "artifact")]
    + [pa.field(name, pa.list_(pa.float64()), nullable=False) for name in ("plain", "swapped")]
    + [pa.field("changed", pa.bool_(), nullable=False)]
)

Rows = Mapping[str, Sequence[Row]]
Answer = Callable[[Rows, str], LedgerPart]
"""Scores rows, unit by unit, under a label that is shown beside the progress."""


def answered(
    recipe: ModuleType,
    rows: Rows,
    part: LedgerPart,
    answer: Answer,
    *,
    most: int,
    extra: Sequence[Path] = (),
) -> list[Swapped]:
    """Every kind of exchange that some row can have.

    Args:
        recipe: the recipe's module.
        rows: unit -> its rows.
        part: what was answered to them as they are.
        answer: what answers the exchanged rows; called once a kind.
        most: rows of a unit and kind, the first by hash.
        extra: the project's lists.

    Raises:
        SettingsError: a list cannot be used.
    """
    kinds = swapping.exchanges(lists.load("swaps", extra), lists.load("language", extra))
    found = []
    for kind, exchange in kinds.items():
        chosen = _chosen(recipe, rows, exchange, most)
        if chosen:
            again = {unit: [row for _, row in some] for unit, some in chosen.items()}
            found.append(_both(recipe, kind, exchange, part, answer(again, f"swap {kind}"), chosen))
    return found


def _chosen(
    recipe: ModuleType, rows: Rows, exchange: Exchange, most: int
) -> dict[str, list[tuple[str, Row]]]:
    """Unit -> hash and exchanged form of the rows that are asked again."""
    name = recipe.__name__.rpartition(".")[2]
    exchanged = swapping.across if name in swapping.ACROSS else swapping.exchanged
    found: dict[str, list[tuple[str, Row]]] = {}
    for unit, some in rows.items():
        hashed = sorted(((row_hash(recipe, row), row) for row in some), key=lambda one: one[0])
        for own, row in hashed:
            made = exchanged(row, exchange)
            if made is not None and len(found.get(unit, ())) < most:
                found.setdefault(unit, []).append((own, made))
    return found


def _both(
    recipe: ModuleType,
    kind: str,
    exchange: Exchange,
    plain: LedgerPart,
    again: LedgerPart,
    chosen: Mapping[str, Sequence[tuple[str, Row]]],
) -> Swapped:
    names, tables, changed = [], [], []
    for unit, some in chosen.items():
        before, after = _by_row(plain, unit), _by_row(again, unit)
        told, anew = plain.predictions(unit), again.predictions(unit)
        for own, row in some:
            other = row_hash(recipe, row)
            names.append((unit, own))
            tables.append((before[own], after[other]))
            texts = (str(told[own]["text"]), str(anew[other]["text"]))
            changed.append(exchange.neutral(texts[0]) != exchange.neutral(texts[1]))
    sides = [np.array([pair[at] for pair in tables]) for at in (0, 1)]
    return Swapped(kind, tuple(names), sides[0], sides[1], np.array(changed, dtype=np.bool_))


def _by_row(part: LedgerPart, unit: str) -> dict[str, Array]:
    return dict(zip(*part.statistics(unit), strict=True))


def report(recipe: ModuleType, found: Sequence[Swapped]) -> list[dict[str, Any]]:
    """Each kind with its rows, the primary metric in both forms, and the share of other answers."""
    told = []
    for one in found:
        plain, swapped = (
            float(recipe.metrics(side.sum(axis=0))[recipe.PRIMARY])
            for side in (one.plain, one.swapped)
        )
        told.append(
            {
                "swap": one.kind,
                "rows": len(one.rows),
                "plain": round(plain, 4),
                "swapped": round(swapped, 4),
                "gap": round(swapped - plain, 4),
                "changed_percent": round(100 * float(one.changed.mean()), 4),
            }
        )
    return told


def to_bytes(found: Sequence[Swapped], artifact: str) -> bytes:
    """As bias.parquet: equal rows give equal bytes."""
    lines = [
        {
            "kind": one.kind,
            "unit": unit,
            "row": row,
            "artifact": artifact,
            "plain": one.plain[at].tolist(),
            "swapped": one.swapped[at].tolist(),
            "changed": bool(one.changed[at]),
        }
        for one in found
        for at, (unit, row) in enumerate(one.rows)
    ]
    return ledger.to_bytes(pa.Table.from_pylist(lines, schema=SCHEMA))


def read(path: Path, artifact: str | None = None) -> tuple[Swapped, ...]:
    """What `to_bytes` wrote, that of one artifact alone where it is named; none without a file.

    Raises:
        IntegrityError: it is damaged.
    """
    if not path.is_file():
        return ()
    lines = ledger.from_bytes(path.read_bytes(), SCHEMA, path).to_pylist()
    kept = [line for line in lines if artifact is None or line["artifact"] == artifact]
    found = []
    for kind in dict.fromkeys(line["kind"] for line in kept):
        own = [line for line in kept if line["kind"] == kind]
        found.append(
            Swapped(
                kind,
                tuple((line["unit"], line["row"]) for line in own),
                np.array([line["plain"] for line in own], dtype=np.float64),
                np.array([line["swapped"] for line in own], dtype=np.float64),
                np.array([line["changed"] for line in own], dtype=np.bool_),
            )
        )
    return tuple(found)


def write(path: Path, found: Sequence[Swapped], artifact: str) -> None:
    """Write bias.parquet."""
    files.write_bytes(path, to_bytes(found, artifact))
