"""The final gate's budgets as checks: latency at the serving shape, absolute and against the
champion, and memory.

>>> given = Budgets(new_ms=(10.0,) * 100, memory_mb=300.0, compared=False)
>>> [check.mark for check in checks(given, Gate.model_validate({}), Draws(1_000), champion=True)]
['✓', '✓']
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from onward.config import Gate
from onward.evaluation import statistics
from onward.evaluation.checks import (
    FAILED,
    MEMORY,
    OPEN,
    P95,
    P95_CHANGE,
    PASSED,
    Check,
    Mark,
    too_fine,
    unusable,
)
from onward.evaluation.evidence import Budgets
from onward.evaluation.statistics import Draws, Interval


def checks(given: Budgets, settings: Gate, draws: Draws, *, champion: bool) -> Iterator[Check]:
    """One check a budget.

    Args:
        given: timings and memory.
        settings: the limits.
        draws: how the percentile is resampled.
        champion: whether there is one to compare with.
    """
    new = statistics.p95(given.new_ms, draws)
    timings = len(given.new_ms)
    check = Check("budget", P95, OPEN, timings, new=new.value, limit=settings.p95_ms)
    yield _within(check, new, draws)
    if champion and given.compared:
        change = statistics.p95_change(given.new_ms, given.old_ms, draws)
        old = statistics.p95(given.old_ms, draws)
        rows = min(timings, len(given.old_ms))
        check = Check("budget", P95_CHANGE, OPEN, rows, old.value, new.value, change.value)
        yield _within(replace(check, limit=settings.p95_change_percent), change, draws)
    yield _memory(given.memory_mb, settings.memory_mb)


def _memory(used: float | None, limit: float) -> Check:
    if used is None or not math.isfinite(used):
        return Check("budget", MEMORY, FAILED, limit=limit, note="was not measured")
    return Check("budget", MEMORY, PASSED if used <= limit else FAILED, new=used, limit=limit)


def _within(check: Check, found: Interval, draws: Draws) -> Check:
    """Mark a budget, which must lie at or below its limit."""
    if found.flag in (statistics.NOT_FINITE, statistics.NO_ROWS):
        return replace(unusable(check), note="was not measured")
    limit = check.limit or 0.0
    few = found.flag == statistics.FEW_TIMINGS
    mark: Mark = OPEN
    if not found.flag or (few and check.unit == P95):
        above = FAILED if found.low > limit else OPEN
        mark = PASSED if found.high <= limit and not few else above
    note = ""
    if few:
        least = max(statistics.timings_needed(draws.level), statistics.MIN_TIMINGS)
        note = f"fewer than {least} timings: raise benchmark.min_repeats"
    elif found.flag:
        note = too_fine(draws)
    p = found.p_above(limit)
    return replace(check, mark=mark, low=found.low, high=found.high, p=p, note=note)
