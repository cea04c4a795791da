"""Words of texts in any script: parted by spaces, or, in scripts without them, its characters.

>>> words("In 1851 the museum opened")
['In', '1851', 'the', 'museum', 'opened']
>>> words("\u535a\u7269\u99281851\u5e74 opened")
['\u535a', '\u7269', '\u9928', '1851', '\u5e74', 'opened']

A character is not a word, but it is what can be counted without a dictionary, and what the metrics
of such languages count: MLQA (Lewis et al. 2020, https://arxiv.org/abs/1910.07475), CMRC 2018 and
DRCD (Shao et al. 2018, https://arxiv.org/abs/1806.00920).

Scripts without spaces: Han, Hiragana, Katakana, Thai, Lao, Tibetan, Burmese, Khmer. Hangul has
spaces.
"""

from __future__ import annotations

import re
import string
import unicodedata

SPACELESS = (
    "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Tibetan, Burmese, Khmer
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f"  # Japanese
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
)
"""For a class of a regular expression."""

ENDS = ".!?\u3002\uff01\uff1f\u061f\u06d4\u0964\u0965\u104b\u17d4\u1362"
"""What ends a sentence: ASCII's marks, and those of Chinese and Japanese, Arabic, Urdu, Hindi and
its kin, Burmese, Khmer and Amharic. For a class of a regular expression."""

LETTERS = 2
"""Letters of other scripts that say about as much as one character of these."""

WORD = rf"[{SPACELESS}][\u0300-\u036f]*|[^\s{SPACELESS}]+"
"""A word, as a regular expression."""

_ANY = re.compile(f"[{SPACELESS}]")
_WORD = re.compile(WORD)
_RUN = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """What stands between spaces, and each character of a script without them."""
    return _WORD.findall(text) if some(text) else text.split()


def some(text: str) -> bool:
    """Whether any character is of a script without spaces."""
    return not text.isascii() and _ANY.search(text) is not None


def count(text: str) -> int:
    """How many words a text has."""
    return len(words(text))


def spaceless(text: str) -> bool:
    """Whether a text is of a script without spaces: names in another one do not change that.

    >>> spaceless("\u8ab0\u767c\u660e\u4e86 Linux\uff1f"), spaceless("Who is called \u8001\u5b50?")
    (True, False)
    """
    without = 0 if text.isascii() else len(_ANY.findall(text))
    others = sum(map(str.isalpha, text)) - without
    return without > 0 and LETTERS * without >= others


def runs(text: str) -> list[str]:
    r"""Runs of letters, digits and the signs that belong to them, such as the vowels of Hindi.

    These are no part of `\w`, which parts a word at each.

    >>> runs("नहीं, 42!"), runs("don't")
    (['नहीं', '42'], ['don', 't'])
    """
    if text.isascii():
        return _RUN.findall(text)
    return "".join(one if _in_run(one) else " " for one in text).split()


def _in_run(character: str) -> bool:
    whole = character.isalnum() or character == "_"
    return whole or unicodedata.category(character)[0] == "M"


def plain(text: str) -> str:
    """NFKC (full-width forms become ASCII), lower case, without any punctuation, single spaces.

    Punctuation is Unicode's, and ASCII's with its signs ($, +, ~), as MLQA has it.
    """
    folded = unicodedata.normalize("NFKC", text).lower()
    kept = "".join(" " if c.isspace() else c for c in unmarked(folded))
    return " ".join(kept.split())


def unmarked(text: str) -> str:
    """A text without punctuation, Unicode's and ASCII's."""
    return "".join(character for character in text if not _is_mark(character))


def _is_mark(character: str) -> bool:
    return character in string.punctuation or unicodedata.category(character)[0] == "P"
