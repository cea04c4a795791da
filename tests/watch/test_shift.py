"""The two tests on shifts, against numbers worked out by hand or by simulation."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from onward.watch import shift


def test_chi_square_by_hand() -> None:
    """[[30, 20], [20, 30]]: each cell expects 25, so the statistic is 4 * 25 / 25 = 4."""
    p = shift.labels({"a": 30, "b": 20}, {"a": 20, "b": 30})
    assert p == pytest.approx(0.0455, abs=1e-4)
    assert shift.labels({"a": 30, "b": 20}, {"a": 30, "b": 20}) == pytest.approx(1.0)


def test_labels_that_are_new_are_a_shift() -> None:
    assert (shift.labels({"a": 100, "b": 100}, {"c": 100}) or 1.0) < 1e-10


def test_rare_labels_are_counted_together() -> None:
    """Fifty labels of one row each cannot be compared one by one; together they are half."""
    rare = {f"r{n}": 1 for n in range(50)}
    others = {f"s{n}": 1 for n in range(50)}
    p = shift.labels({"a": 50, **rare}, {"a": 50, **others})
    assert p is not None and p > 0.9


@pytest.mark.parametrize(
    ("known", "new"), [({}, {"a": 5}), ({"a": 5}, {}), ({"a": 50}, {"a": 50}), ({"a": 1}, {"b": 1})]
)
def test_too_little_to_compare(known: dict[str, int], new: dict[str, int]) -> None:
    assert shift.labels(known, new) is None


def test_kolmogorov_smirnov_by_hand() -> None:
    """Distance .1 of 200 and 200 rows: 2 exp(-2 * .1 ** 2 * 100) = .271 to leading order."""
    p = shift.values({1: 200}, {1: 180, 2: 20})
    assert p == pytest.approx(0.271, rel=0.1)
    assert shift.values({1: 200}, {1: 200}) == 1.0


def test_lengths_pay_for_each_text_that_is_compared() -> None:
    same, longer = Counter({5: 40}), Counter({5: 20, 9: 20})
    alone = shift.lengths({"text": same}, {"text": longer})
    beside = shift.lengths({"text": same, "pair": same}, {"text": longer, "pair": same})
    assert alone and beside == pytest.approx(2 * alone)
    assert shift.lengths({"text": same}, {"context": longer}) is None


def test_both_keep_their_level() -> None:
    """Rows of one source: at most about 5 in 100 looks show a shift at level .05."""
    random = np.random.default_rng(5)
    shown = np.zeros(2)
    for _ in range(400):
        drawn = random.choice(6, size=360, p=[0.4, 0.3, 0.15, 0.1, 0.04, 0.01]).tolist()
        known, new = Counter(map(str, drawn[:300])), Counter(map(str, drawn[300:]))
        shown[0] += (shift.labels(known, new) or 1.0) <= 0.05
        sizes = random.geometric(0.1, size=360).tolist()
        old, fresh = Counter(sizes[:300]), Counter(sizes[300:])
        shown[1] += (shift.lengths({"text": old}, {"text": fresh}) or 1.0) <= 0.05
    assert (shown / 400 < 0.08).all()
