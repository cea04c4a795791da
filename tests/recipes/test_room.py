"""How many tokens a model has places for, by its configuration alone."""

from __future__ import annotations

from typing import Any

import pytest
import transformers

from onward.errors import SettingsError
from onward.recipes import room

_LED = {"max_encoder_position_embeddings": 400, "max_decoder_position_embeddings": 96}
CONFIGS: list[tuple[str, dict[str, Any], int | None]] = [
    ("LlamaConfig", {"max_position_embeddings": 96}, 96),
    ("GPT2Config", {"n_positions": 96}, 96),
    ("MptConfig", {"max_seq_len": 96}, 96),
    ("LEDConfig", _LED, 96),
    ("MarianConfig", {"max_position_embeddings": 96}, 96),
    ("T5Config", {}, None),
    ("MistralConfig", {"max_position_embeddings": 400, "sliding_window": 96}, 96),
    ("MistralConfig", {"max_position_embeddings": 400, "sliding_window": None}, 400),
]  # fmt: skip


@pytest.mark.parametrize(("name", "values", "places"), CONFIGS)
def test_places_and_windows_are_read_of_every_name(
    name: str, values: dict[str, Any], places: int | None
) -> None:
    assert room.positions(getattr(transformers, name)(**values)) == places


def test_a_prompt_and_an_answer_share_places_but_for_an_encoder() -> None:
    room.require(96, False, 60, 36)
    room.require(96, True, 96, 96)
    room.require(None, False, 10_000, 10_000)
    for encoder, longest, written in ((False, 60, 37), (True, 97, 1), (True, 1, 97)):
        with pytest.raises(SettingsError, match="do not fit: the model has places for 96"):
            room.require(96, encoder, longest, written)
