"""Which weights move: full, last (upper layers and head), lora (low-rank adapters and head).

After Hu et al. 2021, LoRA. Layers count from the embeddings upwards.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from onward.config import Finetune
from onward.errors import SettingsError


def apply(model: Any, settings: Finetune) -> Any:
    """The model with exactly those weights trainable that `settings.tuning` names.

    Raises:
        SettingsError: finetune.frozen_layers is more than the model has.
    """
    if settings.tuning == "last":
        freeze(model, settings.frozen_layers)
    elif settings.tuning == "lora":
        return _with_adapters(model, settings)
    return model


def freeze(model: Any, count: int) -> None:
    """Freeze the embeddings and the `count` lowest layers.

    Frozen is all that the base registers up to the last weight of those layers: what comes after
    them, a pooler or a last norm, keeps moving.
    """
    layers = _layers(model)
    if count > len(layers):
        raise SettingsError(
            f"finetune.frozen_layers is {count}, the model has {len(layers)} layers",
            where="params.yaml, finetune.frozen_layers",
            fix=f"at most {len(layers)}",
        )
    lowest = {id(parameter) for layer in layers[:count] for parameter in layer.parameters()}
    parameters = list(model.base_model.parameters())
    highest = max(at for at, parameter in enumerate(parameters) if id(parameter) in lowest)
    for parameter in parameters[: highest + 1]:
        parameter.requires_grad_(False)


def _layers(model: Any) -> Any:
    """The transformer layers: the base's longest list of modules."""
    import torch

    lists = [m for m in model.base_model.modules() if isinstance(m, torch.nn.ModuleList)]
    return max(lists, key=len)


def _heads(model: Any) -> list[str]:
    """The parts of the model that are not its base and have weights: the recipe's head."""
    children = [child for child in model.named_children() if child[0] != model.base_model_prefix]
    return [name for name, child in children if any(True for _ in child.parameters())]


def _with_adapters(model: Any, settings: Finetune) -> Any:
    from peft import LoraConfig, get_peft_model
    from peft.utils import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as BY_ARCHITECTURE

    config = LoraConfig(
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.dropout,
        target_modules=BY_ARCHITECTURE.get(model.config.model_type, "all-linear"),
        modules_to_save=_heads(model),
    )
    return get_peft_model(model, config)


def changes(model: Any, device: str) -> dict[str, Callable[[], Any]]:
    """By the plain name of each weight that moves: how far it is from where it is now.

    Args:
        model: what `apply` gave, before training.
        device: where the differences will be asked for.

    Returns:
        Functions whose tensors have the weight's shape and a gradient. A weight under adapters
        moves by what they add to it, s B A.
    """
    found: dict[str, Callable[[], Any]] = {}
    for name, module in model.named_modules():
        if hasattr(module, "get_delta_weight"):
            for adapter in module.active_adapters:
                found[f"{_plain(name)}.weight"] = partial(module.get_delta_weight, adapter)
    for name, weight in model.named_parameters():
        if weight.requires_grad and "lora_" not in name:
            found[_plain(name)] = partial(_minus, weight, weight.detach().clone().to(device))
    return found


def _minus(weight: Any, before: Any) -> Any:
    return weight - before


def _plain(name: str) -> str:
    """A name without what peft puts around it."""
    return name.removeprefix("base_model.model.").replace(".modules_to_save.default", "")


def sizes(model: Any) -> dict[str, int]:
    """Parameters in all and those that move; for adapters also their own number and bytes."""
    found = {"parameters": 0, "trainable": 0}
    adapter = {"adapter_parameters": 0, "adapter_bytes": 0}
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            adapter["adapter_parameters"] += parameter.numel()
            adapter["adapter_bytes"] += parameter.numel() * parameter.element_size()
        elif "original_module" not in name:
            found["parameters"] += parameter.numel()
        if parameter.requires_grad:
            found["trainable"] += parameter.numel()
    return found | (adapter if adapter["adapter_parameters"] else {})


def plain(model: Any) -> Any:
    """The model without adapters: merged into the weights that they adapt."""
    return model.merge_and_unload() if hasattr(model, "merge_and_unload") else model
