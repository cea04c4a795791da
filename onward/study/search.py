"""`onward search`: settings of a stage, searched on training rows alone, by Optuna.

    found = search(Search(folder, comparison, space), trials=20)
    found["best"]["values"], found["cost"]

A try is a turn of the product on the carved episodes of a comparison: trained on their training
part, scored on the part that was carved off it. The first try is the present settings. Values are
drawn by a tree-structured Parzen estimator (Bergstra et al. 2011), of a sampler that is made anew
for each value from the seed, the try's number and the key, so that a search that was killed
goes on as the undisturbed one would have. A try is trained for RUNG of its epochs first, as in
successive halving (Jamieson and Talwalkar 2016), and given up where it is then below the median of
the tries before.

Optuna's record lies in FOLDER/journal.log (onward/study/journal.py); every training is sealed
beside it, as a study's.

What this does not cover: the best of many tries looks better than it is. The gate judges it on rows
that no try has seen.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onward import files, locks
from onward.errors import OnwardError, UsageError
from onward.progress import Progress
from onward.study import schedule
from onward.study import trial as turns
from onward.study.compare import Comparison, Entry
from onward.study.space import Range, Space

SCHEMA = 1
RUNG = 0.25
"""Share of the epochs after which a try is judged against the others."""
STARTUP = 4
"""Tries that are never given up, so that there is a median."""
JOURNAL = "journal.log"


@dataclass(frozen=True)
class Search:
    """What is searched, and where."""

    made: Comparison
    """Its one entry is the present settings; its first seed is the one that is trained with."""
    space: Space

    @property
    def name(self) -> str:
        """Of the Optuna study: another space, template, code or other rows are another search."""
        blocks = self.made.blocks(self.made.entries[0], self.seed, {})
        told = {key: repr(value) for key, value in self.space.items()}
        searched = self.space.get("finetune.prompt", ())
        among = searched if isinstance(searched, tuple) else ()
        named = {str(name) for name in (blocks["finetune"]["prompt"], *among) if name}
        texts = {name: self.made.template(name) for name in sorted(named)}
        start, rows = self.made.start.key, self.made.episodes.id
        own = [SCHEMA, blocks, told, start, rows, self.made.code, self.made.threads]
        return files.digest([*own, texts] if texts else own)

    @property
    def seed(self) -> int:
        """Of every training and of the sampler."""
        return self.made.seeds[0]

    def epochs(self, values: Mapping[str, Any]) -> str:
        """The key of the epochs that a try of these values reads."""
        return "finetune.first_epochs" if self.made.afresh(values) else "finetune.epochs"

    @property
    def present(self) -> dict[str, Any]:
        """The values that params.yaml has now, of the keys that are searched."""
        blocks = self.made.blocks(self.made.entries[0], self.seed, {})
        pairs = {key: key.partition(".") for key in self.space}
        return {key: blocks[block][name] for key, (block, _, name) in pairs.items()}


def search(asked: Search, *, trials: int, minutes: float = math.inf) -> dict[str, Any]:
    """Try until so many tries are done, and tell the best.

    Args:
        asked: what to search.
        trials: how many tries, those of an earlier run of the same search included.
        minutes: after these none is begun.

    Returns:
        best, present, tries and cost as plain values; see `describe`. The score of present settings
        that lie outside of the space is None: the nearest within it were tried.

    Raises:
        Busy: another process searches here.
        DiskFull: the record of the search does not fit; it goes on where it stopped.
        OnwardError: as the stages do; what was finished is kept.
    """
    folder = asked.made.folder
    with locks.held(folder / "study.lock", "a search"):
        for inside in ("done", "data", "work"):
            files.sweep(folder / inside)
        study = _study(asked)
        ends = time.monotonic() + 60 * minutes
        left = max(0, trials - len(_settled(study)))
        with Progress("search", left) as progress:
            while len(_settled(study)) < trials and time.monotonic() < ends:
                number = _try(asked, study)
                progress.advance(1, note=f"try {number}")
        return describe(asked, study)


def _study(asked: Search) -> Any:
    """Optuna's study of this search, with its present settings queued as the first try."""
    import optuna
    from optuna.storages import JournalStorage

    from onward.study.journal import Journal

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    asked.made.folder.mkdir(parents=True, exist_ok=True)
    made = optuna.create_study(
        storage=JournalStorage(Journal(asked.made.folder / JOURNAL)),
        study_name=asked.name,
        direction="maximize",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP, n_warmup_steps=0),
        load_if_exists=True,
    )
    if not made.get_trials(deepcopy=False):
        made.enqueue_trial(_inside(asked.space, asked.present))
    return made


def _inside(space: Space, values: Mapping[str, Any]) -> dict[str, Any]:
    """Values with those outside of their range or list moved to its nearest end or first one."""
    found = {}
    for key, one in space.items():
        value = values[key]
        if isinstance(one, Range):
            near = min(max(float(value), one.low), one.high)
            found[key] = int(near) if one.whole else near
        else:
            found[key] = value if value in one else one[0]
    return found


def _settled(study: Any) -> list[Any]:
    """The tries that were finished or given up."""
    return [one for one in study.get_trials(deepcopy=False) if one.state.is_finished()]


