"""ROUGE of one text against another: words, pairs of words, longest common subsequence, as F.

After Lin 2004, by Google's rouge-score with its stemmer, whose figures papers report. Its own words
are of a to z and digits alone; where the right text is mostly of other letters or digits, words are
those of `scripts`, without a stemmer. Composed and decomposed letters are the same.

>>> [round(one, 2) for one in scores("the cat sat", "the cat sat down")]
[0.86, 0.8, 0.86]
>>> scores("\u0967\u0968", "\u0967\u0968")[0]
1.0
>>> [round(one, 2) for one in scores("\u4eca\u5929\u597d", "\u4eca\u5929\u6c23\u597d")]
[0.86, 0.4, 0.86]
"""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import Any

from onward.recipes import scripts

KINDS = ("rouge1", "rouge2", "rougeL")


def scores(text: str, gold: str) -> list[float]:
    """The F of each of KINDS, 0.0 to 1.0."""
    # Models write composed letters whatever a reference has, and a mark alone parts a word.
    text, gold = (unicodedata.normalize("NFC", one) for one in (text, gold))
    found = _scorer(_others(gold)).score(gold, text)
    return [float(found[kind].fmeasure) for kind in KINDS]


def longest(text: str, gold: str) -> float:
    """ROUGE-L alone."""
    return scores(text, gold)[-1]


def _others(gold: str) -> bool:
    """Whether a text is mostly of other letters than a to z, or of other digits than 0 to 9."""
    if gold.isascii():
        return False
    shown = (one for one in gold if one.isalpha() or (one.isdecimal() and not one.isascii()))
    letters = [one.isascii() for one in shown]
    return scripts.spaceless(gold) or 2 * sum(letters) < len(letters)


class _Words:
    """What rouge-score takes for a tokenizer."""

    def tokenize(self, text: str) -> list[str]:
        return scripts.words(scripts.plain(text))


@cache
def _scorer(others: bool) -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    kinds = list(KINDS)
    return RougeScorer(kinds, tokenizer=_Words()) if others else RougeScorer(kinds, True)
