"""Which weights move, by finetune.tuning; the head always does, with a pooler drawn for it.

    full         all
    last         the upper layers
    bitfit       the biases (Ben Zaken et al. 2022)
    lora, dora   low-rank matrices (Hu et al. 2021), with a magnitude of their own (Liu et al. 2024)
    ia3          factors on keys, values and the feed-forward part (Liu et al. 2022)
    bottleneck   two small layers behind each half of a layer (Houlsby et al. 2019)
    prompt       vectors before the text (Lester et al. 2021)
    prefix       keys and values in every layer (Li and Liang 2021)

The first six end as plain weights: what peft added is merged. Of the last three the candidate's
folder keeps the parts (onward/learning/parts/named.py), and a later turn goes on with them.
Layers count from the embeddings upwards, an encoder's before those of its decoder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from onward.config import Finetune
from onward.errors import SettingsError
from onward.learning.parts import named as parts
from onward.learning.parts.named import Added

_PEFT = ("lora_", "ia3_")
"""In the names of what peft adds."""

_ALIKE = {
    **{"camembert": "roberta", "xlm-roberta": "roberta", "electra": "bert"},
    **{"marian": "bart", "umt5": "mt5"},
}
"""Architectures whose layers are named as those of one for which peft says what IA3 scales."""


def apply(model: Any, settings: Finetune) -> Any:
    """The model with exactly those weights trainable that `settings.tuning` names.

    Raises:
        SettingsError: finetune.frozen_layers is more than the model has; the model lacks what the
            tuning moves, or peft does not know how to; or it has parts of another tuning, or of
            another size.
    """
    tuning, added = settings.tuning, _added(settings)
    if parts.of(model) not in (None, added):
        raise _other(parts.of(model), settings)
    if tuning == "last":
        freeze(model, settings.frozen_layers)
    elif tuning == "bitfit":
        _only(model, _biases(model))
    elif tuning in ("lora", "dora", "ia3"):
        return _with_peft(model, settings)
    elif added is not None:
        if parts.of(model) is None:
            parts.add(model, added)
        _only(model, _moved_with(model, added))
    return model


def _added(settings: Finetune) -> Added | None:
    """The parts that a tuning adds; None: none that stay."""
    if settings.tuning not in parts.KINDS:
        return None
    bottleneck = settings.tuning == "bottleneck"
    size = settings.bottleneck_size if bottleneck else settings.virtual_tokens
    return Added(settings.tuning, size)


def _other(held: Added | None, settings: Finetune) -> SettingsError:
    assert held is not None  # noqa: S101 - only asked of a model with parts
    key = "bottleneck_size" if held.tuning == "bottleneck" else "virtual_tokens"
    return SettingsError(
        f"The base was tuned by {held.tuning} of size {held.size}; only the same goes on with it",
        where=f"params.yaml, finetune.tuning: {settings.tuning}",
        fix=f"set finetune.tuning to {held.tuning} and finetune.{key} to {held.size}, or start "
        "over with `onward run --fresh`",
    )


def freeze(model: Any, count: int) -> None:
    """Freeze the embeddings and the `count` lowest layers, those of an encoder before a decoder's.

    Frozen is all that those layers are made of, and all that they read: norms and positions of the
    embeddings, wherever the architecture keeps them. What comes after, a pooler or a last norm,
    keeps moving.

    Raises:
        SettingsError: the model has fewer layers, or nothing would move.
    """
    halves = {name: parts.layers(half) for name, half in parts.halves(model).items()}
    layers = [layer for half in halves.values() for layer in half]
    if count > len(layers):
        told = " and ".join(f"the {name} has {len(half)}" for name, half in halves.items())
        raise _frozen(count, f"{told} layers", len(layers))
    read = _behind(model, layers[count - 1])
    for parameter in (*read, *(own for layer in layers[:count] for own in layer.parameters())):
        parameter.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise _frozen(count, "which leaves nothing to move", count - 1)


def _behind(model: Any, layer: Any) -> list[Any]:
    """The weights that have a part in what a layer puts out for a short text."""
    import torch

    made: list[Any] = []
    hooks = [
        module.register_forward_hook(lambda _, __, out: made.append(out))
        for module in layer.modules()  # a block of several layers may itself put out nothing
    ]
    tokens = torch.zeros(1, 3, dtype=torch.int64, device=next(model.parameters()).device)
    written = {"decoder_input_ids": tokens} if len(parts.halves(model)) > 1 else {}
    training = model.training
    model.eval()
    try:
        model.base_model(input_ids=tokens, **written)
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    found, seen = [], set()
    waiting = [out[0] if isinstance(out, tuple) else out for out in made]
    waiting = [out.grad_fn for out in waiting if isinstance(out, torch.Tensor)]
    while waiting:
        step = waiting.pop()
        if step is None or step in seen:
            continue
        seen.add(step)
        found += [step.variable] if hasattr(step, "variable") else []
        waiting += [before for before, _ in step.next_functions]
    return found


def _frozen(count: int, why: str, most: int) -> SettingsError:
    return SettingsError(
        f"finetune.frozen_layers is {count}, {why}",
        where="params.yaml, finetune.frozen_layers",
        fix=f"at most {most}",
    )


def _heads(model: Any) -> list[str]:
    """The parts of the model that are not its base and have weights: the recipe's head.

    A pooler that was drawn with it belongs to it.
    """
    base = {id(module) for module in _base(model)}
    children = [(name, child) for name, child in model.named_children() if id(child) not in base]
    own = [name for name, child in children if any(True for _ in child.parameters())]
    return own + _drawn(model)


def _base(model: Any) -> list[Any]:
    """What was trained before: the base, and what gives a language model its vocabulary.

    T5 and its kin have no part of their own for a base: embeddings and both halves stand beside
    the head.
    """
    words = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    known = [] if words is None else [words]
    if model.base_model is not model:
        return [model.base_model, *known]
    return [model.get_input_embeddings(), *parts.halves(model).values(), *known]


def _drawn(model: Any) -> list[str]:
    """The matrices of a pooler that the pretrained encoder lacked, where this model has one."""
    there = dict(model.named_modules())
    return [name for name in getattr(model.config, "drawn", ()) if name in there]


def _only(model: Any, moving: Iterable[Any]) -> None:
    """Freeze the base but for these weights of it, and a pooler that was drawn with the head."""
    for module in _base(model):
        module.requires_grad_(False)
    drawn = [p for name in _drawn(model) for p in model.get_submodule(name).parameters()]
    for parameter in (*moving, *drawn):
        parameter.requires_grad_(True)


def _biases(model: Any) -> list[Any]:
    every = (named for module in _base(model) for named in module.named_parameters())
    found = [parameter for name, parameter in every if name.endswith("bias")]
    if not found:
        raise SettingsError(
            f"The model {model.config.model_type} has no biases",
            where="params.yaml, finetune.tuning: bitfit",
            fix="choose lora",
        )
    return found


def _moved_with(model: Any, added: Added) -> list[Any]:
    """The parts; the norms, too, where the parts stand between them."""
    import torch

    found = [p for name, p in model.base_model.named_parameters() if parts.MARK in name]
    if added.tuning == "bottleneck":
        norms = [m for m in model.base_model.modules() if isinstance(m, torch.nn.LayerNorm)]
        found += [parameter for norm in norms for parameter in norm.parameters()]
    return found


def _with_peft(model: Any, settings: Finetune) -> Any:
    from peft import IA3Config, LoraConfig, get_peft_model
    from peft.utils import TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING as FEED_FORWARD
    from peft.utils import TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING as SCALED
    from peft.utils import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as BY_ARCHITECTURE

    kind = model.config.model_type
    if settings.tuning != "ia3":
        config: Any = LoraConfig(
            r=settings.lora_rank,
            lora_alpha=settings.lora_alpha,
            lora_dropout=settings.dropout,
            target_modules=BY_ARCHITECTURE.get(kind, "all-linear"),
            modules_to_save=_heads(model),
            use_dora=settings.tuning == "dora",
        )
    elif _ALIKE.get(kind, kind) in SCALED:
        config = IA3Config(
            target_modules=SCALED[_ALIKE.get(kind, kind)],
            feedforward_modules=FEED_FORWARD[_ALIKE.get(kind, kind)],
            modules_to_save=_heads(model),
        )
    else:
        raise SettingsError(
            f"peft does not say what IA3 scales in the architecture {kind}",
            where="params.yaml, finetune.tuning: ia3",
            fix="choose lora, or another encoder",
        )
    try:
        return get_peft_model(model, config)
    except ValueError as error:  # as peft says that it finds no matrix, or one of another kind
        raise SettingsError(
            f"peft cannot put {settings.tuning} into the architecture {kind}: "
            f"{' '.join(str(error).split())[:160]}",
            where=f"params.yaml, finetune.tuning: {settings.tuning}",
            fix="choose full or last, or another encoder",
        ) from error


def changes(model: Any, device: str) -> dict[str, Callable[[], Any]]:
    """By the plain name of each weight that moves: how far it is from where it is now.

    Args:
        model: what `apply` gave, before training.
        device: where the differences will be asked for.

    Returns:
        Functions whose tensors have the weight's shape and a gradient. A weight under low-rank
        adapters moves by what they add to it, s B A. (dora and ia3 scale a weight as well: the
        table does not allow them with a term that asks.)
    """
    found: dict[str, Callable[[], Any]] = {}
    for name, module in model.named_modules():
        if hasattr(module, "get_delta_weight"):
            for adapter in module.active_adapters:
                found[f"{_plain(name)}.weight"] = partial(module.get_delta_weight, adapter)
    for name, weight in model.named_parameters():
        if weight.requires_grad and not any(part in name for part in _PEFT):
            found[_plain(name)] = partial(_minus, weight, weight.detach().clone().to(device))
    return found


def shapes(model: Any) -> dict[str, tuple[int, ...]]:
    """By the plain name of each weight that is trained itself: its shape."""
    return {_plain(name): tuple(p.shape) for name, p in model.named_parameters() if p.requires_grad}


def _minus(weight: Any, before: Any) -> Any:
    return weight - before


def _plain(name: str) -> str:
    """A name without what peft puts around it."""
    return name.removeprefix("base_model.model.").replace(".modules_to_save.default", "")


def sizes(model: Any) -> dict[str, int]:
    """Parameters in all and those that move; of what was added also the number and bytes."""
    found = {"parameters": 0, "trainable": 0}
    adapter = {"adapter_parameters": 0, "adapter_bytes": 0}
    for name, parameter in model.named_parameters():
        beside = any(part in name for part in _PEFT)
        if beside or parts.MARK in name:
            adapter["adapter_parameters"] += parameter.numel()
            adapter["adapter_bytes"] += parameter.numel() * parameter.element_size()
        if not beside and "original_module" not in name:
            found["parameters"] += parameter.numel()
        if parameter.requires_grad:
            found["trainable"] += parameter.numel()
    return found | (adapter if adapter["adapter_parameters"] else {})


def plain(model: Any) -> Any:
    """The model with what peft added merged into the weights; parts that stay are left as is."""
    if not hasattr(model, "merge_and_unload"):
        return model
    # peft merges IA3 only where a head is one matrix: the trained heads take their places first.
    base = model.get_base_model()
    for name, child in list(base.named_modules()):
        if hasattr(child, "modules_to_save"):
            base.set_submodule(name, child.modules_to_save[child.active_adapters[0]])
    return model.merge_and_unload()
