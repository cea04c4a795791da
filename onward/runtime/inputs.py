"""What the benchmark times: real text, tokenised and cut to a length, never zeros or padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from onward.errors import DataError
from onward.recipes.shapes import INPUTS, Feature

TURNS = 4
"""Batches of other texts that rounds turn through."""

ENOUGH = 30
"""Characters for each token wanted: no tokenizer of words makes so few tokens."""


def batches(
    tokenizer: Any, texts: Sequence[Sequence[str]], batch: int, length: int
) -> list[list[Feature]]:
    """Batches [batch] of features of exactly `length` real tokens.

    A text is followed by the next ones, cut where the window ends; of two texts, such as question
    and context, the first stays alone.

    Args:
        tokenizer: the runner's own.
        texts: of each held-out row its one or two texts.
        batch, length: the shape.

    Raises:
        DataError: all texts together are shorter than `length`.
    """
    made = [
        _cut(tokenizer, text[:-1], _from(texts, n, length), length) for n, text in enumerate(texts)
    ]
    short = min((len(feature["input_ids"]) for feature in made), default=0)
    if short < length:
        raise DataError(
            f"The held-out texts hold {short} tokens together; the benchmark needs {length}",
            where="turn/export/texts.json",
            fix="lower the lengths in benchmark.shapes",
        )
    return [
        [made[(turn * batch + row) % len(made)] for row in range(batch)] for turn in range(TURNS)
    ]


def _from(texts: Sequence[Sequence[str]], first: int, length: int) -> str:
    """Last texts of rows from the first one on, until there are surely enough characters."""
    joined: list[str] = []
    for text in (*texts[first:], *texts[:first]):
        joined.append(text[-1])
        if sum(map(len, joined)) > ENOUGH * length:
            break
    return " ".join(joined)


def _cut(tokenizer: Any, before: Sequence[str], text: str, length: int) -> Feature:
    """[CLS] text [SEP], or [CLS] before [SEP] text [SEP] with at most half of it for the first."""
    if before:
        short = tokenizer.tokenize(before[0])[: max(1, length // 2 - 3)]
        first = tokenizer.convert_tokens_to_string(short)
        encoded = tokenizer(first, text, truncation="only_second", max_length=length)
    else:
        encoded = tokenizer(text, truncation=True, max_length=length)
    return {name: list(encoded[name]) for name in INPUTS if name in encoded}
