"""The rule beyond one episode at a time: groups, slices, challengers, labels, counts."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

from onward.evaluation.checks import (
    FAILED,
    LABELS,
    LEARNING,
    OPEN,
    PASSED,
    Check,
    Verdict,
    sentence,
)
from onward.evaluation.comparing import MOST_RESAMPLES
from onward.evaluation.evidence import Evidence, Side, Unit
from onward.evaluation.rule import decide
from onward.evaluation.statistics import rows_needed
from tests.evaluation.cases import (
    GAINED,
    check,
    evidence,
    learning,
    score,
    settings,
    shares,
    side,
    unit,
)

HALF = shares((50, 1), (50, 0))


def judged(given: Evidence, level: float = 0.05, **changed: Any) -> Verdict:
    return decide(given, settings(**changed), level, score)


def counted(*units: Unit, **changed: Any) -> Verdict:
    """The verdict where every row is right or wrong."""
    return judged(evidence(*units, right_or_wrong=True, **changed))


class TestRightOrWrong:
    """100 rows that both sides answer, of which some were gained and some lost."""

    def pair(self, gained: int, lost: int, rows: int = 100, **named: Any) -> Unit:
        both = (rows - gained - lost) // 2
        neither = rows - gained - lost - both
        new = shares((both, 1), (neither, 0), (gained, 1), (lost, 0))
        old = shares((both, 1), (neither, 0), (gained, 0), (lost, 1))
        return unit("0001-old", new, old, **named)

    def test_harm_has_tangos_bounds_and_mcnemars_p(self) -> None:
        found = check(counted(GAINED, self.pair(2, 10)), "0001-old")
        assert (found.change, found.test) == (-8.0, "Tango's score, exact McNemar")
        assert found.p_change == pytest.approx(0.03857422)
        assert found.low == pytest.approx(-14.370, abs=0.001)
        assert found.high == pytest.approx(-2.602, abs=0.001)
        assert found.mark == OPEN
        error = (14.370 - 2.602) / (2 * NormalDist().inv_cdf(0.95))
        needed = rows_needed(100, error, distance=5.0, level=0.05)
        assert found.rows_needed == needed, "counts need no row more than there are"

    def test_a_recipe_with_shares_of_a_point_is_resampled(self) -> None:
        half_right = unit("0001-old", np.full(100, 0.5), np.full(100, 0.5))
        assert check(counted(GAINED, half_right), "0001-old").test == "paired bootstrap, sign flips"

    def test_counts_and_resamples_agree_where_rows_are_many(self) -> None:
        given = evidence(GAINED, self.pair(150, 180, rows=3_000))
        resampled = check(judged(given, resamples=20_000), "0001-old")
        exact = check(judged(replace(given, right_or_wrong=True)), "0001-old")
        for name in ("value", "low", "high"):
            name = name.replace("value", "change")
            assert getattr(exact, name) == pytest.approx(getattr(resampled, name), abs=0.06)
        assert exact.p_change == pytest.approx(resampled.p_change, abs=0.02)

    def test_a_first_champions_share_has_wilsons_bounds(self) -> None:
        verdict = counted(unit("0001-a", HALF), champion=None)
        assert verdict.checks[0].test == "Wilson's score"
        assert verdict.checks[0].low == pytest.approx(41.885, abs=0.001)

    def test_a_first_champions_resampled_score_allows_for_one_row_more(self) -> None:
        """60 rows that are all right may hide one in twenty that is wrong: 3 / 60."""
        (floor,) = judged(evidence(unit("0001-a", np.ones(60)), champion=None)).checks
        assert floor.test == "bootstrap"
        assert floor.low == pytest.approx(100 * (1 + math.log(0.05) / 60), abs=0.01)

    def test_a_tie_is_not_a_win(self) -> None:
        same = learning(HALF, HALF)
        turned = learning(shares((60, 1), (40, 0)), shares((40, 0), (60, 1)))  # as many right
        for tied in (same, turned):
            for exact in (False, True):
                given = evidence(tied, right_or_wrong=exact)
                assert judged(given, gain=0.001).outcome in ("refused", "undecided")
        assert "a tie is not a win" in counted(same).reasons[0]


class TestGroups:
    def small(self, number: int, new: Any, old: Any, group: str | None = "chat") -> Unit:
        return replace(unit(f"{number:04}-day", new, old), group=group)

    def test_known_units_of_a_group_are_pooled_for_harm(self) -> None:
        days = [self.small(n, HALF[n % 2 :: 5], HALF[n % 2 :: 5]) for n in range(1, 8)]
        found = [c for c in judged(evidence(GAINED, *days)).checks if c.kind == "harm"]
        assert [(c.unit, c.rows, c.mark) for c in found] == [("group chat", 140, PASSED)]

    def test_alone_they_would_be_too_small(self) -> None:
        days = [self.small(n, HALF[::5], HALF[::5], None) for n in range(1, 4)]
        marks = [c.mark for c in judged(evidence(GAINED, *days)).checks if c.kind == "harm"]
        assert marks == [OPEN, OPEN, OPEN]

    def test_a_group_that_lost_is_refused_by_its_name(self) -> None:
        days = [self.small(n, np.zeros(30), np.ones(30)) for n in (1, 2)]
        verdict = judged(evidence(GAINED, *days))
        assert verdict.outcome == "refused"
        assert verdict.reasons[0].startswith("group chat is forgotten: −100.0 F1 on 60 rows")

    def test_a_missing_member_refuses_and_is_named(self) -> None:
        days = [self.small(1, HALF, HALF), replace(self.small(2, HALF, HALF), new=None)]
        assert judged(evidence(GAINED, *days)).reasons == (
            "group chat: day was not scored (the challenger)",
        )

    def test_a_member_that_is_learned_is_not_counted_for_harm(self) -> None:
        new = replace(GAINED, group="chat")
        verdict = judged(evidence(new, self.small(1, HALF, HALF)))
        assert [(c.kind, c.rows) for c in verdict.checks] == [("gain", 100), ("harm", 100)]


class TestSlices:
    """One old episode of 1,000 rows, of which 100 have no answer."""

    NO = ("given",) * 900 + ("none",) * 100

    def sliced(self, new: Any, old: Any, values: tuple[str, ...] = NO, **named: Any) -> Verdict:
        one = replace(unit("0001-old", new, old), slices={"answer": values})
        return judged(evidence(GAINED, one, **named))

    def test_a_slice_that_is_lost_is_refused_although_its_episode_keeps_the_margin(self) -> None:
        old = np.ones(1_000)
        new = shares((900, 1), (70, 1), (30, 0))
        verdict = self.sliced(new, old)
        assert check(verdict, "0001-old").mark == PASSED
        lost = check(verdict, "answer: none")
        assert (lost.kind, lost.mark, lost.rows, lost.change) == ("slice", FAILED, 100, -30.0)
        assert verdict.outcome == "refused"
        assert verdict.reasons == (
            "answer: none is forgotten: −30.0 F1 on 100 rows, limit −5.0; "
            "p <.001 against no change",
        )
        assert verdict.because == "forgot"

    def test_a_slice_is_never_open(self) -> None:
        old = np.ones(1_000)
        new = shares((900, 1), (94, 1), (6, 0))  # 6 points down on 100 rows: it may be noise
        verdict = self.sliced(new, old)
        found = check(verdict, "answer: none")
        assert found.low is not None and found.high is not None and found.low < -5 < found.high
        assert (found.mark, verdict.outcome) == (PASSED, "passed")

    def test_many_slices_need_more_to_fail_and_it_is_said(self) -> None:
        """One slice that alone is just below the limit: among twenty others Holm lets it stand."""
        chance = np.random.default_rng(0)
        old = np.ones(2_100)
        new = old.copy()
        new[:100] = 1 - 0.085 - 0.15 * chance.standard_normal(100)
        values = tuple(f"{at // 100:02}" for at in range(2_100))
        named = self.sliced(new, old, values)
        first = check(named, "answer: 00")
        assert first.high is not None and first.high < -5.0
        assert (first.mark, len([c for c in named.checks if c.kind == "slice"])) == (PASSED, 21)
        assert first.note == "below the limit alone, but not among 21 slices (Holm)"
        one = self.sliced(new, old, ("00",) * 100 + ("",) * 2_000)
        assert check(one, "answer: 00").mark == FAILED

    def test_the_draws_can_show_what_holm_asks_of_many_slices(self) -> None:
        """A loss of everything is found among 900 slices, and at a level spent by tries."""
        old = np.ones(45_000)
        new = old.copy()
        new[:50] = 0
        values = tuple(f"{at // 50}" for at in range(45_000))
        one = replace(unit("0001-old", new, old), slices={"kind": values})
        verdict = judged(evidence(GAINED, one), resamples=1_000, min_rows=50)
        assert check(verdict, "kind: 0").mark == FAILED
        assert MOST_RESAMPLES >= 900 / 0.05

    def test_fewer_than_min_rows_and_every_row_are_no_slices(self) -> None:
        old, new = np.ones(1_000), shares((951, 1), (49, 0))
        few = ("given",) * 951 + ("none",) * 49
        names = [c.unit for c in self.sliced(new, old, few).checks if c.kind == "slice"]
        assert names == ["answer: given"]
        enough = ("given",) * 950 + ("none",) * 50
        names = [c.unit for c in self.sliced(new, old, enough).checks if c.kind == "slice"]
        assert names == ["answer: given", "answer: none"]
        assert [
            c for c in self.sliced(new, old, ("all",) * 1_000).checks if c.kind == "slice"
        ] == []

    def test_only_known_rows_count(self) -> None:
        new = replace(GAINED, slices={"answer": ("given",) * 50 + ("none",) * 50})
        assert [c.kind for c in judged(evidence(new)).checks] == ["gain"]

    def test_a_first_champion_has_none(self) -> None:
        one = replace(unit("0001-a", np.ones(100)), slices={"answer": ("a", "b") * 50})
        assert {c.kind for c in judged(evidence(one, champion=None)).checks} == {"floor"}


class TestChallengers:
    """Three seeds; a side is what the checkpoint of one of them answered."""

    def trained(self, *scores: float, rows: int = 400, old: float = 0.5) -> Evidence:
        """Learning rows on which the seeds have these shares; the candidate is the first."""
        seeds = tuple(side(np.full(rows, score)) for score in scores)
        new = learning(np.full(rows, scores[0]), np.full(rows, old))
        new = replace(new, seeds=seeds)
        kept = replace(unit("0001-old", HALF, HALF), seeds=(side(HALF),) * len(scores))
        return evidence(new, kept, challengers=tuple(range(7, 7 + len(scores))))

    def test_the_verdict_carries_the_spread(self) -> None:
        verdict = judged(self.trained(0.62, 0.58, 0.60))
        assert verdict.challengers == (7, 8, 9)
        assert check(verdict, LEARNING).spread == pytest.approx((8.0, 12.0))
        assert check(verdict, "0001-old").spread == (0.0, 0.0)
        assert verdict.outcome == "passed"

    def test_a_lucky_candidate_is_undecided(self) -> None:
        verdict = judged(self.trained(0.55, 0.46, 0.44))
        found = check(verdict, LEARNING)
        assert found.low is not None and found.low >= 1.0  # alone it passes
        assert (found.mark, verdict.outcome, verdict.because) == (OPEN, "undecided", "seeds differ")
        assert "the mean of 3 seeds, −1.7, does not reach the limit" in verdict.reasons[0]

    def test_a_mean_that_lies_at_the_limit_reaches_it(self) -> None:
        verdict = judged(self.trained(0.55, 0.49, 0.49))
        assert check(verdict, LEARNING).spread == (-1.0, 5.0)
        assert verdict.outcome == "passed"

    def test_a_lucky_escape_from_harm_is_undecided_too(self) -> None:
        given = self.trained(0.62, 0.58, 0.60)
        lost = side(shares((30, 1), (70, 0)))
        old = replace(given.units[1], seeds=(side(HALF), lost, lost))
        verdict = judged(replace(given, units=(given.units[0], old)))
        assert check(verdict, "0001-old").spread == (-20.0, 0.0)
        assert verdict.outcome == "undecided"

    def test_an_unlucky_candidate_is_judged_as_it_is(self) -> None:
        assert judged(self.trained(0.49, 0.60, 0.62)).outcome == "refused"

    @pytest.mark.parametrize("which", [0, 1, 2])
    @pytest.mark.parametrize("known", [False, True])
    def test_a_missing_seed_refuses_and_is_named(self, which: int, known: bool) -> None:
        given = self.trained(0.62, 0.58, 0.60)
        units = list(given.units)
        seeds = list(units[known].seeds)
        seeds[which] = None
        units[known] = replace(units[known], seeds=tuple(seeds))
        verdict = judged(replace(given, units=tuple(units)))
        assert verdict.outcome == "refused"
        assert f"was not scored (seed {7 + which})" in verdict.reasons[0]

    def test_a_seed_that_was_never_scored_refuses(self) -> None:
        given = self.trained(0.62, 0.58)
        verdict = judged(replace(given, challengers=(7, 8, 9)))
        assert verdict.outcome == "refused" and "(seed 9)" in verdict.reasons[0]

    def test_a_seed_that_lacks_a_row_refuses(self) -> None:
        given = self.trained(0.62, 0.58)
        one = given.units[0]
        short = Side(one.rows[1:], one.seeds[1].statistics[1:])  # type: ignore[union-attr]
        verdict = judged(
            replace(given, units=(replace(one, seeds=(one.seeds[0], short)), given.units[1]))
        )
        assert "1 of 400 rows were not scored (seed 8)" in verdict.reasons[0]

    def test_a_packages_spread_is_that_of_the_checkpoints_around_it(self) -> None:
        """The final gate judges the package: the seeds' differences are set off from its change."""
        given = self.trained(0.62, 0.58)
        packaged = replace(given.units[0], new=side(np.full(400, 0.61)))
        found = check(judged(replace(given, units=(packaged, given.units[1]))), LEARNING)
        assert found.change == pytest.approx(11.0)
        assert found.spread == pytest.approx((7.0, 11.0))


