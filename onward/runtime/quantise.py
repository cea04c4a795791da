"""int8 variants of a graph, from the fastest to the most faithful.

`dynamic` multiplies whole matrices in int8, with one scale for a whole batch of activations, and
fuses attention with its weights (QAttention). It costs a small reader 3 to 4 F1, most of it in the
feed-forward's second matrix and the embeddings, which `dynamic-mixed` leaves as they are. `blocks`
gives each 32 weights a scale of their own (MatMulNBits) and leaves attention as it is: an eighth
of the error of `dynamic` in the logits, and about fp32's speed on processors without VNNI.

Whatever comes after the encoder's last normalisation (the head of a reader or a classifier, a
pooler, random features) stays fp32 everywhere: it is a small part of the work and all of the
answer.

What this does not cover: `dynamic` scales activations by what else is in the batch, so a score in
batches of 16 is not bit by bit what one query gets.

>>> [scheme.name for scheme in SCHEMES]
['dynamic', 'dynamic-mixed', 'blocks']
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onward.runtime.graph import ATTENTION, FUSED, Graph, serialised


@dataclass(frozen=True)
class Scheme:
    """One way to quantise; `make` gives the bytes of the int8 graph."""

    name: str
    about: str
    make: Callable[[Graph], bytes]


def dynamic(graph: Graph) -> bytes:
    """All matrices but the head, attention and the embeddings."""
    return _dynamic(graph, ["MatMul", "Gather", "Attention"], keep_second=False)


def dynamic_mixed(graph: Graph) -> bytes:
    """Attention and the feed-forward's first matrices only."""
    return _dynamic(graph, ["MatMul", "Attention"], keep_second=True)


def blocks(graph: Graph) -> bytes:
    """Blocks of 32 weights, activations in int8 too."""
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    proto = _parsed(graph)
    with _quiet():
        quantizer = MatMulNBitsQuantizer(
            proto,
            bits=8,
            block_size=32,
            is_symmetric=True,
            accuracy_level=4,
            nodes_to_exclude=_head(proto),
        )
        quantizer.process()
    return serialised(quantizer.model.model)


SCHEMES = (
    Scheme("dynamic", "all matrices and embeddings, per channel", dynamic),
    Scheme("dynamic-mixed", "without embeddings and the feed-forward's second", dynamic_mixed),
    Scheme("blocks", "all matrices, a scale for each 32 weights", blocks),
)
"""Tried in this order; the first within the quality budget is kept."""


def _dynamic(graph: Graph, kinds: list[str], *, keep_second: bool) -> bytes:
    from onnx import TensorProto
    from onnxruntime.quantization import QuantType, quantize_dynamic

    proto = _parsed(graph)
    del proto.graph.value_info[:]  # shape inference fails on fused operators
    if graph.architecture in FUSED:
        _mask_by_tokens(proto)
    second = [name for name, (rows, columns) in _matrices(proto) if rows > columns]
    head = _head(proto)
    # The quantiser first makes a MatMul of each Gemm, under this name.
    left_out = [*head, *(f"{name}_MatMul" for name in head), *(second if keep_second else ())]
    with _quiet(), tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "int8.onnx"
        quantize_dynamic(
            proto,
            target,
            op_types_to_quantize=kinds,
            per_channel=True,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=left_out,
            extra_options={"DefaultTensorType": TensorProto.FLOAT, "MatMulConstBOnly": True},
        )
        made = type(proto)()
        made.ParseFromString(target.read_bytes())
    return serialised(made)


def _mask_by_tokens(proto: Any) -> None:
    """Give attention the tokens' mask [batch, length] in the place of the bias made from it.

    QAttention has no input for a bias, and the quantiser silently passes over an attention that
    has one or that states the sizes of query, key and value.
    """
    from onnx import TensorProto, helper

    nodes = proto.graph.node
    found = [node for node in nodes if node.op_type == "Attention"]
    if not found:
        return
    for node in found:
        kept = [item for item in node.attribute if item.name != "qkv_hidden_sizes"]
        inputs = [*node.input[:3], "mask_int32"]
        del node.attribute[:], node.input[:]
        node.attribute.extend(kept)
        node.input.extend(inputs)
    cast = helper.make_node("Cast", ["attention_mask"], ["mask_int32"], to=TensorProto.INT32)
    nodes.insert(0, cast)
    while dead := [node for node in nodes if not _used(proto, node)]:
        for node in dead:
            nodes.remove(node)


def _used(proto: Any, node: Any) -> bool:
    wanted = {name for other in proto.graph.node for name in other.input}
    wanted |= {output.name for output in proto.graph.output}
    return any(name in wanted for name in node.output)


def _matrices(proto: Any) -> list[tuple[str, tuple[int, int]]]:
    """Name and (rows, columns) of each multiplication by a constant matrix."""
    constant = {item.name: tuple(item.dims) for item in proto.graph.initializer}
    return [
        (node.name, constant[node.input[1]])
        for node in proto.graph.node
        if node.op_type == "MatMul" and len(constant.get(node.input[1], ())) == 2
    ]


def _head(proto: Any) -> list[str]:
    """Names of the products between the encoder's last normalisation and the outputs."""
    makers = {name: node for node in proto.graph.node for name in node.output}
    outputs = [output.name for output in proto.graph.output]
    # What a model that writes remembers of a token is none of its answer.
    wanted = ["logits"] if "logits" in outputs else outputs
    found: dict[str, None] = {}
    seen: set[str] = set()
    while wanted:
        name = wanted.pop()
        node = makers.get(name)
        if node is None or name in seen:
            continue
        seen.add(name)
        if node.op_type.endswith("LayerNormalization") or node.op_type in ATTENTION:
            continue
        if node.op_type in ("MatMul", "Gemm"):
            found[node.name] = None
        wanted.extend(node.input)
    return list(found)


def _parsed(graph: Graph) -> Any:
    from onnx import ModelProto

    proto = ModelProto()
    proto.ParseFromString(graph.model)
    return proto


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the quantiser's advice on the root logger."""
    root, own = logging.getLogger(), logging.getLogger("onnxruntime.quantization")
    levels = (root.level, own.level)
    root.setLevel(logging.ERROR)
    own.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(levels[0])
        own.setLevel(levels[1])
