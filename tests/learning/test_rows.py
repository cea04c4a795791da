"""Which rows a strategy selects, and that a sample depends on the rows alone."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from onward.config import Strategy
from onward.learning.rows import Labelled, rank, sample, select
from tests.toys import toy_rows


def labelled(episode: str, n: int, seed: int) -> list[Labelled]:
    return [(episode, row) for row in toy_rows(n, seed)]


NEW, OLD, KEPT = labelled("0002-b", 20, 2), labelled("0001-a", 30, 1), labelled("0001-a", 10, 1)


def test_naive_takes_new_rows_alone() -> None:
    assert list(select(NEW, OLD, KEPT, Strategy(rows="naive"), 0)) == NEW


def test_joint_takes_all_known_first() -> None:
    assert list(select(NEW, OLD, KEPT, Strategy(rows="joint"), 0)) == OLD + NEW


def test_replay_mixes_memory_in_to_its_share() -> None:
    found = list(select(NEW, OLD, KEPT, Strategy(rows="replay", replay_percent=20), 0))
    assert found[:20] == NEW and len(found) == 25
    assert all(one in KEPT for one in found[20:])


def test_replay_takes_what_memory_has_where_that_is_less() -> None:
    found = list(select(NEW, OLD, KEPT, Strategy(rows="replay", replay_percent=90), 0))
    assert len(found) == 30 and sorted(map(repr, found[20:])) == sorted(map(repr, KEPT))


def test_replay_of_an_empty_memory_is_naive() -> None:
    assert list(select(NEW, OLD, [], Strategy(rows="replay"), 0)) == NEW


@settings(max_examples=60, deadline=None)
@given(size=st.integers(0, 60), cut=st.integers(0, 50), seed=st.integers(0, 9), order=st.randoms())
def test_a_sample_depends_neither_on_order_nor_on_how_it_was_built(
    size: int, cut: int, seed: int, order: random.Random
) -> None:
    every = OLD + NEW
    mixed = order.sample(every, len(every))
    grown = sample(sample(mixed[:cut], size, seed) + mixed[cut:], size, seed)
    assert grown == sample(every, size, seed)
    assert len(grown) == min(size, len(every))


def test_equal_rows_count_once_for_the_first_episode() -> None:
    twice = [("0002-b", OLD[0][1]), OLD[0], OLD[1]]
    assert sorted(sample(twice, 5, 0), key=repr) == sorted(OLD[:2], key=repr)
    assert sample(twice[::-1], 5, 0) == sample(twice, 5, 0)


def test_seeds_draw_differently_and_evenly() -> None:
    assert sample(OLD, 10, 1) != sample(OLD, 10, 2)
    drawn = [OLD.index(one) for seed in range(200) for one in sample(OLD, 3, seed)]
    assert {drawn.count(at) > 0 for at in range(30)} == {True}
    assert max(drawn.count(at) for at in range(30)) < 60
    assert rank(OLD[0][1], 1) != rank(OLD[0][1], 2)
