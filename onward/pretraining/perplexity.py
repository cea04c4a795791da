"""How well a model tells held-out text: the exponential of its mean loss over what is to be told.

Of a causal model that is perplexity as everybody has it. Of a masked one it is over the masked
tokens alone, the same ones for every model that is asked, and is often called pseudo-perplexity
(after Salazar et al. 2020, who mask one token at a time). Numbers of models with other tokenizers
cannot be compared.
"""

from __future__ import annotations

import math
from typing import Any

from onward.errors import NotFinite
from onward.learning import passes
from onward.learning.features import Collate
from onward.pretraining.blocks import CAUSAL, TARGETS, Told
from onward.recipes.shapes import NOTHING

BATCH = 8
"""Blocks at a time: the outputs of each token are as many as the vocabulary has words."""


def perplexity(model: Any, told: Told, pad: int) -> float:
    """The perplexity of a model on blocks.

    Args:
        model: a masked or causal model of transformers; it is left in evaluation mode.
        told: blocks with what is to be told of them.
        pad: the id of the padding token.

    Raises:
        NotFinite: the model gives numbers that are not.
    """
    import torch

    collate = Collate(pad, TARGETS)
    order = told.lengths.argsort(kind="stable")
    total, count = 0.0, 0
    with passes.at_work(model.eval()) as working, torch.inference_mode():
        device = next(working.parameters()).device
        for first in range(0, len(order), BATCH):
            batch = collate([told[int(at)] for at in order[first : first + BATCH]])
            batch.pop("rows")
            labels = batch["labels"][:, 1:] if told.objective == CAUSAL else batch["labels"]
            tokens = int((labels != NOTHING).sum())
            found = working(**{name: value.to(device) for name, value in batch.items()})
            total += float(found["loss"]) * tokens
            count += tokens
    if not math.isfinite(total):
        raise NotFinite(
            "The model's loss on held-out text is not finite",
            where=f"{len(told)} blocks",
            fix="lower pretrain.learning_rate",
        )
    return math.exp(min(total / count, 700.0))
