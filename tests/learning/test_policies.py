"""Which rows are remembered: each policy against what its paper says, worked out by hand."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onward import recipes
from onward.episodes.rows import row_hash
from onward.learning import policies
from onward.learning.policies import POLICIES, Pool
from onward.learning.rows import Labelled, rank
from onward.learning.table import BY_MODEL


def rows(episode: str, label: str, count: int, first: int = 0) -> list[Labelled]:
    """Rows of one label, told apart by their number."""
    return [
        (episode, {"id": f"{label}{n}", "text": f"{label} {n}", "label": label})
        for n in range(first, first + count)
    ]


def by_label(labelled: Labelled) -> str:
    return str(labelled[1]["label"])


def pool(
    old: Sequence[Labelled],
    new: Sequence[Labelled],
    losses: dict[str, float] | None = None,
    embeddings: dict[str, Any] | None = None,
    group: Callable[[Labelled], str] = by_label,
) -> Pool:
    """Losses and embeddings by the ids of rows; a policy that asks for none gets none."""

    def table(values: dict[str, Any] | None) -> Any:
        return lambda found: np.array([(values or {})[row["id"]] for row in found])

    return Pool(
        old=old,
        new=lambda: iter(new),
        group=group,
        seed=3,
        losses=table(losses),
        embeddings=table(embeddings),
    )


def drawn(*parts: Sequence[Labelled]) -> tuple[dict[str, float], dict[str, Any]]:
    """A loss and an embedding of length one for every row."""
    chance = np.random.default_rng(5)
    every = [row["id"] for part in parts for _, row in part]
    found = chance.normal(size=(len(every), 4)) + 1
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    losses = dict(zip(every, chance.permutation(len(every)).astype(float), strict=True))
    return losses, dict(zip(every, found, strict=True))


def labels(found: Sequence[Labelled]) -> Counter[str]:
    return Counter(by_label(each) for each in found)


def ids(found: Sequence[Labelled]) -> list[str]:
    return [row["id"] for _, row in found]


A, B, C = rows("0001-a", "a", 30), rows("0001-a", "b", 4), rows("0002-b", "c", 30)


def test_reservoir_is_the_smallest_hashes_of_all() -> None:
    found = policies.reservoir(pool(A, C), 10)
    expected = sorted(A + C, key=lambda each: rank(each[1], 3))[:10]
    assert found == expected and len(labels(found)) == 2


def test_balanced_gives_every_label_its_part_and_the_small_one_all() -> None:
    found = policies.balanced(pool(A + B, C), 24)
    assert labels(found) == {"a": 10, "b": 4, "c": 10}
    # Within a label it is the draw by hash.
    assert found[:10] == sorted(A, key=lambda each: rank(each[1], 3))[:10]


def test_hardest_takes_the_largest_losses_of_each_label() -> None:
    losses, _ = drawn(A, B, C)
    found = policies.hardest(pool(A + B, C, losses), 13)
    assert labels(found) == {"a": 5, "b": 4, "c": 4}
    worst = sorted(ids(A), key=lambda name: -losses[name])
    assert ids(found)[:5] == worst[:5]


def test_hardest_measures_old_rows_again() -> None:
    """Not what they cost once: the losses asked for are of old and new rows alike."""
    losses, _ = drawn(A, C)
    before = policies.hardest(pool(A, C, losses), 10)
    now_hard = ids(A)[7]
    after = policies.hardest(pool(A, C, {**losses, now_hard: 1e3}), 10)
    assert ids(after)[0] == now_hard and ids(before)[0] != now_hard


def brute_force(table: Any, count: int) -> list[int]:
    """iCaRL, algorithm 4, word by word: argmin of |mean - (x + sum of those chosen) / k|."""
    mean, chosen = table.mean(axis=0), list[int]()
    for k in range(1, count + 1):
        left = [at for at in range(len(table)) if at not in chosen]
        total = table[chosen].sum(axis=0)
        chosen.append(min(left, key=lambda at: np.linalg.norm(mean - (total + table[at]) / k)))
    return chosen


@pytest.mark.parametrize("seed", range(5))
def test_herding_is_the_order_of_icarl(seed: int) -> None:
    table = np.random.default_rng(seed).normal(size=(25, 6))
    order = policies.herd(table, 12)
    assert order == brute_force(table, 12)
    assert policies.herd(table, 99) == policies.herd(table, 25)
    assert sorted(policies.herd(table, 99)) == list(range(25))


def test_herding_is_nearer_to_the_mean_than_a_draw() -> None:
    """What the order is for: a prefix's mean is the group's, as few subsets' of its size are."""
    table = np.random.default_rng(1).normal(size=(12, 3))

    def far(chosen: Sequence[int]) -> float:
        return float(np.linalg.norm(table.mean(axis=0) - table[list(chosen)].mean(axis=0)))

    every = sorted(far(chosen) for chosen in itertools.combinations(range(12), 5))
    assert far(policies.herd(table, 5)) <= every[len(every) // 10]


def test_herding_chooses_label_by_label() -> None:
    _, embedded = drawn(A, C)
    found = policies.herding(pool([], A + C, embeddings=embedded), 10)
    assert labels(found) == {"a": 5, "c": 5}
    in_order = sorted(A, key=lambda each: row_hash(each[1]))
    table = np.stack([embedded[name] for name in ids(in_order)])
    assert ids(found)[:5] == [ids(in_order)[at] for at in brute_force(table, 5)]


def test_herding_of_equal_embeddings_does_not_ask_in_which_order_they_came() -> None:
    embedded = dict.fromkeys(ids(A), np.array([1.0, 0.0]))
    found = [policies.herding(pool([], way, embeddings=embedded), 5) for way in (A, A[::-1])]
    assert found[0] == found[1] == sorted(A, key=lambda each: row_hash(each[1]))[:5]


def test_herding_keeps_the_order_of_labels_without_new_rows() -> None:
    """Their embeddings are not even asked for: the model has moved, the choice has not."""
    _, embedded = drawn(C)
    kept = A[:9][::-1]
    found = policies.herding(pool(kept, C, embeddings=embedded), 12)
    assert found[:6] == kept[:6] and labels(found) == {"a": 6, "c": 6}


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_equal_rows_count_once_and_no_more_than_there_are(name: str) -> None:
    losses, embedded = drawn(A, B)
    again = [("0002-b", row) for _, row in A[:5]]
    found = POLICIES[name](pool(A, [*again, *B], losses, embedded), 500)
    assert len(found) == 34 and len({row_hash(row) for _, row in found}) == 34
    assert {episode for episode, _ in found} == {"0001-a"}


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_a_row_of_two_episodes_counts_once_where_episodes_are_the_groups(name: str) -> None:
    """A delivery may repeat rows of an earlier one: held twice, they had their logits twice."""
    losses, embedded = drawn(A, C)
    again = [("0002-b", row) for _, row in A[5:]]
    by_episode = recipes.get("extractive")
    every = pool(A, [*again, *C], losses, embedded, policies.group_of(by_episode))
    for size in (40, 500):
        found = POLICIES[name](every, size)
        digests = {row_hash(row) for _, row in found}
        assert len(found) == min(size, 60) == len(digests)
    assert Counter(episode for episode, _ in found) == {"0001-a": 30, "0002-b": 30}


@pytest.mark.parametrize("name", sorted(POLICIES))
@pytest.mark.parametrize("size", [1, 7, 20])
def test_a_smaller_memory_is_cut_from_a_larger_one(name: str, size: int) -> None:
    losses, embedded = drawn(A, B, C)
    large = POLICIES[name](pool([], A + B + C, losses, embedded), 40)
    small = POLICIES[name](pool([], A + B + C, losses, embedded), size)
    assert policies.cut(large, size, name, by_label) == small and len(small) == size


@pytest.mark.parametrize("name", sorted(set(POLICIES) - BY_MODEL))
def test_grown_turn_by_turn_is_drawn_at_once(name: str) -> None:
    first = POLICIES[name](pool([], A + B), 12)
    grown = POLICIES[name](pool(first, C), 12)
    assert grown == policies.drawn(lambda: A + B + C, name, 12, 3, by_label)
    mixed = random.Random(1).sample(A + B + C, 64)
    assert grown == policies.drawn(lambda: mixed, name, 12, 3, by_label)


def test_what_asks_a_model_is_not_drawn_anew() -> None:
    with pytest.raises(AssertionError, match="hardest asks no model"):
        policies.drawn(lambda: A, "hardest", 5, 3, by_label)


@settings(max_examples=100, deadline=None)
@given(
    sizes=st.dictionaries(st.text("abcdef", min_size=1), st.integers(0, 30), max_size=8),
    budget=st.integers(0, 120),
)
def test_quotas_are_equal_but_for_groups_that_are_smaller(
    sizes: dict[str, int], budget: int
) -> None:
    given_ = policies.quotas(sizes, budget)
    assert given_.keys() == sizes.keys()
    assert sum(given_.values()) == min(budget, sum(sizes.values()))
    assert all(given_[name] <= sizes[name] for name in sizes)
    cut = [given_[name] for name in sizes if given_[name] < sizes[name]]
    assert not cut or max(cut) - min(cut) <= 1
    # None that got all it has has more than one that did not.
    assert not cut or all(given_[name] <= max(cut) + 1 for name in sizes)


@pytest.mark.parametrize(
    ("recipe", "row", "group"),
    [
        ("classification", {"label": "spam"}, "spam"),
        ("multilabel", {"labels": ["b", "a"]}, "a"),
        ("multilabel", {"labels": []}, ""),
        ("regression", {"value": 2.0}, "0001-a"),
        ("extractive", {"answers": ["x"]}, "0001-a"),
    ],
)
def test_rows_are_grouped_by_label_or_by_episode(
    recipe: str, row: dict[str, Any], group: str
) -> None:
    assert policies.group_of(recipes.get(recipe))(("0001-a", row)) == group
