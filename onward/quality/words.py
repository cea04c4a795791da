"""Texts as words, whatever the script, and which of the words carry content.

>>> words("The museum, opened in 1,851!"), words("台灣 is small")
(['the', 'museum', 'opened', 'in', '1851'], ['台', '灣', 'is', 'small'])
>>> content("The museums were opened in 1851", frozenset({"the", "were", "in"}))
['museum', 'open', '1851']

A script without spaces is read character by character. What this does not cover: words that differ
by more than a common English ending ("ran" and "run" are two words).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u0e00-\u0e7f"  # kana, han, thai
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+(?:['’][^\W\d_{_UNSPACED}]+)*")
_GROUPED = re.compile(r"(?<=\d),(?=\d{3}\b)")
_SENTENCE = re.compile(r"(?<=[.!?。！？])[\"')\]]*\s+|\n+|(?<=[。！？])")
_ENDINGS = ("ings", "ing", "edly", "ed", "ies", "es", "s", "ly")
_SHORTEST = 3


def words(text: str) -> list[str]:
    """The words of a text, folded; digits that a comma groups are one number."""
    return _WORD.findall(_GROUPED.sub("", unicodedata.normalize("NFKC", text)).casefold())


def content(text: str, function_words: frozenset[str]) -> list[str]:
    """The words that carry content, without common English endings."""
    return [stem(word) for word in words(text) if word not in function_words]


def stem(word: str) -> str:
    """A word without a common English ending, so that "opens" supports "opened"."""
    word = re.sub(r"['’]s$", "", word)
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
