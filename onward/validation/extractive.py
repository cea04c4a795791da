"""Extractive question answering: what is measured of a row, and what is expected of it.

>>> import pyarrow as pa
>>> rows = [{"id": "a", "context": "It is red.", "question": "What?", "answers": ["red"],
...          "starts": [6]}]
>>> measured = measure(pa.Table.from_pylist(rows), Words())
>>> int(measured["misplaced"][0]), int(measured["answers"][0])
(0, 1)
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow.compute as pc

from onward.config import Validate
from onward.validation import arrays
from onward.validation.expectations import Expectation, between
from onward.validation.words import Words

COLUMNS = ("id", "context", "question", "answers", "starts")
"""The columns that are read; `title` plays no part here."""

LENGTHS = ("context_chars", "question_chars")
"""Measured columns whose means new episodes must share with known ones."""

MEANS = {"no_answer_percent": ("unanswered", 100.0)}
"""Column of an episode -> the measured column whose mean it is, and its factor."""


def expectations(settings: Validate) -> list[Expectation]:
    """The recipe's list."""
    return [
        between("questions say something", "rows", "question_blank", high=0),
        between("contexts say something", "rows", "context_blank", high=0),
        between("answers say something", "rows", "blank_answers", high=0),
        between(
            "questions are short enough", "rows", "question_chars", high=settings.max_question_chars
        ),
        between(
            "contexts are short enough", "rows", "context_chars", high=settings.max_context_chars
        ),
        between("answers are short enough", "rows", "answer_words", high=settings.max_answer_words),
        between("each answer has one start", "rows", "unpaired", high=0),
        between("answers lie at their start", "rows", "misplaced", high=0),
        between(
            "share without an answer",
            "episodes",
            "no_answer_percent",
            high=settings.max_no_answer_percent,
            points="unanswered",
        ),
    ]


def measure(batch: Any, words: Words) -> dict[str, Any]:
    """Derived columns of some rows, all of the batch's length and free of nulls.

    Args:
        batch: a pyarrow Table or RecordBatch with COLUMNS, UTF-8 checked.
        words: counts those of questions and contexts.
    """
    filled = {name: arrays.filled(batch.column(name)) for name in COLUMNS}
    contexts, in_contexts = arrays.read(filled["context"], words)
    questions, in_questions = arrays.read(filled["question"], words)
    counted = in_contexts + in_questions
    measured = {
        "id": filled["id"],
        "id_chars": pc.utf8_length(filled["id"]),
        "nulls": sum(arrays.nulls(batch.column(name)) for name in COLUMNS),
        "key": arrays.keys(questions, contexts),
        "words": counted[:, 0],
        "new_words": counted[:, 1],
        "tokens": arrays.tokens(filled["question"], filled["context"]),
    }
    for name in ("question", "context"):
        measured[f"{name}_chars"] = pc.utf8_length(filled[name])
        measured[f"{name}_blank"] = arrays.blank(filled[name])
    return {
        name: values if name == "id" else arrays.numbers(values)
        for name, values in (measured | _answers(filled)).items()
    }


def _answers(filled: dict[str, Any]) -> dict[str, Any]:
    """Counts over each row's answers: none, blank, too long, not at their start."""
    answers, n = filled["answers"], len(filled["answers"])
    of_row = pc.list_parent_indices(answers).to_numpy(zero_copy_only=False)
    texts = pc.fill_null(pc.list_flatten(answers), "")
    blank = arrays.blank(texts)
    longest = np.zeros(n, np.int64)
    np.maximum.at(longest, of_row, arrays.counts(texts))
    counts = arrays.numbers(pc.list_value_length(answers))
    starts = arrays.numbers(pc.list_value_length(filled["starts"]))
    return {
        "answers": counts,
        "unanswered": counts == 0,
        "unpaired": np.abs(counts - starts),
        "blank_answers": np.bincount(of_row[blank], minlength=n),
        "answer_words": longest,
        "misplaced": _misplaced(filled),
    }


def _misplaced(filled: dict[str, Any]) -> Any:
    """How many answers of each row do not stand at their start, in code points."""
    columns = (filled[name].to_pylist() for name in ("context", "answers", "starts"))
    return np.fromiter(
        (
            sum(
                start is None or start < 0 or context[start : start + len(answer)] != answer
                for answer, start in zip((a or "" for a in answers), starts, strict=False)
            )
            for context, answers, starts in zip(*columns, strict=True)
        ),
        np.int64,
        count=len(filled["context"]),
    )
