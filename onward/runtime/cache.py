"""Prompts, masks, places and the key-value cache of a model in the middle of answering.

Whatever runs the graphs, torch or ONNX Runtime, is asked through `Graphs`; arrays of the cache stay
with it (on its device), and only the logits come back. See onward/recipes/generative.py for the
graphs themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from onward.recipes.generative import Plan
from onward.recipes.shapes import Feature

Arrays = dict[str, Any]


class Graphs(Protocol):
    """Runs the graphs of one model; arrays stay wherever and whatever they are to it."""

    def run(self, name: str, feeds: Mapping[str, Any]) -> Arrays:
        """One graph's outputs by their names; a feed is a numpy array or an earlier output."""

    def rows(self, array: Any, which: Sequence[int]) -> Any:
        """Some rows of an output."""

    def host(self, array: Any) -> NDArray[Any]:
        """An output as a numpy array."""


class Steps:
    """A model in the middle of answering a batch: the bookkeeping of masks, places and cache."""

    def __init__(self, graphs: Graphs, plan: Plan, max_new_tokens: int) -> None:
        self.graphs, self.plan, self.longest = graphs, plan, max_new_tokens
        self.cache: Arrays = {}
        self.cross: Arrays = {}
        self.mask: NDArray[np.int64] = np.zeros((0, 0), dtype=np.int64)

    def start(self, batch: Sequence[Feature]) -> NDArray[np.float32]:
        """Read the prompts; the logits [B, V] of the first token of each.

        Raises:
            SettingsError: a prompt and its answer are longer than the model has places for.
        """
        lengths = [len(feature["input_ids"]) for feature in batch]
        longest = max(lengths)
        self.plan.require(longest, self.longest)
        shape = (len(batch), self.plan.heads, 0, self.plan.width)
        empty = np.zeros(shape, dtype=np.float32)
        self.cache = dict.fromkeys(self.plan.cache("past"), empty)
        ids = np.full((len(batch), longest), self.plan.pad, dtype=np.int64)
        self.mask = np.zeros_like(ids)
        for row, feature in enumerate(batch):
            # Prompts stand at the right, beside what is generated; sources at the left.
            at = (
                slice(0, lengths[row]) if self.plan.encoder else slice(longest - lengths[row], None)
            )
            ids[row, at], self.mask[row, at] = feature["input_ids"], 1
        if not self.plan.encoder:
            return self._causal(ids)
        self.cross = self.graphs.run("encoder", {"input_ids": ids, "attention_mask": self.mask})
        for token in self.plan.start[:-1]:
            self._decoder(np.full(len(batch), token))
        return self._decoder(np.full(len(batch), self.plan.start[-1]))

    def step(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        """Append a token [B] to each row; the logits [B, V] of the next one."""
        if self.plan.encoder:
            return self._decoder(tokens)
        self.mask = np.concatenate([self.mask, np.ones((len(tokens), 1), dtype=np.int64)], axis=1)
        return self._causal(tokens[:, None])

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows of the batch alone."""
        self.mask = self.mask[list(rows)]
        for arrays in (self.cache, self.cross):
            for name, array in arrays.items():
                arrays[name] = self.graphs.rows(array, rows)

    def _causal(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        places = np.maximum(self.mask.cumsum(axis=1) - 1, 0)[:, -ids.shape[1] :]
        feeds = {"input_ids": ids, "attention_mask": self.mask, "position_ids": places}
        return self._run("model", feeds)

    def _decoder(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        ids = tokens.astype(np.int64)[:, None]
        return self._run("decoder", {"input_ids": ids, "attention_mask": self.mask, **self.cross})

    def _run(self, name: str, feeds: Arrays) -> NDArray[np.float32]:
        made = self.graphs.run(name, {**feeds, **self.cache})
        logits: NDArray[np.float32] = self.graphs.host(made.pop("logits"))
        self.cache = {f"past_{name}": array for name, array in made.items()}
        return logits
