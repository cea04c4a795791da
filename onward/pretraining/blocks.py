"""Texts as blocks of tokens, and what a model is to tell of them.

Texts follow one another, with an end mark after each, and are cut into blocks of equal length, as
RoBERTa does (Liu et al. 2019, "full sentences"). The names of special tokens in a text are broken,
as those in a row are (onward/recipes/special_tokens.py). A causal model tells the next token of
each. A masked one tells a part of them, which are replaced: 80 of 100 by the mask, 10 by any token,
10 by themselves (Devlin et al. 2019). Which ones is drawn anew for every pass, from the seed, the
pass and the block's number alone: a training that was killed goes on with the same masks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from onward.learning.features import Features
from onward.recipes import special_tokens
from onward.recipes.shapes import NOTHING, Feature, Target

MASKED, CAUSAL = "masked", "causal"
TARGETS = {"labels": Target("labels", "tokens")}
SHORTEST = 8
"""Tokens that the last block must have; a shorter rest is left out."""

_AS_MASK, _AS_ANY = 0.8, 0.9
_PART = 256
"""Texts that are made tokens together."""


def encode(
    texts: Iterable[str], tokenizer: Any, objective: str, length: int
) -> Iterator[list[Feature]]:
    """Blocks of at most `length` tokens, in parts: row (the block's number) and input_ids.

    A masked model gets no block of which the tokenizer reads nothing: there is no word to tell.
    """
    first, last = _marks(tokenizer, objective)
    marks = set(tokenizer.all_special_ids) if objective == MASKED else set()
    number, part = 0, []
    for held in _cut(texts, tokenizer, objective, length - len(first) - len(last)):
        if marks.issuperset(held):
            continue
        part.append({"row": number, "input_ids": [*first, *held, *last]})
        number += 1
        if len(part) >= _PART:
            yield part
            part = []
    if part:
        yield part


def _cut(texts: Iterable[str], tokenizer: Any, objective: str, room: int) -> Iterator[list[int]]:
    """What stands in each block, `room` tokens; the last may have less, down to SHORTEST."""
    held: list[int] = []
    for tokens in _tokens(texts, tokenizer):
        held += [*tokens, *_end(tokenizer, objective)]
        while len(held) >= room:
            yield held[:room]
            held = held[room:]
    if len(held) >= SHORTEST:
        yield held


def _tokens(texts: Iterable[str], tokenizer: Any) -> Iterator[list[int]]:
    names = special_tokens.named(tokenizer).values()
    waiting: list[str] = []
    for text in texts:
        waiting.append(special_tokens.broken(text, names))
        if len(waiting) == _PART:
            yield from tokenizer(waiting, add_special_tokens=False)["input_ids"]
            waiting = []
    if waiting:
        yield from tokenizer(waiting, add_special_tokens=False)["input_ids"]


def _marks(tokenizer: Any, objective: str) -> tuple[list[int], list[int]]:
    """What a block begins and ends with, as the model's own texts do."""
    if objective == CAUSAL:
        return [], []
    named = (tokenizer.cls_token_id, tokenizer.sep_token_id)
    return tuple([] if mark is None else [mark] for mark in named)  # type: ignore[return-value]


def _end(tokenizer: Any, objective: str) -> list[int]:
    """What stands after a text."""
    mark = tokenizer.eos_token_id if objective == CAUSAL else tokenizer.sep_token_id
    return [] if mark is None else [mark]


class Told(Features):
    """Blocks with what is to be told of each, so many times over: a pass has masks of its own.

    The trainer shuffles all passes together as one epoch, so a block may come again before another
    comes at all, and a part of an epoch holds blocks from every pass.
    """

    def __init__(
        self,
        blocks: Features,
        tokenizer: Any,
        objective: str,
        *,
        passes: int = 1,
        share: float = 0.15,
        seed: int = 0,
    ) -> None:
        """Take blocks of `encode`; `share` of a block's tokens is masked, at least one."""
        super().__init__({}, blocks.lists)
        self.blocks, self.objective, self.passes = blocks, objective, passes
        self.lengths = np.tile(blocks.lengths, passes)
        self.share, self.seed = share, seed
        self.mask, self.vocabulary = tokenizer.mask_token_id, len(tokenizer)
        self.marks = np.array(sorted(set(tokenizer.all_special_ids)), dtype=np.int64)

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> dict[str, Any]:
        turn, at = divmod(index, len(self.blocks))
        block = self.blocks[at]
        tokens = np.asarray(block["input_ids"], dtype=np.int64)
        if self.objective == CAUSAL:
            return {"row": at, "input_ids": tokens, "labels": tokens}
        given, labels = self._masked(tokens, np.random.default_rng([self.seed, turn, at]))
        return {"row": at, "input_ids": given, "labels": labels}

    def _masked(self, tokens: Any, draw: np.random.Generator) -> tuple[Any, Any]:
        """The tokens that the model is given, and those that it is to tell: never a mark."""
        lots = draw.random(len(tokens))
        lots[np.isin(tokens, self.marks)] = 2.0
        chosen = (lots < self.share) | (lots == min(lots.min(), 1.0))
        how, others = draw.random(len(tokens)), draw.integers(0, self.vocabulary, len(tokens))
        given = np.where(chosen & (how < _AS_MASK), self.mask, tokens)
        given = np.where(chosen & (how >= _AS_MASK) & (how < _AS_ANY), others, given)
        return given, np.where(chosen, tokens, NOTHING)
