"""Extractive question answering: what is measured of a row, and what is expected of it.

>>> import pyarrow as pa
>>> rows = [{"id": "a", "context": "It is red.", "question": "What?", "answers": ["red"],
...          "starts": [6]}]
>>> measured = measure(pa.Table.from_pylist(rows))
>>> int(measured["misplaced"][0]), int(measured["answers"][0])
(0, 1)
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from onward.config import Validate
from onward.episodes.rows import is_blank, normalised
from onward.validation.expectations import Expectation, History, between

COLUMNS = ("id", "context", "question", "answers", "starts")
"""The columns that are read; `title` plays no part here."""

READABLE = "[0-9A-Za-z]"
"""Finds most texts that say something at once; `is_blank` has the last word on the others."""

BYTES_PER_TOKEN = 4.0
"""A rough estimate that holds for English word pieces; a CJK character counts three quarters."""

MARKERS = 3
"""Tokens that a model adds around a question and its context."""


def expectations(settings: Validate, history: History | None) -> list[Expectation]:
    """The recipe's list. With a history, learning episodes must resemble it."""
    listed = [
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
        ),
        between(
            "share of contexts longer than the model's window",
            "episodes",
            "windowed_percent",
            high=settings.max_windowed_percent,
        ),
    ]
    return listed + (_like(history, settings) if history else [])


def _like(history: History, settings: Validate) -> list[Expectation]:
    shift = settings.max_length_shift
    return [
        between(
            f"{column.replace('_', ' ')} on average as in known episodes",
            "learning",
            f"mean_{column}",
            low=round(mean / shift, 3),
            high=round(mean * shift, 3),
        )
        for column, mean in (
            ("context_chars", history.context_chars),
            ("question_chars", history.question_chars),
        )
    ] + [
        between(
            "row count as in known episodes",
            "learning",
            "rows",
            low=round(history.rows / settings.max_rows_shift, 3),
            high=round(history.rows * settings.max_rows_shift, 3),
            severity="warning",
        )
    ]


def measure(batch: Any) -> dict[str, Any]:
    """Derived columns of some rows, all of the batch's length and free of nulls.

    Args:
        batch: a pyarrow Table or RecordBatch with COLUMNS, UTF-8 checked.
    """
    filled = {name: _filled(batch.column(name)) for name in COLUMNS}
    measured = {
        "id": filled["id"],
        "id_chars": pc.utf8_length(filled["id"]),
        "nulls": sum(_nulls(batch.column(name)) for name in COLUMNS),
        "key": _keys(filled["question"], filled["context"]),
    }
    for name in ("question", "context"):
        measured[f"{name}_chars"] = pc.utf8_length(filled[name])
        measured[f"{name}_blank"] = _blank(filled[name])
    size = pc.add(pc.binary_length(filled["question"]), pc.binary_length(filled["context"]))
    measured["tokens"] = pc.add(pc.divide(pc.cast(size, "float64"), BYTES_PER_TOKEN), MARKERS)
    return {
        name: values if name == "id" else _numbers(values)
        for name, values in (measured | _answers(filled)).items()
    }


def _numbers(values: Any) -> Any:
    """int64 or float64: Great Expectations compares other types one Python value at a time."""
    array = values if isinstance(values, np.ndarray) else values.to_numpy(zero_copy_only=False)
    return array.astype(np.float64 if array.dtype.kind == "f" else np.int64)


def _blank(texts: Any) -> Any:
    """Which texts hold only spaces, controls, punctuation and characters that do not show."""
    readable = np.array(pc.match_substring_regex(texts, READABLE)).astype(bool)
    for at in np.flatnonzero(~readable):
        readable[at] = not is_blank(texts[int(at)].as_py())
    return ~readable


def _filled(column: Any) -> Any:
    """One array, nulls as empty; they are counted apart."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_list(array.type):
        # Made anew, because an array that is a slice keeps its parent's values.
        plain = [value or [] for value in array.to_pylist()] if array.null_count else None
        return array if plain is None else pa.array(plain, array.type)
    return pc.fill_null(array, "")


def _nulls(column: Any) -> Any:
    """How many values of each row are null, members of lists included."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    missing = np.asarray(array.is_null()).astype(np.int64)
    if pa.types.is_list(array.type):
        inside = pc.list_parent_indices(array).to_numpy(zero_copy_only=False)
        lost = np.asarray(pc.list_flatten(array).is_null())
        missing += np.bincount(inside[lost], minlength=len(array))
    return missing


def _answers(filled: dict[str, Any]) -> dict[str, Any]:
    """Counts over each row's answers: none, blank, too long, not at their start."""
    answers, n = filled["answers"], len(filled["answers"])
    of_row = pc.list_parent_indices(answers).to_numpy(zero_copy_only=False)
    texts = pc.fill_null(pc.list_flatten(answers), "")
    blank = _blank(texts)
    words = pc.add(pc.count_substring_regex(pc.utf8_trim_whitespace(texts), r"\s+"), 1)
    longest = np.zeros(n, np.int64)
    np.maximum.at(longest, of_row, _numbers(words))
    counts = _numbers(pc.list_value_length(answers))
    starts = _numbers(pc.list_value_length(filled["starts"]))
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


def _keys(questions: Any, contexts: Any) -> Any:
    """64 bits of each normalised question with its context: a chance match needs billions."""
    unique = pc.dictionary_encode(contexts)
    digests = [_digest(text, b"") for text in unique.dictionary.to_pylist()]
    of_row = unique.indices.to_pylist()
    keys = (
        _digest(question, digests[at])
        for question, at in zip(questions.to_pylist(), of_row, strict=True)
    )
    return np.frombuffer(b"".join(keys), dtype="<i8").copy()


def _digest(text: str, key: bytes) -> bytes:
    return hashlib.blake2b(normalised(text).encode(), key=key, digest_size=8).digest()
