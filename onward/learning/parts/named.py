"""The added parts by the name of their tuning; how a model's folder keeps them.

Beside config.json and model.safetensors, which hold the model without them, a folder has

    structure.json        {"structure": "parts", "tuning": "prompt", "size": 16}
    parts.safetensors     their weights by name

A model with parts has an attribute `added`, and `added_` in the name of each of their weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onward.errors import IntegrityError
from onward.learning import models
from onward.learning.parts import bottleneck, prefix, prompt

KINDS = {"bottleneck": bottleneck, "prompt": prompt, "prefix": prefix}
FILE = "parts.safetensors"
MARK = "added_"


@dataclass(frozen=True)
class Added:
    """Which parts a model has."""

    tuning: str
    size: int
    """Of the bottleneck, or virtual tokens."""


def of(model: Any) -> Added | None:
    """The parts of a model; None: it has none."""
    found: Added | None = getattr(model, "added", None)
    return found


def layers(stack: Any) -> Any:
    """The transformer layers of a base, an encoder or a decoder: its longest list of modules.

    Lists within a list are parts of a layer: each of T5's decoder has three.
    """
    import torch

    lists = {n: m for n, m in stack.named_modules() if isinstance(m, torch.nn.ModuleList)}
    outer = [m for n, m in lists.items() if not any(n.startswith(f"{one}.") for one in lists)]
    return max(outer, key=len)


def halves(model: Any) -> dict[str, Any]:
    """The encoder and the decoder of a model that has both; else its base."""
    base = model.base_model
    both = {name: getattr(base, name, None) for name in ("encoder", "decoder")}
    whole = model.config.is_encoder_decoder and None not in both.values()
    return both if whole else {"model": base}


def add(model: Any, added: Added) -> None:
    """Add new parts, drawn from torch's generator, to the layers of every half.

    Raises:
        SettingsError: they do not fit.
    """
    import torch

    every = [layer for half in halves(model).values() for layer in layers(half)]
    KINDS[added.tuning].add(model, torch.nn.ModuleList(every), added.size)
    model.added = added


def weights(model: Any) -> dict[str, Any]:
    """The parts' weights by name."""
    return {name: tensor for name, tensor in model.state_dict().items() if MARK in name}


def without(model: Any) -> dict[str, Any]:
    """The model's other weights by name."""
    return {name: tensor for name, tensor in model.state_dict().items() if MARK not in name}


def describe(added: Added) -> dict[str, Any]:
    """For structure.json."""
    return {"structure": "parts", "tuning": added.tuning, "size": added.size}


def restore(model: Any, folder: Path, described: dict[str, Any]) -> None:
    """Put the parts of a folder into the model that was built from it.

    Raises:
        IntegrityError: they are missing or do not fit.
    """
    import torch

    with torch.random.fork_rng(devices=[]):  # drawn, then replaced
        add(model, Added(described["tuning"], described["size"]))
    saved, here = models.read_tensors(folder / FILE), weights(model)
    wrong = sorted(set(saved) ^ set(here))
    wrong += [name for name in set(saved) & set(here) if saved[name].shape != here[name].shape]
    if wrong:
        raise IntegrityError(
            f"The parts do not fit the model: {wrong[0]}",
            where=str(folder / FILE),
            fix="`onward repair` brings the recorded files back",
        )
    with torch.no_grad():
        for name, tensor in here.items():
            tensor.copy_(saved[name])
