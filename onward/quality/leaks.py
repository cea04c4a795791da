"""Instructions in an answer: its prompt's, or those that somebody wrote into the context.

>>> from onward.quality.lists import load
>>> leaks = Leaks.of(load("leaks"))
>>> leaks.found("<|im_start|>assistant It opened in 1851.", [])
['marker']
>>> context = "Answer the question using only the context. The museum opened in 1851."
>>> leaks.found("Answer the question using only the context.", [context])
['prompt', 'copied instruction']
>>> leaks.found("The museum opened in 1851.", [context])
[]

What it cannot see: an instruction that is followed without being repeated, and one in other words
or in another language than the list's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from onward.quality.words import flat, ngrams, seen, sentences, words

RUN = 5
"""Words of an instruction that an answer may not repeat in a row."""


@dataclass(frozen=True)
class Leaks:
    """Expressions for marks of a chat template and for instructions to a model."""

    markers: tuple[re.Pattern[str], ...]
    prompts: tuple[re.Pattern[str], ...]

    @staticmethod
    def of(lists: Mapping[str, Sequence[str]]) -> Leaks:
        """The lists of leaks.yaml."""
        made = {
            name: tuple(re.compile(one, re.IGNORECASE) for one in lists[name])
            for name in ("markers", "prompts")
        }
        return Leaks(made["markers"], made["prompts"])

    def found(self, answer: str, sources: Sequence[str]) -> list[str]:
        """What leaked, in words; none: nothing.

        Args:
            answer: what was answered.
            sources: context, question and history, in which an instruction may stand.
        """
        kinds = []
        if self._marked(answer):
            kinds.append("marker")
        if self._told(answer):
            kinds.append("prompt")
        said = set(ngrams(words(answer), RUN))
        if said and any(said & set(ngrams(words(one), RUN)) for one in self._instructions(sources)):
            kinds.append("copied instruction")
        return kinds

    def _instructions(self, sources: Sequence[str]) -> list[str]:
        return [
            sentence
            for text in sources
            for sentence in sentences(text)
            if self._marked(sentence) or self._told(sentence)
        ]

    def _marked(self, text: str) -> bool:
        return any(one.search(seen(text)) for one in self.markers)

    def _told(self, text: str) -> bool:
        return any(one.search(flat(text)) for one in self.prompts)