def _try(asked: Search, study: Any) -> int:
    """The next try, or the one in which an earlier process died. Returns its number."""
    import optuna
    from optuna.trial import TrialState

    open_ones = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    one = optuna.trial.Trial(study, open_ones[0]._trial_id) if open_ones else study.ask()
    values = _drawn(asked, study, one)
    try:
        early, seconds = _trained(asked, values, RUNG)
        one.set_user_attr("seconds", seconds)
        # A death in between has told Optuna already; it warns of a second telling, and keeps one.
        if 0 not in one.storage.get_trial(one._trial_id).intermediate_values:
            one.report(early, step=0)
        if one.should_prune():
            study.tell(one, state=TrialState.PRUNED)
            return int(one.number)
        score, more = _trained(asked, values, 1.0)
        one.set_user_attr("seconds", seconds + more)
        one.set_user_attr("whole", more)
        study.tell(one, score)
    except OnwardError as error:
        of_values = error.exit_code == 3 or isinstance(error, schedule.OF_VALUES)
        if not of_values or one.number == 0:
            raise
        # Values that contradict each other or diverge are a try that failed; the search goes on.
        one.set_user_attr("refused", error.what)
        study.tell(one, state=TrialState.FAIL)
    return int(one.number)


def _drawn(asked: Search, study: Any, one: Any) -> dict[str, Any]:
    """The values of a try: those that it had before its process died, and the rest."""
    import optuna

    values = {}
    for key, among in asked.space.items():
        drawn_with = int(files.digest([asked.seed, one.number, key])[:8], 16)
        study.sampler = optuna.samplers.TPESampler(seed=drawn_with, n_startup_trials=STARTUP)
        _ = one.relative_params  # by the first sampler: what Optuna draws together
        values[key] = _suggested(one, key, among)
    return values


def _suggested(one: Any, key: str, among: Range | tuple[Any, ...]) -> Any:
    if isinstance(among, Range) and among.whole:
        return int(one.suggest_int(key, int(among.low), int(among.high), log=among.log))
    if isinstance(among, Range):
        return float(f"{one.suggest_float(key, among.low, among.high, log=among.log):.3g}")
    return one.suggest_categorical(key, list(among))


def _trained(asked: Search, values: Mapping[str, Any], share: float) -> tuple[float, float]:
    """The score after a share of the epochs, and the seconds that it took."""
    made, entry = asked.made, Entry("try", dict(values))
    used = asked.epochs(values)
    block, _, name = used.partition(".")
    epochs = made.blocks(entry, asked.seed, {})[block][name]
    run = made.trial(entry, asked.seed, {used: epochs * share}, made.episodes)
    turns.run(made.folder, run)
    found = turns.read(made.folder, run.keys()[-1])
    scores = found["scores"].values()
    return round(sum(scores) / len(scores), 4), float(found["seconds"]["all"])


def describe(asked: Search, study: Any) -> dict[str, Any]:
    """What was tried, what is best, and what it cost, as plain values.

    Raises:
        UsageError: no try was finished.
    """
    from onward import recipes

    tries = [
        {
            "number": one.number,
            "state": one.state.name.lower(),
            "values": {key: _shown(asked.space[key], value) for key, value in one.params.items()},
            "score": one.value,
            "early": one.intermediate_values.get(0),
            "seconds": one.user_attrs.get("seconds", 0.0),
            "whole": one.user_attrs.get("whole", one.user_attrs.get("seconds", 0.0)),
            "refused": one.user_attrs.get("refused"),
        }
        for one in _settled(study)
    ]
    done = [one for one in tries if one["state"] == "complete"]
    if not done:
        raise UsageError(
            "No try was finished",
            where=str(asked.made.folder),
            fix="give it more --minutes; it goes on where it stopped",
        )
    best = max(done, key=lambda one: (one["score"], -one["number"]))
    spent = _spent(tries)
    present = {key: _shown(asked.space[key], value) for key, value in asked.present.items()}
    tried = done[0]["number"] == 0 and done[0]["values"] == present
    follow = _followed(asked, best["values"])
    return {
        "schema": SCHEMA,
        "metric": recipes.get(asked.made.recipe).PRIMARY,
        "space": {
            key: vars(one) if isinstance(one, Range) else list(one)
            for key, one in asked.space.items()
        },
        "present": {
            "values": asked.present | {key: before for key, (before, _) in follow.items()},
            "score": done[0]["score"] if tried else None,
        },
        "best": best,
        "changed": {k: v for k, v in best["values"].items() if v != present[k]}
        | {key: after for key, (_, after) in follow.items()},
        "tries": tries,
        "cost": {
            "seconds": round(spent, 1),
            "tries": len(tries),
            "given_up": sum(one["state"] == "pruned" for one in tries),
            "refused": sum(one["state"] == "fail" for one in tries),
            "trainings": round(spent / max(done[0]["whole"], 1e-9), 1),
        },
    }


def _followed(asked: Search, values: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What a try was trained with and nobody searched, before and after: a tuning's own rate."""
    made = asked.made
    before = made.blocks(made.entries[0], asked.seed, {})
    after = made.blocks(Entry("try", dict(values)), asked.seed, {})
    pairs = {
        f"{block}.{name}": (before[block][name], value)
        for block, held in after.items()
        for name, value in held.items()
    }
    return {
        key: pair for key, pair in pairs.items() if key not in asked.space and pair[0] != pair[1]
    }


def _spent(tries: Sequence[Mapping[str, Any]]) -> float:
    """Seconds of all trainings: one that several tries asked for was made once."""
    longest: dict[str, float] = {}
    for one in tries:
        values = files.digest(one["values"])
        longest[values] = max(longest.get(values, 0.0), one["seconds"])
    return sum(longest.values())


def _shown(among: Range | tuple[Any, ...], value: Any) -> Any:
    """A value as it was trained with: one of a range has three digits, one of a list all."""
    whole = not isinstance(among, Range) or among.whole
    return value if whole else float(f"{value:.3g}")
