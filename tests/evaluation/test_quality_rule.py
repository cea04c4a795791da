"""The gate on answers: a new unsafe answer, a column that lost, exchanged names that move it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onward.config import QualityGate
from onward.evaluation import verdicts
from onward.evaluation.checks import UNSAFE, Check, Verdict, let_by
from onward.evaluation.evidence import Array, Evidence, Swapped, Unit
from onward.evaluation.rule import decide
from onward.quality.columns import COLUMNS, STATISTICS, place
from onward.report.words import outcome
from tests.evaluation import cases
from tests.evaluation.cases import GAINED, shares, unit
from tests.report.projects import empty

N = 200
ALIKE = shares((150, 1), (50, 0))


def quality(rows: int = N, **values: Any) -> Array:
    """Statistics of rows whose columns are all worth 0.8, but those that are named."""
    table = np.zeros((rows, len(STATISTICS)))
    for name in COLUMNS:
        table[:, place(name)] = values.get(name, 0.8)
        table[:, place(name) + 1] = 1.0
    return table


def scored(one: Unit, new: Array | None, old: Array | None) -> Unit:
    assert one.new is not None and one.old is not None
    return replace(one, new=replace(one.new, quality=new), old=replace(one.old, quality=old))


def evidence(new: Array | None, old: Array | None, **changed: Any) -> Evidence:
    gained = scored(GAINED, quality(100), quality(100))
    known = scored(unit("0001-faq", ALIKE, ALIKE), new, old)
    return cases.evidence(known, gained, quality=STATISTICS, **changed)


def judged(given: Evidence, **gate: Any) -> Verdict:
    settings = QualityGate.model_validate(gate)
    return decide(given, cases.settings(), 0.05, cases.score, settings)


def check(verdict: Verdict, name: str) -> Check:
    return next(c for c in verdict.checks if c.unit == name)


def unsafe(table: Array, *rows: int, kind: str = "harmful") -> Array:
    made = table.copy()
    made[list(rows), place(kind)] = 1.0
    return made


def test_a_new_unsafe_answer_refuses_and_is_named() -> None:
    assert judged(evidence(quality(), quality())).outcome == "passed"
    verdict = judged(evidence(unsafe(quality(), 7), quality()))
    assert verdict.outcome == "refused" and verdict.because == UNSAFE
    assert verdict.reasons == ("unsafe answers: 1 new in 300 rows: 0001-faq r0007 harmful",)
    line = {"what": "refused", "seq": 9, **verdict.summary()}
    assert outcome(line) == "turn 9 was refused (unsafe answers)"


def test_only_new_findings_count_and_many_are_counted() -> None:
    old = unsafe(quality(), 7, 8)
    assert judged(evidence(unsafe(quality(), 7), old)).outcome == "passed"
    other = judged(evidence(unsafe(quality(), 7, kind="personal"), old))
    assert other.outcome == "refused" and "r0007 personal" in other.reasons[0]
    many = judged(evidence(unsafe(quality(), *range(20, 30)), old))
    assert many.reasons[0].endswith("and 7 more") and check(many, UNSAFE).change == 10


def test_report_shows_and_lets_pass() -> None:
    verdict = judged(evidence(unsafe(quality(), 7), quality()), unsafe="report")
    assert verdict.outcome == "passed" and "r0007" in check(verdict, UNSAFE).note
    assert check(verdict, UNSAFE).limit is None and let_by(verdict) == (
        "unsafe answers: 1 new in 300 rows: 0001-faq r0007 harmful; quality.gate.unsafe lets them "
        "pass"
    )
    assert let_by(judged(evidence(quality(), quality()), unsafe="report")) == ""


def test_a_first_champion_may_not_be_unsafe() -> None:
    good = scored(unit("0001-faq", ALIKE, ALIKE), quality(), None)
    first = cases.evidence(replace(good, old=None), champion=None, quality=STATISTICS)
    margins = {"margins": {"correct": 5}}
    assert judged(first, **margins).outcome == "passed"
    bad = scored(unit("0001-faq", ALIKE, ALIKE), unsafe(quality(), 3), None)
    again = replace(first, units=(replace(bad, old=None),))
    assert judged(again, **margins).outcome == "refused"


@pytest.mark.parametrize(
    ("new", "outcome_"),
    [(0.8, "passed"), (0.78, "passed"), (0.6, "refused")],
)
def test_a_gated_column_keeps_its_margin(new: float, outcome_: str) -> None:
    given = evidence(quality(correct=new), quality())
    assert judged(given, margins={"correct": 5}).outcome == outcome_
    assert judged(given).outcome == "passed", "what is not gated is not judged"


def test_a_column_that_rows_cannot_settle_is_open() -> None:
    noise = np.random.default_rng(0).normal(0, 0.3, N)
    given = evidence(quality(correct=0.75 + noise), quality(correct=0.8))
    verdict = judged(given, margins={"correct": 4})
    found = check(verdict, "correct")
    assert verdict.outcome == "undecided" and (found.rows_needed or 0) > 200
    assert verdict.because == "too few rows" and found.rows == 300


@pytest.mark.parametrize(
    "broken", [None, quality()[:5], quality(correct=math.nan), quality()[:, :4]]
)
def test_f07_missing_or_not_finite_refuses(broken: Array | None) -> None:
    for given in (evidence(broken, quality()), evidence(quality(), broken)):
        verdict = judged(given, margins={"correct": 5})
        assert verdict.outcome == "refused"
        for name in (UNSAFE, "correct"):
            assert check(verdict, name).note == "was not scored, or not finite"
    assert judged(evidence(broken, quality())).outcome == "refused", "without any margin, too"


@pytest.mark.parametrize("side", ["new", "old"])
def test_rows_that_were_not_scored_refuse(side: str) -> None:
    given = evidence(quality(), quality())
    known, *rest = given.units
    whole = getattr(known, side)
    less = replace(
        whole,
        rows=whole.rows[1:],
        statistics=whole.statistics[1:],
        quality=whole.quality[1:],
    )
    twice = replace(whole, rows=(whole.rows[1], *whole.rows[1:]))
    for wrong in (less, twice):
        units = (replace(known, **{side: wrong}), *rest)
        verdict = judged(replace(given, units=units), margins={"correct": 5})
        assert verdict.outcome == "refused"
        assert check(verdict, UNSAFE).note == "was not scored, or not finite"


@pytest.mark.parametrize("side", ["new", "old"])
def test_a_column_that_is_about_other_rows_on_one_side_refuses(side: str) -> None:
    fewer = quality()
    fewer[5, place("correct") : place("correct") + 2] = 0
    tables = (fewer, quality()) if side == "new" else (quality(), fewer)
    verdict = judged(evidence(*tables), margins={"correct": 5})
    assert verdict.outcome == "refused"
    assert check(verdict, "correct").note == "was scored on other rows than the champion's"


def test_a_column_that_no_row_is_about_refuses() -> None:
    tables = [quality(n) for n in (N, N, 100, 100)]
    for table in tables:
        table[:, place("diverse") : place("diverse") + 2] = 0
    units = (
        scored(unit("0001-faq", ALIKE, ALIKE), *tables[:2]),
        scored(GAINED, *tables[2:]),
    )
    given = cases.evidence(*units, quality=STATISTICS)
    verdict = judged(given, margins={"diverse": 5})
    assert check(verdict, "diverse").note == "no row is about it"
    assert judged(replace(given, quality=()), margins={"correct": 5}).outcome == "refused"


def exchange(kind: str, plain: Array, swapped: Array, changed: int = 0) -> Swapped:
    rows = tuple(("0001-faq", row) for row in cases.hashes(len(plain)))
    tables = [np.column_stack([np.ones(len(one)), one]) for one in (plain, swapped)]
    return Swapped(kind, rows, tables[0], tables[1], np.arange(len(plain)) < changed)


REFUSED = ("refused", "refused")
FAIR = exchange("names", ALIKE, ALIKE)
WORSE = exchange("gender", ALIKE, shares((90, 1), (110, 0)), changed=60)


def test_bias_refuses_where_it_is_shown() -> None:
    given = evidence(quality(), quality(), swapped=(FAIR, WORSE))
    assert judged(given).outcome == "passed"
    verdict = judged(given, max_gap=5)
    assert verdict.outcome == "refused" and verdict.because == "biased"
    assert check(verdict, "swap names").mark == "✓"
    assert verdict.reasons[0].startswith(
        "swap gender changes the answers: −30.0 F1 on 200 rows, limit 5.0"
    )
    assert (check(verdict, "swap names").p or 1) < 0.001, "of a gap beyond the limit"
    assert (check(verdict, "swap gender").p or 0) > 0.999
    better = exchange("gender", shares((90, 1), (110, 0)), ALIKE)
    assert judged(replace(given, swapped=(better,)), max_gap=5).outcome == "refused"
    changed = judged(given, max_changed_percent=10)
    assert changed.outcome == "refused" and check(changed, "changed by gender").new == 30.0
    assert "30.0% of the answers" in changed.reasons[0]
    assert judged(given, max_changed_percent=40).outcome == "passed"


def test_answers_that_an_exchange_changes_are_judged_together() -> None:
    some = [exchange(kind, ALIKE, ALIKE, changed=28) for kind in ("gender", "names", "places")]
    alone = judged(evidence(quality(), quality(), swapped=(some[0],)), max_changed_percent=10)
    assert alone.outcome == "refused", "28 of 200 are shown to be above 10% where one is tried"
    even = [exchange(one.kind, ALIKE, ALIKE, changed=20) for one in some[1:]]
    among = evidence(quality(), quality(), swapped=(some[0], *even))
    assert judged(among, max_changed_percent=10).outcome == "passed", "and not among three"


def test_gaps_are_two_sided_and_judged_together() -> None:
    """Either direction counts, so each has half of the level; and three kinds have a third."""
    even = [exchange(kind, ALIKE, ALIKE) for kind in ("names", "places")]
    for lost, alone, among in ((19, "passed", "passed"), (20, "refused", "passed"), (25, *REFUSED)):
        one = exchange("gender", ALIKE, shares((150 - lost, 1), (50 + lost, 0)))
        for others, outcome_ in (([], alone), (even, among)):
            given = evidence(quality(), quality(), swapped=(one, *others))
            verdict = judged(given, max_gap=5)
            found = check(verdict, "swap gender")
            assert found.high is not None and found.high < -5.0, "beyond, where one side counts"
            assert verdict.outcome == outcome_


def test_the_draws_can_show_what_holm_asks_of_kinds_at_a_level_spent_by_tries() -> None:
    lost = exchange("gender", np.ones(N), np.zeros(N))
    even = [exchange(kind, ALIKE, ALIKE) for kind in ("names", "places")]
    given = evidence(quality(), quality(), swapped=(lost, *even))
    settings = QualityGate.model_validate({"max_gap": 5})
    verdict = decide(given, cases.settings(), 0.05 / 64, cases.score, settings)
    assert check(verdict, "swap gender").mark == "✗"


def test_what_no_row_happened_to_show_is_allowed_for() -> None:
    """Rows that all lost six points, or none: one row more may be otherwise."""
    lost = exchange("gender", np.full(N, 0.80), np.full(N, 0.74))
    given = evidence(quality(), quality(), swapped=(lost,))
    assert check(judged(given, max_gap=5), "swap gender").mark == "✓"
    assert check(judged(given, max_gap=4), "swap gender").mark == "✗"
    assert judged(given, margins={"correct": 0.5}).outcome == "undecided"
    assert judged(given, margins={"correct": 2}).outcome == "passed"


def test_kinds_too_small_to_be_judged_make_no_other_kind_harder_to_refuse() -> None:
    """Holm's correction is for the kinds that are judged, as it is for slices."""
    shown = exchange("gender", ALIKE, shares((139, 1), (61, 0)), changed=28)
    few = [exchange(kind, np.ones(20), np.ones(20)) for kind in ("names", "places")]
    for limits in ({"max_changed_percent": 10}, {"max_gap": 1.0}):
        alone, among = (
            judged(evidence(quality(), quality(), swapped=(shown, *others)), **limits)
            for others in ([], few)
        )
        assert (alone.outcome, among.outcome) == ("refused", "refused")


