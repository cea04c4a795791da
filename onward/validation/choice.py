"""Questions with options: what is measured of a row, and what is expected of it.

>>> import pyarrow as pa
>>> rows = [{"id": "a", "context": "So.", "question": "Why?", "options": ["x", "x"], "answer": 2}]
>>> measured = measure(pa.Table.from_pylist(rows), Words())
>>> int(measured["equal_options"][0]), int(measured["astray"][0])
(1, 1)
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from onward.config import Validate
from onward.validation import arrays
from onward.validation.expectations import Expectation, between
from onward.validation.words import Words

COLUMNS = ("id", "context", "question", "options", "answer")
"""The columns that are read; `title` plays no part here."""

LENGTHS = ("question_chars", "context_chars", "option_chars")
"""Measured columns whose means new episodes must share with known ones."""


def expectations(settings: Validate) -> list[Expectation]:
    """The recipe's list. D08: equal options; D14: one option, or the right one always first."""
    return [
        between("questions say something", "rows", "question_blank", high=0),
        between(
            "questions are short enough", "rows", "question_chars", high=settings.max_question_chars
        ),
        between(
            "contexts are short enough", "rows", "context_chars", high=settings.max_context_chars
        ),
        between("there are two options or more", "rows", "options", low=2),
        between("options say something", "rows", "empty_options", high=0),
        between("options differ", "rows", "equal_options", high=0),
        between("answers are among the options", "rows", "astray", high=0),
        between(
            "right options stand at different places", "learning", "values", low=settings.min_labels
        ),
    ]


def like(settings: Validate) -> list[Expectation]:
    """How far the right option's mean place may lie from that in known episodes (D15)."""
    return [
        between(
            "right options stand where they do in known episodes",
            "learning",
            "value_shift",
            high=settings.max_value_shift,
            severity="warning",
            points="value_distance",
        )
    ]


def measure(batch: Any, words: Words) -> dict[str, Any]:
    """Derived columns of some rows, all of the batch's length and free of nulls.

    `value` is the place of the right option.

    Args:
        batch: a pyarrow Table or RecordBatch with COLUMNS, UTF-8 checked.
        words: counts those of questions and contexts.
    """
    filled = {name: arrays.filled(batch.column(name)) for name in ("id", "context", "question")}
    contexts, in_contexts = arrays.read(filled["context"], words)
    questions, in_questions = arrays.read(filled["question"], words)
    counted = in_contexts + in_questions
    given = arrays.numbers(pc.utf8_length(filled["context"])) > 0
    sides = zip(contexts, questions, given, strict=True)
    bound = [context if there else question for context, question, there in sides]
    options = [[one or "" for one in row or []] for row in batch.column("options").to_pylist()]
    longest = pa.array([max(row, key=len, default="") for row in options], pa.string())
    measured = {
        "id_chars": pc.utf8_length(filled["id"]),
        "nulls": sum(arrays.nulls(batch.column(name)) for name in COLUMNS if name != "context"),
        # The context alone has one side, or the question where there is none: as when opened.
        "key": arrays.keys(bound),
        "words": counted[:, 0],
        "new_words": counted[:, 1],
        "tokens": arrays.tokens(filled["context"], filled["question"], longest),
        "question_chars": pc.utf8_length(filled["question"]),
        "question_blank": arrays.blank(filled["question"]),
        "context_chars": pc.utf8_length(filled["context"]),
        **_options(options, pc.fill_null(batch.column("answer"), -1).to_pylist()),
    }
    return {"id": filled["id"]} | {name: arrays.numbers(v) for name, v in measured.items()}


def _options(options: list[list[str]], answers: list[int]) -> dict[str, Any]:
    pairs = list(zip(options, answers, strict=True))
    counted = {
        "options": [len(row) for row in options],
        "option_chars": [sum(map(len, row)) / max(len(row), 1) for row in options],
        "empty_options": [sum(not one.strip() for one in row) for row in options],
        "equal_options": [len(row) - len({one.strip() for one in row}) for row in options],
        "astray": [int(not 0 <= answer < len(row)) for row, answer in pairs],
        "value": [float(answer) for answer in answers],
    }
    return {name: np.array(values) for name, values in counted.items()}
