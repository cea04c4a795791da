"""Whether an answer reads as one and fits the kind of question that was asked.

>>> language = Language.of({"determiners": ["the"], "prepositions": ["of"], "auxiliaries": ["is"]})
>>> fluent("the end of the war", language), fluent("of the the end war of", language) < 0.6
(1.0, True)
>>> fits("When did it open?", "in 1851"), fits("When did it open?", "a museum")
(1.0, 0.5)

Rules, and short: pairs of function words that cannot stand side by side, words in another order
than their sources have them, answers that end where nothing can end, n-grams said again, the kind
of a question (when, who, how many), and an earlier answer given to another question. What they
cannot see: whether an idea follows from another. In other languages than English only order,
repetition and echoes are seen.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from onward.quality.diversity import repetition
from onward.quality.overlap import sequence_f1
from onward.quality.words import words
from onward.recipes import scripts

_NUMBER = re.compile(
    r"\d|\b(zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen"
    r"|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy"
    r"|eighty|ninety|dozens?|hundreds?|thousands?|millions?|billions?|trillions?|half|none|several"
    r"|many|few|once|twice)\b",
    re.IGNORECASE,
)
_TIME = re.compile(
    r"\d|\b(january|february|march|april|may|june|july|august|september|october|november|december"
    r"|monday|tuesday|wednesday|thursday|friday|saturday|sunday|century|centuries|years?|months?"
    r"|weeks?|days?|today|now|never|always|before|after|during|early|late|morning|evening|night"
    r"|noon|midnight|christmas|easter|spring|summer|autumn|fall|winter|ago|when|until|since|while"
    r"|time|era|age)\b",
    re.IGNORECASE,
)
_WHO = re.compile(
    r"[A-Z]|[^\W\d_A-Za-z]|\b(who|people|men|women|nobody|everyone|they|he|she|i|you)\b"
)
_KINDS = (
    (r"(how (many|much|old|long|far|often|tall|large)|what (number|percentage))\b", _NUMBER),
    (r"(when|(what|which) (year|month|day|date|century|decade))\b", _TIME),
    (r"(who|whom|whose)\b", _WHO),
)
"""How a question goes on from its first question word, and what an answer to it holds."""
_ASKS = re.compile(r"\b(who|whom|whose|when|what|which|where|why|how)\b.*", re.I | re.DOTALL)
MISFIT = 0.5
"""What an answer of another kind than the question asks for is worth."""
NEAR = 3
"""Words within which two words of a source follow each other: an answer that has them side by side
in the other order alone is out of order."""
ECHO = 5
"""Words from which an answer can be an echo of an earlier one."""


@dataclass(frozen=True)
class Language:
    """Function words by what they do."""

    determiners: frozenset[str]
    prepositions: frozenset[str]
    auxiliaries: frozenset[str]
    conjunctions: frozenset[str]
    every: frozenset[str]

    @staticmethod
    def of(lists: Mapping[str, Sequence[str]]) -> Language:
        """The lists of language.yaml."""
        found = {name: frozenset(entries) for name, entries in lists.items()}
        none: frozenset[str] = frozenset()
        return Language(
            found.get("determiners", none),
            found.get("prepositions", none),
            found.get("auxiliaries", none),
            found.get("conjunctions", none),
            none.union(*found.values()),
        )


def coherent(
    question: str,
    history: Sequence[str],
    answer: str,
    language: Language,
    sources: Sequence[str] = (),
) -> float:
    """Fluency times fit times what is no echo, 0 to 1; 0 for an empty answer.

    Args:
        question: what was asked; "" where nothing was.
        history: earlier turns, alternating, the user's first.
        answer: what was answered.
        language: function words.
        sources: texts that show in which order its words come.
    """
    if not words(answer):
        return 0.0
    read = fluent(answer, language, sources)
    return read * fits(question, answer) * (1.0 - echo(history, answer))


def fluent(answer: str, language: Language, sources: Sequence[str] = ()) -> float:
    """1 less the share of places that are wrong: impossible pairs, a hanging end, repetition."""
    tokens = words(answer)
    if not tokens:
        return 0.0
    pairs = list(pairwise(tokens))
    known = _following(sources)
    wrong = sum(
        _impossible(one, other, language) or ((other, one) in known and (one, other) not in known)
        for one, other in pairs
    )
    order = 1.0 - wrong / max(1, len(pairs))
    return order * (1.0 - repetition(tokens)) * _ended(answer, tokens, language)


def _following(sources: Sequence[str]) -> set[tuple[str, str]]:
    """Every pair of words of which one comes at most NEAR words after the other."""
    found = set()
    for text in sources:
        tokens = words(text)
        for gap in range(1, NEAR + 1):
            found |= set(zip(tokens, tokens[gap:], strict=False))
    return found


def _impossible(one: str, other: str, language: Language) -> bool:
    """Whether two words cannot follow each other: twice the same, or by the rules of English.

    A character of a script without spaces is no word, and is doubled in many.
    """
    if one == other:
        return not scripts.some(one)
    after_determiner = (
        language.determiners | language.prepositions | language.auxiliaries | language.conjunctions
    )
    if one in language.determiners:
        return other in after_determiner
    if one in language.prepositions:
        return other in language.auxiliaries - {"being", "may", "can", "will"}
    if one in language.auxiliaries:
        return other in language.auxiliaries and (one in _FULL and other in _FULL)
    return False


_FULL = frozenset({"is", "are", "was", "were", "am", "has", "does", "did"})
"""Auxiliaries that never stand side by side."""


_LAST = frozenset({"in", "on", "over", "through", "about", "under", "by"})
"""Prepositions that a sentence may end with, as "moved in"."""


def _ended(answer: str, tokens: Sequence[str], language: Language) -> float:
    """0.7 for an answer that breaks off after a word that nothing ends with, or in a bracket."""
    nothing_follows = language.prepositions - _LAST | language.determiners | language.conjunctions
    hanging = tokens[-1] in nothing_follows
    opened = answer.count("(") != answer.count(")") or answer.count('"') % 2 == 1
    comma = answer.rstrip().endswith((",", ";", ":", "-", "–"))
    return 0.7 if (hanging and len(tokens) > 1) or opened or comma else 1.0


def fits(question: str, answer: str) -> float:
    """1 where the answer is of the kind that the question asks for, else MISFIT."""
    first = _ASKS.search(question)
    for asked, kind in _KINDS:
        if first and re.match(asked, first[0], re.IGNORECASE):
            return 1.0 if kind.search(answer) else MISFIT
    return 1.0


def echo(history: Sequence[str], answer: str) -> float:
    """How much of the answer is an earlier answer said again, 0 to 1 (ROUGE-L above one half)."""
    tokens = words(answer)
    if len(tokens) < ECHO:
        return 0.0
    earlier = [words(turn) for turn in history[1::2]]
    most = max((sequence_f1(tokens, turn) for turn in earlier), default=0.0)
    return max(0.0, 2.0 * most - 1.0)
