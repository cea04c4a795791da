"""Spans of a text, tagged or as the two entities of a relation: what is measured and expected.

>>> import pyarrow as pa
>>> rows = [{"id": "a", "text": "In Oslo.", "starts": [3, 5], "ends": [6, 7], "tags": ["x", "x"]}]
>>> measured = tagging(pa.Table.from_pylist(rows), Words())
>>> int(measured["misplaced"][0]), int(measured["torn"][0])
(1, 1)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from onward.config import Validate
from onward.recipes import bio
from onward.validation import arrays, texts
from onward.validation.expectations import Expectation, between
from onward.validation.words import Words

PLACES = ("head_start", "head_end", "tail_start", "tail_end")
TAGGING = ("id", "text", "starts", "ends", "tags")
RELATION = ("id", "text", *PLACES, "label")

_Spans = Iterable[tuple[int | None, int | None]]


def of_tags(settings: Validate) -> list[Expectation]:
    """The list of the recipe tagging. D14: single and unknown tags."""
    return [
        *_placed("spans", settings),
        between("each span has a start, an end and a tag", "rows", "unpaired", high=0),
        between("some span is tagged", "learning", "labels", low=1),
        *_told(),
    ]


def of_relations(settings: Validate) -> list[Expectation]:
    """The list of the recipe relation. D14: single and unknown labels."""
    return [
        *_placed("entities", settings),
        between("enough labels to tell apart", "learning", "labels", low=settings.min_labels),
        *_told(),
    ]


def _placed(named: str, settings: Validate) -> list[Expectation]:
    return [
        *texts.of_texts(settings),
        between(f"{named} lie apart in their text", "rows", "misplaced", high=0),
        between(f"{named} begin and end with words", "rows", "torn", high=0, severity="warning"),
    ]


def _told() -> list[Expectation]:
    return [
        between("labels say something", "rows", "blank_labels", high=0),
        between(
            "held-out labels are in training rows", "rows", "unlearned", high=0, severity="warning"
        ),
        between(
            "labels differ in more than case, spacing or .0",
            "rows",
            "alike",
            high=0,
            severity="warning",
        ),
    ]


def tagging(batch: Any, words: Words) -> dict[str, Any]:
    """Derived columns of rows with tagged spans; `label` is a list for each row, by name."""
    columns = {name: arrays.filled(batch.column(name)) for name in TAGGING}
    spans = [
        list(zip(starts, ends, strict=False))
        for starts, ends in zip(
            columns["starts"].to_pylist(), columns["ends"].to_pylist(), strict=True
        )
    ]
    sizes = [arrays.numbers(pc.list_value_length(columns[n])) for n in ("starts", "ends", "tags")]
    return {
        **texts.measured(batch, words, "starts", "ends", "tags"),
        **texts.by_label(columns["tags"]),
        **_lying(columns["text"].to_pylist(), spans, ascending=True),
        "unpaired": np.abs(sizes[0] - sizes[1]) + np.abs(sizes[0] - sizes[2]),
    }


def relation(batch: Any, words: Words) -> dict[str, Any]:
    """Derived columns of rows with two entities; `label` is a list for each row, by name."""
    column = arrays.filled(batch.column("label"))
    labels = pa.ListArray.from_arrays(np.arange(len(column) + 1, dtype=np.int32), column)
    places = zip(*(batch.column(name).to_pylist() for name in PLACES), strict=True)
    spans = [((a, b), (c, d)) for a, b, c, d in places]
    return {
        **texts.measured(batch, words, *PLACES, "label"),
        **texts.by_label(labels),
        **_lying(arrays.filled(batch.column("text")).to_pylist(), spans, ascending=False),
    }


def _lying(rows: Sequence[str], spans: Sequence[_Spans], *, ascending: bool) -> dict[str, Any]:
    """How many spans of each row lie outside the text or over another; how many split a word."""
    misplaced, torn = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64)
    for at, (text, own) in enumerate(zip(rows, spans, strict=True)):
        before = 0
        words = [bio.shown(text, *place) for place in bio.words(text)]
        begins, ends = {begin for begin, _ in words}, {end for _, end in words}
        for start, end in own if ascending else sorted(own, key=lambda span: span[0] or 0):
            if start is None or end is None or not before <= start < end <= len(text):
                misplaced[at] += 1
                continue
            begin, close = bio.shown(text, start, end)
            torn[at] += begin not in begins or close not in ends
            before = end
    return {"misplaced": misplaced, "torn": torn}
