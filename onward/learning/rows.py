"""Which training rows a turn sees: naive, replay or joint.

Each is a function of the rows of `learning`, the rows of `known`, the base's memory, the settings
and a seed. Rows come and go as (episode, row), streamed; only memory is held.

>>> new, old = [("2-b", {"id": "x"})], [("1-a", {"id": "y"})]
>>> [episode for episode, _ in select(new, old, [], Strategy(rows="joint"), seed=0)]
['1-a', '2-b']
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from heapq import heappop, heappush

from onward.config import Strategy
from onward.episodes.rows import row_hash
from onward.recipes.shapes import Row

Labelled = tuple[str, Row]
"""The folder of the episode a row came with, and the row."""


def select(
    learning: Iterable[Labelled],
    known: Iterable[Labelled],
    memory: Iterable[Labelled],
    settings: Strategy,
    seed: int,
) -> Iterator[Labelled]:
    """The rows to train on, in a fixed order, by the strategy that `settings.rows` names."""
    return SELECTIONS[settings.rows](learning, known, memory, settings, seed)


def naive(
    learning: Iterable[Labelled],
    known: Iterable[Labelled],
    memory: Iterable[Labelled],
    settings: Strategy,
    seed: int,
) -> Iterator[Labelled]:
    """The new rows alone. Forgets; the other strategies are measured against it."""
    yield from learning


def joint(
    learning: Iterable[Labelled],
    known: Iterable[Labelled],
    memory: Iterable[Labelled],
    settings: Strategy,
    seed: int,
) -> Iterator[Labelled]:
    """All rows of all episodes, known ones first. Forgets least, costs most."""
    yield from known
    yield from learning


def replay(
    learning: Iterable[Labelled],
    known: Iterable[Labelled],
    memory: Iterable[Labelled],
    settings: Strategy,
    seed: int,
) -> Iterator[Labelled]:
    """The new rows and, from memory, so many that they are `replay_percent` of all.

    Fewer where memory holds fewer. After Rolnick et al. 2019, Experience Replay for Continual
    Learning.
    """
    count = 0
    for found in learning:
        count += 1
        yield found
    share = settings.replay_percent / 100
    yield from sample(memory, round(count * share / (1 - share)), seed + 1)


SELECTIONS = {"naive": naive, "replay": replay, "joint": joint}


def sample(rows: Iterable[Labelled], size: int, seed: int) -> list[Labelled]:
    """A uniform sample without replacement that depends neither on order nor on how it was built.

    The rows with the smallest hash of seed and content: sampling a sample joined with new rows is
    sampling all of them, so memory grown turn by turn equals memory built at once. Equal rows
    count once, for the first of their episodes. Holds `size` rows at a time.
    """
    kept: dict[int, Labelled] = {}
    worst_first: list[int] = []
    for episode, row in rows:
        place = rank(row, seed)
        if place in kept:
            kept[place] = min(kept[place], (episode, row), key=lambda found: found[0])
        elif size > len(kept) or (kept and place < -worst_first[0]):
            kept[place] = (episode, row)
            heappush(worst_first, -place)
            if len(kept) > size:
                del kept[-heappop(worst_first)]
    return [kept[place] for place in sorted(kept)]


def rank(row: Row, seed: int) -> int:
    """Where a row stands in the draw of a seed: 256 bits of its hash."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{row_hash(row)}".encode()).digest(), "big")
