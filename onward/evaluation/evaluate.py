"""The stage `evaluate`: the candidate and its base on the held-out rows of the turn's episodes.

    turn/evaluate/ledger.parquet   predictions and statistics of both, and the trivial baseline's
    turn/evaluate/summary.json     before and after per episode, and slices
    turn/evaluate/examples.json    worst, lost and won rows
    turn/evaluate/quality.parquet, bias.parquet   where params.yaml asks; see quality/stage.py
    turn/scores.json               the same metrics for `dvc metrics diff`

The candidate is the first challenger; the others, trained with other seeds, are scored beside it
and say how much of a change is the luck of a seed.

"Before" is the base where that is a version, and else the recipe's trivial baseline, which
summary.json names and gives for every episode. Equal inputs give equal bytes: nothing here holds
a time or a path.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onward import config, files, recipes
from onward.config import Evaluate, Quality
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
from onward.quality.stage import Beside, beside, sampled
from onward.recipes import room
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
    seeds = challengers(folder)
    scored = [_challenger(project, recipe, folder, one, rows, settings) for one in seeds]
    after = scored[0]
    baseline = trivial(recipe, rows, common(project, recipe, rows))
    base = _base(project, turn, recipe, rows, settings)
    before = base or baseline
    compared = compare(recipe, rows, before, after)
    quality = _beside(project, turn, recipe, rows, before, after)
    summary = {
        "schema": SCHEMA,
        "turn": turn.id,
        "candidate": files.sha256(folder / files.MANIFEST),
        "metric": recipe.PRIMARY,
        "before": turn.base.name if base else BASELINE,
        **_fitted(recipe, folder / seeds[0]["model"], folder, rows, settings),
        "units": _units(recipe, turn, before, after, baseline),
        "challengers": [
            {"seed": one["seed"], "artifact": part.artifact, "scores": _primary(recipe, part)}
            for one, part in zip(seeds, scored, strict=True)
        ],
        "slices": slices(recipe, compared),
        **recipe.report(compared.rows, compared.predicted_after),
        **quality.summary,
    }
    told = {"before": summary["before"], **examples(recipe, compared)}
    with files.building(project.made("evaluate"), replace=True, turn=turn.id) as made:
        parts = [*_different([base] if base else [], scored), baseline]
        write_parts(made / "ledger.parquet", parts)
        files.write_json(made / "summary.json", summary)
        files.write_json(made / "examples.json", told)
        quality.write(made)
    files.write_json(project.made("scores.json"), _flat(recipe, summary["units"]))


def challengers(folder: Path) -> list[dict[str, Any]]:
    """Seed and model's place of every challenger in turn/finetune; the candidate is the first.

    A candidate made before there were several has one, in `model`.
    """
    spec = files.read_json(folder / "spec.json")
    return spec.get("challengers") or [{"seed": spec.get("seed", 0), "model": "model"}]


def _challenger(
    project: Project,
    recipe: ModuleType,
    folder: Path,
    one: Mapping[str, Any],
    rows: Rows,
    settings: Evaluate,
) -> LedgerPart:
    label = "score candidate" if one["model"] == "model" else f"score seed {one['seed']}"
    return score_model(project, recipe, folder / one["model"], folder, rows, settings, label)


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
    """Score a torch model under its own spec.json, through the project's cache.

    Raises:
        SettingsError: the longest prompt that may come would leave no place for an answer.
    """
    prepare, evaluate = resolve(files.read_json(spec_dir / "spec.json"), settings)
    runner = TorchRunner(model_dir, settings.threads, recipe=recipe)
    if runner.generates:
        # Whether these rows are that long or not: others will be, when the model serves.
        keys = room.KEYS
        if spec_dir.parent == project.registry:  # its window stays what it was made with
            window = f"the window of {spec_dir.name}, {prepare.max_length} tokens, stays"
            keys = f"evaluate.max_new_tokens; {window}"
        runner.plan.require(recipe.longest(prepare), evaluate.max_new_tokens, keys)
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


def _beside(
    project: Project,
    turn: Turn,
    recipe: ModuleType,
    rows: Rows,
    before: LedgerPart,
    after: LedgerPart,
) -> Beside:
    """Quality of both sides' answers and the candidate's bias, where params.yaml asks for them."""
    measure = config.read(project.params, Quality).measure
    settings = config.read(project.params, Evaluate)
    folder = project.made("finetune")
    model = folder / challengers(folder)[0]["model"]
    models = {after.artifact: (model, folder)}
    if turn.base.kind == "version":
        version = project.version(turn.base.name)
        models[before.artifact] = (version / "checkpoint", version)

    def answer(some: Rows, label: str) -> LedgerPart:
        return score_model(project, recipe, model, folder, some, settings, label)

    def draw(artifact: str, some: Rows, seed: int) -> LedgerPart:
        drawn = {"temperature": measure.temperature, "seed": seed}
        how = settings.model_copy(update=drawn)
        return score_model(project, recipe, *models[artifact], some, how, f"draw answer {seed + 1}")

    samples = {
        artifact: sampled(recipe, measure, rows, functools.partial(draw, artifact))
        for artifact in models
    }
    return beside(
        project,
        recipe,
        measure,
        rows,
        before=before,
        after=after,
        answer=answer,
        samples=samples,
        threads=settings.threads,
    )


def _fitted(
    recipe: ModuleType, model_dir: Path, spec_dir: Path, rows: Rows, settings: Evaluate
) -> dict[str, Any]:
    """How many held-out rows have a text too long for the candidate's windows, cut at its end.

    And where its prompts have examples, how many of them fitted; too few are said.
    """
    prepare, _ = resolve(files.read_json(spec_dir / "spec.json"), settings)
    every = [row for of_unit in rows.values() for row in of_unit]
    tokenizer = load_tokenizer(model_dir)
    if not hasattr(recipe, "prompted"):
        return {"inputs_cut": int(recipe.inputs_cut(every, tokenizer, prepare))}
    found: dict[str, Any] = recipe.prompted(every, tokenizer, prepare)
    shots = found.get("shots")
    if shots and shots["mean"] < shots["wanted"]:
        print(  # noqa: T201
            f"examples: of {shots['wanted']} a prompt has {shots['mean']:.3g} on average, and "
            f"{shots['none']:,} of {shots['rows']:,} rows have none; prepare.max_length is "
            f"{prepare.max_length}",
            flush=True,
        )
    return found


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


def _different(base: list[LedgerPart], scored: list[LedgerPart]) -> list[LedgerPart]:
    """The parts to keep, each artifact once: a candidate may be its base to the byte."""
    return list({one.artifact: one for one in (*base, *scored)}.values())


def _primary(recipe: ModuleType, part: LedgerPart) -> dict[str, float]:
    """The primary metric per episode, and pooled as "all"."""
    totals = {unit: part.total(unit) for unit in part.units()}
    totals["all"] = np.sum(list(totals.values()), axis=0)
    found = {unit: recipe.metrics(total)[recipe.PRIMARY] for unit, total in totals.items()}
    return {unit: round(float(value), _DECIMALS) for unit, value in found.items()}


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


def _flat(recipe: ModuleType, units: Mapping[str, Any]) -> dict[str, Any]:
    return {
        unit: {
            "rows": told["rows"],
            **{name: told["after"][name] for name in recipe.METRICS},
            **{f"{name}_before": told["before"][name] for name in recipe.METRICS},
        }
        for unit, told in units.items()
    }
