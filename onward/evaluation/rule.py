"""The gate's rule: a pure function from evidence to a verdict, defined for any evidence.

    d = mean paired change on the same rows, new minus champion; L, H one-sided bounds at `level`.
    Harm, every known unit/group: ✓ L >= -margin   ✗ H < -margin   else ?
    Slices, all known rows:       ✗ H < -margin under Holm, never ?
    Gain, learning rows pooled:   ✓ L >= gain      ✗ H < gain      else ?   ✗ nothing to gain
    First champion, each unit:    ✓ L >= floor     ✗ H < floor     else ?   ✗ floor <= baseline
    Answers' quality and bias:    see quality_rule.py
    Budgets, final gate:          ✓ H <= limit     ✗ L > limit     else ?
    Fewer rows than min_rows: ?   ✓ but the mean over the seeds misses the limit: ?
    Missing (row, unit, seed), not finite, a label that vanished: ✗
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

import numpy as np

from onward.config import Gate, QualityGate
from onward.evaluation import budgets, quality_rule, statistics
from onward.evaluation.checks import (
    FAILED,
    LABELS,
    LEARNING,
    OPEN,
    PASSED,
    Check,
    CheckKind,
    Mark,
    Outcome,
    Verdict,
    episode_name,
    sentence,
    signed,
    too_fine,
    unusable,
)
from onward.evaluation.comparing import TANGO, WILSON, Change, Chosen, Rows, Sizes
from onward.evaluation.evidence import Evidence, Unit, Which
from onward.evaluation.statistics import Score

__all__ = ["Check", "Verdict", "decide", "level_of"]


def level_of(settings: Gate, tries: int) -> float:
    """The one-sided level: halved for each other candidate already judged in this turn."""
    return math.ldexp(settings.level, -max(0, tries))


def decide(
    evidence: Evidence,
    settings: Gate,
    level: float,
    score: Score,
    quality: QualityGate | None = None,
    sizes: Sizes | None = None,
) -> Verdict:
    """The verdict on this evidence. Never raises.

    Args:
        evidence: units, both sides' statistics, budgets.
        settings: margins, limits, resamples, seed.
        level: one-sided level of every bound, see `level_of`.
        score: the recipe's primary metric in percent, from column sums [..., k].
        quality: which columns of answers' quality are gated; default: unsafe answers alone.
        sizes: what of the metric hangs on each row, where it is no mean over rows.
    """
    quality = quality or QualityGate.model_validate({})
    evidence = replace(evidence, units=tuple(sorted(evidence.units, key=lambda u: u.name)))
    rule = _Rule(evidence, settings, level, score, quality, sizes)
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
        challengers=evidence.challengers,
        settings=settings.model_dump(),
        quality=quality.model_dump(),
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

    def __init__(
        self,
        evidence: Evidence,
        settings: Gate,
        level: float,
        score: Score,
        quality: QualityGate,
        sizes: Sizes | None,
    ) -> None:
        self.answers = quality_rule.Rule(evidence, settings, quality, level, score)
        self.evidence, self.settings, self.level = evidence, settings, level
        self.width = len(evidence.statistics)
        self.rows = Rows(evidence, settings, level, score, sizes)
        self.problems = {id(unit): self._unit_problem(unit) for unit in evidence.units}

    def checks(self) -> Iterator[Check]:
        """Every check of this evidence, in the order of the table."""
        yield from self.whole()
        first = self.evidence.champion is None
        if first:
            yield from (self.floor(name, units) for name, units in self._grouped(known=False))
        else:
            yield self.gain([unit for unit in self.evidence.units if unit.learning])
            yield from (self.harm(name, units) for name, units in self._grouped(known=True))
            yield from self.slices()
        yield from self.answers.checks()
        if self.evidence.kind == "final":
            draws, given = self.rows.draws, self.evidence.budgets
            yield from budgets.checks(given, self.settings, draws, champion=not first)

    def whole(self) -> Iterator[Check]:
        """Why the evidence cannot be judged at all."""
        units = self.evidence.units
        for problem in self.evidence.problems:
            yield Check("evidence", "evidence", FAILED, note=problem)
        if len({unit.name for unit in units}) != len(units) or not units:
            note = "one episode twice" if units else "no episode to judge it on"
            yield Check("evidence", "evidence", FAILED, note=note)
        for unit in units:
            if not (unit.known or unit.learning or self.evidence.champion is None):
                note = "is neither known nor learned, so nothing would judge it"
                yield Check("evidence", unit.name, FAILED, note=note)
        if self.evidence.vanished:
            had = ", ".join(repr(label) for label in self.evidence.vanished)
            note = f"vanished: {self.evidence.champion} has {had}, the candidate does not"
            yield Check("evidence", LABELS, FAILED, note=note)

    def gain(self, units: list[Unit]) -> Check:
        """The learning rows of all units pooled; see `resampling` for what is drawn from what."""
        problem = self._problems(units) if units else "no learning rows"
        if problem:
            return Check("gain", LEARNING, FAILED, limit=self.settings.gain, note=problem)
        found = self.rows.change([(unit, None) for unit in units])
        distance = found.interval.value - self.settings.gain
        check = self._settle(self._check("gain", LEARNING, found), found, distance, units)
        if check.rows < self.settings.min_rows:
            return check
        if (check.old or 0.0) > 100 - self.settings.gain:
            note = f"nothing to gain, the champion has {check.old:.1f} already"
            return replace(check, mark=FAILED, note=note, rows_needed=None)
        if not found.moved and found.interval.flag == "":
            note = "every row scores as before, and a tie is not a win"
            return replace(check, mark=FAILED, note=note, rows_needed=None)
        return check

    def harm(self, name: str, units: list[Unit]) -> Check:
        """A known unit's or group's change against the margin."""
        problem = self._problems(units)
        if problem:
            return Check("harm", name, FAILED, limit=-self.settings.margin, note=problem)
        found = self.rows.change([(unit, None) for unit in units])
        check = self._check("harm", name, found)
        return self._settle(check, found, self.settings.margin, units)

    def floor(self, name: str, units: list[Unit]) -> Check:
        """A unit's or group's score against the floor, which lies above the trivial baseline."""
        floor = self.settings.floor
        problem = self._problems(units) or next(
            filter(None, (_floor_problem(floor, unit.baseline) for unit in units)), ""
        )
        if problem:
            return Check("floor", name, FAILED, limit=floor, note=problem)
        found = self.rows.alone(units)
        check = Check("floor", name, OPEN, found.rows, new=found.new, limit=floor, test=found.test)
        return self._settle(check, found, found.interval.value - floor, units)

    def slices(self) -> Iterator[Check]:
        """Each slice over all known rows: never open, and failed only where Holm lets it."""
        known = [unit for unit in self.evidence.units if unit.known]
        if self._problems(known):
            return
        chosen = dict(self._slices(known))
        draws = self.rows.among(len(chosen))
        every = [(name, self.rows.change(rows, draws)) for name, rows in chosen.items()]
        found = [(name, change) for name, change in every if change.interval.flag == ""]
        harmed = [change.interval.p_above(-self.settings.margin) for _, change in found]
        for (name, change), bad in zip(found, statistics.holm(harmed, self.level), strict=True):
            check, interval = self._check("slice", name, change), change.interval
            p = interval.p_below(-self.settings.margin)
            check = replace(check, low=interval.low, high=interval.high, p=p)
            note = "" if bad or interval.high >= -self.settings.margin else _among(len(found))
            yield replace(check, mark=FAILED if bad else PASSED, note=note)

    def _slices(self, known: list[Unit]) -> Iterator[tuple[str, list[Chosen]]]:
        """Slices with rows enough to be judged, and not all of them."""
        every = sum(len(unit.rows) for unit in known)
        for name in sorted({name for unit in known for name in unit.slices}):
            members = [unit.members(name) for unit in known]
            for value in sorted({str(v) for found in members for v in np.unique(found)} - {""}):
                masks = [found == value for found in members]
                if self.settings.min_rows <= sum(int(mask.sum()) for mask in masks) < every:
                    yield f"{name}: {value}", list(zip(known, masks, strict=True))

    def _grouped(self, *, known: bool) -> list[tuple[str, list[Unit]]]:
        """Units, those of one group together; only known ones where asked for."""
        found: dict[str, list[Unit]] = {}
        for unit in self.evidence.units:
            if unit.known or not known:
                name = f"group {unit.group}" if unit.group else unit.name
                found.setdefault(name, []).append(unit)
        return list(found.items())

    def _problems(self, units: list[Unit]) -> str:
        for unit in units:
            problem = self.problems[id(unit)]
            if problem:
                return f"{episode_name(unit.name)} {problem}" if len(units) > 1 else problem
        return ""

    def _unit_problem(self, unit: Unit) -> str:
        """The first thing that is wrong with any side of a unit."""
        sides: dict[Which, str] = {"new": "the challenger", "old": "the champion"}
        if self.evidence.champion is None:
            del sides["old"]
        for which, name in sides.items():
            problem = unit.problem(which, self.width)
            if problem:
                return f"{problem} ({name})" if len(sides) > 1 else problem
        for at, seed in enumerate(self.evidence.challengers[: self._seeds()]):
            problem = unit.seed_problem(at, self.width)
            if problem:
                return f"{problem} (seed {seed})"
        return ""

    def _seeds(self) -> int:
        """How many challengers there are to compare."""
        given = len(self.evidence.challengers)
        return given if given > 1 else 0

    def _check(self, kind: CheckKind, name: str, found: Change) -> Check:
        """A change on some rows, not yet marked."""
        limit = self.settings.gain if kind == "gain" else -self.settings.margin
        return Check(
            kind,
            name,
            OPEN,
            rows=found.rows,
            old=found.old,
            new=found.new,
            change=found.interval.value,
            limit=limit,
            p_change=found.p_change,
            test=found.test,
        )

    def _settle(self, check: Check, change: Change, distance: float, units: list[Unit]) -> Check:
        """Mark a check that must lie at or above its limit.

        `distance` is how far from the limit the truth is taken to lie, for the rows needed.
        """
        found = change.interval
        if found.flag == statistics.NOT_FINITE:
            return unusable(check)
        limit, least = check.limit or 0.0, self.settings.min_rows
        mark: Mark = OPEN
        if check.rows >= least and not found.flag:
            mark = PASSED if found.low >= limit else FAILED if found.high < limit else OPEN
        check = replace(check, mark=mark, low=found.low, high=found.high, p=found.p_below(limit))
        check = self._spread(check, found.value, units)
        if check.mark != OPEN or mark != OPEN:
            return check
        unseen = 0.0 if _counted(check) else 100.0 * change.rows / max(change.alike, 1.0)
        needed = statistics.rows_needed(check.rows, found.error, distance, self.level, unseen)
        if check.rows < least:
            note = f"fewer than gate.min_rows, {least}"
            # At a value beyond its limit no number would do, and least is no promise.
            enough = max(least, needed or 0) if distance > 0 else None
            return replace(check, rows_needed=enough, note=note)
        if found.flag:
            return replace(check, note=too_fine(self.rows.draws))
        return replace(check, rows_needed=None if needed is None else max(least, needed))

    def _spread(self, check: Check, value: float, units: list[Unit]) -> Check:
        """With what the other seeds came to; a candidate that is only lucky stays open."""
        if not self._seeds():
            return check
        every = self.rows.seeds(units, value)
        mean = math.fsum(every) / len(every)
        check = replace(check, spread=(min(every), max(every)))
        if check.mark != PASSED or mean >= (check.limit or 0.0):
            return check
        told = f"{mean:.1f}" if check.kind == "floor" else signed(mean)
        note = f"it passes, but the mean of {len(every)} seeds, {told}, does not reach the limit"
        return replace(check, mark=OPEN, note=note)


def _counted(check: Check) -> bool:
    """Whether its bounds come from counts, which need no row more than there are."""
    return check.test.startswith((TANGO, WILSON))


def _among(slices: int) -> str:
    return f"below the limit alone, but not among {slices} slices (Holm)"


def _floor_problem(floor: float, baseline: float | None) -> str:
    if baseline is None or not math.isfinite(baseline):
        return "its trivial baseline was not measured"
    if floor > baseline:
        return ""
    return f"gate.floor is {floor:g}, but the trivial baseline reaches {baseline:.1f}"
