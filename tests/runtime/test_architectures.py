"""Models of other architectures write what transformers' `generate` writes, in torch and ONNX."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from onward.errors import SettingsError
from onward.recipes import generative
from onward.runtime.cache import Steps
from onward.runtime.generation import Rules, generate

NEW = 10
WORDS: dict[str, Any] = {
    "vocab_size": 50,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
BLOCKS: dict[str, Any] = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": 64,
    "forced_eos_token_id": None,
    "init_std": 0.3,
}
NAMES = ("bart", "gpt2", "llama", "marian", "t5")


def _model(name: str) -> Any:
    import torch
    import transformers as hf

    torch.manual_seed(0)
    if name == "bart":
        config = hf.BartConfig(**WORDS, **BLOCKS, decoder_start_token_id=2)
        return hf.BartForConditionalGeneration(config).eval()
    if name == "marian":
        both = {"decoder_start_token_id": 0, "decoder_vocab_size": 50}
        return hf.MarianMTModel(hf.MarianConfig(**WORDS, **BLOCKS, **both)).eval()
    if name == "t5":
        config = hf.T5Config(
            **{**WORDS, "eos_token_id": 1},
            d_model=32,
            d_kv=8,
            num_layers=2,
            num_heads=2,
            d_ff=64,
            decoder_start_token_id=0,
        )
        return hf.T5ForConditionalGeneration(config).eval()
    if name == "llama":
        config = hf.LlamaConfig(
            **WORDS,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            intermediate_size=64,
            max_position_embeddings=64,
            initializer_range=0.3,
        )
        return hf.LlamaForCausalLM(config).eval()
    config = hf.GPT2Config(
        **WORDS, n_embd=32, n_layer=2, n_head=2, n_positions=64, initializer_range=0.3
    )
    return hf.GPT2LMHeadModel(config).eval()


def _batch() -> list[dict[str, Any]]:
    """Prompts of unequal lengths."""
    chance = np.random.default_rng(0)
    return [{"input_ids": chance.integers(3, 50, length).tolist()} for length in (5, 1, 9)]


def _written(graphs: Any, plan: generative.Plan) -> list[list[int]]:
    rules = Rules(NEW, frozenset(plan.end), text=lambda tokens: "")
    found = generate(Steps(graphs, plan, NEW), _batch(), rules)
    return [one["tokens"].tolist() for one in found]


def _theirs(model: Any) -> Iterator[list[int]]:
    import torch

    for feature in _batch():
        ids = torch.tensor([feature["input_ids"]])
        about = {"attention_mask": torch.ones_like(ids), "max_new_tokens": NEW}
        with torch.no_grad():
            (made,) = model.generate(ids, **about, do_sample=False, num_beams=1)
        before = 1 if model.config.is_encoder_decoder else ids.shape[1]
        yield made[before:].tolist()


@pytest.mark.parametrize("name", NAMES)
def test_torch_writes_what_the_librarys_own_loop_writes(name: str) -> None:
    from onward.evaluation.torch_graphs import TorchGraphs

    model = _model(name)
    plan = generative.plan(model)
    assert _written(TorchGraphs(model, "cpu"), plan) == list(_theirs(model))
    assert generative.Plan.from_json(plan.to_json()) == plan


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_graphs_write_what_torch_writes(name: str) -> None:
    import onnxruntime

    from onward.evaluation.torch_graphs import TorchGraphs
    from onward.runtime import graph
    from onward.runtime.onnx_graphs import OnnxGraphs

    model = _model(name)
    plan = generative.plan(model)
    specs = generative.graphs(model)
    made = {spec.name: graph.export(model, spec, opset=20) for spec in specs}
    sessions = {
        each: onnxruntime.InferenceSession(one.model, providers=["CPUExecutionProvider"])
        for each, one in made.items()
    }
    ours, theirs = OnnxGraphs(sessions), TorchGraphs(model, "cpu")
    assert _written(ours, plan) == _written(theirs, plan)
    gap = Steps(ours, plan, NEW).start(_batch()) - Steps(theirs, plan, NEW).start(_batch())
    assert np.abs(gap).max() < 1e-4
    if plan.encoder:
        assert made["encoder"].attention_fused == 2


def test_a_model_of_relative_places_has_one_for_every_token() -> None:
    """T5's config.json names positions that it never looks at."""
    from onward.evaluation.torch_graphs import TorchGraphs

    model = _model("t5")
    model.config.n_positions = 4
    plan = generative.plan(model)
    assert _written(TorchGraphs(model, "cpu"), plan) == list(_theirs(model))


