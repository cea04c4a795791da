"""`onward study`: choose settings where asked, run what is missing, make the table.

table = study(plan, jobs=2, select=False)
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from onward import files, locks
from onward.errors import UsageError
from onward.study import choosing, readings, report, schedule
from onward.study.plan import Plan

SCHEMA = 1


def study(
    plan: Plan,
    *,
    jobs: int,
    select: bool,
    grid: Mapping[str, Sequence[Any]] | None = None,
) -> dict[str, Any]:
    """Run what of a plan is not sealed yet, and return its table (`report.describe`).

    Args:
        plan: what to compare.
        jobs: trials at a time.
        select: choose settings first, on a part of the training rows.
        grid: block.key -> values to choose from; default `choosing.GRID`.

    Raises:
        Busy: another process works in this study's folder.
        OnwardError: the first error of a trial, after all others were run.
    """
    with locks.held(plan.folder / "study.lock", "a study"):
        for inside in ("done", "data", "work"):
            files.sweep(plan.folder / inside)
        choices = choosing.choose(plan, jobs, grid) if select else {}
        if choices:
            plan = replace(plan, chosen={name: one.values for name, one in choices.items()})
        trials = list(plan.trials().values())
        readings.announce(plan.folder, trials)
        schedule.run_all(plan.folder, trials, jobs)
        return report.make(plan, choices)


def threads(folder: Path, jobs: int, asked: int | None) -> int:
    """Threads of a trial: as asked, else as this study began, else the cores shared by the jobs.

    Kept in the study's folder: a study that goes on with other --jobs gives the same bits.

    Raises:
        UsageError: fewer than one was asked for, or fewer than one job.
    """
    if jobs < 1 or (asked is not None and asked < 1):
        raise UsageError("--jobs and --threads are 1 or more", where="onward study", fix="mend it")
    path = folder / "threads.json"
    if asked is None and path.is_file():
        return int(files.read_json(path)["threads"])
    found = asked or max(1, len(os.sched_getaffinity(0)) // jobs)
    files.write_json(path, {"schema": SCHEMA, "threads": found})
    return found
