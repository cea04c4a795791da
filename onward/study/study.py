"""`onward study`: choose settings where asked, run what is missing, make the table.

table = study(plan, jobs=2, select=False)
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from onward import files, locks
from onward.errors import UsageError
from onward.study import choosing, readings, report, schedule
from onward.study.combinations import parse
from onward.study.plan import Plan
from onward.study.trial import Trial

SCHEMA = 1


def study(
    plan: Plan,
    *,
    jobs: int,
    select: bool = False,
    only: Sequence[str] = (),
    minutes: float = math.inf,
    again: bool = False,
    grid: Mapping[str, Sequence[Any]] | None = None,
) -> dict[str, Any]:
    """Run what of a plan is not sealed yet, and return its table (`report.describe`).

    The table is of all that is finished, and names what is missing: the trials of a plan may be
    run in parts.

    Args:
        plan: what to compare.
        jobs: trials at a time.
        select: choose settings first, on a part of the training rows.
        only: NAME or NAME:SEED of the trials to run now; all by default.
        minutes: after these no further trial is begun.
        again: whether test rows may be read for a second configuration of a combination.
        grid: block.key -> values to choose from; default `choosing.GRID`.

    Raises:
        Busy: another process works in this study's folder.
        UsageError: `only` names a trial that is not of the plan; as `readings.check`.
        OnwardError: the first error of a trial, after all others were run.
    """
    _asked(plan, only)  # refused before hours of choosing, and before there is a folder
    with locks.held(plan.folder / "study.lock", "a study"):
        for inside in ("done", "data", "work"):
            files.sweep(plan.folder / inside)
        choices = choosing.choose(plan, jobs, grid) if select else {}
        if choices:
            plan = replace(plan, chosen={name: one.values for name, one in choices.items()})
        trials = _asked(plan, only)
        readings.check(plan.folder, trials, again=again)
        reads = partial(readings.mark, plan.folder)
        schedule.run_all(plan.folder, trials, jobs, minutes=minutes, begins=reads)
        return report.make(plan, choices)


def _asked(plan: Plan, only: Sequence[str]) -> list[Trial]:
    """The trials of the plan that are to be run now, in its order."""
    every = plan.trials()
    return [every[pair] for pair in schedule.named(every, only, lambda name: parse(name).name)]


def threads(folder: Path, jobs: int, asked: int | None) -> int:
    """Threads of a trial: as asked, else as this study began, else the cores shared by the jobs.

    Kept in the study's folder: a study that goes on with other --jobs gives the same bits.

    Raises:
        UsageError: fewer than one was asked for, or fewer than one job.
    """
    if jobs < 1 or (asked is not None and asked < 1):
        raise UsageError(
            "--jobs and --threads are 1 or more",
            where=f"--jobs {jobs}, --threads {asked}",
            fix="leave them out, or name a number from 1",
        )
    path = folder / "threads.json"
    if asked is None and path.is_file():
        return int(files.read_json(path)["threads"])
    found = asked or max(1, len(os.sched_getaffinity(0)) // jobs)
    files.write_json(path, {"schema": SCHEMA, "threads": found})
    return found
