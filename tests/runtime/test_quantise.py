"""Each int8 scheme gives a smaller graph that still resembles fp32, the same bytes every time."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onward.recipes import extractive
from onward.runtime import graph_safety, package, quantise
from onward.runtime.graph import Graph
from onward.runtime.quantise import SCHEMES, Scheme
from onward.runtime.session import Session
from tests import toys


@pytest.fixture(scope="module", params=SCHEMES, ids=lambda scheme: scheme.name)
def scheme(request: pytest.FixtureRequest) -> Scheme:
    found: Scheme = request.param
    return found


def _kinds(model: bytes) -> Counter[str]:
    import onnx

    return Counter(node.op_type for node in onnx.load_model_from_string(model).graph.node)


def test_it_is_smaller_one_file_and_the_same_again(graph: Graph, scheme: Scheme) -> None:
    made = scheme.make(graph)
    assert len(made) < 0.9 * len(graph.model)
    assert made == scheme.make(graph)
    graph_safety.check(made, where=scheme.name)


def test_its_logits_resemble_those_of_fp32(graph: Graph, scheme: Scheme, packed: Path) -> None:
    fp32 = package.read(packed, "fp32")
    exact = Session(fp32, provider="cpu", threads=1)
    rows = toys.toy_rows(6, seed=5)
    batch = extractive.encode(rows, exact.tokenizer, exact.prepare, labels=None)
    made = Session(replace(fp32, model=scheme.make(graph)), provider="cpu", threads=1)
    for ours, theirs in zip(made.predict(batch), exact.predict(batch), strict=True):
        gap = ours["start_logits"] - theirs["start_logits"]
        assert 0 < np.sqrt(np.mean(gap**2)) < 0.5 * np.std(theirs["start_logits"])


def test_dynamic_takes_attention_and_all_matrices_but_the_head(graph: Graph) -> None:
    kinds = _kinds(quantise.dynamic(graph))
    assert (kinds["QAttention"], kinds["Attention"]) == (2, 0)
    assert (kinds["MatMulInteger"], kinds["MatMul"]) == (6, 1)


def test_mixed_leaves_the_second_matrix_and_the_embeddings(graph: Graph) -> None:
    kinds = _kinds(quantise.dynamic_mixed(graph))
    assert (kinds["MatMulInteger"], kinds["MatMul"]) == (4, 3)
    assert len(quantise.dynamic(graph)) < len(quantise.dynamic_mixed(graph))


def test_blocks_takes_all_matrices_but_the_head(graph: Graph) -> None:
    kinds = _kinds(quantise.blocks(graph))
    assert (kinds["MatMulNBits"], kinds["MatMul"]) == (6, 1)


def test_the_fp32_graph_is_left_alone(graph: Graph, scheme: Scheme) -> None:
    before: Any = bytes(graph.model)
    scheme.make(graph)
    assert graph.model == before
