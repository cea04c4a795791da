"""Texts that nearly repeat one of many others: candidates by signature, then verified.

Nothing is accused by its signature: what is reported has a true Jaccard similarity of shingles of
at least the threshold. What can be missed: a pair at the threshold itself with a chance of one in
a thousand (`sketches.RECALL`), and one whose text has more than `sketches.BEST` likelier
candidates in the same block that all fail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from onward.episodes.rows import normalised
from onward.episodes.shingles import Kind, hashes, kinds, similarity
from onward.episodes.sketches import Signatures, likely, sketch

BLOCK = 20_000
"""Signatures in memory at a time, of each side."""


@dataclass(frozen=True)
class Text:
    """A text and the id of the row it stands in."""

    text: str
    id: str


@dataclass(frozen=True)
class Block:
    """Some texts of one place, by the numbers they have there, with their signatures."""

    kind: Kind
    numbers: Sequence[int]
    signatures: Signatures
    texts: Callable[[Sequence[int]], dict[int, Text]]
    """Fetches texts by number."""
    where: str
    """The place, in words, with {} for a row's id."""


@dataclass(frozen=True)
class Near:
    """One text that nearly repeats another."""

    number: int
    """Of the suspect, in its place."""
    share: float
    """Jaccard similarity of their shingles."""
    id: str
    """Of a row that holds the other text."""
    where: str
    """The place of the other text, in words, with {} for its id."""

    def told(self) -> str:
        """The repetition in words."""
        return f"nearly repeats {self.where.format(repr(self.id[:60]))} ({self.share:.2f} alike)"


def signed(text: str) -> list[tuple[Kind, bytes]]:
    """The signatures of a text: one, or both kinds."""
    plain = normalised(text)
    return [(kind, sketch(hashes(plain, kind)).tobytes()) for kind in kinds(plain)]


def blocks(
    lines: Iterable[tuple[int, Kind, bytes]],
    texts: Callable[[Sequence[int]], dict[int, Text]],
    where: str = "",
) -> Iterator[Block]:
    """Blocks of at most BLOCK signatures, of one kind each, from lines number, kind, signature."""
    waiting: dict[Kind, list[tuple[int, bytes]]] = {}
    for number, kind, signature in lines:
        held = waiting.setdefault(kind, [])
        held.append((number, signature))
        if len(held) >= BLOCK:
            yield _block(kind, waiting.pop(kind), texts, where)
    for kind, held in waiting.items():
        yield _block(kind, held, texts, where)


def _block(
    kind: Kind,
    held: list[tuple[int, bytes]],
    texts: Callable[[Sequence[int]], dict[int, Text]],
    where: str,
) -> Block:
    joined = b"".join(signature for _, signature in held)
    found = np.frombuffer(joined, np.uint8).reshape(len(held), -1)
    return Block(kind, [number for number, _ in held], found, texts, where)


def pairs(
    suspects: Iterable[Block], against: Callable[[], Iterable[Block]], threshold: float
) -> Iterator[Near]:
    """Each suspect that is at least `threshold` similar to a text of `against`, named once.

    Args:
        suspects: blocks of texts that would give way.
        against: opens the blocks of texts that stay; asked once for each block of suspects.
        threshold: Jaccard similarity, above 0.5 and at most 1.
    """
    accused: set[int] = set()  # over all blocks: a text may have a signature of each kind
    for block in suspects:
        for other in against():
            if other.kind == block.kind:
                for near in _verified(block, other, threshold, accused):
                    accused.add(near.number)
                    yield near


def _verified(block: Block, other: Block, threshold: float, accused: set[int]) -> Iterator[Near]:
    found = [
        (block.numbers[i], other.numbers[j])
        for i, j in likely(block.signatures, other.signatures, threshold)
        if block.numbers[i] not in accused
    ]
    for first in range(0, len(found), 1_000):
        part = found[first : first + 1_000]
        ours = block.texts(sorted({number for number, _ in part}))
        theirs = other.texts(sorted({number for _, number in part}))
        done: set[int] = set()
        for number, there in part:
            if number in done or number in accused:
                continue
            share = similarity(ours[number].text, theirs[there].text)
            if share >= threshold:
                done.add(number)
                yield Near(number, share, theirs[there].id, other.where)
