"""Which rows are remembered for replay, of those that the base remembers and the new ones.

Each policy is a function of a Pool and a budget in rows. Three of them give every group of rows an
equal part of the budget: a group is a label, or an episode where the recipe has no labels. Their
rows come group by group, the one to keep longest first, so that a smaller memory is a prefix of
each group (`cut`).

>>> quotas({"a": 9, "b": 2, "c": 9}, 10)
{'a': 4, 'b': 2, 'c': 4}
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from onward.episodes.rows import row_hash
from onward.learning import outputs
from onward.learning.rows import Draw, Labelled, sample
from onward.recipes.shapes import Row

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Pool:
    """What a memory is filled from."""

    old: Sequence[Labelled]
    """What the base remembers, in its order."""
    new: Callable[[], Iterable[Labelled]]
    """The rows of the episodes just learned; each call a new pass."""
    group: Callable[[Labelled], str]
    seed: int
    losses: Callable[[Iterable[Row]], NDArray[np.float64]]
    """The model's loss on each row, [n]."""
    embeddings: Callable[[Iterable[Row]], NDArray[np.float64]]
    """The model's embedding of each row, of length one, [n, d]."""

    def each(self) -> Iterator[Labelled]:
        """All rows, old ones first."""
        yield from self.old
        yield from self.new()


def group_of(recipe: ModuleType) -> Callable[[Labelled], str]:
    """What rows of a recipe are grouped by.

    Its label; of several labels the first in alphabetical order; without labels the episode.
    """
    form = outputs.kind(recipe)
    if form not in ("class", "classes"):
        return lambda labelled: labelled[0]
    return lambda labelled: min(recipe.gold(labelled[1]), default="")


def reservoir(pool: Pool, size: int) -> list[Labelled]:
    """A uniform sample, by hash. After Vitter 1985, and Rolnick et al. 2019 for replay."""
    return sample(pool.each(), size, pool.seed)


def balanced(pool: Pool, size: int) -> list[Labelled]:
    """A uniform sample of each group, equally many. After Chrysakis and Moens 2020 (CBRS).

    Of equal rows that two groups drew (episodes, where rows have no label) the first's counts. With
    such rows a memory grown turn by turn may hold others than one drawn at once, as fair a sample:
    it no longer has those that were drawn before and dropped since.
    """
    drawn: dict[str, Draw] = {}
    for labelled in pool.each():
        drawn.setdefault(pool.group(labelled), Draw(size, pool.seed)).add(labelled)
    rows: dict[str, list[Labelled]] = {}
    seen: set[str] = set()
    for name in sorted(drawn):
        found = {row_hash(row): (episode, row) for episode, row in drawn[name].rows()}
        rows[name] = [labelled for digest, labelled in found.items() if digest not in seen]
        seen |= found.keys()
    return _prefixes(rows, size)


def hardest(pool: Pool, size: int) -> list[Labelled]:
    """Of each group equally many, those with the largest loss first.

    After Aljundi et al. 2019, Maximally Interfered Retrieval, in its simplest form: the loss of
    the model that was just trained, measured again for old rows.
    """
    losses = pool.losses(row for _, row in pool.each())
    ranked = {
        group: sorted(found, key=lambda each: (-losses[each.number], each.digest))
        for group, found in _groups(pool).items()
    }
    return _fetch(pool, _prefixes(ranked, size))


def herding(pool: Pool, size: int) -> list[Labelled]:
    """Of each group equally many, whose mean embedding stays nearest to the group's.

    After Rebuffi et al. 2017, iCaRL, section 3.3. A group without new rows keeps the order in
    which the base chose its rows. In one that has both, the mean is that of the new rows and of
    the old ones that are still there.
    """
    groups = _groups(pool)
    share = quotas({name: len(found) for name, found in groups.items()}, size)
    grown = {name for name, found in groups.items() if found[-1].number >= len(pool.old)}
    embedded = _embedded(pool, {each.number for name in grown for each in groups[name]})
    for name in grown:
        found = sorted(groups[name], key=lambda each: each.digest)
        table = np.stack([embedded[each.number] for each in found])
        groups[name] = [found[at] for at in herd(table, share[name])]
    return _fetch(pool, [each for name in sorted(groups) for each in groups[name][: share[name]]])


