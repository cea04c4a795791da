"""What a study measured: matrices and measures, with intervals over seeds and rows.

With a[t, u] the score after turn t on episode u (percent), T the last turn, means over episodes:

    average     a[T, u]
    known       a[T, u] over the episodes before the last
    learned     a[u, u], right after an episode was learned
    forgetting  max over t < T of a[t, u], minus a[T, u], over the episodes before the last
                (Chaudhry et al. 2018)
    backward    a[T, u] minus a[u, u], over the episodes before the last (Lopez-Paz & Ranzato 2017)
    of_joint    100 times average over joint's average; none where that is not above 0, as R2 may be
    beyond_joint    forgetting minus joint's: where labels are added, old rows grow harder for
                joint, too, and what it loses by that was not forgotten

Intervals are of a two-level bootstrap: each resample draws seeds with replacement and, once for all
seeds and combinations, rows with replacement, so what is compared is compared on the same rows and
seeds, and more seeds do not pass for more rows. Percentiles at the level below, on both sides.

A test row that a later episode corrects counts in no turn: every a[t, u] is over the same rows,
those that stand at the end.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from onward import recipes
from onward.evaluation.statistics import Array
from onward.study import trial
from onward.study.plan import Plan
from onward.study.trial import Trial

Indices = np.ndarray[Any, np.dtype[np.int64]]

RESAMPLES, LEVEL, DRAWN_WITH = 1_000, 0.05, 0
_AT_ONCE = 8_000_000
"""Counts drawn at once."""


@dataclass(frozen=True)
class Value:
    """A mean over seeds, with its one-sided bounds."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Result:
    """One combination over all seeds that were finished."""

    name: str
    seeds: tuple[int, ...]
    matrix: Array
    """a[t, u], the mean over seeds; NaN where u was not learned yet."""
    measures: dict[str, Value]
    curve: list[Value]
    """After each turn, the mean over the episodes learned so far."""
    turns: list[dict[str, Any]]
    """What every turn of every seed measured, `episode number` added."""
    settings: dict[str, Any]


def collect(plan: Plan) -> list[Result]:
    """The results of every combination of which at least one seed is finished.

    Raises:
        MissingFiles, IntegrityError: a sealed result cannot be read.
    """
    done: dict[str, dict[int, Trial]] = {}
    for (name, seed), one in plan.trials().items():
        if all(trial.sealed(plan.folder, key) for key in one.keys()):
            done.setdefault(name, {})[seed] = one
    samples = _Samples(plan, [one for of_name in done.values() for one in of_name.values()])
    every = {
        name: {seed: samples.scores(one) for seed, one in of_name.items()}
        for name, of_name in done.items()
    }
    joint = every.get("joint", {})
    with warnings.catch_warnings():
        # Of a resample without a row of some episode: that episode takes no part in it.
        warnings.filterwarnings("ignore", "Mean of empty slice|All-NaN", RuntimeWarning)
        return [
            _result(plan.folder, name, of_name, every[name], joint)
            for name, of_name in done.items()
        ]


