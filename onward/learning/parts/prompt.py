"""A soft prompt after Lester et al. 2021: learned vectors before the embedded tokens of a text.

The vectors stand before what the embedding layer puts out, with the position already in them, so
the text keeps its own positions and its longest length. They are cut off again from what the
encoder puts out: every head sees the tokens of the text, the first of them in the first place.
peft's prompts are not used for encoders: they hand the virtual tokens to the head, which moves the
places of answers and gives BERT's pooler a virtual token to read.
"""

from __future__ import annotations

from typing import Any

from onward.errors import SettingsError

NAME = "added_prompt"


def add(model: Any, layers: Any, size: int) -> None:
    """Add a prompt of `size` vectors, drawn as the embeddings of words of the vocabulary.

    Raises:
        SettingsError: the encoder has no embedding layer that its layers follow, or they take no
            more tokens than the text has.
    """
    import torch

    base = model.base_model
    embeddings = getattr(base, "embeddings", None)
    if embeddings is None:
        raise _refused(model, "has no embedding layer to put a prompt behind")
    words = torch.randint(model.config.vocab_size, (1, size))
    with torch.no_grad():
        drawn = embeddings(words)[0]
    embeddings.register_parameter(NAME, torch.nn.Parameter(drawn.clone()))
    embeddings.register_forward_hook(_before)
    base.register_forward_pre_hook(_wider, with_kwargs=True)
    base.register_forward_hook(_cut)
    if not _reads(base):
        raise _refused(model, "cannot read a prompt behind its embedding layer")


def _refused(model: Any, why: str) -> SettingsError:
    return SettingsError(
        f"The model {model.config.model_type} {why}",
        where="params.yaml, finetune.tuning: prompt",
        fix="choose lora, or another encoder",
    )


def _reads(base: Any) -> bool:
    """Whether two short texts come out as long as they went in."""
    import torch

    tokens = torch.zeros(2, 3, dtype=torch.int64)
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]])
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            made = base(input_ids=tokens, attention_mask=mask)
    except (RuntimeError, ValueError, IndexError):  # as an architecture's own layers raise
        return False
    pooled = made.get("pooler_output")
    return made["last_hidden_state"].shape[:2] == (2, 3) and (pooled is None or pooled.dim() == 2)


def _before(embeddings: Any, _: Any, found: Any) -> Any:
    import torch

    prompt = getattr(embeddings, NAME).to(found.dtype)
    return torch.cat([prompt.expand(found.shape[0], -1, -1), found], dim=1)


def _wider(base: Any, args: Any, kwargs: Any) -> Any:
    """The prompt is seen by every token."""
    import torch

    count = len(getattr(base.embeddings, NAME))
    tokens = kwargs.get("input_ids", args[0] if args else None)
    mask = kwargs.get("attention_mask")
    mask = torch.ones_like(tokens) if mask is None else mask
    return args, {**kwargs, "attention_mask": torch.nn.functional.pad(mask, (count, 0), value=1)}


def _cut(base: Any, _: Any, found: Any) -> Any:
    found["last_hidden_state"] = found["last_hidden_state"][
        :, len(getattr(base.embeddings, NAME)) :
    ]
    if found.get("pooler_output") is not None:
        found["pooler_output"] = base.pooler(found["last_hidden_state"])
    return found
