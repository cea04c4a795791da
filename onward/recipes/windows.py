"""Questions and contexts as overlapping windows of tokens that know their place in the context."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onward.config import Prepare
from onward.errors import SettingsError
from onward.recipes.shapes import INPUTS, Feature, Row

QUESTION_SHARE = 4
"""A question may take one in so many of a window's tokens; what is longer is cut."""

_ROWS_AT_ONCE = 256


def encode(
    rows: Sequence[Row], tokenizer: Any, settings: Prepare, *, labels: Sequence[str] | None
) -> list[Feature]:
    """Each row as one window or more of at most `settings.max_length` tokens.

    Args:
        rows: canonical rows; only context and question are read, and answers for targets.
        tokenizer: a fast tokenizer of transformers.
        settings: max_length, and stride, the number of tokens that two windows share.
        labels: where given (empty: a place has no label), add start_position and end_position,
            the tokens of the row's first answer; both are 0, the CLS token, in a window that does
            not hold it whole.

    Returns:
        Features in the order of the rows: row (index in `rows`), input_ids, attention_mask and,
        where the tokenizer makes them, token_type_ids (lists of T integers), offsets (int32
        [T, 2]: characters of the context, -1 elsewhere). A question longer than a quarter of the
        window loses its end: `inputs_cut` counts these.

    Raises:
        SettingsError: the tokenizer cannot say where in the text its tokens lie.
    """
    need_offsets(tokenizer)
    features: list[Feature] = []
    for first in range(0, len(rows), _ROWS_AT_ONCE):
        part = rows[first : first + _ROWS_AT_ONCE]
        features += _encode_part(part, first, tokenizer, settings, labels is not None)
    return features


def inputs_cut(rows: Sequence[Row], tokenizer: Any, settings: Prepare) -> int:
    """How many questions are longer than `encode` allows and lose their end."""
    need_offsets(tokenizer)
    cut = _cut(rows, tokenizer, settings.max_length // QUESTION_SHARE)
    return sum(len(short) < len(row["question"]) for short, row in zip(cut, rows, strict=True))


def need_offsets(tokenizer: Any) -> None:
    """Raises SettingsError: the tokenizer cannot say where in the text its tokens lie."""
    if not getattr(tokenizer, "is_fast", False):
        raise SettingsError(
            f"The tokenizer {type(tokenizer).__name__} gives no character offsets",
            where="project.encoder",
            fix="choose an encoder with a fast tokenizer (its folder holds a tokenizer.json)",
        )


def _encode_part(
    rows: Sequence[Row], first: int, tokenizer: Any, settings: Prepare, targets: bool
) -> list[Feature]:
    questions = _cut(rows, tokenizer, settings.max_length // QUESTION_SHARE)
    encoded = tokenizer(
        questions,
        [row["context"] for row in rows],
        truncation="only_second",
        max_length=settings.max_length,
        stride=settings.stride,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        padding=False,
    )
    features = []
    for number, index in enumerate(encoded["overflow_to_sample_mapping"]):
        of_context = np.array([part == 1 for part in encoded.sequence_ids(number)])
        offsets = np.array(encoded["offset_mapping"][number], dtype=np.int32).reshape(-1, 2)
        offsets[~of_context] = -1
        feature = {name: encoded[name][number] for name in INPUTS if name in encoded}
        feature |= {"row": first + index, "offsets": offsets}
        if targets:
            start, end = _positions(rows[index], offsets)
            feature |= {"start_position": start, "end_position": end}
        features.append(feature)
    return features


def _cut(rows: Sequence[Row], tokenizer: Any, limit: int) -> list[str]:
    """The questions, each ended after its first `limit` tokens."""
    questions = [row["question"] for row in rows]
    if not questions:
        return []
    tokens = tokenizer(questions, add_special_tokens=False, return_offsets_mapping=True)
    return [
        text[: places[limit - 1][1]] if len(places) > limit else text
        for text, places in zip(questions, tokens["offset_mapping"], strict=True)
    ]


def _positions(row: Row, offsets: NDArray[np.int32]) -> tuple[int, int]:
    """First and last token of the row's first answer, or (0, 0) where it is not all in here."""
    of_context = np.flatnonzero(offsets[:, 0] >= 0)
    if not row["answers"] or not of_context.size:
        return 0, 0
    start = row["starts"][0]
    end = start + len(row["answers"][0])
    low, high = of_context[0], of_context[-1]
    starts, ends = offsets[low : high + 1, 0], offsets[low : high + 1, 1]
    if start < starts[0] or end > ends[-1]:
        return 0, 0
    first = int(np.searchsorted(ends, start, side="right"))
    last = int(np.searchsorted(starts, end, side="left")) - 1
    return (int(low) + first, int(low) + last) if first <= last else (0, 0)
