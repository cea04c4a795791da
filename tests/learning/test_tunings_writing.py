"""Tunings of models that write: encoder-decoders, whose base may be all of the model."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch

from onward.config import Finetune
from onward.errors import SettingsError
from onward.learning import tunings
from tests.runtime.test_architectures import BLOCKS, WORDS, _model

T5 = {
    **WORDS,
    "eos_token_id": 1,
    "d_model": 32,
    "d_kv": 8,
    "num_layers": 2,
    "num_heads": 2,
    "d_ff": 64,
    "decoder_start_token_id": 0,
}
MARIAN = {**WORDS, **BLOCKS, "decoder_start_token_id": 0, "decoder_vocab_size": 50}


def made(name: str, form: str = "", **more: Any) -> Any:
    import transformers as hf

    torch.manual_seed(0)
    form = form or {"Marian": "MTModel"}.get(name, "ForConditionalGeneration")
    sizes = {"Marian": MARIAN, "Bart": {**WORDS, **BLOCKS}}.get(name, T5)
    return getattr(hf, name + form)(getattr(hf, f"{name}Config")(**{**sizes, **more})).eval()


def tuned(tuning: str, **more: Any) -> Finetune:
    return Finetune.model_validate({"tuning": tuning, "lora_rank": 2, **more})


def told(model: Any) -> Any:
    tokens = torch.arange(3, 15)[None]
    with torch.no_grad():
        return model(input_ids=tokens, decoder_input_ids=tokens[:, :5]).logits


def step(model: Any) -> None:
    """One step of training."""
    moving = [weight for weight in model.parameters() if weight.requires_grad]
    tokens = torch.arange(3, 15)[None]
    model(input_ids=tokens, labels=tokens[:, :5]).loss.backward()
    torch.optim.Adam(moving, lr=0.1).step()


def moves(model: Any) -> set[str]:
    return {tunings._plain(name) for name, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("tuning", ["lora", "dora", "ia3"])
@pytest.mark.parametrize("name", ["T5", "MT5", "UMT5"])
def test_a_model_without_a_part_for_its_base_learns_and_is_merged(name: str, tuning: str) -> None:
    model = made(name)
    before = told(model)
    model = tunings.apply(model, tuned(tuning)).eval()
    assert all(re.search(r"\.(lora|ia3)_", one) for one in moves(model))
    step(model)
    learned = told(model)
    assert not torch.allclose(learned, before, atol=1e-3)
    merged = tunings.plain(model)
    assert torch.allclose(told(merged), learned, atol=1e-4)
    assert merged.state_dict().keys() == made(name).state_dict().keys()


def test_a_head_beside_its_halves_moves() -> None:
    model = tunings.apply(made("T5", "ForQuestionAnswering"), tuned("lora"))
    whole = {name for name in moves(model) if "lora_" not in name}
    assert whole == {"qa_outputs.weight", "qa_outputs.bias"}


@pytest.mark.parametrize("tuning", ["lora", "dora"])
def test_where_peft_finds_no_matrix_is_told(tuning: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from peft import utils

    known = utils.TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
    monkeypatch.setitem(known, "t5", ["nowhere"])
    with pytest.raises(SettingsError, match=f"cannot put {tuning} into the architecture t5"):
        tunings.apply(made("T5"), tuned(tuning))


@pytest.mark.parametrize(("count", "frozen"), [(1, "1 0"), (2, "2 0"), (3, "2 1")])
@pytest.mark.parametrize("name", ["Marian", "T5"])
def test_last_freezes_from_the_encoder_up_into_the_decoder(
    name: str, count: int, frozen: str
) -> None:
    layer = {"Marian": "layers", "T5": "block"}[name]
    model = tunings.apply(made(name), tuned("last", frozen_layers=count))
    still = {one for one, p in model.named_parameters() if not p.requires_grad}
    for half, number in zip(("encoder", "decoder"), map(int, frozen.split()), strict=True):
        every = {one for one, _ in model.named_parameters() if f"{half}.{layer}." in one}
        lowest = {one for one in every if int(one.split(f".{layer}.")[1][0]) < number}
        assert every & still == lowest
    assert any("shared" in one for one in still)
    step(model)


@pytest.mark.parametrize(
    ("count", "above"),
    [
        (1, {"encoder.layernorm_embedding": False, "decoder.layernorm_embedding": True}),
        (3, {"encoder.layernorm_embedding": False, "decoder.layernorm_embedding": False}),
    ],
)
def test_nothing_below_a_frozen_layer_moves(count: int, above: dict[str, bool]) -> None:
    """BART registers the norms of its embeddings behind its layers."""
    model = tunings.apply(made("Bart"), tuned("last", frozen_layers=count))
    layers = [*model.model.encoder.layers, *model.model.decoder.layers]
    put_out: list[Any] = []
    layers[count - 1].register_forward_hook(lambda _, __, out: put_out.append(out[0]))
    told(model)
    step(model)
    told(model)
    assert torch.equal(put_out[0], put_out[-1])
    moving = moves(model)
    assert {name: f"model.{name}.weight" in moving for name in above} == above
    assert not model.training


def test_more_layers_than_there_are_in_both_halves_are_refused() -> None:
    uneven = made("Bart", encoder_layers=3)
    with pytest.raises(SettingsError, match="the encoder has 3 and the decoder has 2") as caught:
        tunings.apply(uneven, tuned("last", frozen_layers=6))
    assert caught.value.fix == "at most 5"
    for name in ("Marian", "Bart"):
        with pytest.raises(SettingsError, match="leaves nothing to move") as caught:
            tunings.apply(made(name), tuned("last", frozen_layers=4))
        assert caught.value.fix == "at most 3"


@pytest.mark.parametrize("name", ["Marian", "Bart"])
def test_the_biases_of_a_model_that_writes_move_alone(name: str) -> None:
    model = made(name, tie_word_embeddings=False)
    before = {one: weight.clone() for one, weight in model.state_dict().items()}
    model = tunings.apply(model, tuned("bitfit"))
    assert all(one.endswith("bias") for one in moves(model))
    step(model)
    after = model.state_dict()
    moved = {one for one in after if not torch.equal(after[one], before[one])}
    assert {one for one in moved if not one.endswith("bias")} == set()
    assert {"encoder", "decoder"} <= {part for one in moved for part in one.split(".")}


def test_a_gpt2_has_biases_and_a_t5_has_none() -> None:
    assert all(
        one.endswith("bias") for one in moves(tunings.apply(_model("gpt2"), tuned("bitfit")))
    )
    for name in ("t5", "llama"):
        with pytest.raises(SettingsError, match=f"{name} has no biases"):
            tunings.apply(_model(name), tuned("bitfit"))
