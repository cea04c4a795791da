"""Repetition inside one answer, and how different several answers to one question are.

>>> repetition("it is it is it is it is".split()) > 0.5, repetition("it opened in 1851".split())
(True, 0.0)
>>> among(["in 1851", "in 1851", "in 1851"]), among(["in 1851", "about 1860", "it never did"]) > 0.8
(0.0, True)

What it cannot see: whether any of the answers is right. Answers that are wrong in several ways are
as diverse as good ones can be.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from onward.quality.words import ngrams, words

SIZE = 4
"""Longest n-gram of self-BLEU."""


def repetition(tokens: Sequence[str], size: int = 2) -> float:
    """Share of an answer's n-grams that stood in it before, 0 to 1."""
    found = ngrams(tokens, size)
    return 1.0 - len(set(found)) / len(found) if found else 0.0


def self_bleu(answers: Sequence[Sequence[str]]) -> float:
    """Mean BLEU of each answer against the others, 0 to 1 (Zhu et al. 2018, Texygen).

    N-grams up to SIZE, as far as the answer has any; without n-gram in common the precision is
    that of half a match, and there is no penalty for a short answer beside longer ones. Answers
    without a word are alike.
    """
    if len(answers) < 2:
        return 0.0
    scores = [
        _bleu(answer, [other for n, other in enumerate(answers) if n != at])
        for at, answer in enumerate(answers)
    ]
    return math.fsum(scores) / len(scores)


def _bleu(answer: Sequence[str], others: Sequence[Sequence[str]]) -> float:
    if not answer:
        return float(any(not other for other in others))
    logs = []
    for size in range(1, min(SIZE, len(answer)) + 1):
        own = Counter(ngrams(answer, size))
        theirs: Counter[tuple[str, ...]] = Counter()
        for other in others:
            theirs |= Counter(ngrams(other, size))
        # As often as one other answer has it, and no more.
        matched = (own & theirs).total()
        if size == 1 and not matched:
            return 0.0
        logs.append(math.log(max(matched, 0.5) / own.total()))
    return math.exp(math.fsum(logs) / len(logs))


def among(answers: Sequence[str]) -> float:
    """How different several answers to one question are, 0 (all alike) to 1.

    The mean of 1 - self-BLEU and of the share of answers that no other repeats.
    """
    split = [words(answer) for answer in answers]
    if len(split) < 2:
        return 0.0
    different = (len({tuple(one) for one in split}) - 1) / (len(split) - 1)
    return (1.0 - self_bleu(split) + different) / 2.0
