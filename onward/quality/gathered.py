"""What a gate is given of answers' quality and bias: both sides' columns, and exchanged rows.

The columns follow from rows and answers, which the ledgers hold, so champion and challenger are
scored by the same lists and the same encoder, whatever theirs were when they were made. What is
measured by answering anew (drawn answers, exchanged rows) is the checkpoint's, from the stage
evaluate: one alone was exported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from onward import config, files
from onward.config import Evaluate, Quality
from onward.errors import SettingsError
from onward.evaluation.evidence import Array, Evidence, Side, Swapped, Unit
from onward.evaluation.ledger import LedgerPart, read_parts, row_hash
from onward.evaluation.runner import fingerprint
from onward.project import Project
from onward.quality import bias, stage
from onward.quality import parts as quality_parts
from onward.quality.columns import STATISTICS, place
from onward.quality.scores import Tools, sources
from onward.recipes import shapes
from onward.registry.versions import Champion

Rows = Mapping[str, Sequence[shapes.Row]]


def scorer(project: Project, recipe: str) -> str:
    """Hash of what scores answers and exchanges rows beside the settings: lists, examples, encoder,
    code; "" where nothing is measured.

    Raises:
        SettingsError, MissingFiles: the encoder or a file that params.yaml names is not there.
    """
    measure = config.read(project.params, Quality).measure
    if quality_parts.measured(recipe, measure):
        return Tools(project.root, measure, 1).name(project.cache)
    return sources(project.root, measure) if measure.swapped_rows else ""


def added(
    project: Project,
    evidence: Evidence,
    rows: Rows,
    *,
    new: LedgerPart,
    old: LedgerPart | None,
    champion: Champion | None,
) -> Evidence:
    """The evidence with both sides' columns and the exchanged rows.

    Raises:
        SettingsError: columns are gated that are not scored for this recipe.
        IntegrityError: a file of turn/evaluate is damaged.
    """
    settings = config.read(project.params, Quality)
    evidence = replace(evidence, swapped=_swapped(project, evidence.candidate))
    if not quality_parts.measured(evidence.recipe, settings.measure):
        _nothing_asked(project, evidence, settings)
        return evidence
    threads = config.read(project.params, Evaluate).threads
    scored = quality_parts.Quality(project, evidence.recipe, settings.measure, threads)
    sides = {"new": _table(scored, new, rows), "old": _table(scored, old, rows)}
    if settings.measure.samples:
        checkpoint = project.made("finetune") / "model"
        _draw(project, sides["new"], checkpoint)
        if champion is not None:
            _draw(project, sides["old"], champion.folder / "checkpoint")
    units = tuple(_with(unit, sides) for unit in evidence.units)
    return replace(evidence, quality=STATISTICS, units=units)


def _nothing_asked(project: Project, evidence: Evidence, settings: Quality) -> None:
    gated = ", ".join(sorted(settings.gate.margins))
    if gated:
        raise SettingsError(
            f"quality.gate.margins asks for {gated}, but answers of the recipe "
            f"{evidence.recipe} are not scored",
            where=f"{project.params}: quality.measure.answers is {settings.measure.answers!r}",
            fix="set quality.measure.answers to on where its answers are text, or name no margin",
        )


Tables = dict[str, dict[str, Array]]
"""Unit -> row hash -> statistics [q]."""


def _table(scored: quality_parts.Quality, part: LedgerPart | None, rows: Rows) -> Tables:
    """Those rows that were answered; what is missing is the gate's to refuse."""
    if part is None:
        return {}
    there = {
        unit: [row for row in some if row_hash(scored.module, row) in held]
        for unit, some in rows.items()
        if (held := part.predictions(unit))
    }
    made = scored.of(part, there)
    return {unit: dict(zip(*made.statistics(unit), strict=True)) for unit in made.units()}


def _with(unit: Unit, sides: Mapping[str, Tables]) -> Unit:
    return replace(
        unit,
        new=_side(unit.new, sides["new"].get(unit.name, {})),
        old=_side(unit.old, sides["old"].get(unit.name, {})),
    )


def _side(side: Side | None, table: Mapping[str, Array]) -> Side | None:
    if side is None or any(row not in table for row in side.rows):
        return side
    return replace(side, quality=np.array([table[row] for row in side.rows]))


def _draw(project: Project, tables: Tables, checkpoint: Path) -> None:
    """Put in what the stage evaluate found of the checkpoint's drawn answers.

    A champion that is not the turn's base was not drawn from there: its rows then lack the column,
    and a gate on it refuses.
    """
    path = project.made("evaluate") / stage.FILE
    artifact = fingerprint(checkpoint)
    first, last = place("diverse"), place("diverse") + 2
    for part in read_parts(path) if path.is_file() else []:
        if part.artifact != artifact:
            continue
        for unit, table in tables.items():
            for row, statistics in zip(*part.statistics(unit), strict=True):
                if row in table:
                    table[row] = table[row].copy()
                    table[row][first:last] = statistics[first:last]


def _swapped(project: Project, candidate: str) -> tuple[Swapped, ...] | None:
    """The exchanged rows of this candidate; None where none were asked for."""
    made = project.made("evaluate")
    if not (made / "summary.json").is_file():
        return None
    summary = files.read_json(made / "summary.json")
    if summary.get("candidate") != candidate or "bias" not in summary:
        return None
    return bias.read(made / bias.FILE)
