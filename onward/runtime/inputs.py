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
    tokenizer: Any, texts: Sequence[dict[str, str]], batch: int, length: int
) -> list[list[Feature]]:
    """Batches [batch] of features of exactly `length` real tokens.

    A question is followed by its context and by the next ones, cut where the window ends.

    Raises:
        DataError: all texts together are shorter than `length`.
    """
    made = [
        _cut(tokenizer, text["question"], _from(texts, n, length), length)
        for n, text in enumerate(texts)
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


def _from(texts: Sequence[dict[str, str]], first: int, length: int) -> str:
    """Contexts from the first one on, until there are surely enough characters."""
    joined: list[str] = []
    for text in (*texts[first:], *texts[:first]):
        joined.append(text["context"])
        if sum(map(len, joined)) > ENOUGH * length:
            break
    return " ".join(joined)


def _cut(tokenizer: Any, question: str, context: str, length: int) -> Feature:
    """[CLS] question [SEP] context [SEP]; the question takes at most half of the window."""
    short = tokenizer.tokenize(question)[: max(1, length // 2 - 3)]
    encoded = tokenizer(
        tokenizer.convert_tokens_to_string(short),
        context,
        truncation="only_second",
        max_length=length,
    )
    return {name: list(encoded[name]) for name in INPUTS if name in encoded}
