"""Texts as overlapping windows of tokens, in which each word is told by its first token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onward.config import Prepare
from onward.recipes import bio, windows
from onward.recipes.labels import index as label_index
from onward.recipes.shapes import INPUTS, NOTHING, Feature, Row

_ROWS_AT_ONCE = 256


def spans_of(row: Row) -> list[bio.Span]:
    """The row's spans: start, end and tag of each."""
    return list(zip(row["starts"], row["ends"], row["tags"], strict=True))


def encode(
    rows: Sequence[Row], tokenizer: Any, settings: Prepare, *, labels: Sequence[str] | None
) -> list[Feature]:
    """Each row as one window or more of at most `settings.max_length` tokens.

    Args:
        rows: canonical rows.
        tokenizer: a fast tokenizer of transformers.
        settings: max_length, and stride, the number of tokens that two windows share.
        labels: of words; where given, add tags (a list of T indices, -100 for what is not the
            first token of a word), and leave out windows in which no word begins.

    Returns:
        Features in the order of the rows: row (index in `rows`), input_ids, attention_mask and,
        where the tokenizer makes them, token_type_ids (lists of T integers), offsets (int32
        [T, 2]: characters of the text, -1 elsewhere).

    Raises:
        SettingsError: the tokenizer cannot say where in the text its tokens lie.
        DataError: a tag of a row is not among `labels`.
    """
    windows.need_offsets(tokenizer)
    features: list[Feature] = []
    for first in range(0, len(rows), _ROWS_AT_ONCE):
        part = rows[first : first + _ROWS_AT_ONCE]
        for feature in _windows(part, tokenizer, settings):
            if labels is not None:
                feature["tags"] = _targets(part[feature["row"]], feature["offsets"], labels)
                if max(feature["tags"]) == NOTHING:
                    continue
            features.append({**feature, "row": first + feature["row"]})
    return features


def _windows(rows: Sequence[Row], tokenizer: Any, settings: Prepare) -> Iterator[Feature]:
    encoded = tokenizer(
        [row["text"] for row in rows],
        truncation=True,
        max_length=settings.max_length,
        stride=settings.stride,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        padding=False,
    )
    for number, row in enumerate(encoded["overflow_to_sample_mapping"]):
        of_text = np.array([part == 0 for part in encoded.sequence_ids(number)])
        offsets = np.array(encoded["offset_mapping"][number], dtype=np.int32).reshape(-1, 2)
        offsets[~of_text] = -1
        tokens = {name: encoded[name][number] for name in INPUTS if name in encoded}
        yield {**tokens, "row": row, "offsets": offsets}


def _targets(row: Row, offsets: NDArray[np.int32], known: Sequence[str]) -> list[int]:
    """The label of each first token of a word; the labels of other tokens are NOTHING."""
    places = bio.words(row["text"])
    indices = {label: at for at, label in enumerate(known)}
    wanted = bio.labelled(places, spans_of(row))
    targets = [NOTHING] * len(offsets)
    taken = first_tokens(places, offsets)
    # Of two words that share a token the first has it.
    for word, token in zip(*(each[::-1].tolist() for each in taken), strict=True):
        targets[token] = label_index(wanted[word], indices, row)
    return targets


def first_tokens(
    places: Sequence[bio.Place], offsets: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The words that begin in a window, and the token in which each of them does."""
    of_text = np.flatnonzero(offsets[:, 0] >= 0)
    none = np.empty(0, dtype=np.int64)
    if not of_text.size or not places:
        return none, none
    low, high = of_text[0], of_text[-1] + 1
    starts, ends = offsets[low:high, 0], offsets[low:high, 1]
    begin, end = np.array(places, dtype=np.int64).T
    token = np.searchsorted(ends, begin, side="right")
    there = np.minimum(token, len(starts) - 1)
    # A word that began before the window is another window's.
    inside = (token < len(starts)) & (starts[there] < end) & (begin >= starts[0])
    return np.flatnonzero(inside), low + token[inside]


def inputs_cut(rows: Sequence[Row], tokenizer: Any, settings: Prepare) -> int:
    """No row loses anything: long texts become windows."""
    return 0
