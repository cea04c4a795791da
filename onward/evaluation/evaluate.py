"""The stage `evaluate`: the candidate and its base on the held-out rows of the turn's episodes.

    turn/evaluate/ledger.parquet   predictions and statistics of both, and the trivial baseline's
    turn/evaluate/summary.json     before and after per episode, and slices
    turn/evaluate/examples.json    worst, lost and won rows
    turn/scores.json               the same metrics for `dvc metrics diff`

"Before" is the base where that is a version, and else the recipe's trivial baseline, which
summary.json names and gives for every episode. Equal inputs give equal bytes: nothing here holds
a time or a path.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onward import config, files, recipes
from onward.config import Evaluate
from onward.episodes import turn as turns
from onward.episodes.turn import Turn
from onward.evaluation.baseline import common
from onward.evaluation.comparison import compare
from onward.evaluation.examples import examples
from onward.evaluation.ledger import LedgerPart, entry, part, row_hash, write_parts
from onward.evaluation.runner import TorchRunner, load_tokenizer, resolve
from onward.evaluation.scorer import score
from onward.evaluation.slices import slices
from onward.project import Project
from onward.recipes.shapes import Row

SCHEMA = 1
BASELINE = "baseline"
_DECIMALS = 4

Rows = Mapping[str, Sequence[Row]]


def run(project: Project) -> None:
    """Score and write turn/evaluate and turn/scores.json.

    Raises:
        IntegrityError, MissingFiles: an episode, the candidate or the base is not what the turn
            names, or not on this machine.
        NotFinite: a model answers with NaN or infinity.
    """
    turn = Turn.read(project)
    turns.check(project, turn)
    recipe = recipes.get(turn.recipe)
    settings = config.read(project.params, Evaluate)
    rows = heldout(project, turn)
    folder = project.made("finetune")
    files.verify(folder)
    model = folder / "model"
    after = score_model(project, recipe, model, folder, rows, settings, "score candidate")
    baseline = trivial(recipe, rows, common(project, recipe, rows))
    base = _base(project, turn, recipe, rows, settings)
    before = base or baseline
    summary = {
        "schema": SCHEMA,
        "turn": turn.id,
        "candidate": files.sha256(folder / files.MANIFEST),
        "metric": recipe.PRIMARY,
        "before": turn.base.name if base else BASELINE,
        "inputs_cut": _inputs_cut(recipe, model, folder, rows, settings),
        "units": _units(recipe, turn, before, after, baseline),
    }
    compared = compare(recipe, rows, before, after)
    summary["slices"] = slices(recipe, compared)
    told = {"schema": SCHEMA, "before": summary["before"], **examples(recipe, compared)}
    with files.building(project.made("evaluate"), replace=True, turn=turn.id) as made:
        write_parts(made / "ledger.parquet", [baseline, *_different(base, after)])
        files.write_json(made / "summary.json", summary)
        files.write_json(made / "examples.json", told)
    files.write_json(project.made("scores.json"), _flat(summary["units"]))


def heldout(project: Project, turn: Turn) -> dict[str, list[Row]]:
    """Unit -> its held-out rows, for every episode that the base knows or the turn learns."""
    units = sorted({*turn.known_episodes, *turn.learning_episodes})
    return {unit: turns.rows(project, unit, "heldout") for unit in units}


def score_model(
    project: Project,
    recipe: ModuleType,
    model_dir: Path,
    spec_dir: Path,
    rows: Rows,
    settings: Evaluate,
    label: str,
) -> LedgerPart:
    """Score a torch model under its own spec.json, through the project's cache."""
    prepare, evaluate = resolve(files.read_json(spec_dir / "spec.json"), settings)
    runner = TorchRunner(model_dir, settings.threads, recipe=recipe)
    return score(
        recipe,
        runner,
        rows,
        tokenizer=runner.tokenizer,
        prepare=prepare,
        evaluate=evaluate,
        cache=project.cache / "ledger",
        label=label,
    )


def _inputs_cut(
    recipe: ModuleType, model_dir: Path, spec_dir: Path, rows: Rows, settings: Evaluate
) -> int:
    """How many held-out rows have a text too long for the candidate's windows, cut at its end."""
    prepare, _ = resolve(files.read_json(spec_dir / "spec.json"), settings)
    every = [row for of_unit in rows.values() for row in of_unit]
    return int(recipe.inputs_cut(every, load_tokenizer(model_dir), prepare))


def trivial(recipe: ModuleType, rows: Rows, learned: Any) -> LedgerPart:
    """The ledger part of the recipe's trivial baseline, which no model has to be run for."""
    found = {
        unit: {
            row_hash(recipe, row): entry(recipe, row, recipe.baseline(row, learned))
            for row in of_unit
        }
        for unit, of_unit in rows.items()
    }
    return part(BASELINE, BASELINE, BASELINE, found)


def _base(
    project: Project, turn: Turn, recipe: ModuleType, rows: Rows, settings: Evaluate
) -> LedgerPart | None:
    """The base's part where the base is a version; a pretrained encoder has no answers."""
    if turn.base.kind != "version":
        return None
    folder = project.version(turn.base.name)
    files.verify(folder, turn.base.sha256)
    label = f"score {turn.base.name}"
    return score_model(project, recipe, folder / "checkpoint", folder, rows, settings, label)


def _different(base: LedgerPart | None, after: LedgerPart) -> list[LedgerPart]:
    """The parts to keep: a candidate may be its base to the byte."""
    return [after] if base is None or base.artifact == after.artifact else [base, after]


def _units(
    recipe: ModuleType, turn: Turn, before: LedgerPart, after: LedgerPart, baseline: LedgerPart
) -> dict[str, Any]:
    """Per episode, and pooled as "all": rows, and metrics before, after and of the baseline."""
    sides = {"before": before, "after": after, BASELINE: baseline}
    units: dict[str, Any] = {}
    for unit in after.units():
        totals = {side: one.total(unit) for side, one in sides.items()}
        units[unit] = {"known": unit in turn.known_episodes, **_metrics(recipe, totals)}
    pooled = {
        side: np.sum([one.total(unit) for unit in units], axis=0) for side, one in sides.items()
    }
    return {**units, "all": _metrics(recipe, pooled)}


def _metrics(recipe: ModuleType, totals: Mapping[str, NDArray[np.float64]]) -> dict[str, Any]:
    found = {side: recipe.metrics(total) for side, total in totals.items()}
    shown = {
        side: {name: round(float(value), _DECIMALS) for name, value in values.items()}
        for side, values in found.items()
    }
    return {"rows": int(found["after"]["n"]), **shown}


def _flat(units: Mapping[str, Any]) -> dict[str, Any]:
    return {
        unit: {
            "rows": told["rows"],
            **{name: told["after"][name] for name in ("f1", "em")},
            **{f"{name}_before": told["before"][name] for name in ("f1", "em")},
        }
        for unit, told in units.items()
    }
