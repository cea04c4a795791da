"""How much of the right answer an answer says, and in its order.

>>> round(f1("opened in 1851".split(), "it opened in 1851".split()), 2)
0.86
>>> sequence_f1("1851 in opened".split(), "opened in 1851".split()) < 0.5
True
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def f1(answer: Sequence[str], gold: Sequence[str]) -> float:
    """Harmonic mean of precision and recall over words, whatever their order, 0 to 1."""
    shared = sum((Counter(answer) & Counter(gold)).values())
    return 2.0 * shared / (len(answer) + len(gold)) if shared else 0.0


def sequence_f1(answer: Sequence[str], gold: Sequence[str]) -> float:
    """The same over the longest common subsequence: ROUGE-L (Lin 2004) with equal weights."""
    shared = _longest(answer, gold)
    return 2.0 * shared / (len(answer) + len(gold)) if shared else 0.0


def _longest(one: Sequence[str], other: Sequence[str]) -> int:
    """Length of the longest common subsequence."""
    before = [0] * (len(other) + 1)
    for word in one:
        now = [0]
        for at, its in enumerate(other):
            now.append(before[at] + 1 if word == its else max(before[at + 1], now[at]))
        before = now
    return before[-1]
