"""Labels and numbers for texts: what is measured of a row, and what is expected of it.

>>> import pyarrow as pa
>>> rows = [{"id": "a", "text": "So.", "pair": "", "labels": ["x", " ", "x"]}]
>>> measured = multilabel(pa.Table.from_pylist(rows), Words())
>>> int(measured["blank_labels"][0]), int(measured["repeated_labels"][0])
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

LENGTHS = ("text_chars",)
"""Measured columns whose means new episodes must share with known ones."""


def of_labels(settings: Validate) -> list[Expectation]:
    """The list of the recipe classification. D14: single and unknown labels."""
    return [
        *of_texts(settings),
        between("labels say something", "rows", "blank_labels", high=0),
        between("enough labels to tell apart", "learning", "labels", low=settings.min_labels),
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


def of_several_labels(settings: Validate) -> list[Expectation]:
    """The list of the recipe multilabel."""
    return [
        *of_labels(settings),
        between("each label stands once in a row", "rows", "repeated_labels", high=0),
    ]


def of_numbers(settings: Validate) -> list[Expectation]:
    """The list of the recipe regression. D14: a single value."""
    return [
        *of_texts(settings),
        between("values are finite", "rows", "infinite", high=0),
        between("enough values to tell apart", "learning", "values", low=settings.min_labels),
    ]


def like_labels(settings: Validate) -> list[Expectation]:
    """What of labels new episodes must share with known ones (D14 vanished, D15 shares).

    Warnings: labels that grow episode by episode are what a project may be for.
    """
    return [
        between(
            "labels of known episodes come again", "rows", "vanished", high=0, severity="warning"
        ),
        between(
            "shares of known labels as in known episodes",
            "learning",
            "label_shift",
            high=settings.max_label_shift,
            severity="warning",
            points="label_excess",
        ),
    ]


def like_numbers(settings: Validate) -> list[Expectation]:
    """How far the mean value of a new episode may lie from that of known ones (D15)."""
    return [
        between(
            "values on average as in known episodes",
            "learning",
            "value_shift",
            high=settings.max_value_shift,
            severity="warning",
            points="value_distance",
        )
    ]


def of_texts(settings: Validate) -> list[Expectation]:
    """What is expected of any text."""
    return [
        between("texts say something", "rows", "text_blank", high=0),
        between("texts are short enough", "rows", "text_chars", high=settings.max_context_chars),
    ]


def single(batch: Any, words: Words) -> dict[str, Any]:
    """Derived columns of rows with one label; `label` is a list for each row, by name."""
    column = arrays.filled(batch.column("label"))
    labels = pa.ListArray.from_arrays(np.arange(len(column) + 1, dtype=np.int32), column)
    return measured(batch, words, "label") | by_label(labels)


def multilabel(batch: Any, words: Words) -> dict[str, Any]:
    """Derived columns of rows with several labels; `label` is a list for each row, by name."""
    return measured(batch, words, "labels") | by_label(arrays.filled(batch.column("labels")))


def by_label(labels: Any) -> dict[str, Any]:
    """label (a list for each row, by name), blank_labels and repeated_labels."""
    of_row = pc.list_parent_indices(labels).to_numpy(zero_copy_only=False)
    names = pc.fill_null(pc.list_flatten(labels), "")
    different = {*zip(of_row.tolist(), names.to_pylist(), strict=True)}
    rows = np.fromiter((row for row, _ in different), np.int64, len(different))
    counts = np.bincount(of_row, minlength=len(labels))
    return {
        "label": labels,
        "blank_labels": np.bincount(of_row[arrays.blank(names)], minlength=len(labels)),
        "repeated_labels": counts - np.bincount(rows, minlength=len(labels)),
    }


def regression(batch: Any, words: Words) -> dict[str, Any]:
    """Derived columns of rows with a number: value (0.0 where it is not finite), infinite."""
    found = pc.fill_null(batch.column("value"), 0.0).to_numpy(zero_copy_only=False)
    finite = np.isfinite(found)
    return measured(batch, words, "value") | {
        "value": np.where(finite, found, 0.0),
        "infinite": arrays.numbers(~finite),
    }


def measured(batch: Any, words: Words, *targets: str) -> dict[str, Any]:
    """What is measured of a text, and of its pair where it may have one.

    Args:
        batch: rows with id, text and perhaps pair.
        words: counts those of the texts.
        targets: columns of what is to be said about them; they hold no nulls.
    """
    identity = arrays.filled(batch.column("id"))
    names = [name for name in ("text", "pair") if name in batch.schema.names]
    text, *pair = (arrays.filled(batch.column(name)) for name in names)
    digests, counted = arrays.read(text, words)
    for other in pair:
        counted = counted + arrays.read(other, words)[1]
    return {
        "id": identity,
        "id_chars": arrays.numbers(pc.utf8_length(identity)),
        "nulls": sum(arrays.nulls(batch.column(name)) for name in ("id", "text", *targets)),
        # The text alone has one side, whatever its pair: as when an episode is opened.
        "key": arrays.keys(digests),
        "words": counted[:, 0],
        "new_words": counted[:, 1],
        "tokens": arrays.tokens(text, *pair),
        "text_chars": arrays.numbers(pc.utf8_length(text)),
        "text_blank": arrays.numbers(arrays.blank(text)),
    }
