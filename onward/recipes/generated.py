"""What generated tokens say: text, where it stops, and the prediction that comes of it.

>>> cut("Berlin.\\nQ: next?", ("\\nQ:",))
'Berlin.'
>>> cut("never", ("END",)) is None
True
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onward.config import Evaluate
from onward.recipes.shapes import Prediction

ENDS = ("end", "stop", "length")
"""How a generation ended: by an end token, by a stop string, or because it may be no longer."""


def text(tokens: Sequence[int], tokenizer: Any) -> str:
    """The text of generated tokens; marks such as an end token say nothing in it.

    No space is taken out again that tokens have said, so the text only grows with them.
    """
    plain = {"skip_special_tokens": True, "clean_up_tokenization_spaces": False}
    return str(tokenizer.decode(list(tokens), **plain))


def cut(said: str, stop: Sequence[str]) -> str | None:
    """What comes before the first stop string; None where there is none of them."""
    places = [at for at in (said.find(one) for one in stop) if at >= 0]
    return said[: min(places)] if places else None


def complete(said: str) -> str:
    """A text without a character at its end of which only some bytes were generated.

    >>> complete("\u4eca\ufffd")
    '\u4eca'
    """
    return said.rstrip("\ufffd")


def told(output: Mapping[str, NDArray[Any]], settings: Evaluate, tokenizer: Any) -> Prediction:
    """The prediction of one generation.

    Args:
        output: tokens [n], logprobs [n] and ended [1] (a place in ENDS), as a runner gives them.
            The last token is the end token where the model ended by itself.
        settings: stop.
        tokenizer: the artifact's own.

    Returns:
        text: without marks, stop string and space around it. Where nothing was generated, or
            nothing but space, it is empty and `no_answer` is true: an answer like any other.
        probability: of a token in geometric mean, the end token included.
        ended: one of ENDS.
        tokens, logprobs: as generated, so that two runtimes can be compared token for token.
        n_best: empty.
    """
    tokens = [int(token) for token in output["tokens"]]
    logprobs = [float(value) for value in output["logprobs"]]
    ended = ENDS[int(output["ended"][0])]
    whole = text(tokens[:-1] if ended == "end" else tokens, tokenizer)
    before = cut(whole, settings.stop)
    if ended == "length":
        whole = complete(whole)
    said = (whole if before is None else before).strip()
    return {
        "text": said,
        "no_answer": not said,
        "probability": round(math.exp(float(np.mean(logprobs))), 6),
        "n_best": [],
        "ended": ended,
        "tokens": tokens,
        "logprobs": [round(value, 5) for value in logprobs],
    }
