"""The shingles of a text, by which two texts are compared, and their true similarity.

Texts are compared as `rows.normalised` leaves them: case, punctuation, spacing and Unicode's forms
make no difference. Then

- short texts (under SHORT characters) are compared by every 5 characters in a row: one typing
  error in a text of 100 characters leaves 0.90, one in 60 characters 0.84;
- longer ones by every 3 words in a row: one changed word in 60 leaves 0.90. Characters would not
  do there: all long texts of one language share most of their character sequences;
- in scripts without spaces a character is a word, and texts of any length are compared by words:
  one changed character of 60 leaves 0.90, as one changed word does elsewhere.

The shorter of two texts says which; texts up to twice as long as SHORT have both kinds, and so
have those in which only some part is without spaces.

>>> similarity("the cat sat on the mat", "The cat -- sat on the mat!")
1.0
>>> round(similarity("is my card here", "is my card there"), 2)
0.44

What this does not cover: another wording of the same, a translation, a part of a longer text.
"""

from __future__ import annotations

import zlib
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from onward.episodes.rows import normalised
from onward.recipes import scripts

Kind = Literal["chars", "words"]

KINDS: tuple[Kind, ...] = ("chars", "words")
SHORT = 200
"""Characters (normalised) from which words are compared."""

CHARS, WORDS = 5, 3

_WEIGHTS = np.array(
    [
        0x9E3779B97F4A7C15,
        0xC2B2AE3D27D4EB4F,
        0x165667B19E3779F9,
        0xD6E8FEB86659FD93,
        0xA0761D6478BD642F,
        0xE7037ED1A0B428DB,
    ],
    np.uint64,
)
"""Odd numbers without a pattern: one a unit of a shingle, and a last one to begin with."""


def words(text: str) -> list[str]:
    """The words of a normalised text; in scripts without spaces its characters."""
    return scripts.words(text)


def kinds(text: str) -> tuple[Kind, ...]:
    """By which shingles a normalised text has to be comparable."""
    if scripts.spaceless(text):
        return ("words",)
    if len(text) < SHORT:
        # One that is nearly the same may be on the other side of `spaceless`.
        return ("chars", "words") if scripts.some(text) else ("chars",)
    return ("chars", "words") if len(text) < 2 * SHORT else ("words",)


def shingles(text: str, kind: Kind) -> set[str]:
    """The set of a normalised text's shingles; of one that is shorter than a shingle, itself."""
    if kind == "words":
        found = words(text)
        return {" ".join(found[at : at + WORDS]) for at in range(max(len(found) - WORDS, 0) + 1)}
    return {text[at : at + CHARS] for at in range(max(len(text) - CHARS, 0) + 1)}


def hashes(text: str, kind: Kind) -> NDArray[np.uint32]:
    """A 32-bit hash of each of a normalised text's shingles, repeated ones included.

    A weighted sum of code points, or of the CRC-32 of words, modulo 2**64, of which the upper
    half is kept (multilinear hashing, Thorup 2015, https://arxiv.org/abs/1504.06804).
    """
    if kind == "words":
        parts = text.encode().split() if text.isascii() else [w.encode() for w in words(text)]
        units, wide = np.fromiter(map(zlib.crc32, parts), np.uint64, len(parts)), WORDS
    else:
        units, wide = np.frombuffer(text.encode("utf-32-le"), np.uint32).astype(np.uint64), CHARS
    wide = max(min(wide, len(units)), 1)
    last = max(len(units) - wide, 0) + 1
    found = np.full(last, _WEIGHTS[-1])
    for at in range(min(wide, len(units))):
        found += units[at : at + last] * _WEIGHTS[at]
    return (found >> np.uint64(32)).astype(np.uint32)


def similarity(one: str, other: str) -> float:
    """Jaccard similarity of two texts' shingles: shared ones over all, 0.0 to 1.0."""
    first, second = normalised(one), normalised(other)
    long = min(len(first), len(second)) >= SHORT
    whole = long or scripts.spaceless(first) or scripts.spaceless(second)
    kind: Kind = "words" if whole else "chars"
    left, right = shingles(first, kind), shingles(second, kind)
    return len(left & right) / len(left | right)
