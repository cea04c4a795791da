"""MinHash signatures of texts, and pairs of texts that may be nearly the same.

A signature is the lowest byte of each of 128 MinHash values (datasketch's). Two sets of shingles
of Jaccard similarity s agree in each byte with probability s + (1 - s) / 256: MinHash is of Broder
1997 (On the resemblance and containment of documents), keeping few bits of Li and Koenig 2010
(b-bit minwise hashing, https://arxiv.org/abs/0910.3349). Pairs that agree in a whole band of bytes
are candidates (locality-sensitive hashing); `near.pairs` compares those by their texts.

datasketch's own MinHashLSH keeps its tables in memory. Here one block of signatures meets another
as sorted columns, so memory holds two blocks, whatever the number of rows.

>>> import numpy as np
>>> one = sketch(np.array([3, 1, 4, 1, 5], np.uint32))
>>> likely(np.stack([one, one]), np.stack([one]), 0.9)
[(0, 0), (1, 0)]
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

PERMUTATIONS = 128
VERSION = "minhash-affine32-128x8-1"
"""Names the hash functions and the shingles; signatures of another version are made anew."""

WIDTHS = (8, 4)
"""Bytes of a band, the choosier first."""

RECALL = 0.999
"""Chance, at the threshold itself, that a pair becomes a candidate; wider bands need at least it.

Bands of 4 find 99.9% of pairs at 0.67, 99% at 0.61 and 95% at 0.55.
"""

DEEP = 8
"""Members of a bucket that are looked at: where thousands of texts are alike, a few stand for
all."""

BEST = 5
"""Candidates a text that are compared by their shingles, the likeliest first."""

_AT_ONCE = 10_000
"""Shingles of a long text that are hashed at a time: 5 MB."""

Signatures = NDArray[np.uint8]
"""[rows, PERMUTATIONS]."""


@functools.cache
def _empty() -> Any:
    from datasketch import MinHash

    # Shingles come hashed; the library mixes these numbers once more.
    return MinHash(num_perm=PERMUTATIONS, seed=1, hashfunc=int, scheme="affine32")


def sketch(hashes: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """The signature [PERMUTATIONS] of the hashes of a text's shingles (`shingles.hashes`)."""
    made = _empty()
    made.clear()
    for first in range(0, len(hashes), _AT_ONCE):
        made.update_batch(hashes[first : first + _AT_ONCE].tolist())
    found: NDArray[np.uint8] = made.hashvalues.astype(np.uint8)
    return found


def width(threshold: float) -> int:
    """Bytes of a band: the most that find a pair at the threshold with RECALL, else the fewest."""
    for found in WIDTHS:
        if 1 - (1 - threshold**found) ** (PERMUTATIONS // found) >= RECALL:
            return found
    return WIDTHS[-1]


def likely(new: Signatures, old: Signatures, threshold: float) -> list[tuple[int, int]]:
    """Pairs (index in new, index in old) that may reach the threshold, the likeliest first.

    At most BEST for each new text. A pair whose signatures agree four standard errors less than
    the threshold asks is left out.
    """
    found = _same_band(new, old, width(threshold))
    if not len(found):
        return []
    agree = _agreement(new, old, found)
    slack = 4 * np.sqrt(threshold * (1 - threshold) / PERMUTATIONS)
    kept = agree >= threshold - slack
    found, agree = found[kept], agree[kept]
    order = np.lexsort((found[:, 1], -agree, found[:, 0]))
    found = found[order]
    first = np.searchsorted(found[:, 0], found[:, 0])
    rank = np.arange(len(found)) - first
    return [(int(i), int(j)) for i, j in found[rank < BEST]]


def _same_band(new: Signatures, old: Signatures, wide: int) -> NDArray[np.int64]:
    """Pairs [n, 2] that are equal in a band, each once."""
    kind = {8: np.uint64, 4: np.uint32}[wide]
    left, right = (np.ascontiguousarray(side).view(kind) for side in (new, old))
    parts = []
    for band in range(PERMUTATIONS // wide):
        order = np.argsort(right[:, band], kind="stable")
        sorted_ = right[order, band]
        low = np.searchsorted(sorted_, left[:, band], "left")
        high = np.searchsorted(sorted_, left[:, band], "right")
        for deep in range(min(DEEP, int((high - low).max(initial=0)))):
            at = np.flatnonzero(low + deep < high)
            parts.append(np.stack([at, order[low[at] + deep]], axis=1))
    if not parts:
        return np.empty((0, 2), np.int64)
    joined = np.concatenate(parts)
    flat = np.unique(joined[:, 0] * len(old) + joined[:, 1])
    return np.stack(np.divmod(flat, len(old)), axis=1)


def _agreement(new: Signatures, old: Signatures, pairs: NDArray[np.int64]) -> NDArray[np.float64]:
    """The share of bytes in which each pair agrees, a slice in memory at a time."""
    found = [
        (new[part[:, 0]] == old[part[:, 1]]).mean(axis=1)
        for part in np.array_split(pairs, len(pairs) // 50_000 + 1)
    ]
    return np.concatenate(found)
