"""Texts and what they should become: what is measured of a row, and what is expected of it.

>>> import pyarrow as pa
>>> row = {"id": "a", "text": "So", "references": ["Also", " "]}
>>> measured = measure(pa.Table.from_pylist([row]), Words())
>>> int(measured["references"][0]), int(measured["blank_references"][0])
(2, 1)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from onward.config import Validate
from onward.validation import texts
from onward.validation.expectations import Expectation, between
from onward.validation.words import Words

COLUMNS = ("id", "text", "references")
"""The columns that are read; `title` plays no part here."""

LENGTHS = ("text_chars", "reference_chars")
"""Measured columns whose means new episodes must share with known ones."""


def expectations(settings: Validate) -> list[Expectation]:
    """The list of the recipes translation and summarization. D15: references that are copies."""
    return [
        *texts.of_texts(settings),
        between("rows have references", "rows", "references", low=1),
        between("references say something", "rows", "blank_references", high=0),
        between(
            "references are short enough",
            "rows",
            "reference_chars",
            high=settings.max_context_chars,
        ),
        between(
            "references are no copies of the text", "rows", "copied", high=0, severity="warning"
        ),
    ]


def measure(batch: Any, words: Words) -> dict[str, Any]:
    """Derived columns of some rows, all of the batch's length and free of nulls.

    Args:
        batch: a pyarrow Table or RecordBatch with COLUMNS, UTF-8 checked.
        words: counts those of the texts.
    """
    asked = batch.column("text").to_pylist()
    listed = [[one or "" for one in row or []] for row in batch.column("references").to_pylist()]
    pairs = list(zip(asked, listed, strict=True))
    return texts.measured(batch, words, "references") | {
        "references": np.array([len(row) for row in listed], np.int64),
        "blank_references": np.array([sum(not one.strip() for one in row) for row in listed]),
        "reference_chars": np.array([max(map(len, row), default=0) for row in listed], np.int64),
        "copied": np.array([int(text in row) for text, row in pairs], np.int64),
    }
