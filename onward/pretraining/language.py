"""The language model of an encoder's folder: which objective it has, with its head, and without."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from onward.errors import InternalError, SettingsError
from onward.learning import encoder
from onward.pretraining.blocks import CAUSAL, MASKED
from onward.recipes import generative, heads


def objective(folder: Path, asked: str) -> tuple[Any, str]:
    """The folder's tokenizer, and masked or causal.

    Args:
        folder: an encoder or a causal model.
        asked: pretrain.objective; auto takes masked where the tokenizer has a mask and the
            architecture a masked form, else causal.

    Raises:
        SettingsError: the architecture has no such form, or the tokenizer no mask.
    """
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )

    tokenizer = encoder.tokenizer(folder)
    found = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    apart = not found.is_encoder_decoder
    masked = tokenizer.mask_token_id is not None and apart
    reads = found.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    # A BERT that is no decoder has a causal class, too, and sees the token that it is to tell.
    writes = found.model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and (
        not reads or getattr(found, "is_decoder", False)
    )
    can = {MASKED: masked and reads, CAUSAL: apart and writes}
    chosen = next((one for one in (MASKED, CAUSAL) if can[one] and asked in ("auto", one)), None)
    if chosen is None:
        raise SettingsError(
            f"{found.model_type} cannot go on reading: it has no {asked} form"
            if asked != "auto"
            else f"{found.model_type} cannot go on reading: it has no masked and no causal form",
            where=f"params.yaml, pretrain.objective: {asked}, and the encoder in {folder}",
            fix="leave pretrain.objective at auto, or name an encoder with a mask token, or a "
            "causal model, in project.encoder",
        )
    return tokenizer, chosen


def load(folder: Path, objective: str) -> tuple[Any, set[str]]:
    """The model with its language head in fp32, and the names of weights that the folder lacks.

    These are drawn from torch's global generator: seed it first.

    Raises:
        SettingsError: a causal model lacks weights: its head is what it is for.
    """
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

    auto = AutoModelForCausalLM if objective == CAUSAL else AutoModelForMaskedLM
    model, lacking = heads.loaded(auto, folder, heads.config(folder, {}))
    known = {name for name, _ in model.named_parameters()}
    if lacking and objective == CAUSAL:
        raise SettingsError(
            f"The model lacks {len(lacking)} weights of a causal one, first {lacking[0]}",
            where=str(folder),
            fix="set pretrain.objective to masked, or name a causal model",
        )
    model = generative.tokens_alone(model) if objective == CAUSAL else model
    return model, set(lacking) & known


def bare(model: Any, source: Path, objective: str) -> Any:
    """What is kept of a trained model: a causal one whole, a masked one as the encoder it was.

    The encoder's own parts that have no say in masked words, such as a pooler, stay as they were.
    """
    if objective == CAUSAL:
        return model
    from transformers import AutoModel

    encoder, _ = heads.loaded(AutoModel, source, heads.config(source, {}))
    found = encoder.load_state_dict(model.base_model.state_dict(), strict=False)
    if found.unexpected_keys:
        raise InternalError(
            f"The encoder has no {found.unexpected_keys[0]}, which was trained",
            where=str(source),
            fix="report the architecture; nothing was kept",
        )
    return encoder