def test_an_answer_that_the_decoder_has_no_place_for_is_refused() -> None:
    """A token that every answer begins with takes a place of its own."""
    from onward.errors import SettingsError
    from onward.evaluation.torch_graphs import TorchGraphs

    model = _model("bart")
    model.generation_config.forced_bos_token_id = 1
    plan = generative.plan(model)
    most = model.config.max_position_embeddings - 1
    rules = Rules(most, frozenset(), text=lambda tokens: "")
    found = generate(Steps(TorchGraphs(model, "cpu"), plan, most), _batch(), rules)
    assert [len(one["tokens"]) for one in found] == [most] * 3
    with pytest.raises(SettingsError, match="an answer of 64 do not fit"):
        Steps(TorchGraphs(model, "cpu"), plan, most + 1).start(_batch())


def test_a_model_that_names_no_end_is_refused() -> None:
    from onward.errors import SettingsError

    model = _model("llama")
    model.config.eos_token_id = model.generation_config.eos_token_id = None
    with pytest.raises(SettingsError, match="names no token that ends an answer"):
        generative.plan(model)


@pytest.mark.parametrize("name", NAMES)
def test_what_answers_token_by_token_is_let_in(name: str) -> None:
    generative.require(_model(name), name)


@pytest.mark.parametrize(
    ("name", "about"),
    [
        ("Bloom", {"hidden_size": 32, "n_head": 2, "n_layer": 2}),
        ("Mamba", {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4}),
    ],
)
def test_what_keeps_something_else_between_tokens_is_refused(
    name: str, about: dict[str, Any]
) -> None:
    import transformers as hf

    model = getattr(hf, f"{name}ForCausalLM")(getattr(hf, f"{name}Config")(**WORDS, **about))
    with pytest.raises(SettingsError, match="cannot be asked token by token"):
        generative.require(model.eval(), name)


def test_what_answers_otherwise_beside_a_longer_prompt_is_refused() -> None:
    """A BART's decoder alone counts its places itself, and padding among them."""
    import torch
    import transformers as hf

    torch.manual_seed(0)
    config = hf.BartConfig(**WORDS, **BLOCKS, is_decoder=True, is_encoder_decoder=False)
    with pytest.raises(SettingsError, match="its logits differ by"):
        generative.require(hf.BartForCausalLM(config).eval(), "bart")


def test_what_says_other_things_token_by_token_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = _model("gpt2")
    whole = generative._go_on

    def forgetful(model: Any, *told: Any) -> tuple[Any, ...]:
        logits, *kept = whole(model, *told)
        return (logits, *(one * 0 for one in kept))

    monkeypatch.setattr(generative, "_go_on", forgetful)
    with pytest.raises(SettingsError, match="its logits differ by"):
        generative.require(model, "gpt2")


WINDOWED: dict[str, dict[str, Any]] = {
    "Mistral": {},
    "Cohere2": {"layer_types": ["full_attention", "sliding_attention"]},
    "Qwen2": {"use_sliding_window": True, "max_window_layers": 1},
}
"""Models whose layers, or some of them, look at the last tokens alone."""


def _windowed(name: str, **about: Any) -> Any:
    import torch
    import transformers as hf

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2}
    depth = {"num_hidden_layers": 2, "intermediate_size": 64, "initializer_range": 0.3}
    config = getattr(hf, f"{name}Config")(**WORDS, **sizes, **depth, **about)
    return getattr(hf, f"{name}ForCausalLM")(config).eval()


@pytest.mark.parametrize("name", WINDOWED)
def test_a_text_longer_than_the_window_of_attention_is_refused(name: str) -> None:
    from onward.evaluation.torch_graphs import TorchGraphs

    longest = max(len(one["input_ids"]) for one in _batch())
    model = _windowed(name, **WINDOWED[name], sliding_window=longest + NEW)
    generative.require(model, name)
    plan = generative.plan(model)
    assert _written(TorchGraphs(model, "cpu"), plan) == list(_theirs(model))
    narrow = generative.plan(_windowed(name, **WINDOWED[name], sliding_window=longest + NEW - 1))
    with pytest.raises(SettingsError, match="places for 18, or sees as many at once") as error:
        narrow.require(longest, NEW)
    assert error.value.where == "params.yaml, prepare.max_length and evaluate.max_new_tokens"


def test_a_window_that_is_not_used_refuses_nothing() -> None:
    for about in ({"use_sliding_window": False}, {"layer_types": ["full_attention"] * 2}):
        model = _windowed("Qwen2", **about, sliding_window=4, max_position_embeddings=64)
        assert generative.plan(model).positions == 64
    unset = _windowed("Mistral", sliding_window=None, max_position_embeddings=64)
    assert generative.plan(unset).positions == 64
