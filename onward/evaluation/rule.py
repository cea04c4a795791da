"""The gate's rule: a pure function from evidence to a verdict, defined for any evidence.

    d = mean paired change on the same rows, new minus champion; L, H one-sided bounds at `level`.
    Harm, every known unit:       ✓ L >= -margin   ✗ H < -margin   else ?
    Gain, learning rows pooled:   ✓ L >= gain      ✗ H < gain      else ?   ✗ nothing to gain
    First champion, each unit:    ✓ L >= floor     ✗ H < floor     else ?   ✗ floor <= baseline
    Budgets, final gate:          ✓ H <= limit     ✗ L > limit     else ?
    Fewer rows than min_rows: ?   Missing or not finite: ✗
    Any ✗: refused.  Else any ?: undecided.  Else passed (accuracy gate) or promoted (final gate).

A known unit passes only if all do, so harm needs no correction for many units; a turn's further
candidates do (`level_of`), or trying seeds until one passes would be a way through.

>>> level_of(Gate.model_validate({"level": 0.05}), tries=2)
0.0125
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from onward.config import Gate
from onward.evaluation import statistics
from onward.evaluation.checks import (
    FAILED,
    LEARNING,
    MEMORY,
    OPEN,
    P95,
    P95_CHANGE,
    PASSED,
    Check,
    CheckKind,
    Mark,
    Outcome,
    Verdict,
    episode_name,
    sentence,
)
from onward.evaluation.evidence import Evidence, Unit
from onward.evaluation.statistics import Array, Draws, Interval, Score

__all__ = ["Check", "Verdict", "decide", "level_of"]


def level_of(settings: Gate, tries: int) -> float:
    """The one-sided level: halved for each other candidate already judged in this turn."""
    return math.ldexp(settings.level, -max(0, tries))


def decide(evidence: Evidence, settings: Gate, level: float, score: Score) -> Verdict:
    """The verdict on this evidence. Never raises.

    Args:
        evidence: units, both sides' statistics, budgets.
        settings: margins, limits, resamples, seed.
        level: one-sided level of every bound, see `level_of`.
        score: the recipe's primary metric in percent, from column sums [..., k].
    """
    evidence = replace(evidence, units=tuple(sorted(evidence.units, key=lambda u: u.name)))
    rule = _Rule(evidence, settings, level, score)
    checks = tuple(rule.checks())
    failed = [check for check in checks if check.mark == FAILED]
    still_open = [check for check in checks if check.mark == OPEN]
    reasons = [sentence(c, evidence.metric, evidence.learning) for c in failed + still_open]
    return Verdict(
        outcome=_outcome(bool(failed), bool(still_open), evidence.kind == "final"),
        kind=evidence.kind,
        checks=checks,
        reasons=tuple(reasons),
        level=level,
        candidate=evidence.candidate,
        champion=evidence.champion,
        turn=evidence.turn,
        metric=evidence.metric,
        subject=evidence.subject,
        learning=evidence.learning,
        settings=settings.model_dump(),
        evidence=evidence,
    )


def _outcome(failed: bool, still_open: bool, final: bool) -> Outcome:
    if failed:
        return "refused"
    if still_open:
        return "undecided"
    return "promoted" if final else "passed"


class _Rule:
    """One decision: what every check needs, held once."""

    def __init__(self, evidence: Evidence, settings: Gate, level: float, score: Score) -> None:
        self.evidence, self.settings, self.level, self.score = evidence, settings, level, score
        self.width = len(evidence.statistics)
        self.draws = Draws(settings.resamples, level, settings.seed)

    def checks(self) -> Iterator[Check]:
        """Every check of this evidence, in the order of the table."""
        units = self.evidence.units
        for problem in self.evidence.problems:
            yield Check("evidence", "evidence", FAILED, note=problem)
        if len({unit.name for unit in units}) != len(units) or not units:
            note = "one episode twice" if units else "no episode to judge it on"
            yield Check("evidence", "evidence", FAILED, note=note)
        if self.evidence.champion is None:
            yield from (self.floor(unit) for unit in units)
        else:
            yield self.gain([unit for unit in units if unit.learning])
            yield from (self.harm(unit) for unit in units if unit.known)
        if self.evidence.kind == "final":
            yield from self.budgets()

    def gain(self, units: list[Unit]) -> Check:
        """The learning rows of all units pooled; rows are resampled within their unit."""
        problem = self._problems(units) if units else "no learning rows"
        if problem:
            return Check("gain", LEARNING, FAILED, limit=self.settings.gain, note=problem)
        check, found = self._change("gain", LEARNING, units, self.settings.gain)
        distance = found.value - self.settings.gain
        check = self._settle(check, found, distance)
        top = 100 - self.settings.gain
        if check.rows >= self.settings.min_rows and (check.old or 0.0) > top:
            note = f"nothing to gain, the champion has {check.old:.1f} already"
            return replace(check, mark=FAILED, note=note)
        return check

    def harm(self, unit: Unit) -> Check:
        """One known unit's change against the margin."""
        limit = -self.settings.margin
        problem = self._problems([unit])
        if problem:
            return Check("harm", unit.name, FAILED, limit=limit, note=problem)
        check, found = self._change("harm", unit.name, [unit], limit)
        return self._settle(check, found, self.settings.margin)

    def floor(self, unit: Unit) -> Check:
        """One unit's score against the floor, which must lie above the trivial baseline."""
        floor = self.settings.floor
        problem = unit.problem("new", self.width) or _floor_problem(floor, unit.baseline)
        if problem:
            return Check("floor", unit.name, FAILED, limit=floor, note=problem)
        new = _statistics(unit, "new")
        found = statistics.single([new], self.score, self.draws)
        check = Check("floor", unit.name, OPEN, rows=len(new), new=found.value, limit=floor)
        return self._settle(check, found, found.value - floor)

    def budgets(self) -> Iterator[Check]:
        """Latency at the serving shape, absolute and against the champion, and memory."""
        given, settings = self.evidence.budgets, self.settings
        new = statistics.p95(given.new_ms, self.draws)
        timings = len(given.new_ms)
        yield self._within(
            Check("budget", P95, OPEN, timings, new=new.value, limit=settings.p95_ms), new
        )
        if self.evidence.champion is not None and given.compared:
            change = statistics.p95_change(given.new_ms, given.old_ms, self.draws)
            old = statistics.p95(given.old_ms, self.draws)
            check = Check(
                "budget", P95_CHANGE, OPEN, min(timings, len(given.old_ms)), old.value, new.value
            )
            limit = settings.p95_change_percent
            yield self._within(replace(check, change=change.value, limit=limit), change)
        yield self._memory(given.memory_mb)

    def _memory(self, used: float | None) -> Check:
        limit = self.settings.memory_mb
        if used is None or not math.isfinite(used):
            return Check("budget", MEMORY, FAILED, limit=limit, note="was not measured")
        return Check("budget", MEMORY, PASSED if used <= limit else FAILED, new=used, limit=limit)

    def _problems(self, units: list[Unit]) -> str:
        for unit in units:
            for which in ("new", "old"):
                problem = unit.problem(which, self.width)
                if problem:
                    name = f"{episode_name(unit.name)} " if len(units) > 1 else ""
                    side = "the challenger" if which == "new" else "the champion"
                    return f"{name}{problem} ({side})"
        return ""

    def _change(
        self, kind: CheckKind, name: str, units: list[Unit], limit: float
    ) -> tuple[Check, Interval]:
        """The paired change on the rows of `units`, not yet marked."""
        pairs = [(_statistics(unit, "new"), _statistics(unit, "old")) for unit in units]
        found = statistics.paired(pairs, self.score, self.draws)
        new, old = (
            statistics.pooled([pair[side] for pair in pairs], self.score) for side in (0, 1)
        )
        rows = sum(len(pair[0]) for pair in pairs)
        check = Check(
            kind, name, OPEN, rows=rows, old=old, new=new, change=found.value, limit=limit
        )
        return check, found

    def _settle(self, check: Check, found: Interval, distance: float) -> Check:
        """Mark a check that must lie at or above its limit.

        `distance` is how far from the limit the truth is taken to lie, for the rows needed.
        """
        if found.flag == statistics.NOT_FINITE:
            return _unusable(check)
        limit, least = check.limit or 0.0, self.settings.min_rows
        mark: Mark = OPEN
        if check.rows >= least and not found.flag:
            mark = PASSED if found.low >= limit else FAILED if found.high < limit else OPEN
        check = replace(check, mark=mark, low=found.low, high=found.high, p=found.p_below(limit))
        if mark != OPEN:
            return check
        needed = statistics.rows_needed(check.rows, found.error, distance, self.level)
        if check.rows < least:
            note = f"fewer than gate.min_rows, {least}"
            return replace(check, rows_needed=max(least, needed or 0), note=note)
        if found.flag:
            return replace(check, note=self._too_fine())
        return replace(check, rows_needed=None if needed is None else max(least, needed))

    def _within(self, check: Check, found: Interval) -> Check:
        """Mark a budget, which must lie at or below its limit."""
        if found.flag in (statistics.NOT_FINITE, statistics.NO_ROWS):
            return replace(_unusable(check), note="was not measured")
        limit = check.limit or 0.0
        mark: Mark = OPEN
        if not found.flag:
            mark = PASSED if found.high <= limit else FAILED if found.low > limit else OPEN
        note = ""
        if found.flag == statistics.FEW_TIMINGS:
            note = f"fewer than {statistics.MIN_TIMINGS} timings: raise benchmark.min_repeats"
        elif found.flag:
            note = self._too_fine()
        return replace(
            check, mark=mark, low=found.low, high=found.high, p=found.p_above(limit), note=note
        )

    def _too_fine(self) -> str:
        return f"{self.settings.resamples:,} gate.resamples cannot show a level of {self.level:.2g}"


def _floor_problem(floor: float, baseline: float | None) -> str:
    if baseline is None or not math.isfinite(baseline):
        return "its trivial baseline was not measured"
    if floor > baseline:
        return ""
    return f"gate.floor is {floor:g}, but the trivial baseline reaches {baseline:.1f}"


def _unusable(check: Check) -> Check:
    return replace(check, mark=FAILED, old=None, new=None, change=None, note="is not finite")


def _statistics(unit: Unit, which: str) -> Array:
    side = unit.new if which == "new" else unit.old
    assert side is not None  # noqa: S101 - `Unit.problem` was asked before
    return side.aligned()
