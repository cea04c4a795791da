"""The exported graph: fused, dynamic, one file, and the answers of torch at every shape."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onward.errors import ExportError
from onward.project import Project
from onward.recipes.shapes import ExportSpec
from onward.runtime import graph as graphs
from onward.runtime import graph_safety
from onward.runtime.graph import Graph
from onward.runtime.session import Session


@pytest.fixture(scope="module")
def reader(evaluated: Project) -> Any:
    from onward.recipes import extractive

    return extractive.build(evaluated.made("finetune") / "model", {}).eval()


@pytest.fixture(scope="module")
def session(packed: Path) -> Session:
    return Session(packed, "fp32", "cpu", threads=1)


def _parsed(model: bytes) -> Any:
    import onnx

    return onnx.load_model_from_string(model)


def test_attention_of_every_layer_is_fused(graph: Graph) -> None:
    found = [node.op_type for node in _parsed(graph.model).graph.node]
    assert sum(found.count(kind) for kind in graphs.ATTENTION) == graph.layers == 2


@pytest.mark.parametrize("fused", [0, 1, 3])
def test_another_count_of_fused_layers_is_an_error(graph: Graph, fused: int) -> None:
    with pytest.raises(ExportError, match=f"{fused} of 2 attention layers") as caught:
        graphs._require_fusion(replace(graph, attention_fused=fused))
    assert caught.value.details == {"fused": fused, "layers": 2}


def test_an_architecture_without_a_known_fusion_is_taken_as_it_is(graph: Graph) -> None:
    other = replace(graph, architecture="deberta-v2", attention_fused=0)
    graphs._require_fusion(other)
    assert not other.fusion_known


def test_both_dimensions_are_dynamic_and_named(graph: Graph) -> None:
    proto = _parsed(graph.model)
    for value in (*proto.graph.input, *proto.graph.output):
        sizes = value.type.tensor_type.shape.dim
        assert [size.HasField("dim_param") for size in sizes] == [True, True], value.name
    assert [value.name for value in proto.graph.input] == list(graph.inputs)
    assert [value.name for value in proto.graph.output] == list(graph.outputs)


def test_the_file_is_whole_and_holds_no_notes(graph: Graph) -> None:
    graph_safety.check(graph.model, where="test")
    proto = _parsed(graph.model)
    noted = [proto, proto.graph, *proto.graph.node, *proto.graph.value_info]
    assert not any(part.metadata_props for part in noted)
    assert b"site-packages" not in graph.model and b".py" not in graph.model


def test_a_graph_too_large_for_one_file_is_refused(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphs, "MAX_BYTES", 1000)
    with pytest.raises(ExportError, match="one file holds 1,000"):
        graphs.serialised(_parsed(graph.model))


def test_a_model_that_torch_makes_no_graph_of_is_refused_by_name() -> None:
    """It ended the stage with a traceback of the exporter's, after the training."""
    import torch
    from transformers import BertConfig

    class Asking(torch.nn.Module):
        config = BertConfig(num_hidden_layers=1)

        def forward(self, input_ids: Any, attention_mask: Any, **_: Any) -> dict[str, Any]:
            told = input_ids.float()
            return {"logits": told if told.sum() > 3 else attention_mask.float()}

    spec = ExportSpec("model", ("input_ids", "attention_mask"), ("logits",), per_token=True)
    with pytest.raises(ExportError, match="no ONNX graph of a bert model: ") as caught:
        graphs.export(Asking().eval(), spec, opset=20)
    assert "another architecture" in caught.value.fix


@pytest.mark.parametrize("lengths", [(1,), (2,), (48,), (5, 48, 1), (17, 30), (48,) * 9])
def test_logits_are_those_of_torch_whatever_the_padding(
    reader: Any, session: Session, lengths: tuple[int, ...]
) -> None:
    """Every feature alone in torch, without padding, against the padded batch in ONNX Runtime."""
    import torch

    chance = np.random.default_rng(sum(lengths))
    batch = [
        {
            "input_ids": chance.integers(5, 90, length).tolist(),
            "token_type_ids": [0] * (length // 2) + [1] * (length - length // 2),
            "attention_mask": [1] * length,
        }
        for length in lengths
    ]
    for feature, ours in zip(batch, session.predict(batch), strict=True):
        with torch.no_grad():
            made = reader(**{name: torch.tensor([value]) for name, value in feature.items()})
        for name in ("start_logits", "end_logits"):
            assert ours[name].shape == (len(feature["input_ids"]),)
            np.testing.assert_allclose(ours[name], made[name][0].numpy(), atol=1e-4)


def test_rows_of_a_batch_do_not_touch_each_other(session: Session) -> None:
    feature = {"input_ids": [2, 9, 3], "token_type_ids": [0, 0, 1], "attention_mask": [1, 1, 1]}
    longer = {key: value * 9 for key, value in feature.items()}
    alone = session.predict([feature])[0]
    beside = session.predict([longer, feature])[1]
    np.testing.assert_allclose(alone["start_logits"], beside["start_logits"], atol=1e-5)
