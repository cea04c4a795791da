"""Bottleneck adapters after Houlsby et al. 2019: two small layers behind each half of a layer.

    h <- W h + b                    the last matrix of attention, and of the feed-forward part
    h <- h + up(gelu(down(h)))      before the residual sum and its norm

`up` begins at zero, so the model begins as it was. The norms are trained along, as in the paper.
peft has none of this form.
"""

from __future__ import annotations

from typing import Any

from onward.errors import SettingsError

NAME = "added_bottleneck"

ENDS = ("output.dense", "out_lin", "ffn.lin2", "out_proj", "fc2", "o_proj", "down_proj", "attn.o")
"""How the last matrices of both halves are called, over the architectures of transformers."""


def add(model: Any, layers: Any, size: int) -> None:
    """Add adapters to every layer.

    Args:
        model: of transformers, with a base and a head.
        layers: its transformer layers.
        size: of the bottleneck.

    Raises:
        SettingsError: the layers have no matrix of a known name.
    """
    places = [
        matrix
        for layer in layers
        for name, matrix in layer.named_modules()
        if name.endswith(ENDS) and hasattr(matrix, "out_features")
    ]
    if not places:
        raise SettingsError(
            f"No adapter fits into the layers of {model.config.model_type}",
            where="params.yaml, finetune.tuning: bottleneck",
            fix="choose lora, or another encoder",
        )
    for matrix in places:
        matrix.add_module(NAME, _adapter(matrix.out_features, size))
        matrix.register_forward_hook(_behind)


def _adapter(width: int, size: int) -> Any:
    import torch

    made = torch.nn.Sequential(
        torch.nn.Linear(width, size), torch.nn.GELU(), torch.nn.Linear(size, width)
    )
    torch.nn.init.zeros_(made[2].weight)
    torch.nn.init.zeros_(made[2].bias)
    return made


def _behind(matrix: Any, _: Any, found: Any) -> Any:
    return found + getattr(matrix, NAME)(found)
