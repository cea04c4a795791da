"""Settings chosen on a part carved from the training rows, never on test rows.

The grid is small and stated. A combination's keys are tried one after the other, each value with
the best of the keys before it; the score is the mean over the episodes, after the last one, of the
carved part. The first of equal scores is taken.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onward.errors import OnwardError
from onward.study import schedule, trial
from onward.study.combinations import Combination
from onward.study.plan import Plan
from onward.study.sequence import Episodes, carved
from onward.study.trial import Trial

GRID: dict[str, tuple[float, ...]] = {
    "finetune.learning_rate": (5e-5, 2e-5, 2e-4),
    "finetune.first_learning_rate": (1e-4, 1e-3, 5e-3),
    "strategy.replay_percent": (30.0, 50.0),
    "strategy.ewc_weight": (100.0, 1_000.0),
    "strategy.distill_weight": (1.0, 4.0),
    "strategy.der_alpha": (0.5, 1.0),
    "strategy.analytic_ridge": (100.0, 10.0, 1_000.0),
}
PERCENT = 20.0
FIRST = 3
"""Episodes that settings are chosen on."""


@dataclass(frozen=True)
class Choice:
    """What was chosen for a combination or an entry, and every score that it was chosen by."""

    values: dict[str, Any]
    tried: list[dict[str, Any]]


def keys(one: Combination) -> list[str]:
    """The keys of the grid that a combination depends on, in the order they are chosen.

    Each adapter begins with the pretrained encoder, so adapters know one rate, the first.

    >>> from onward.study.combinations import parse
    >>> keys(parse("replay+der"))
    ['finetune.learning_rate', 'strategy.replay_percent', 'strategy.der_alpha']
    """
    if one.tuning == "none":
        return []
    if one.structure in ("analytic", "adapted"):
        return ["strategy.analytic_ridge"]
    if one.structure == "adapters":
        return ["finetune.first_learning_rate"]
    term = {
        "ewc": "strategy.ewc_weight",
        "distill": "strategy.distill_weight",
        "der": "strategy.der_alpha",
    }
    found = ["finetune.learning_rate"]
    found += ["strategy.replay_percent"] if one.rows == "replay" else []
    return found + ([term[one.term]] if one.term in term else [])


def choose(
    plan: Plan, jobs: int, grid: Mapping[str, Sequence[Any]] | None = None
) -> dict[str, Choice]:
    """Name -> choice, for every combination of the plan, with its first seed.

    Raises:
        OnwardError: as the trials do.
    """
    grid = GRID if grid is None else grid
    seed = plan.seeds[0]
    episodes = carved(
        plan.sequences[seed],
        plan.folder / "data",
        plan.recipe,
        percent=PERCENT,
        seed=seed,
        first=FIRST,
    )
    found = {one.name: Choice({}, []) for one in plan.combinations}
    for step in range(max(len(keys(one)) for one in plan.combinations)):
        due = [one for one in plan.combinations if step < len(keys(one))]
        tries = [_try(plan, one, keys(one)[step], grid, found, episodes) for one in due]
        every = [trial for of_one in tries for trial, _ in of_one]
        label = f"choose settings {step + 1}"
        failed = schedule.run_all(plan.folder, every, jobs, label, spared=schedule.OF_VALUES)
        for one, of_one in zip(due, tries, strict=True):
            choice = best(plan.folder, of_one, failed)
            found[one.name].tried.extend(choice.tried)
            found[one.name].values.update(choice.values)
    return found


def best(
    folder: Path,
    tries: Sequence[tuple[Trial, dict[str, Any]]],
    failed: Mapping[str, OnwardError],
) -> Choice:
    """The values of the best of some trials that are done, and what each came to.

    One that diverged has no score and is not chosen.

    Args:
        folder: where the trials' results lie.
        tries: each with its values.
        failed: what `schedule.run_all` gave.

    Raises:
        OnwardError: of the first one, where all failed.
    """
    errors = [failed.get(one.keys()[-1]) for one, _ in tries]
    scores = [
        None if error else _score(folder, one)
        for (one, _), error in zip(tries, errors, strict=True)
    ]
    if errors[0] and all(errors):
        raise errors[0]
    ordered = [-math.inf if score is None else score for score in scores]
    first = ordered.index(max(ordered))
    tried = [
        {**values, "score": score, **({"failed": error.what} if error else {})}
        for (_, values), score, error in zip(tries, scores, errors, strict=True)
    ]
    return Choice(dict(tries[first][1]), tried)


def _try(
    plan: Plan,
    one: Combination,
    key: str,
    grid: Mapping[str, Sequence[Any]],
    found: Mapping[str, Choice],
    episodes: Episodes,
) -> list[tuple[Trial, dict[str, Any]]]:
    """A trial for each value of a key, with what was chosen before."""
    every = [{**found[one.name].values, key: value} for value in grid.get(key, ())]
    seed = plan.seeds[0]
    return [(plan.trial(one, seed, episodes, values), values) for values in every]


def _score(folder: Path, made: Trial) -> float:
    """The mean over the episodes, after the last one."""
    scores = trial.read(folder, made.keys()[-1])["scores"]
    return round(sum(scores.values()) / len(scores), 4)
