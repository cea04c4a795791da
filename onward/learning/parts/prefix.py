"""Prefix tuning after Li and Liang 2021, in every layer as in P-Tuning v2 (Liu et al. 2022).

Each attention gets `size` learned keys and values that all tokens attend to, beside those of the
text. They begin as keys and values of words of the vocabulary. peft hands a prefix to the model as
a cache of earlier tokens, which moves the positions of the text and cannot be exported as one
graph; here it stands in the attention itself, through transformers' own interface for it.
"""

from __future__ import annotations

from typing import Any

from onward.errors import SettingsError

ATTENTION = "onward-prefix"
KEYS, VALUES = "added_keys", "added_values"

PROJECTIONS = (("key", "value"), ("k_lin", "v_lin"), ("k_proj", "v_proj"))
"""How an attention's matrices for keys and values are called."""


def add(model: Any, layers: Any, size: int) -> None:
    """Add keys and values to every attention.

    Raises:
        SettingsError: the model's attention cannot be given another function, or is not found.
    """
    import torch

    found = [(module, names) for module in layers.modules() if (names := _projections(module))]
    capped = getattr(model.config, "attn_logit_softcapping", None)  # as torch's attention cannot
    if not found or capped or not type(model)._can_set_attn_implementation():
        raise SettingsError(
            f"The attention of {model.config.model_type} takes no prefix",
            where="params.yaml, finetune.tuning: prefix",
            fix="choose lora, or another encoder",
        )
    seen: dict[Any, Any] = {}
    hooks = [
        getattr(module, name).register_forward_hook(
            lambda matrix, _, out: seen.update({matrix: out})
        )
        for module, names in found
        for name in names
    ]
    with torch.no_grad():
        model.base_model(input_ids=torch.randint(model.config.vocab_size, (1, size)))
    for hook in hooks:
        hook.remove()
    for module, names in found:
        for own, name in zip((KEYS, VALUES), names, strict=True):
            drawn = seen[getattr(module, name)][0].clone()
            module.register_parameter(own, torch.nn.Parameter(drawn))
    _register()
    model.set_attn_implementation(ATTENTION)


def _projections(module: Any) -> tuple[str, str] | None:
    return next((pair for pair in PROJECTIONS if all(hasattr(module, name) for name in pair)), None)


def _register() -> None:
    """Make the attention known to transformers; its masks are those of `sdpa`."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    AttentionInterface.register(ATTENTION, _attend)
    AttentionMaskInterface.register(ATTENTION, sdpa_mask)


def _attend(module: Any, query: Any, key: Any, value: Any, mask: Any, **more: Any) -> Any:
    """Attention over the prefix and the text; [B, heads, T, width] each, the mask [B, 1, T, T].

    Where a batch has no padding there is no mask. A causal one is then made here: torch's own
    would let a token see as many keys as it has tokens before it, those of the prefix counted.
    """
    import torch
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    keys = _split(getattr(module, KEYS), key)
    if mask is None and _causal(module, more):
        shape = (query.shape[2], key.shape[2])
        mask = torch.ones(shape, dtype=torch.bool, device=query.device).tril()[None, None]
    if mask is not None:
        open_ = True if mask.dtype == torch.bool else 0.0
        mask = torch.nn.functional.pad(mask, (keys.shape[2], 0), value=open_)
    key = torch.cat([keys, key], dim=2)
    value = torch.cat([_split(getattr(module, VALUES), value), value], dim=2)
    return sdpa_attention_forward(module, query, key, value, mask, **more)


def _causal(module: Any, told: dict[str, Any]) -> bool:
    """Whether a token sees those before it alone; read as transformers' own attention reads it."""
    said = told.get("is_causal")
    return bool(getattr(module, "is_causal", True) if said is None else said)


def _split(prefix: Any, like: Any) -> Any:
    """[n, D] -> [B, heads, n, width], as the text's own."""
    batch, heads, _, width = like.shape
    split = prefix.to(like.dtype).view(1, -1, heads, width).transpose(1, 2)
    return split.expand(batch, -1, -1, -1)
