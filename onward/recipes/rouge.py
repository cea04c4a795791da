"""ROUGE of one text against another: words, pairs of words, longest common subsequence, as F.

After Lin 2004, by Google's rouge-score with its stemmer, whose figures papers report. It reads
a to z and digits alone, so a text without these is worth nothing: for such scripts look at F1.

>>> [round(one, 2) for one in scores("the cat sat", "the cat sat down")]
[0.86, 0.8, 0.86]
"""

from __future__ import annotations

from functools import cache
from typing import Any

KINDS = ("rouge1", "rouge2", "rougeL")


def scores(text: str, gold: str) -> list[float]:
    """The F of each of KINDS, 0.0 to 1.0."""
    found = _scorer().score(gold, text)
    return [float(found[kind].fmeasure) for kind in KINDS]


def longest(text: str, gold: str) -> float:
    """ROUGE-L alone."""
    return scores(text, gold)[-1]


@cache
def _scorer() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(list(KINDS), use_stemmer=True)
