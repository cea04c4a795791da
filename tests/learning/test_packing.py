"""Windows side by side in a line are learned as each by itself."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from onward import recipes
from onward.config import Finetune, Prepare
from onward.learning import encoder, packing, trainer
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


WORDS = {"vocab_size": 50, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "initializer_range": 0.3}


@pytest.mark.parametrize(
    ("name", "about", "kept"),
    [
        ("Llama", {"num_attention_heads": 2, "intermediate_size": 64}, True),
        ("OPT", {"num_attention_heads": 2, "ffn_dim": 64, "word_embed_proj_dim": 32}, False),
        ("Lfm2", {"num_attention_heads": 2, "num_key_value_heads": 2, "intermediate_size": 64,
                  "layer_types": ["conv", "full_attention"]}, False),
        ("Bloom", {"n_head": 2}, False),
    ],
)  # fmt: skip
def test_a_model_that_reads_on_across_windows_is_seen(
    name: str, about: dict[str, Any], kept: bool
) -> None:
    import torch
    import transformers as hf

    torch.manual_seed(0)
    config = getattr(hf, f"{name}Config")(**WORDS, **SIZES, **about)
    model = getattr(hf, f"{name}ForCausalLM")(config).train()
    assert packing.apart(model) is kept and model.training


def test_training_packs_only_what_is_kept_apart(
    monkeypatch: pytest.MonkeyPatch, toy_causal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = recipes.get("chat")
    model = recipe.build(toy_causal, {})
    collate = Collate(0, recipe.TARGETS, line=64)
    assert trainer._kept_apart(collate, model) == collate
    monkeypatch.setattr(packing, "apart", lambda _: False)
    assert trainer._kept_apart(collate, model).line == 0
    assert "model reads on across windows" in capsys.readouterr().out
