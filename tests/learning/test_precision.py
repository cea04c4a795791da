"""In which number format training multiplies, and with which attention."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from onward.config import Finetune
from onward.learning import precision, tunings
from onward.recipes import classification


@pytest.mark.parametrize(
    ("flags", "native"),
    [
        ("fpu avx2 avx512f avx512_bf16 fma", True),
        ("fpu amx_bf16 amx_tile", True),
        ("fpu avx2 avx512f avx512vl", False),
        ("fpu xavx512_bf16", False),
    ],
)
def test_bf16_only_where_the_processor_has_it(flags: str, native: bool, tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: {flags}\n\n")
    assert precision.on_processor(tmp_path / "cpuinfo") is native
    assert not precision.on_processor(tmp_path / "none")


def test_precision_can_be_said() -> None:
    assert precision.resolve("bf16") == "bf16" and precision.resolve("fp32") == "fp32"


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_an_encoder_in_bf16_has_plain_attention(tuning: str, toy_encoder: Path) -> None:
    """The same function, gradients too, in other kernels; the model is left as it was."""
    torch.manual_seed(0)
    built = classification.build(toy_encoder, {"labels": ["a", "b"], "dropout": 0.0})
    model = tunings.apply(built, Finetune(tuning=tuning))
    mask = torch.ones(4, 9, dtype=torch.long)
    mask[0, 5:] = 0
    batch = {"input_ids": torch.randint(5, 20, (4, 9)), "attention_mask": mask}
    gradients = []
    for number, inside in (("fp32", "sdpa"), ("bf16", "eager")):
        with precision.attention(model, number):
            used = {m.config._attn_implementation for m in model.modules() if hasattr(m, "config")}
            assert used == {inside}
            model.zero_grad()
            model(**batch, labels=torch.tensor([0, 1, 0, 1])).loss.backward()
            gradients.append({n: p.grad for n, p in model.named_parameters() if p.requires_grad})
        assert model.config._attn_implementation == "sdpa"
    fused, plain = gradients
    assert all(torch.allclose(fused[name], plain[name], atol=1e-6) for name in fused)


@pytest.mark.usefixtures("no_gpu")
def test_a_language_model_keeps_its_attention(toy_causal: Path) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(toy_causal)
    with precision.attention(model, "bf16"):
        assert model.config._attn_implementation == "sdpa"


def test_on_a_gpu_the_fused_attention_stays(
    toy_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    model = classification.build(toy_encoder, {"labels": ["a", "b"], "dropout": 0.0})
    with precision.attention(model, "bf16"):
        assert model.config._attn_implementation == "sdpa"