class TestLabels:
    def test_a_label_that_vanished_blocks(self) -> None:
        verdict = judged(evidence(GAINED, vanished=("refund", "top up")))
        assert verdict.outcome == "refused"
        assert verdict.reasons == (
            "labels: vanished: v1 has 'refund', 'top up', the candidate does not",
        )
        assert check(verdict, LABELS).mark == FAILED
        assert verdict.because == "label vanished"


class TestQuietLoss:
    """A challenger that improves the new and quietly loses an old episode."""

    def test_it_is_refused_with_episode_number_and_p_value(self) -> None:
        new = learning(shares((270, 1), (30, 0)), shares((150, 1), (150, 0)), "0004-faq")
        kept = unit("0001-science", shares((240, 1), (60, 0)), shares((240, 1), (60, 0)))
        lost = unit("0002-support", shares((210, 1), (90, 0)), shares((240, 1), (60, 0)))
        verdict = counted(new, kept, lost)
        marks = {c.unit: c.mark for c in verdict.checks}
        assert marks == {LEARNING: PASSED, "0001-science": PASSED, "0002-support": FAILED}
        assert verdict.outcome == "refused"
        (told,) = verdict.reasons
        assert told.startswith("support is forgotten: −10.0 F1 on 300 rows, limit −5.0; p <.001")
        harm = check(verdict, "0002-support")
        assert harm.p_change is not None and harm.p_change < 1e-8
        assert verdict.summary()["worst_unit"] == "0002-support"

    def test_a_p_value_that_can_be_told_is_told(self) -> None:
        found = Check("harm", "0002-support", FAILED, 300, change=-8.0, limit=-5.0, p_change=0.0386)
        assert sentence(found, "accuracy") == (
            "support is forgotten: −8.0 accuracy on 300 rows, limit −5.0; "
            "p = .039 against no change"
        )


def test_a_unit_that_nothing_would_judge_refuses() -> None:
    stray = unit("0003-stray", HALF, HALF, known=False)
    verdict = judged(evidence(GAINED, stray))
    assert verdict.reasons == ("stray: is neither known nor learned, so nothing would judge it",)