def counts(size: int) -> Iterator[Array]:
    """How often each of `size` rows is drawn, in blocks [N, size]: once each, then RESAMPLES."""
    yield np.ones((1, size))
    draw = np.random.Generator(np.random.PCG64(DRAWN_WITH))
    step = max(1, _AT_ONCE // max(size, 1))
    for start in range(0, RESAMPLES, step):
        many = min(step, RESAMPLES - start)
        yield draw.multinomial(size, np.full(size, 1 / size), size=many).astype(np.float64)


class _Samples:
    """How often each test row is drawn in each resample: [1 + R, rows], ones first."""

    def __init__(self, plan: Plan, trials: Sequence[Trial]) -> None:
        recipe = recipes.get(plan.recipe)
        self.folder = plan.folder
        self.score: Callable[[Array], Array] = lambda total: recipe.metrics(total)[recipe.PRIMARY]
        self.standing: dict[str, set[str]] = {}
        for sequence in {one.sequence.id: one for one in trials}.values():
            part = trial.statistics(self.folder, sequence.keys()[-1])
            for unit in part.units():
                self.standing.setdefault(unit, set()).update(part.statistics(unit)[0])
        names = set().union(*self.standing.values())
        self.place = {name: at for at, name in enumerate(sorted(names))}

    def scores(self, one: Trial) -> Array:
        """a[t, u] of a trial: [1 + R, T, T]; NaN where u was not learned yet, or no row drawn."""
        names = [named.episode for named in one.sequence.named]
        made = np.full((1 + RESAMPLES, len(names), len(names)), np.nan)
        parts = [trial.statistics(self.folder, key) for key in one.keys()]
        cells = [
            (t, u, *self._rows(part, name))
            for t, part in enumerate(parts)
            for u, name in enumerate(names[: t + 1])
        ]
        first = 0
        for drawn in counts(len(self.place)):
            for t, u, places, values in cells:
                picked = drawn[:, places]
                with np.errstate(all="ignore"):
                    scores = self.score(picked @ values)
                made[first : first + len(drawn), t, u] = np.where(
                    picked.any(axis=1), scores, np.nan
                )
            first += len(drawn)
        return made

    def _rows(self, part: Any, unit: str) -> tuple[list[int], Array]:
        """Place and statistics of the rows that stand at the end.

        A row that a later episode corrects was scored in turns before it alone.
        """
        names, values = part.statistics(unit)
        stands = np.array([name in self.standing[unit] for name in names], dtype=bool)
        places = [self.place[name] for name, kept in zip(names, stands, strict=True) if kept]
        return places, values[stands]


def average(a: Array) -> Array:
    """[..., T, T] -> [...]; see the module's docstring, also for the others."""
    return np.nanmean(a[..., -1, :], axis=-1)


def known(a: Array) -> Array:
    """The mean over the episodes before the last, after the last turn."""
    return np.nanmean(a[..., -1, :-1], axis=-1)


def learned(a: Array) -> Array:
    """The mean of the diagonal."""
    return np.nanmean(np.diagonal(a, axis1=-2, axis2=-1), axis=-1)


def forgetting(a: Array) -> Array:
    """The best score before the last turn minus the last."""
    return np.nanmean(np.nanmax(a[..., :-1, :-1], axis=-2) - a[..., -1, :-1], axis=-1)


def backward(a: Array) -> Array:
    """The last score minus the first."""
    first = np.diagonal(a, axis1=-2, axis2=-1)[..., :-1]
    return np.nanmean(a[..., -1, :-1] - first, axis=-1)


MEASURES: dict[str, Callable[[Array], Array]] = {
    "average": average,
    "known": known,
    "learned": learned,
    "forgetting": forgetting,
    "backward": backward,
}


def _result(
    folder: Path,
    name: str,
    trials: Mapping[int, Trial],
    scores: Mapping[int, Array],
    joint: Mapping[int, Array],
) -> Result:
    seeds = sorted(trials)
    drawn = seeds_drawn(len(seeds))
    measures = {key: mean([of(scores[s]) for s in seeds], drawn) for key, of in MEASURES.items()}
    if seeds and set(seeds) <= set(joint):
        pairs = [(average(scores[seed]), average(joint[seed])) for seed in seeds]
        if share := _share(pairs, drawn):
            measures["of_joint"] = share
        before = [known(scores[seed]) - known(joint[seed]) for seed in seeds]
        measures["known_against_joint"] = mean(before, drawn)
        lost = [forgetting(scores[seed]) - forgetting(joint[seed]) for seed in seeds]
        measures["beyond_joint"] = mean(lost, drawn)
    stacked = np.stack([scores[seed][0] for seed in seeds])
    turns = scores[seeds[0]].shape[-1]
    return Result(
        name=name,
        seeds=tuple(seeds),
        matrix=stacked.mean(axis=0),
        measures=measures,
        curve=[mean([average(scores[s][:, : t + 1]) for s in seeds], drawn) for t in range(turns)],
        turns=[
            {"number": number, **trial.read(folder, key)}
            for seed in seeds
            for number, key in enumerate(trials[seed].keys(), start=1)
        ],
        settings=dict(trials[seeds[0]].blocks),
    )


def processor_seconds(turns: Sequence[Mapping[str, Any]]) -> float:
    """Of the whole sequence, the mean over the seeds of its turns."""
    seeds = {turn["seed"] for turn in turns}
    return float(sum(turn["processor_seconds"]["all"] for turn in turns) / len(seeds))


def seeds_drawn(many: int) -> Indices:
    """Which seeds each resample draws: [R, S]; the same for all with as many seeds."""
    draw = np.random.Generator(np.random.PCG64(DRAWN_WITH + 1))
    return draw.integers(0, many, size=(RESAMPLES, many))


def mean(of_seeds: Sequence[Array], drawn: Indices) -> Value:
    """The mean over seeds with its bounds.

    Args:
        of_seeds: S arrays [1 + R], the true value first.
        drawn: what `seeds_drawn` gave.
    """
    stacked = np.stack(of_seeds)
    sampled = stacked[drawn, np.arange(1, RESAMPLES + 1)[:, None]].mean(axis=1)
    return _bounds(float(stacked[:, 0].mean()), sampled)


def _share(pairs: Sequence[tuple[Array, Array]], drawn: Indices) -> Value | None:
    """100 times the ratio of two means over seeds; None where the second is not above 0.

    A share of a negative number would be the larger, the worse the first is.
    """
    mine, other = (np.stack(side) for side in zip(*pairs, strict=True))
    at = np.arange(1, RESAMPLES + 1)[:, None]
    if not other[:, 0].mean() > 0:
        return None
    below = other[drawn, at].mean(axis=1)
    below = np.where(below > 0, below, np.nan)
    sampled = 100 * mine[drawn, at].mean(axis=1) / below
    return _bounds(float(100 * mine[:, 0].mean() / other[:, 0].mean()), sampled)


def _bounds(value: float, sampled: Array) -> Value:
    finite = sampled[np.isfinite(sampled)]
    if not len(finite):
        return Value(value, value, value)
    low, high = np.quantile(finite, [LEVEL, 1 - LEVEL])
    return Value(round(value, 4), round(float(low), 4), round(float(high), 4))
