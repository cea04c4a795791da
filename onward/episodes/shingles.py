"""The shingles of a text, by which two texts are compared, and their true similarity.

Texts are compared as `rows.normalised` leaves them: case, punctuation, spacing and Unicode's forms
make no difference. Then

- short texts (under SHORT characters) are compared by every 5 characters in a row: one typing
  error in a text of 100 characters leaves 0.90, one in 60 characters 0.84;
- longer ones by every 3 words in a row (a character of a script without spaces counts as a word):
  one changed word in 60 leaves 0.90. Characters would not do there: all long texts of one language
  share most of their character sequences.

The shorter of two texts says which; texts up to twice as long as SHORT have both kinds.

>>> similarity("the cat sat on the mat", "The cat -- sat on the mat!")
1.0
>>> round(similarity("is my card here", "is my card there"), 2)
0.77

What this does not cover: another wording of the same, a translation, a part of a longer text.
"""

from __future__ import annotations

import re
from typing import Literal

from onward.episodes.rows import normalised

Kind = Literal["chars", "words"]

KINDS: tuple[Kind, ...] = ("chars", "words")
SHORT = 200
"""Characters (normalised) from which words are compared."""

CHARS, WORDS = 5, 3

_SPACELESS = (
    "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Tibetan, Burmese, Khmer
    "\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_WORD = re.compile(rf"[{_SPACELESS}]|[^\s{_SPACELESS}]+")


def words(text: str) -> list[str]:
    """The words of a normalised text; in scripts without spaces its characters."""
    return text.split() if text.isascii() else _WORD.findall(text)


def kinds(text: str) -> tuple[Kind, ...]:
    """By which shingles a normalised text has to be comparable."""
    if len(text) < SHORT:
        return ("chars",)
    return ("chars", "words") if len(text) < 2 * SHORT else ("words",)


def shingles(text: str, kind: Kind) -> set[bytes]:
    """The set of a normalised text's shingles; of one that is shorter than a shingle, itself."""
    if kind == "words":
        found = words(text)
        last = max(len(found) - WORDS, 0)
        return {" ".join(found[at : at + WORDS]).encode() for at in range(last + 1)}
    wide = text.encode("utf-32-le")  # four bytes a character: slices need no further encoding
    last = max(len(text) - CHARS, 0)
    return {wide[4 * at : 4 * (at + CHARS)] for at in range(last + 1)}


def similarity(one: str, other: str) -> float:
    """Jaccard similarity of two texts' shingles: shared ones over all, 0.0 to 1.0."""
    first, second = normalised(one), normalised(other)
    kind: Kind = "chars" if min(len(first), len(second)) < SHORT else "words"
    left, right = shingles(first, kind), shingles(second, kind)
    return len(left & right) / len(left | right)
