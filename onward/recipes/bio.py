"""The words of a text, and spans of it as BIO labels of words and back.

>>> places = words("Ana Ruiz, 東京!")
>>> places
[(0, 3), (4, 8), (8, 9), (10, 11), (11, 12), (12, 13)]
>>> made = labelled(places, [(0, 8, "person"), (10, 12, "city")])
>>> made
['B-person', 'I-person', 'O', 'B-city', 'I-city', 'O']
>>> spans(made, places)
[(0, 8, 'person'), (10, 12, 'city')]

BIO (IOB2): B- begins a span, I- goes on with it, O is outside. Words are those of the text, not of
a tokenizer, so that models with other tokenizers are scored alike: a run of letters, digits and
their marks, each other character that shows, and each character of a script without spaces. What
does not show (a soft hyphen, a joiner) parts no letters and is no word; but for emoji that a joiner
makes one, it joins nothing else.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from onward.recipes import scripts
from onward.recipes.scripts import SPACELESS

OUTSIDE = "O"

Place = tuple[int, int]
"""Start and end of a word, in characters."""

Span = tuple[int, int, str]
"""Start, end and tag."""

_JOINER = "\u200d"
_PIECE = re.compile(rf"[{SPACELESS}]|[^\W{SPACELESS}]+|[^\w\s]")


def words(text: str) -> list[Place]:
    """Where the words of a text begin and end."""
    found = [piece.span() for piece in _PIECE.finditer(text)]
    if text.isascii():
        return found
    joined: list[Place] = []
    for start, end in found:
        if joined and joined[-1][1] == start and _belongs(text, start):
            joined[-1] = (joined[-1][0], end)
        elif not _is(text[start], "Cf"):
            joined.append((start, end))
    return joined


def _belongs(text: str, at: int) -> bool:
    """Whether a piece that begins here is of one word with what stands before it."""
    if _is(text[at], "M", "Cf"):
        return True
    if not text[at].isalnum():
        return text[at - 1] == _JOINER and not _is(text[at], "P")
    before = at - 1
    while before and _is(text[before], "M", "Cf"):
        before -= 1
    return text[before].isalnum() and not scripts.some(text[before] + text[at])


def _is(character: str, *categories: str) -> bool:
    return unicodedata.category(character).startswith(categories)


def shown(text: str, start: int, end: int) -> Place:
    """A place without characters at its ends that do not show: nobody can tell where those belong.

    >>> shown("\u200fAna\u200e", 0, 5)
    (1, 4)
    """
    while start < end and _is(text[end - 1], "Cf"):
        end -= 1
    while start < end and _is(text[start], "Cf"):
        start += 1
    return start, end


def labelled(places: Sequence[Place], spans: Iterable[Span]) -> list[str]:
    """The label of each word. A word that a span only touches is of the span.

    Args:
        places: of the words, ascending.
        spans: ascending and apart; of two that touch one word the first has it.
    """
    found = [OUTSIDE] * len(places)
    at = 0
    for start, end, tag in spans:
        while at < len(places) and places[at][1] <= start:
            at += 1
        begin = "B"
        while at < len(places) and places[at][0] < end:
            found[at] = f"{begin}-{tag}"
            at, begin = at + 1, "I"
    return found


def spans(labels: Sequence[str], places: Sequence[Place]) -> list[Span]:
    """The spans that labels of words make.

    An I- that follows no word of its own tag begins a span, as conlleval and seqeval count.
    """
    found: list[Span] = []
    before = OUTSIDE
    for label, (start, end) in zip(labels, places, strict=True):
        kind, _, tag = label.partition("-")
        if kind == "I" and before.partition("-")[2] == tag:
            found[-1] = (found[-1][0], end, tag)
        elif label != OUTSIDE:
            found.append((start, end, tag))
        before = label
    return found


def vocabulary(tags: Iterable[str], base: Sequence[str]) -> list[str]:
    """The labels of the base in their order, then B- and I- of each new tag, by name.

    >>> vocabulary(["city"], [])
    ['O', 'B-city', 'I-city']
    """
    known = set(base)
    new = [f"{kind}-{tag}" for tag in sorted(set(tags)) for kind in "BI"]
    return [*(base or [OUTSIDE]), *(label for label in new if label not in known)]


def misnamed(labels: Sequence[str]) -> list[str]:
    """Labels that are none of BIO, or OUTSIDE where it is missing.

    >>> misnamed(["O", "B-city", "E-city"]), misnamed(["B-city"])
    (['E-city'], ['O'])
    """
    odd = [label for label in labels if label != OUTSIDE and not re.match("[BI]-.", label)]
    return odd or [OUTSIDE][: OUTSIDE not in labels]
