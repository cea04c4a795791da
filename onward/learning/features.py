"""Encoded windows on disk and in memory: parquet, then flat arrays, then padded batches.

A window is a dict of numbers and lists of integers, as a recipe's `encode` makes it. Offsets and
masks are left out: training needs no offsets, and a mask follows from the length.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from onward.config import Prepare
from onward.episodes import rows as parquet
from onward.learning import packing
from onward.recipes.shapes import INPUTS, NOTHING, Feature, Row, Target

ROWS_AT_ONCE = 256
"""Rows encoded together; memory holds the windows of so many."""

_TOKENS = tuple(name for name in INPUTS if name != "attention_mask")
_LEFT_OUT = {"attention_mask", "offsets"}

READ = (*INPUTS, "groups")
"""The keys of a batch that a model with a head reads to give its outputs."""


def encode(
    rows: Iterable[Row],
    recipe: Any,
    tokenizer: Any,
    settings: Prepare,
    labels: Sequence[str] = (),
) -> Iterator[list[Feature]]:
    """Training windows, a list for each ROWS_AT_ONCE rows; `row` counts from the first row.

    `labels` are those of the model, in the order of its outputs; none where the recipe has none.
    """
    part: list[Row] = []
    first = 0
    for row in rows:
        part.append(row)
        if len(part) == ROWS_AT_ONCE:
            yield _encoded(part, first, recipe, tokenizer, settings, labels)
            first, part = first + len(part), []
    if part:
        yield _encoded(part, first, recipe, tokenizer, settings, labels)


def _encoded(
    rows: Sequence[Row],
    first: int,
    recipe: Any,
    tokenizer: Any,
    settings: Prepare,
    labels: Sequence[str],
) -> list[Feature]:
    windows = recipe.encode(rows, tokenizer, settings, labels=labels)
    return [
        {key: value for key, value in window.items() if key not in _LEFT_OUT}
        | {"row": first + window["row"]}
        for window in windows
    ]


def schema(window: Feature) -> pa.Schema:
    """The columns that windows of this form take, sorted by name: integers, floats, lists."""
    return pa.schema([pa.field(key, _kind(window[key]), nullable=False) for key in sorted(window)])


def _kind(value: Any) -> pa.DataType:
    if isinstance(value, float):
        return pa.float64()
    return pa.int32() if isinstance(value, int | np.integer) else pa.list_(pa.int32())


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

    def __init__(self, single: dict[str, NDArray[Any]], lists: Mapping[str, Any]) -> None:
        """Take numbers, [N] a key, and lists as (all values, where each window's end)."""
        self.single, self.lists = single, dict(lists)
        ends = self.lists["input_ids"][1]
        self.lengths: NDArray[np.int64] = np.diff(ends)
        """Tokens of each window, [N]."""

    @staticmethod
    def load(path: Path) -> Features:
        """The windows of a parquet file. Raises as `onward.episodes.rows.read` does."""
        return Features.of(pa.Table.from_batches(list(parquet.batches(path))))

    @staticmethod
    def of(table: pa.Table) -> Features:
        """The windows of a table with the columns of `schema`."""
        single, lists = {}, {}
        for name in table.column_names:
            column = table[name].combine_chunks()
            if pa.types.is_list(column.type):
                ends = column.offsets.to_numpy().astype(np.int64)
                lists[name] = (column.values.to_numpy()[ends[0] :], ends - ends[0])
            else:
                single[name] = column.to_numpy()
        return Features(single, lists)

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> dict[str, Any]:
        window: dict[str, Any] = {key: values[index].item() for key, values in self.single.items()}
        for key, (values, ends) in self.lists.items():
            window[key] = values[ends[index] : ends[index + 1]]
        return window


@dataclass(frozen=True)
class Collate:
    """Makes a batch of windows: right-padded to the longest, its targets as the model takes them.

    A window of several sequences (`ends` says where each one's part ends) becomes so many lines of
    the batch, and `groups`, int64 [B], says how many.

    Args:
        pad: the id of the padding token.
        targets: the recipe's TARGETS.
        classes: the number of the model's labels, for targets of the kind "classes".
        line: tokens of a line in which several windows lie, of the kind "tokens" alone; 0: a line
            for each window. See onward/learning/packing.py.
    """

    pad: int
    targets: Mapping[str, Target]
    classes: int = 0
    line: int = 0

    def __call__(self, windows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Tensors: tokens and attention_mask, int64 [B, T]; each target under its argument.

        Every other number of a window goes under its own name, int64 or float32 [B]; `row` is
        called rows.
        """
        import torch

        if self.line:
            found = packing.batch(windows, self.pad, self.line)
            for key in windows[0].keys() - {"input_ids", *self.targets}:
                values = torch.tensor([window[key] for window in windows])
                found["rows" if key == "row" else key] = values
            return found
        lists, groups = _apart(windows)
        lengths = np.array([len(tokens) for tokens in lists["input_ids"]])
        within = np.arange(lengths.max())[None, :] < lengths[:, None]
        batch: dict[str, Any] = {"attention_mask": torch.from_numpy(within.astype(np.int64))}
        batch |= {} if groups is None else {"groups": torch.tensor(groups)}
        for key, values in lists.items():
            if key in _TOKENS:
                fill = self.pad if key == "input_ids" else 0
                padded = np.full(within.shape, fill, dtype=np.int64)
                padded[within] = np.concatenate(values)
                batch[key] = torch.from_numpy(padded)
            elif key in self.targets and self.targets[key].kind in ("tags", "tokens"):
                batch[self.targets[key].argument] = torch.from_numpy(_of_tokens(values))
            elif key in self.targets:
                batch[self.targets[key].argument] = self._target(self.targets[key].kind, values)
            else:
                whole = isinstance(values[0], int)
                kind = torch.int64 if whole else torch.float32
                batch["rows" if key == "row" else key] = torch.tensor(values, dtype=kind)
        return batch

    def _target(self, kind: str, values: Sequence[Any]) -> Any:
        import torch

        if kind == "number":
            return torch.tensor(values, dtype=torch.float32)
        if kind != "classes":
            return torch.tensor(values, dtype=torch.int64)
        hot = torch.zeros(len(values), self.classes)
        for at, indices in enumerate(values):
            hot[at, torch.tensor(indices, dtype=torch.int64)] = 1.0
        return hot


def _of_tokens(values: Sequence[Any]) -> NDArray[np.int64]:
    """Targets of tokens as one array [B, longest], padded on the right."""
    lengths = np.array([len(targets) for targets in values])
    padded = np.full((len(values), lengths.max()), NOTHING, dtype=np.int64)
    padded[np.arange(lengths.max())[None, :] < lengths[:, None]] = np.concatenate(values)
    return padded


def _apart(windows: Sequence[Mapping[str, Any]]) -> tuple[dict[str, list[Any]], list[int] | None]:
    """Each key's values, tokens sequence by sequence, and how many sequences each window has."""
    lists = {key: [window[key] for window in windows] for key in windows[0]}
    if "ends" not in lists:
        return lists, None
    ends = lists.pop("ends")
    for key in (key for key in _TOKENS if key in lists):
        whole = zip(lists[key], ends, strict=True)
        lists[key] = [part for tokens, at in whole for part in np.split(tokens, at[:-1])]
    return lists, [len(at) for at in ends]
