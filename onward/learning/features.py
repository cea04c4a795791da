"""Encoded windows on disk and in memory: parquet, then flat arrays, then padded batches.

A window is a dict of integers and lists of integers, as a recipe's `encode` makes it. Offsets and
masks are left out: training needs no offsets, and a mask follows from the length.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from onward.config import Prepare
from onward.episodes import rows as parquet
from onward.recipes.shapes import INPUTS, Feature, Row

ROWS_AT_ONCE = 256
"""Rows encoded together; memory holds the windows of so many."""

_TOKENS = tuple(name for name in INPUTS if name != "attention_mask")
_LEFT_OUT = {"attention_mask", "offsets", "question_cut"}
_ARGUMENTS = {"start_position": "start_positions", "end_position": "end_positions"}
"""A feature's key -> the argument of the model, where they differ."""


def encode(
    rows: Iterable[Row], recipe: Any, tokenizer: Any, settings: Prepare
) -> Iterator[list[Feature]]:
    """Training windows, a list for each ROWS_AT_ONCE rows; `row` counts from the first row."""
    part: list[Row] = []
    first = 0
    for row in rows:
        part.append(row)
        if len(part) == ROWS_AT_ONCE:
            yield _encoded(part, first, recipe, tokenizer, settings)
            first, part = first + len(part), []
    if part:
        yield _encoded(part, first, recipe, tokenizer, settings)


def _encoded(
    rows: Sequence[Row], first: int, recipe: Any, tokenizer: Any, settings: Prepare
) -> list[Feature]:
    windows = recipe.encode(rows, tokenizer, settings, labels=True)
    return [
        {key: value for key, value in window.items() if key not in _LEFT_OUT}
        | {"row": first + window["row"]}
        for window in windows
    ]


def schema(window: Feature) -> pa.Schema:
    """The columns that windows of this form take, sorted by name."""
    kinds = {True: pa.list_(pa.int32()), False: pa.int32()}
    return pa.schema(
        [pa.field(key, kinds[key in _TOKENS], nullable=False) for key in sorted(window)]
    )


def write(path: Path, parts: Iterator[list[Feature]]) -> dict[str, int]:
    """Write windows as they come; no file where there are none. Returns windows and longest."""
    found = {"windows": 0, "longest": 0}
    first = next(parts, None)
    if first is None:
        return found
    with parquet.Writer(path, schema(first[0])) as out:
        for part in chain([first], parts):
            for window in part:
                out.write(window)
                found["windows"] += 1
                found["longest"] = max(found["longest"], len(window["input_ids"]))
    return found


class Features:
    """Windows as flat arrays: 4 bytes a token. A torch dataset without being one."""

    def __init__(self, single: dict[str, NDArray[np.int32]], tokens: Mapping[str, Any]) -> None:
        self.single, self.tokens = single, dict(tokens)
        ends = self.tokens["input_ids"][1]
        self.lengths: NDArray[np.int64] = np.diff(ends)
        """Tokens of each window, [N]."""

    @staticmethod
    def load(path: Path) -> Features:
        """The windows of a parquet file. Raises as `onward.episodes.rows.read` does."""
        return Features.of(pa.Table.from_batches(list(parquet.batches(path))))

    @staticmethod
    def of(table: pa.Table) -> Features:
        """The windows of a table with the columns of `schema`."""
        single, tokens = {}, {}
        for name in table.column_names:
            column = table[name].combine_chunks()
            if pa.types.is_list(column.type):
                ends = column.offsets.to_numpy().astype(np.int64)
                tokens[name] = (column.values.to_numpy()[ends[0] :], ends - ends[0])
            else:
                single[name] = column.to_numpy()
        return Features(single, tokens)

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> dict[str, Any]:
        window: dict[str, Any] = {key: int(values[index]) for key, values in self.single.items()}
        for key, (values, ends) in self.tokens.items():
            window[key] = values[ends[index] : ends[index + 1]]
        return window


def collate(windows: Sequence[Mapping[str, Any]], pad: int) -> dict[str, Any]:
    """One batch, right-padded to its longest window.

    Args:
        windows: B items of Features.
        pad: the id of the padding token.

    Returns:
        Tensors of int64: tokens and attention_mask [B, T], the rest [B], `rows` among them.
    """
    import torch

    lengths = [len(window["input_ids"]) for window in windows]
    shape = (len(windows), max(lengths))
    batch: dict[str, Any] = {}
    for key in windows[0]:
        if key in _TOKENS:
            values = np.full(shape, pad if key == "input_ids" else 0, dtype=np.int64)
            for at, window in enumerate(windows):
                values[at, : lengths[at]] = window[key]
            batch[key] = torch.from_numpy(values)
        else:
            name = "rows" if key == "row" else _ARGUMENTS.get(key, key)
            batch[name] = torch.tensor([window[key] for window in windows], dtype=torch.int64)
    mask = np.arange(shape[1])[None, :] < np.array(lengths)[:, None]
    batch["attention_mask"] = torch.from_numpy(mask.astype(np.int64))
    return batch
