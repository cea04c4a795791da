"""Texts as words, whatever the script, and which of the words carry content.

>>> words("The museum, opened in 1,851!"), words("台灣 is small")
(['the', 'museum', 'opened', 'in', '1851'], ['台', '灣', 'is', 'small'])
>>> words("On 9/11/2001 it rose by 5.3%.")
['on', '9/11/2001', 'it', 'rose', 'by', '5.3']
>>> content("The museums were opened in 1851", frozenset({"the", "were", "in"}))
['museum', 'open', '1851']

A script without spaces is read character by character; the signs of a vowel and accents belong to
the letter before them. What this does not cover: words that differ by more than a common English
ending ("ran" and "run" are two words).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from onward.recipes.scripts import SPACELESS

_MARKS = "".join(chr(at) for at in range(0x300, 0x3000) if unicodedata.category(chr(at))[0] == "M")
_RUN = rf"[^\W_{SPACELESS}]+(?:[{_MARKS}]+[^\W_{SPACELESS}]*)*"
_AFTER = rf"[^\W\d_{SPACELESS}]+(?:[{_MARKS}]+[^\W\d_{SPACELESS}]*)*"
_PARTED = re.compile(r"\d+(?:[.,:/]\d+)+(?!\w)")
_WORD = re.compile(rf"{_PARTED.pattern}|[{SPACELESS}]|{_RUN}(?:'{_AFTER})*")
_GROUPED = re.compile(r"(?<=\d),(?=\d{3}\b)")
_SENTENCE = re.compile(r"(?<=[.!?。！？])[\"')\]]*\s+|\n+|(?<=[。！？])")
_ENDINGS = ("ings", "ing", "edly", "ed", "ies", "es", "s", "ly")
_SHORTEST = 3


def words(text: str) -> list[str]:
    """The words of a text, folded; the digits of one number or date are one, and ’ is '."""
    return _WORD.findall(_GROUPED.sub("", seen(text)).casefold())


def flat(text: str) -> str:
    """A text as an expression looks at it: no invisible or wide letters, one space between words.

    >>> flat("Ｉ  will   kill")
    'I will kill'
    """
    return " ".join(seen(text).split())


def seen(text: str) -> str:
    """A text without what nobody sees: compatible letters are plain ones, and ’ is '."""
    plain = unicodedata.normalize("NFKC", text).replace("’", "'")
    return "".join(one for one in plain if unicodedata.category(one) != "Cf")


def parts(word: str) -> list[str]:
    """A number or date of several parts and each of them; any other word alone.

    >>> parts("9/11/2001"), parts("year")
    (['9/11/2001', '9', '11', '2001'], ['year'])
    """
    return [word, *re.findall(r"\d+", word)] if _PARTED.fullmatch(word) else [word]


def content(text: str, function_words: frozenset[str]) -> list[str]:
    """The words that carry content, without common English endings: "it's" is as empty as "it"."""
    found = words(text)
    return [stem(word) for word in found if function_words.isdisjoint(_without_ends(word))]


def _without_ends(word: str) -> tuple[str, ...]:
    """A word, and what it is without a contraction: "it's" is "it", "don't" is "do"."""
    return word, word.partition("'")[0], word.removesuffix("n't")


def stem(word: str) -> str:
    """A word without a common English ending, so that "opens" supports "opened"."""
    word = word.removesuffix("'s")
    if any(character.isdigit() for character in word):
        return word
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _SHORTEST:
            return word[: -len(ending)] + ("y" if ending == "ies" else "")
    return word


def sentences(text: str) -> list[str]:
    """The sentences of a text, none of them empty."""
    return [found for part in _SENTENCE.split(text) if (found := part.strip())]


def ngrams(tokens: Sequence[str], size: int) -> list[tuple[str, ...]]:
    """All runs of `size` tokens, in order."""
    return [tuple(tokens[at : at + size]) for at in range(len(tokens) - size + 1)]
