"""Windows on disk and as batches: whole numbers, fractions, lists, and targets of every kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from onward.learning import features
from onward.learning.features import Collate, Features
from onward.recipes import classification, extractive, multilabel, regression

WINDOWS: list[dict[str, Any]] = [
    {"row": 0, "input_ids": [5, 6], "labels": [], "value": 0.1, "label": 2, "recalled": 1},
    {"row": 1, "input_ids": [7, 8, 9], "labels": [0, 3], "value": -2.5, "label": 0, "recalled": 0},
]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "features.parquet"
    counted = features.write(path, iter([WINDOWS[:1], WINDOWS[1:]]))
    assert counted == {"windows": 2, "longest": 3}
    found = Features.load(path)
    assert len(found) == 2 and found.lengths.tolist() == [2, 3]
    plain = [
        {
            key: value if isinstance(value, int | float) else list(value)
            for key, value in one.items()
        }
        for one in (found[0], found[1])
    ]
    assert plain == WINDOWS
    assert isinstance(found[0]["row"], int) and isinstance(found[0]["value"], float)


def test_columns_are_those_of_the_window() -> None:
    found = features.schema(WINDOWS[0])
    assert found.names == sorted(WINDOWS[0])
    assert found.field("value").type == pa.float64() and found.field("label").type == pa.int32()
    assert found.field("labels").type == pa.list_(pa.int32())


def _batch(recipe: Any, keys: str, classes: int = 0) -> dict[str, Any]:
    kept = [{key: one[key] for key in ("row", "input_ids", *keys.split())} for one in WINDOWS]
    return Collate(9, recipe.TARGETS, classes)(kept)


def test_a_batch_is_padded_on_the_right() -> None:
    made = _batch(extractive, "recalled")
    assert set(made) == {"rows", "input_ids", "attention_mask", "recalled"}
    assert made["input_ids"].tolist() == [[5, 6, 9], [7, 8, 9]]
    assert made["attention_mask"].tolist() == [[1, 1, 0], [1, 1, 1]]
    assert made["rows"].tolist() == [0, 1] and made["recalled"].tolist() == [1, 0]


def test_targets_go_to_the_models_arguments() -> None:
    import torch

    one = _batch(classification, "label")["labels"]
    assert one.dtype == torch.int64 and one.tolist() == [2, 0]
    several = _batch(multilabel, "labels", 4)["labels"]
    assert several.dtype == torch.float32
    assert several.tolist() == [[0, 0, 0, 0], [1, 0, 0, 1]]
    number = _batch(regression, "value")["labels"]
    assert number.dtype == torch.float32 and number.tolist() == [0.10000000149011612, -2.5]
    places = [{**one, "start_position": 1, "end_position": 2, "labels": 0} for one in WINDOWS]
    kept = [{k: one[k] for k in ("row", "input_ids", "start_position")} for one in places]
    assert Collate(0, extractive.TARGETS)(kept)["start_positions"].tolist() == [1, 1]
