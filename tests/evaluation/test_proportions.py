"""Counts against their definitions: exact tails, and the likelihood that Tango's score rests on."""

from __future__ import annotations

import math
from statistics import NormalDist

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from onward.evaluation import statistics
from onward.evaluation.proportions import change, mcnemar, share

Z = NormalDist().inv_cdf(0.95)
counts = st.integers(0, 60)


def exact(gained: int, lost: int) -> float:
    """McNemar's exact p, summed in whole numbers."""
    changed, fewer = gained + lost, min(gained, lost)
    tail = sum(math.comb(changed, k) for k in range(fewer + 1))
    return min(1.0, 2 * tail / 2**changed)


def deviate(gained: int, lost: int, rows: int, true: float) -> float:
    """Tango's score statistic with the restricted likelihood maximised by bisection.

    Cells gained, lost and still have the chances q + true, q and 1 - 2q - true; the likelihood's
    slope in q falls, so its zero is found without his closed form.
    """

    def slope(q: float) -> float:
        still = rows - gained - lost
        return gained / (q + true) + lost / q - 2 * still / (1 - 2 * q - true)

    low, high = max(0.0, -true) + 1e-12, (1 - true) / 2 - 1e-12
    if gained + lost == 0:
        q = max(0.0, -true)
    elif gained + lost == rows and slope(high) > 0:
        q = (1 - true) / 2
    else:
        for _ in range(200):
            middle = (low + high) / 2
            low, high = (middle, high) if slope(middle) > 0 else (low, middle)
        q = (low + high) / 2
    return (gained - lost - rows * true) / math.sqrt(rows * (2 * q + true * (1 - true)))


@pytest.mark.parametrize(
    ("gained", "lost", "p"),
    [(0, 0, 1.0), (5, 5, 1.0), (2, 10, 0.03857421875), (0, 6, 0.03125), (1, 0, 1.0)],
)
def test_mcnemar_is_the_binomial_tail(gained: int, lost: int, p: float) -> None:
    assert mcnemar(gained, lost) == mcnemar(lost, gained) == pytest.approx(p)


@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_is_exact_for_any_counts(gained: int, lost: int) -> None:
    assert mcnemar(gained, lost) == pytest.approx(exact(gained, lost), rel=1e-8)


def test_mcnemar_of_ten_thousand_changes_is_finite() -> None:
    assert 0 < mcnemar(4_900, 5_100) < 0.05
    assert mcnemar(0, 10_000) == 0.0


@pytest.mark.parametrize(
    ("gained", "lost", "rows"),
    [(12, 2, 50), (2, 10, 100), (0, 0, 300), (0, 4, 60), (30, 30, 60), (7, 0, 7), (150, 180, 3000)],
)
def test_tangos_bounds_solve_the_score_equation(gained: int, lost: int, rows: int) -> None:
    found = change(gained, lost, rows, 0.05)
    assert found.value == pytest.approx(100 * (gained - lost) / rows)
    for bound, at in ((found.low, Z), (found.high, -Z)):
        if -99.99 < bound < 99.99:
            assert deviate(gained, lost, rows, bound / 100) == pytest.approx(at, abs=1e-4)


def test_where_nothing_changed_the_bounds_still_have_a_width() -> None:
    """n z^2 / (n + z^2) in n: none of 300 rows lost says that 0.9% may be."""
    found = change(0, 0, 300, 0.05)
    assert found.low == pytest.approx(-100 * Z * Z / (300 + Z * Z), abs=1e-4)
    assert found.high == -found.low


@given(counts, counts, st.integers(1, 400), st.sampled_from([0.05, 0.0125, 0.001]))
def test_bounds_and_p_values_say_the_same(gained: int, lost: int, still: int, level: float) -> None:
    rows = gained + lost + still
    found = change(gained, lost, rows, level)
    assert found.low <= found.value <= found.high
    for limit in (-5.0, 0.0, 1.0):
        assume(min(abs(found.low - limit), abs(found.high - limit)) > 1e-6)
        assert (found.low >= limit) == (found.p_below(limit) <= level)
        assert (found.high <= limit) == (found.p_above(limit) <= level)


@given(counts, counts, st.integers(0, 400), st.integers(1, 40))
def test_more_noise_widens_both_bounds(gained: int, lost: int, still: int, more: int) -> None:
    """As many rows and as much change, with `more` rows gained and as many lost."""
    rows = gained + lost + still + 2 * more
    calm, noisy = (change(gained + n, lost + n, rows, 0.05) for n in (0, more))
    assert noisy.value == calm.value
    assert noisy.low <= calm.low and noisy.high >= calm.high


@given(counts, counts, st.integers(1, 300))
def test_a_change_turned_round_has_its_bounds_turned_round(
    gained: int, lost: int, still: int
) -> None:
    one, other = (
        change(*pair, gained + lost + still, 0.05) for pair in ((gained, lost), (lost, gained))
    )
    assert one.low == pytest.approx(-other.high, abs=1e-6)


@given(st.integers(0, 500), st.integers(1, 500), st.sampled_from([0.05, 0.0125]))
def test_a_share_has_wilsons_closed_form(right: int, more: int, level: float) -> None:
    rows, z = right + more, -NormalDist().inv_cdf(level)
    p, shrink = right / rows, 1 + z * z / rows
    reach = z * math.sqrt(p * (1 - p) / rows + (z / (2 * rows)) ** 2)
    found = share(right, rows, level)
    assert found.low == pytest.approx(100 * (p + z * z / (2 * rows) - reach) / shrink, abs=1e-6)
    assert found.high == pytest.approx(100 * (p + z * z / (2 * rows) + reach) / shrink, abs=1e-6)


def test_no_rows_and_no_level_are_flagged() -> None:
    assert change(0, 0, 0, 0.05).flag == share(0, 0, 0.05).flag == statistics.NO_ROWS
    for level in (0.0, 0.5, math.nan):
        assert change(1, 2, 60, level).flag == statistics.TOO_FINE
