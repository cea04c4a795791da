"""Windows side by side in a line are learned as each by itself."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from onward import recipes
from onward.config import Finetune, Prepare
from onward.learning import encoder, packing
from onward.learning.features import Collate
from onward.learning.job import Job
from tests import toys


@pytest.fixture(scope="module")
def windows(toy_causal: Path) -> list[dict[str, Any]]:
    rows = toys.toy_talks(9, seed=3)
    recipe = recipes.get("chat")
    tokenizer = encoder.tokenizer(toy_causal)
    made = recipe.encode(rows, tokenizer, Prepare(max_length=96, stride=0), labels=[])
    return [{key: one[key] for key in ("row", "input_ids", "labels")} for one in made]


def test_lines_are_as_few_as_fit_and_hold_every_window_once() -> None:
    lengths = [30, 70, 40, 60, 100, 5]
    found = packing.lines(lengths, 100)
    assert sorted(number for line in found for number in line) == list(range(6))
    assert all(sum(lengths[n] for n in line) <= 100 for line in found) and len(found) == 4
    assert packing.lines([120, 10], 100) == [[0], [1]]


def test_a_packed_window_gives_its_own_logits_and_loss(
    windows: list[dict[str, Any]], toy_causal: Path
) -> None:
    import torch

    recipe = recipes.get("chat")
    model = recipe.build(toy_causal, {}).eval()
    packed = Collate(0, recipe.TARGETS, line=96)(windows)
    alone = Collate(0, recipe.TARGETS)(windows)
    assert packed["input_ids"].shape[0] < len(windows) == len(packed["rows"])
    with torch.no_grad():
        told = model(**{k: v for k, v in packed.items() if k != "rows"})
        apart = model(**{k: v for k, v in alone.items() if k != "rows"})
    assert told.loss == pytest.approx(float(apart.loss), abs=1e-5)
    shares = packing.lines([len(one["input_ids"]) for one in windows], 96)
    for line, share in enumerate(shares):
        start = 0
        for number in share:
            length = len(windows[number]["input_ids"])
            own = apart.logits[number, :length]
            torch.testing.assert_close(
                told.logits[line, start : start + length], own, atol=1e-4, rtol=1e-4
            )
            start += length


def test_a_window_attends_to_no_other_one_in_its_line(
    windows: list[dict[str, Any]], toy_causal: Path
) -> None:
    """Another first window in the line changes nothing of the second."""
    import torch

    recipe = recipes.get("chat")
    model = recipe.build(toy_causal, {}).eval()
    collate = Collate(0, recipe.TARGETS, line=200)
    first, *_, second = sorted(windows, key=lambda one: -len(one["input_ids"]))
    length = len(first["input_ids"])
    other = {**first, "input_ids": [7] * length}
    with torch.no_grad():
        told = [
            model(**{k: v for k, v in collate([one, second]).items() if k != "rows"}).logits[
                0, length:
            ]
            for one in (first, other)
        ]
    assert torch.equal(*told) and told[0].shape[0] == len(second["input_ids"])


@pytest.mark.parametrize(
    ("recipe", "values", "line"),
    [
        ("chat", {}, 64),
        ("chat", {"tuning": "lora"}, 64),
        ("chat", {"tuning": "dora"}, 0),
        ("chat", {"packing": False}, 0),
        ("classification", {}, 0),
    ],
)
def test_windows_are_packed_where_that_is_tried(
    recipe: str, values: dict[str, Any], line: int
) -> None:
    found = recipes.get(recipe)
    job: Any = SimpleNamespace(
        recipe=found,
        settings=Finetune(**values),
        collate=lambda: Collate(0, found.TARGETS),
        prepared=SimpleNamespace(manifest={"window": {"max_length": 64, "stride": 16}}),
    )
    assert Job.packing(job).line == line
