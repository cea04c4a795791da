"""Several windows in one line of a batch, so that little of it is padding.

>>> lines([5, 3, 4, 2], 8)
[[0, 1], [2, 3]]

Each window's positions begin at 0, and there is no attention mask: most of transformers' models
then let a token attend to its own window alone (`find_packed_sequence_indices`). A test holds that
every window's loss and logits are those that it has by itself. Others would read on across windows
(OPT, BLOOM, models of convolutions): `apart` asks a model, whatever it is called. What this does
not cover: tunings that put tokens before a line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from onward.recipes.generative import MOST_AWAY, away
from onward.recipes.shapes import NOTHING


def lines(lengths: Sequence[int], most: int) -> list[list[int]]:
    """Which windows share a line: the longest first, each where it fits first.

    Args:
        lengths: tokens of each window.
        most: tokens of a line; a longer window has one to itself.
    """
    found: list[list[int]] = []
    free: list[int] = []
    for number in sorted(range(len(lengths)), key=lambda n: (-lengths[n], n)):
        at = next((at for at, room in enumerate(free) if room >= lengths[number]), None)
        if at is None:
            found.append([number])
            free.append(most - lengths[number])
        else:
            found[at].append(number)
            free[at] -= lengths[number]
    return found


def batch(windows: Sequence[Mapping[str, Any]], pad: int, most: int) -> dict[str, Any]:
    """Tensors of windows with input_ids and labels, int64 [lines, longest].

    Returns:
        input_ids, labels (nothing is learned of a window's first token, which no token of its own
        comes before), position_ids, and use_cache (False: a cache would see the windows of a line
        as one text).
    """
    import torch

    shares = lines([len(window["input_ids"]) for window in windows], most)
    width = max(sum(len(windows[n]["input_ids"]) for n in share) for share in shares)
    tokens = np.full((len(shares), width), pad, dtype=np.int64)
    labels = np.full_like(tokens, NOTHING)
    positions = np.zeros_like(tokens)
    for line, share in enumerate(shares):
        start = 0
        for number in share:
            length = len(windows[number]["input_ids"])
            here = slice(start, start + length)
            tokens[line, here] = windows[number]["input_ids"]
            labels[line, here] = windows[number]["labels"]
            labels[line, start] = NOTHING
            positions[line, here] = np.arange(length)
            start += length
    arrays = {"input_ids": tokens, "labels": labels, "position_ids": positions}
    return {name: torch.from_numpy(array) for name, array in arrays.items()} | {"use_cache": False}


def apart(model: Any) -> bool:
    """Whether a window says the same behind another one in its line as by itself.

    Args:
        model: a causal model; it is left in the mode it is in.
    """
    import torch

    words = model.get_input_embeddings().num_embeddings
    tokens = [(np.arange(length) * 7 + 3 * length) % words for length in (7, 5)]
    windows = [{"input_ids": each, "labels": each} for each in tokens]
    line, alone = batch(windows, 0, 12), batch(windows[1:], 0, 12)
    device, mode = next(model.parameters()).device, model.training
    model.eval()
    try:
        with torch.inference_mode():
            told, own = (
                model(**{k: v if v is False else v.to(device) for k, v in one.items()}).logits
                for one in (line, alone)
            )
    except (TypeError, ValueError, RuntimeError):  # it takes no positions
        return False
    finally:
        model.train(mode)
    return away(told[:, 7:], own) < MOST_AWAY
