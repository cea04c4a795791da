"""The bootstrap against numbers that can be had in another way."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from onward.evaluation import resampling, statistics
from onward.evaluation.statistics import Draws, Interval, Paired, paired, rows_needed, single
from tests.evaluation.cases import STATISTICS, score, shares, side

DRAWS = Draws(4_000)


def points(values: object) -> statistics.Array:
    return side(values).statistics  # type: ignore[arg-type]


def test_interval_agrees_with_the_normal_approximation() -> None:
    chance = np.random.default_rng(1)
    new, old = chance.random(800), chance.random(800)
    found = paired([(points(new), points(old))], score, Draws(20_000))
    error = 100 * (new - old).std() / math.sqrt(800)
    assert found.value == pytest.approx(100 * (new - old).mean())
    assert found.error == pytest.approx(error, rel=0.03)
    assert found.low == pytest.approx(found.value - 1.645 * error, abs=0.1 * error)
    assert found.high == pytest.approx(found.value + 1.645 * error, abs=0.1 * error)


def test_a_resample_is_one_over_rows_not_over_distinct_rows() -> None:
    """The multinomial over distinct vectors must have the law of drawing rows one by one."""
    values = shares((70, 1), (30, 0))
    found = single([points(values)], score, Draws(20_000))
    drawn = np.random.default_rng(3).choice(values, (20_000, 100)).mean(axis=1) * 100
    for share in (0.05, 0.25, 0.5, 0.75, 0.95):
        assert np.quantile(found.samples, share) == pytest.approx(np.quantile(drawn, share), abs=1)


def test_pairing_uses_the_same_rows_on_both_sides() -> None:
    values = np.random.default_rng(0).random(200)
    found = paired([(points(values + 0.1), points(values))], score, DRAWS)
    assert found.error == pytest.approx(0, abs=1e-6)
    assert found.low == found.high == pytest.approx(10)


def test_pooled_units_are_resampled_within_each_unit() -> None:
    """Two constant units of different level: drawn across units the pooled score would vary."""
    low, high = points(np.zeros(50)), points(np.ones(50))
    found = single([low, high], score, DRAWS)
    assert (found.value, found.low, found.high, found.error) == (50.0, 50.0, 50.0, 0.0)


@pytest.mark.parametrize("rows", [90, 500])
def test_chunks_change_no_bit(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    values = np.random.default_rng(0).random(rows)
    old = np.where(np.arange(rows) < 50, 0.5, values)
    whole = paired([(points(values), points(old))], score, DRAWS)
    monkeypatch.setattr(resampling, "CHUNK", 1_000)
    again = paired([(points(values), points(old))], score, DRAWS)
    assert (again.samples == whole.samples).all()


def test_one_row_more_reaches_as_far_as_each_side_has_room() -> None:
    """Every row gained 20 points: one more may have lost 100, or gained them. So of a score."""
    reach = -math.log(0.05) / 100
    changed = Paired.of([(points(np.full(100, 0.7)), points(np.full(100, 0.5)))], score, DRAWS)
    found = changed.change(unseen=100)
    assert found.low == pytest.approx(20 - 120 * reach, rel=1e-3)
    assert found.high == pytest.approx(20 + 80 * reach, rel=1e-3)
    alone = single([points(np.full(100, 0.7))], score, DRAWS, unseen=100)
    assert alone.low == pytest.approx(70 - 70 * reach, rel=1e-3)
    assert alone.high == pytest.approx(70 + 30 * reach, rel=1e-3)


def test_other_seeds_give_other_resamples_and_the_same_value() -> None:
    values = np.random.default_rng(0).random(90)
    one, two = (single([points(values)], score, Draws(1000, seed=seed)) for seed in (0, -1))
    assert one.value == two.value
    assert (one.samples != two.samples).any()


@pytest.mark.parametrize("level", [0.05, 0.025, 0.01, 0.4])
def test_a_bound_reaches_a_limit_where_its_p_value_is_within_the_level(
    level: float,
) -> None:
    found = single([points(np.random.default_rng(0).random(80))], score, Draws(1000, level))
    for limit in np.unique(found.samples):
        assert (found.low >= limit) == (found.p_below(limit) <= level)
        assert (found.high <= limit) == (found.p_above(limit) <= level)


def test_p_values_are_never_zero() -> None:
    found = single([points(np.ones(50))], score, Draws(999))
    assert found.p_below(50) == pytest.approx(1 / 1000)
    assert found.p_below(100.5) == 1.0
    assert found.p_above(100.0) == pytest.approx(1 / 1000)


class TestDegenerate:
    def test_no_rows(self) -> None:
        empty = np.zeros((0, 2))
        for found in (
            paired([(empty, empty)], score, DRAWS),
            single([empty], score, DRAWS),
            paired([], score, DRAWS),
        ):
            assert found == Interval(0.0, 0.0, 0.0, 0.0, statistics.NO_ROWS)

    def test_an_empty_unit_beside_another_is_left_out(self) -> None:
        values = points(np.random.default_rng(0).random(60))
        both = single([np.zeros((0, 2)), values], score, DRAWS)
        assert both == single([values], score, DRAWS)

    def test_one_row(self) -> None:
        found = single([points([1.0])], score, DRAWS)
        assert (found.value, found.low, found.flag) == (100.0, 100.0, statistics.ONE_ROW)

    def test_all_rows_equal(self) -> None:
        found = paired([(points(np.ones(60)), points(np.ones(60)))], score, DRAWS)
        assert (found.value, found.low, found.high, found.error, found.flag) == (0, 0, 0, 0, "")

    @pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf, 1e308])
    def test_f07_what_is_not_finite_is_flagged(self, wrong: float) -> None:
        values = np.ones(60)
        values[:3] = wrong
        for found in (
            single([points(values)], score, DRAWS),
            paired([(points(values), points(np.ones(60)))], score, DRAWS),
        ):
            assert found == Interval(0.0, 0.0, 0.0, 0.0, statistics.NOT_FINITE)

    @pytest.mark.parametrize("level", [1e-9, 0.0, math.nan, 1.0])
    def test_a_level_that_the_resamples_cannot_show_is_flagged(self, level: float) -> None:
        found = single([points(np.random.default_rng(0).random(60))], score, Draws(1000, level))
        assert found.flag == statistics.TOO_FINE
        assert found.low == found.value == found.high

    def test_a_pooled_score_that_is_not_finite_is_none(self) -> None:
        assert statistics.pooled([points([math.inf, 1.0])], score) is None
        assert statistics.pooled([points([0.0, 1.0])], score) == 50.0

    @given(
        arrays.arrays(np.float64, st.tuples(st.integers(0, 6), st.just(2)), elements=st.floats()),
        st.floats(),
    )
    def test_any_statistics_give_finite_numbers_or_a_flag(
        self, values: statistics.Array, level: float
    ) -> None:
        found = single([values], score, Draws(50, level))
        assert all(map(math.isfinite, (found.value, found.low, found.high, found.error)))
        assert len(found.samples) == 50 or found.flag


class TestRowsNeeded:
    def test_the_formula_of_the_design(self) -> None:
        """sd 32 of the paired change: margins of 5, 3 and 1 take 254, 704 and 6,331 rows."""
        error = 32 / math.sqrt(100)
        assert [rows_needed(100, error, d, 0.05) for d in (5, 3, 1)] == [254, 704, 6331]

    def test_a_stricter_level_needs_more(self) -> None:
        assert (rows_needed(100, 3, 5, 0.025) or 0) > (rows_needed(100, 3, 5, 0.05) or 0)

    @pytest.mark.parametrize(
        ("rows", "error", "distance", "level"),
        [
            (100, 3.0, 0.0, 0.05),
            (100, 3.0, -1.0, 0.05),
            (100, math.nan, 1.0, 0.05),
            (100, 3.0, math.inf, 0.05),
            (1, 3.0, 1.0, 0.05),
            (100, 3.0, 1.0, 0.0),
            (100, 1e300, 1e-300, 0.05),
        ],
    )
    def test_none_where_no_number_would_do(
        self, rows: int, error: float, distance: float, level: float
    ) -> None:
        assert rows_needed(rows, error, distance, level) is None

    def test_simulated_power_is_near_80_percent(self) -> None:
        """With the rows that the formula asks for, an unharmed challenger passes in about 80%."""
        chance = np.random.default_rng(5)
        margin, spread = 5.0, 0.30
        needed = rows_needed(400, 100 * spread / 20, margin, 0.05)
        assert needed is not None
        passed = 0
        for _ in range(300):
            change = chance.normal(0, spread, needed)
            found = paired([(points(change), points(np.zeros(needed)))], score, Draws(400))
            passed += found.low >= -margin
        assert 0.72 <= passed / 300 <= 0.88


class TestLatency:
    def test_p95_is_the_nearest_rank(self) -> None:
        timings = [float(ms) for ms in range(1, 101)]
        assert statistics.p95(timings, DRAWS).value == 95.0
        assert statistics.p95(timings[:20], DRAWS).value == 19.0
        assert statistics.p95(timings[:30], DRAWS).value == 29.0, "28 of 30 are less than 95%"

    @pytest.mark.parametrize(
        ("size", "level", "low", "high"),
        [
            # Of P(Bin(n, .95) >= k), by hand: .95^59 is .0485, and of 100 the 99th leaves .0371.
            (59, 0.05, 53, 59), (60, 0.05, 54, 60), (100, 0.05, 91, 99), (600, 0.05, 561, 580),
            (100, 0.025, 90, 100), (1_000, 0.05, 938, 962),
        ],
    )  # fmt: skip
    def test_bounds_are_the_order_statistics_that_the_binomial_law_names(
        self, size: int, level: float, low: int, high: int
    ) -> None:
        found = statistics.p95([float(ms) for ms in range(1, size + 1)], Draws(1_000, level))
        assert (found.low, found.high, found.flag) == (low, high, "")

    @pytest.mark.parametrize("size", [60, 100, 250])
    def test_a_bound_fails_no_more_often_than_its_level(self, size: int) -> None:
        """Resampled bounds failed two to four times as often: a budget was met by luck."""
        chance, truth, wrong = np.random.default_rng(4), -math.log(0.05), [0, 0]
        for _ in range(2_000):
            found = statistics.p95(list(chance.exponential(size=size)), Draws(50))
            wrong[0] += found.high < truth
            wrong[1] += found.low > truth
        assert max(wrong) <= 2_000 * 0.05 + 3 * math.sqrt(2_000 * 0.05 * 0.95)

    def test_p_is_the_smallest_level_whose_bound_reaches_the_limit(self) -> None:
        found = statistics.p95([float(ms) for ms in range(1, 101)], Draws(9_999))
        assert found.p_above(99.0) == pytest.approx(0.0371, abs=2e-4)
        assert found.p_above(98.5) == pytest.approx(0.1183, abs=2e-4)
        assert found.p_above(1_000.0) == pytest.approx(0.95**100, abs=2e-4)

    def test_resamples_of_a_change_have_the_law_of_sorting_each_one(self) -> None:
        timings = np.random.default_rng(2).gamma(4, 10, 60).round(6)
        found = statistics.p95_change(list(timings), [1.0] * 60, Draws(20_000))
        drawn = np.sort(np.random.default_rng(3).choice(timings, (20_000, 60)), axis=1)[:, 56]
        drawn = 100 * (drawn - 1)
        for share in (0.05, 0.5, 0.95):
            at = np.quantile(found.samples, share)
            assert (drawn <= at).mean() == pytest.approx((found.samples <= at).mean(), abs=0.02)

    def test_change_is_in_percent_of_the_old(self) -> None:
        found = statistics.p95_change([44.0] * 40, [40.0] * 40, DRAWS)
        assert (found.value, found.low, found.high) == (10.0, 10.0, 10.0)

    def test_order_of_timings_changes_no_bit(self) -> None:
        timings = list(np.random.default_rng(2).gamma(4, 10, 60))
        assert statistics.p95(timings, DRAWS) == statistics.p95(timings[::-1], DRAWS)

    def test_few_timings_are_flagged(self) -> None:
        for level, needed in ((0.05, 59), (0.025, 72)):
            assert statistics.timings_needed(level) == needed
            few, enough = ([40.0] * size for size in (needed - 1, needed))
            assert statistics.p95(few, Draws(500, level)).flag == statistics.FEW_TIMINGS
            assert statistics.p95(enough, Draws(500, level)).flag == ""
        assert statistics.p95_change([40.0] * 19, [40.0] * 40, DRAWS).flag
        assert not statistics.p95_change([40.0] * 20, [40.0] * 40, DRAWS).flag

    def test_no_timings_and_wrong_ones_are_flagged(self) -> None:
        assert statistics.p95([], DRAWS).flag == statistics.NO_ROWS
        assert statistics.p95_change([40.0] * 30, [], DRAWS).flag == statistics.NO_ROWS
        for wrong in (math.nan, math.inf, 0.0, -1.0):
            assert statistics.p95([wrong] * 30, DRAWS).flag == statistics.NOT_FINITE


def test_the_metric_of_these_tests_has_two_statistics() -> None:
    assert points([1.0]).shape == (1, len(STATISTICS))


def test_holm_steps_down_and_stops_at_the_first_that_stands() -> None:
    # Each below what is left of the level: .05 / 4, / 3, / 2, / 1. Bonferroni would let one fall.
    assert statistics.holm([0.04, 0.01, 0.02, 0.015], 0.05) == [True, True, True, True]
    # .03 is above .05 / 2, so .04 stands as well, though it is below .05.
    assert statistics.holm([0.04, 0.01, 0.03], 0.05) == [False, True, False]
    assert statistics.holm([], 0.05) == []
