"""Conversations: what is measured of a row, and what is expected of it.

>>> import pyarrow as pa
>>> row = {"id": "a", "context": "So.", "history": ["Hi"], "question": "Who?", "references": [" "]}
>>> measured = measure(pa.Table.from_pylist([row]), Words())
>>> int(measured["odd_history"][0]), int(measured["blank_answers"][0])
(1, 1)
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from onward.config import Validate
from onward.recipes import scripts
from onward.validation import arrays
from onward.validation.expectations import Expectation, between
from onward.validation.words import Words

COLUMNS = ("id", "context", "history", "question", "references")
"""The columns that are read; `title` plays no part here."""

LENGTHS = ("question_chars", "context_chars", "answer_words")
"""Measured columns whose means new episodes must share with known ones."""


def expectations(settings: Validate) -> list[Expectation]:
    """The recipe's list."""
    return [
        between("questions say something", "rows", "question_blank", high=0),
        between("turns say something", "rows", "blank_turns", high=0),
        between("answers say something", "rows", "blank_answers", high=0),
        between("rows have answers", "rows", "answers", low=1),
        between("histories end with an answer", "rows", "odd_history", high=0),
        between(
            "questions are short enough", "rows", "question_chars", high=settings.max_question_chars
        ),
        between(
            "contexts are short enough", "rows", "context_chars", high=settings.max_context_chars
        ),
        between("answers are short enough", "rows", "answer_words", high=settings.max_answer_words),
    ]


def measure(batch: Any, words: Words) -> dict[str, Any]:
    """Derived columns of some rows, all of the batch's length and free of nulls.

    Args:
        batch: a pyarrow Table or RecordBatch with COLUMNS, UTF-8 checked.
        words: counts those of contexts, turns and questions.
    """
    filled = {name: arrays.filled(batch.column(name)) for name in COLUMNS}
    turns = [[turn or "" for turn in row] for row in filled["history"].to_pylist()]
    asked = zip(turns, filled["question"].to_pylist(), strict=True)
    said = pa.array(["\n".join([*before, question]) for before, question in asked], pa.string())
    contexts, in_contexts = arrays.read(filled["context"], words)
    spoken, in_spoken = arrays.read(said, words)
    given = arrays.numbers(pc.utf8_length(filled["context"])) > 0
    sides = zip(contexts, spoken, given, strict=True)
    measured = {
        "id_chars": pc.utf8_length(filled["id"]),
        "nulls": sum(arrays.nulls(batch.column(name)) for name in COLUMNS if name != "context"),
        # The context alone has one side, or all that is said: as when an episode is opened.
        "key": arrays.keys([context if there else talk for context, talk, there in sides]),
        "words": (in_contexts + in_spoken)[:, 0],
        "new_words": (in_contexts + in_spoken)[:, 1],
        "tokens": arrays.tokens(filled["context"], said),
        "question_chars": pc.utf8_length(filled["question"]),
        "question_blank": arrays.blank(filled["question"]),
        "context_chars": pc.utf8_length(filled["context"]),
        "odd_history": np.array([len(row) % 2 for row in turns], np.int64),
        "blank_turns": np.array([sum(not turn.strip() for turn in row) for row in turns], np.int64),
        **_answers(filled["references"]),
    }
    return {"id": filled["id"]} | {name: arrays.numbers(v) for name, v in measured.items()}


def _answers(references: Any) -> dict[str, Any]:
    texts = [[one or "" for one in row] for row in references.to_pylist()]
    return {
        "answers": np.array([len(row) for row in texts], np.int64),
        "blank_answers": np.array([sum(not one.strip() for one in row) for row in texts], np.int64),
        "answer_words": np.array(
            [max(map(scripts.count, row), default=0) for row in texts], np.int64
        ),
    }
