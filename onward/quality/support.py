"""Whether what an answer says stands in its context, question or history.

>>> support("It opened in 1851.", ["The museum was opened in 1851."], frozenset({"it", "in"}))
1.0
>>> support("It opened in 1900.", ["The museum was opened in 1851."], frozenset({"it", "in"})) < 0.5
True

What it cannot see: meaning. A sentence of the context with its subject and object exchanged, or
with "not" put in, is supported; a fair paraphrase in words of its own is not.
"""

from __future__ import annotations

from collections.abc import Sequence

from onward.quality.words import content, parts

NUMBER_WEIGHT = 2.0
"""An invented number misleads more than an invented word."""


def support(answer: str, sources: Sequence[str], function_words: frozenset[str]) -> float:
    """Share of the answer's content words that stand in a source, 0 to 1; numbers count twice.

    1 where the answer has no content word ("yes"), 0 where it is empty.
    """
    if not answer.strip():
        return 0.0
    held_there = (word for text in sources for word in content(text, function_words))
    known = {part for word in held_there for part in parts(word)}
    said = content(answer, function_words)
    weights = [NUMBER_WEIGHT if word[0].isdigit() else 1.0 for word in said]
    held = sum(weight for word, weight in zip(said, weights, strict=True) if word in known)
    return held / sum(weights) if said else 1.0
