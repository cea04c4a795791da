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
    """The rows to train on, in a fixed order, by the strategy that `settings.rows` names.

    `seed` is none that memory was drawn with: what is replayed would be that draw's beginning.
    """
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
    yield from sample(memory, wanted(count, settings), seed)


SELECTIONS = {"naive": naive, "replay": replay, "joint": joint}


def wanted(new: int, settings: Strategy) -> int:
    """How many replayed rows make `replay_percent` of the mix with so many new ones."""
    share = settings.replay_percent / 100
    return round(new * share / (1 - share))


def sample(rows: Iterable[Labelled], size: int, seed: int) -> list[Labelled]:
    """A uniform sample without replacement that depends neither on order nor on how it was built.

    The rows with the smallest hash of seed and content: sampling a sample joined with new rows is
    sampling all of them, so memory grown turn by turn equals memory built at once. Equal rows
    count once, for the first of their episodes. Holds `size` rows at a time.
    """
    draw = Draw(size, seed)
    for labelled in rows:
        draw.add(labelled)
    return draw.rows()


class Draw:
    """A sample in the making."""

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.seed = size, seed
        self._kept: dict[int, Labelled] = {}
        self._worst_first: list[int] = []

    def add(self, labelled: Labelled) -> None:
        """Look at one row."""
        kept, (episode, row) = self._kept, labelled
        place = rank(row, self.seed)
        if place in kept:
            kept[place] = min(kept[place], (episode, row), key=lambda found: found[0])
        elif self.size > len(kept) or (kept and place < -self._worst_first[0]):
            kept[place] = (episode, row)
            heappush(self._worst_first, -place)
            if len(kept) > self.size:
                del kept[-heappop(self._worst_first)]

    def rows(self) -> list[Labelled]:
        """The sample so far, the smallest hash first."""
        return [self._kept[place] for place in sorted(self._kept)]


def rank(row: Row, seed: int) -> int:
    """Where a row stands in the draw of a seed: 256 bits of its hash."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{row_hash(row)}".encode()).digest(), "big")