POLICIES: dict[str, Callable[[Pool, int], list[Labelled]]] = {
    "reservoir": reservoir,
    "balanced": balanced,
    "hardest": hardest,
    "herding": herding,
}


def drawn(
    rows: Callable[[], Iterable[Labelled]],
    policy: str,
    size: int,
    seed: int,
    group: Callable[[Labelled], str],
) -> list[Labelled]:
    """What a policy that asks no model takes of these rows."""

    def never(_: Iterable[Row]) -> NDArray[np.float64]:
        raise AssertionError(f"{policy} asks no model")

    pool = Pool(old=(), new=rows, group=group, seed=seed, losses=never, embeddings=never)
    return POLICIES[policy](pool, size)


def cut(
    rows: Sequence[Labelled], size: int, policy: str, group: Callable[[Labelled], str]
) -> list[Labelled]:
    """The smaller memory that a policy would have made of a larger one of its own."""
    if policy == "reservoir":
        return list(rows[:size])
    groups: dict[str, list[Labelled]] = defaultdict(list)
    for labelled in rows:
        groups[group(labelled)].append(labelled)
    return _prefixes(groups, size)


def quotas(sizes: Mapping[str, int], budget: int) -> dict[str, int]:
    """An equal part of the budget for each group; what a small group leaves goes to the others.

    What cannot be divided goes to the first groups by name.
    """
    left, given = budget, dict.fromkeys(sorted(sizes), 0)
    open_ones = sorted(name for name in sizes if sizes[name])
    while left and open_ones:
        level, extra = divmod(left, len(open_ones))
        small = [name for name in open_ones if sizes[name] <= level]
        if not small:
            return given | {name: level + (at < extra) for at, name in enumerate(open_ones)}
        for name in small:
            given[name] = sizes[name]
            left -= sizes[name]
        open_ones = [name for name in open_ones if name not in small]
    return given


def herd(embeddings: NDArray[np.float64], count: int) -> list[int]:
    """Rows in the order of iCaRL's herding: each next one brings the mean nearest to that of all.

    Args:
        embeddings: [n, d].
        count: how many; at most n are given.
    """
    mean = embeddings.mean(axis=0)
    squares = (embeddings**2).sum(axis=1)
    total = np.zeros_like(mean)
    order: list[int] = []
    taken = np.zeros(len(embeddings), dtype=bool)
    for k in range(1, min(count, len(embeddings)) + 1):
        # |mean - (total + x) / k| is least where |x|^2 - 2 x.(k mean - total) is.
        far = squares - 2 * embeddings @ (k * mean - total)
        far[taken] = np.inf
        best = int(far.argmin())
        taken[best] = True
        total += embeddings[best]
        order.append(best)
    return order


def _prefixes(groups: Mapping[str, Sequence[_Item]], size: int) -> list[_Item]:
    share = quotas({name: len(rows) for name, rows in groups.items()}, size)
    return [row for name in sorted(groups) for row in groups[name][: share[name]]]


class _Place(NamedTuple):
    """A row of a pool."""

    number: int
    digest: str


def _groups(pool: Pool) -> dict[str, list[_Place]]:
    """The rows of each group in the pool's order; of equal rows the first."""
    seen: set[str] = set()
    groups: dict[str, list[_Place]] = defaultdict(list)
    for number, labelled in enumerate(pool.each()):
        digest = row_hash(labelled[1])
        if digest not in seen:
            seen.add(digest)
            groups[pool.group(labelled)].append(_Place(number, digest))
    return dict(groups)


def _embedded(pool: Pool, wanted: set[int]) -> dict[int, NDArray[np.float64]]:
    """Number of a row in the pool -> its embedding, for those wanted."""
    numbers = sorted(wanted)
    rows = (row for at, (_, row) in enumerate(pool.each()) if at in wanted)
    return dict(zip(numbers, pool.embeddings(rows), strict=True)) if numbers else {}


def _fetch(pool: Pool, places: Sequence[_Place]) -> list[Labelled]:
    """The rows at these places, in their order."""
    wanted = {place.number for place in places}
    found = {at: labelled for at, labelled in enumerate(pool.each()) if at in wanted}
    return [found[place.number] for place in places]
