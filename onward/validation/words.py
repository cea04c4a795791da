"""Which words of new rows no known episode holds: another language shows there, or another subject.

Words are those of `rows.normalised`; in scripts without spaces each character is one. Only their
32-bit hashes are kept, so that memory does not grow with their length: of a million known words,
one unknown word in four thousand is taken for known.

>>> words = Words()
>>> words.learn()
>>> words.count("the card was lost")
(4, 0)
>>> words.judge()
>>> words.count("die karte was lost")
(4, 2)
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from onward.episodes import shingles

_WAITING = 1_000_000
"""Words that wait to be merged, at least: 4 MB."""


class Words:
    """Counts words: first of known episodes, which it learns, then of new ones."""

    def __init__(self) -> None:
        self._known = np.empty(0, np.uint32)
        self._waiting: list[NDArray[np.uint32]] = []
        self._count = 0
        self._learning = False

    def learn(self) -> None:
        """From now on words become known."""
        self._learning = True

    def judge(self) -> None:
        """From now on words are compared with the known ones."""
        self._merge()
        self._learning = False

    def count(self, plain: str) -> tuple[int, int]:
        """Words of a normalised text, and how many of these running words are not known.

        Nothing is counted where nothing is known.
        """
        if not self._learning and not len(self._known):
            return 0, 0
        found = shingles.words(plain)
        hashes = np.fromiter((zlib.crc32(word.encode()) for word in found), np.uint32, len(found))
        if self._learning:
            self._keep(hashes)
            return len(found), 0
        at = np.searchsorted(self._known, hashes)
        there = self._known.take(at, mode="clip") == hashes
        return len(found), int(len(found) - there.sum())

    def _keep(self, hashes: NDArray[np.uint32]) -> None:
        self._waiting.append(np.unique(hashes))
        self._count += len(self._waiting[-1])
        # As many as are known already: every word is merged a few times, however many there are.
        if self._count >= max(_WAITING, len(self._known)):
            self._merge()

    def _merge(self) -> None:
        self._known = np.unique(np.concatenate([self._known, *self._waiting]))
        self._waiting, self._count = [], 0
