"""Whether a prompt and its answer fit into a model that writes: by its config.json alone.

What does not fit is known before anything is trained, and is checked once more where the model
answers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from onward.errors import SettingsError

PLACES = (
    *("max_position_embeddings", "n_positions", "max_target_positions", "max_seq_len"),
    *("max_encoder_position_embeddings", "max_decoder_position_embeddings"),
)
"""How configurations name them; of several the fewest count."""

KEYS = "prepare.max_length and evaluate.max_new_tokens"
"""The settings that say how long a prompt and an answer may be."""

_SEEN = {"sliding_attention": "sliding_window", "chunked_attention": "attention_chunk_size"}
"""Kind of a layer that looks at a part of what came before -> how config.json names its length."""


def check(folder: Path, longest: int, max_new_tokens: int, keys: str = KEYS) -> None:
    """Refuse a prompt and answer that are longer than a model has places for.

    Args:
        folder: of the model.
        longest: tokens of the longest prompt.
        max_new_tokens: of an answer.
        keys: the settings that ask for so many, for the message.

    Raises:
        SettingsError: naming the settings.
    """
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    encoder = bool(config.is_encoder_decoder)
    own = config if encoder else config.get_text_config(decoder=True)
    require(positions(own), encoder, longest, max_new_tokens, keys=keys)


def require(
    places: int | None,
    encoder: bool,
    longest: int,
    max_new_tokens: int,
    begins: int = 0,
    *,
    keys: str = KEYS,
) -> None:
    """As `check`, of a model whose places are known.

    Args:
        places: None where any number fits.
        encoder: whether the prompt is read by an encoder, so that the answer has its own places.
        longest, max_new_tokens, keys: as in `check`.
        begins: tokens that an answer begins with beside its first.
    """
    # The last token of an answer is never read; those that it begins with are.
    written = begins + max_new_tokens
    needed = max(longest, written) if encoder else longest + max_new_tokens
    if places is not None and needed > places:
        raise SettingsError(
            f"A prompt of {longest} tokens and an answer of {max_new_tokens} do not fit: "
            f"the model has places for {places}, or sees as many at once",
            where=f"params.yaml, {keys}",
            fix="lower one of them, or use a model with more places or a wider window",
        )


def positions(config: Any) -> int | None:
    """Tokens that a model has places for and that each of its layers sees; None: any number."""
    named = [found for name in PLACES if (found := getattr(config, name, None))]
    relative = getattr(config, "relative_attention_num_buckets", None) is not None
    # Of models that are written with, only T5 and its kin have buckets, and no places beside them.
    return min([*([] if relative else named), *_seen(config)], default=None)


def _seen(config: Any) -> list[int]:
    """How many tokens the layers see at once that do not see all.

    Our mask has no such window, so a longer text would be read in another way than by the model.
    """
    kinds = getattr(config, "layer_types", None)
    if kinds is None:  # one window for all layers, which some models have to be told to use
        kinds = ["sliding_attention"] if getattr(config, "use_sliding_window", True) else []
    widths = (getattr(config, _SEEN[kind], None) for kind in kinds if kind in _SEEN)
    return [width for width in widths if width]
