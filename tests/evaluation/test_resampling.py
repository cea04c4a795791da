"""Fast draws against slow ones: the normal limit, rows that stand still, exchanged sides."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from onward.evaluation import resampling
from onward.evaluation.resampling import Draws, Strata, near_normal, resampled, swapped
from onward.evaluation.statistics import Paired, paired, single
from onward.recipes import extractive
from tests.evaluation.cases import score, side

DRAWS = Draws(20_000)


def f1(totals: Any) -> Any:
    return extractive.metrics(totals)["f1"]


def table(values: Any) -> Any:
    return side(values).statistics


def pairs(rows: int, moving: int, seed: int = 0) -> tuple[Any, Any]:
    """Both sides' rows; `moving` of them differ."""
    chance = np.random.default_rng(seed)
    old = chance.random(rows)
    new = old.copy()
    new[:moving] = np.clip(old[:moving] + chance.normal(0.1, 0.3, moving), 0, 1)
    return table(new), table(old)


def slow(new: Any, old: Any, resamples: int, seed: int = 9) -> Any:
    """Changes by drawing every row, as one would write it down."""
    chance = np.random.default_rng(seed)
    at = chance.integers(len(new), size=(resamples, len(new)))
    return score(new[at].sum(axis=1)) - score(old[at].sum(axis=1))


@pytest.mark.parametrize(
    ("rows", "moving", "normal"),
    [(2_000, 1_500, True), (2_000, 60, False), (60, 60, False), (300, 0, False)],
)
def test_fast_draws_have_the_law_of_slow_ones(rows: int, moving: int, normal: bool) -> None:
    new, old = pairs(rows, moving)
    found = Paired.of([(new, old)], score, DRAWS)
    assert near_normal(found.strata, found._apart, DRAWS) is normal
    drawn, change = slow(new, old, 2_000), found.change()
    error = max(float(drawn.std()), 1e-9)
    for share in (0.05, 0.25, 0.5, 0.75, 0.95):
        fast = float(np.quantile(change.samples, share)) if moving else 0.0
        assert abs(fast - np.quantile(drawn, share)) <= 0.12 * error


def test_sums_of_rows_that_stand_still_vary_as_those_of_the_others() -> None:
    """Both sides alike, they move no difference of sums, but a metric that is a ratio of sums."""
    strata = Strata.of_pairs([pairs(2_000, 60)])
    sums = resampled(strata, lambda t: score(t[..., :2]) - score(t[..., 2:]), DRAWS)
    assert sums[:, 3].std() == pytest.approx(np.sqrt(strata.scatter[3, 3]), rel=0.03)


def test_the_limit_is_not_asked_where_a_few_rows_weigh_most() -> None:
    """150 rows that move a little and one that moves all the way: skewed, so row by row."""
    old = np.full(400, 0.5)
    new = old.copy()
    new[:150] += 1e-3
    new[0] = 0.0
    found = Paired.of([(table(new), table(old))], score, DRAWS)
    assert not near_normal(found.strata, found._apart, DRAWS)
    drawn = np.sort(slow(table(new), table(old), 4_000))
    assert found.change().low == pytest.approx(drawn[199], abs=0.03)


@pytest.mark.parametrize(("rows", "moving"), [(2_000, 1_500), (2_000, 120)])
def test_whether_the_limit_is_asked_hangs_on_no_unit_of_the_metric(rows: int, moving: int) -> None:
    new, old = pairs(rows, moving)
    strata = Strata.of_pairs([(new, old)])
    asked = {
        near_normal(
            strata, lambda t, by=by: by * (score(t[..., :2]) - score(t[..., 2:])), Draws(1_000)
        )
        for by in (1e-6, 1.0, 1e6)
    }
    assert len(asked) == 1


def test_the_limit_keeps_columns_that_depend_on_each_other() -> None:
    """Counts of one side repeat those of the other, and a column of zeros is there, too."""
    chance = np.random.default_rng(3)
    right = (chance.random(800) < 0.5).astype(float)
    rows = np.column_stack([np.ones(800), right, right, np.zeros(800), np.zeros(800)])
    sums = resampled(Strata([rows]), f1, DRAWS)
    assert (sums[:, 0] == 800).all() and (sums[:, 3:] == 0).all()
    assert sums[:, 1] == pytest.approx(sums[:, 2])
    assert sums[:, 1].std() == pytest.approx(np.sqrt(800 * 0.25), rel=0.03)


@pytest.mark.parametrize("rows", [4, 9])
def test_exchanged_sides_agree_with_every_exchange(rows: int) -> None:
    new, old = pairs(rows, rows, seed=rows)
    found = Paired.of([(new, old)], score, DRAWS)
    apart = (new - old)[:, 1]
    moved = abs(apart.sum()) - 1e-12
    every = [
        abs((np.array(signs) * apart).sum()) for signs in itertools.product((1, -1), repeat=rows)
    ]
    exact = np.mean(np.array(every) >= moved)
    assert found.no_change() == pytest.approx(exact, abs=0.015)


def test_exchanged_sides_of_many_rows_have_the_law_of_tosses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    new, old = pairs(500, 400)
    strata = Strata.of_pairs([(new, old)])
    fast = swapped(strata, score, DRAWS)
    monkeypatch.setattr(resampling, "FEW", 10_000)
    tossed = swapped(strata, score, DRAWS)
    assert fast.std() == pytest.approx(tossed.std(), rel=0.03)
    assert np.quantile(fast, 0.95) == pytest.approx(np.quantile(tossed, 0.95), rel=0.05)


def test_without_a_row_that_moves_nothing_is_unlikely() -> None:
    values = table(np.random.default_rng(0).random(80))
    assert Paired.of([(values, values)], score, DRAWS).no_change() == 1.0


@pytest.mark.parametrize("size", [1, 2, 7, 29])
def test_small_episodes_say_no_more_together_than_one_of_all_their_rows(size: int) -> None:
    """Drawn among themselves, rows of one or two would show half of their variance, or none."""
    chance = np.random.default_rng(0)
    old = side(chance.random(203)).statistics
    new = side(chance.random(203)).statistics
    cuts = [slice(at, at + size) for at in range(0, 203, size)]
    apart = paired([(new[cut], old[cut]) for cut in cuts], score, DRAWS)
    assert apart == paired([(new, old)], score, DRAWS) and apart.error > 0
    alone = single([new[cut] for cut in cuts], score, DRAWS)
    assert alone == single([new], score, DRAWS)


def test_a_large_episode_is_drawn_among_its_own_rows() -> None:
    """Two that differ by their level alone have no noise of it."""
    low, high = (side(np.full(50, value)).statistics for value in (0.2, 0.8))
    assert single([low, high], score, DRAWS).error == 0
    assert single([np.concatenate([low, high])], score, DRAWS).error == pytest.approx(3, rel=0.05)
