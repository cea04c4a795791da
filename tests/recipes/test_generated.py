"""What tokens say: the same text whether it is read whole or as it comes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from onward.recipes import generated
from onward.runtime.generation import Rules, stream

SAID = [1, 2, 3, 2, 4, 5]
UNIGRAM = ["</s>", "▁the", "▁'", "▁word", "▁!", "▁is"]
WORDPIECE = ["[SEP]", "the", "'", "word", "!", "##s"]


class Told:
    """A model that writes SAID and ends."""

    def start(self, batch: Sequence[dict[str, Any]]) -> NDArray[np.float32]:
        self.left = [*SAID, 0]
        return self.step(np.zeros(1, dtype=np.int64))

    def step(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        return np.eye(len(UNIGRAM), dtype=np.float32)[None, self.left.pop(0)]

    def keep(self, rows: Sequence[int]) -> None:
        raise AssertionError("there is one row")


def _tokenizer(kind: str) -> Any:
    from tokenizers import Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast

    fast: Any
    if kind == "unigram":
        fast = Tokenizer(models.Unigram([(piece, -1.0) for piece in UNIGRAM], 0))
        fast.decoder = decoders.Metaspace()
    else:
        places = {piece: at for at, piece in enumerate(WORDPIECE)}
        fast = Tokenizer(models.WordPiece(places, unk_token="[SEP]"))
        fast.decoder = decoders.WordPiece()
    return PreTrainedTokenizerFast(tokenizer_object=fast, clean_up_tokenization_spaces=True)


@pytest.mark.parametrize(
    ("kind", "text"), [("unigram", "the ' word ' ! is"), ("wordpiece", "the ' word '!s")]
)
def test_no_space_is_cleaned_up_behind_a_stream(kind: str, text: str) -> None:
    """Where a space goes that was streamed already, what follows fits no more and would be lost."""
    tokenizer = _tokenizer(kind)
    rules = Rules(20, frozenset({0}), text=lambda tokens: generated.text(tokens, tokenizer))
    pieces = list(stream(Told(), {"input_ids": [1]}, rules))
    assert "".join(pieces) == generated.text(SAID, tokenizer) == text
    assert len(pieces) > 3
