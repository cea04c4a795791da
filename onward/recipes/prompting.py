"""Prompts without training: how a question is put, which solved examples stand before it, and where
in what a model writes its answer is.

>>> worded("{context}\\n\\n{question}", question="Who?", context="")
'Who?'
>>> taken("2 and 2 are 4. Answer: 4", "Answer:")
'4'
>>> fields("{question} {mood.x}")
['question', 'mood.x']

A prompt is part of how a row becomes tokens, so it travels with the tokenizer: whoever loads one
loads the other, and `of` finds it. What a prompt is made of is a candidate's file, prompt.json;
onward/learning/prompts.py writes it and onward/runtime/prompts.py reads it.

Examples are the turns before a question, nearest last, so a prompt that is too long loses the
farthest first. One that is the last turn of a conversation comes with the turns before it: without
them its question may ask for nothing. Chain of thought (Wei et al. 2022; Kojima et al. 2022 without
examples) is a wording that asks for steps and a mark, after the last of which the answer is taken.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onward.recipes.shapes import Prediction, Row

ASKING = frozenset({"context", "question"})
"""Fields of a question's wording."""

ANSWERING = frozenset({"answer"})
"""Fields of the wording of an example's answer."""

WORDING = "wording"
"""The key under which a row of a prompt carries how its question is put."""

SHOTS = "shots"
"""The key of how many pairs of turns each of its examples has, in order."""


@dataclass(frozen=True)
class Prompt:
    """What a candidate without weights of its own adds to a row."""

    question: str
    """The wording: a text with {context} and {question}."""
    answer: str
    """Of an example's answer: a text with {answer}."""
    take: str
    """The answer is what comes after the last of these; "" takes all."""
    shots: int
    """Examples before a question."""
    examples: tuple[Row, ...] = ()
    """Solved rows of the training part."""
    embedded: NDArray[np.float32] | None = None
    """Their embeddings of length one, [N, D]."""
    embed: Callable[[Sequence[str]], NDArray[np.float32]] | None = None
    """Texts -> embeddings [B, D] by the same retriever."""

    def asked(self, rows: Sequence[Row]) -> list[Row]:
        """The rows with their question's wording, and examples as the turns before it."""
        made = []
        for row, near in zip(rows, self._nearest(rows), strict=True):
            solved = [self._turns(one) for one in near]
            before = [turn for turns in solved for turn in turns]
            pairs = [len(turns) // 2 for turns in solved]
            history = [*before, *row["history"]]
            made.append({**row, "history": history, WORDING: self.question, SHOTS: pairs})
        return made

    def _turns(self, row: Row) -> list[str]:
        """An example as turns: those before its question, the question and its answer."""
        asked = worded(self.question, question=row["question"], context=row["context"])
        return [*row["history"], asked, worded(self.answer, answer=row["references"][0])]

    def _nearest(self, rows: Sequence[Row]) -> list[list[Row]]:
        """The `shots` examples nearest to each row, nearest last; a row is no example of itself."""
        if not self.shots or self.embed is None or self.embedded is None:
            return [[] for _ in rows]
        found = []
        for row, vector in zip(rows, self.embed([key(row) for row in rows]), strict=True):
            # Rounded: a difference in the last bits must not decide between two examples.
            alike = np.round(self.embedded @ vector, 5)
            order = np.argsort(-alike, kind="stable")
            others = (self.examples[n] for n in order if not _same(self.examples[n], row))
            near = [one for one, _ in zip(others, range(self.shots), strict=False)]
            found.append(near[::-1])
        return found


def of(tokenizer: Any) -> Prompt | None:
    """The prompt that was loaded with a tokenizer."""
    found: Prompt | None = getattr(tokenizer, "prompt", None)
    return found


def key(row: Row) -> str:
    """The text by which examples are near: the question, then its context."""
    return f"{row['question']}\n{row['context'] or ''}".strip()


def _same(one: Row, other: Row) -> bool:
    names = ("question", "context", "history")
    return all((one[name] or "") == (other[name] or "") for name in names if name in other)


def fields(wording: str) -> list[str]:
    """The fields of a wording as they stand in it. Raises ValueError: its braces do not match."""
    return [name for _, name, _, _ in string.Formatter().parse(wording) if name is not None]


def worded(wording: str, **values: str | None) -> str:
    """A wording with its fields filled in, without the space left by empty ones at both ends."""
    # Not str.format: what a text says is never read as a field.
    parts = string.Formatter().parse(wording)
    return "".join(text + (values.get(name or "") or "") for text, name, _, _ in parts).strip()


def taken(text: str, mark: str) -> str:
    """What comes after the last mark, on its line; the last line that says something without one.

    >>> taken("First a, then b.", "Answer:")
    'First a, then b.'
    """
    if not mark:
        return text
    rest = text.rpartition(mark)[2] if mark in text else text
    lines = [line.strip() for line in rest.splitlines() if line.strip()]
    if not lines:
        return ""
    return lines[0] if mark in text else lines[-1]


def told(prompt: Prompt | None, prediction: Prediction) -> Prediction:
    """A prediction whose answer was taken from what was written, which stays as `reasoning`."""
    if prompt is None or not prompt.take:
        return prediction
    answer = taken(prediction["text"], prompt.take)
    found = {**prediction, "text": answer, "reasoning": prediction["text"]}
    return {**found, "no_answer": not answer}
