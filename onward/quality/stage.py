"""What the stage evaluate adds: quality of the answers, and bias, each where the settings ask.

turn/evaluate/quality.parquet  a ledger of quality.STATISTICS, with each answer's findings
turn/evaluate/bias.parquet     rows answered in both forms; see onward/quality/bias.py
turn/evaluate/summary.json     "quality" and "bias": scores, unsafe rows, what it cost
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from onward.config import Measure
from onward.evaluation.evidence import Swapped
from onward.evaluation.ledger import LedgerPart, row_hash, write_parts
from onward.project import Project
from onward.quality import bias, columns, swapping
from onward.quality.bias import Answer, Rows
from onward.quality.parts import Quality, Samples, measured
from onward.recipes import generates

FILE = "quality.parquet"
SHOWN = 20
"""Unsafe rows that the summary names; the ledger has all."""


@dataclass(frozen=True)
class Beside:
    """What was measured beside the recipe's own metric."""

    summary: dict[str, Any] = field(default_factory=dict)
    parts: tuple[LedgerPart, ...] = ()
    swapped: tuple[Swapped, ...] = ()
    artifact: str = ""

    def write(self, folder: Path) -> None:
        """Write the files that were asked for, none otherwise."""
        if self.parts:
            write_parts(folder / FILE, list({one.artifact: one for one in self.parts}.values()))
        if self.swapped:
            bias.write(folder / bias.FILE, self.swapped, self.artifact)


def beside(
    project: Project,
    recipe: ModuleType,
    measure: Measure,
    rows: Rows,
    *,
    before: LedgerPart,
    after: LedgerPart,
    answer: Answer,
    samples: Mapping[str, Samples],
    threads: int,
) -> Beside:
    """Score both sides' answers and, where asked for, the candidate's under exchanges.

    Args:
        project: whose cache, lists and examples.
        recipe: the recipe's module.
        measure: the settings.
        rows: unit -> its held-out rows.
        before, after: what base (or trivial baseline) and candidate answered.
        answer: the candidate, for exchanged rows.
        samples: artifact -> drawn answers, for diversity.
        threads: of torch.

    Raises:
        SettingsError: the encoder, a list or examples cannot be used.
    """
    name = recipe.__name__.rpartition(".")[2]
    summary: dict[str, Any] = {}
    parts: tuple[LedgerPart, ...] = ()
    swapped: tuple[Swapped, ...] = ()
    if measured(name, measure):
        quality = Quality(project, name, measure, threads)
        parts = tuple(quality.of(one, rows, samples.get(one.artifact)) for one in (before, after))
        summary["quality"] = _summary(*parts)
    if measure.swapped_rows:
        lists = [project.root / path for path in measure.lists]
        found = bias.answered(recipe, rows, after, answer, most=measure.swapped_rows, extra=lists)
        swapped = tuple(found)
        summary["bias"] = {
            "kinds": bias.report(recipe, swapped),
            "answers": sum(len(one.rows) for one in swapped),
            "of": swapping.ACROSS.get(name, "every text and its gold"),
        }
    return Beside(summary, parts, swapped, after.artifact)


def sampled(
    recipe: ModuleType, measure: Measure, rows: Rows, draw: Callable[[Rows, int], LedgerPart]
) -> Samples:
    """Several drawn answers to some rows of each unit; none where none were asked for.

    Args:
        recipe: the recipe's module; what it extracts cannot be drawn.
        measure: samples, sampled_rows.
        rows: unit -> its rows; the first by hash are drawn for.
        draw: answers them with a seed.
    """
    name = recipe.__name__.rpartition(".")[2]
    if measure.samples < 2 or not generates(recipe) or not measured(name, measure):
        return {}
    chosen = {
        unit: sorted(some, key=lambda row: row_hash(recipe, row))[: measure.sampled_rows]
        for unit, some in rows.items()
    }
    drawn = [draw(chosen, seed) for seed in range(measure.samples)]
    found: dict[str, dict[str, list[str]]] = {}
    for unit in drawn[0].units():
        told = [part.predictions(unit) for part in drawn]
        found[unit] = {row: [str(one[row]["text"]) for one in told] for row in told[0]}
    return found


def _summary(before: LedgerPart, after: LedgerPart) -> dict[str, Any]:
    units = {
        unit: {"before": _scores([before.total(unit)]), "after": _scores([after.total(unit)])}
        for unit in after.units()
    }
    every = {
        side: _scores([part.total(unit) for unit in part.units()])
        for side, part in (("before", before), ("after", after))
    }
    return {"units": {**units, "all": every}, "unsafe": unsafe(after)}


def _scores(totals: Sequence[Any]) -> dict[str, float | None]:
    """Columns in percent and findings as counts; None where no row is counted."""
    found = columns.metrics(np.sum(totals, axis=0))
    return {
        name: round(float(value), 4) if np.isfinite(value) else None
        for name, value in found.items()
    }


def unsafe(part: LedgerPart) -> list[dict[str, Any]]:
    """Unit, row and findings of the unsafe answers, at most SHOWN."""
    told = [
        {"unit": unit, "row": row, "findings": prediction["findings"]}
        for unit in part.units()
        for row, prediction in sorted(part.predictions(unit).items())
        if prediction["findings"]
    ]
    return told[:SHOWN]