def test_bias_of_few_rows_is_shown_and_unmeasured_refuses() -> None:
    few = exchange("gender", np.ones(20), np.zeros(20), changed=20)
    verdict = judged(evidence(quality(), quality(), swapped=(few,)), max_gap=5)
    assert verdict.outcome == "passed" and "fewer than" in check(verdict, "swap gender").note
    missing = judged(evidence(quality(), quality()), max_gap=5)
    assert missing.outcome == "refused" and check(missing, "swaps").note == "was not measured"
    none = judged(evidence(quality(), quality(), swapped=()), max_gap=5)
    assert none.outcome == "refused" and "no row can be" in check(none, "swaps").note
    assert judged(evidence(quality(), quality(), swapped=())).outcome == "passed"
    broken = exchange("gender", ALIKE, np.full(N, math.nan))
    assert judged(evidence(quality(), quality(), swapped=(broken,)), max_gap=5).outcome == "refused"


def test_a_verdict_on_quality_and_bias_is_replayed(tmp_path: Path) -> None:
    from onward.evaluation.gate import score_of
    from onward.recipes import classification

    project = empty(tmp_path)
    given = evidence(unsafe(quality(), 7), quality(), swapped=(FAIR, WORSE))
    given = replace(given, recipe="classification", statistics=classification.STATISTICS)
    settings = QualityGate.model_validate({"max_gap": 5, "margins": {"correct": 5}})
    verdict = decide(given, cases.settings(), 0.05, score_of("classification"), settings)
    verdicts.keep(project, 1, verdict)
    replayed = verdicts.replay(project, 1)
    assert replayed.same, replayed.differences
    kept = replayed.kept.evidence
    assert kept is not None and kept.swapped is not None
    assert [one.kind for one in kept.swapped] == ["names", "gender"]
    assert kept.swapped[1].changed.sum() == 60 and kept.quality == STATISTICS
