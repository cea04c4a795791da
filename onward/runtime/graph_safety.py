"""No graph may refer to other files, refused before a runtime sees it.

ONNX Runtime opens whatever path an initialiser's `external_data` names, links included. So the
bytes are parsed (which opens nothing) and every tensor is looked at: initialisers, sparse ones,
attributes, subgraphs and functions. Operators that load something else by a path are refused too.

What this does not cover: a graph that is merely expensive to run.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from onward.errors import IntegrityError

LOADERS = frozenset({"EPContext", "PythonOp", "PythonOpGrad"})
"""Operators of ONNX Runtime that open a compiled graph by its path, or call into Python."""


def check(model: bytes, *, where: str) -> dict[str, int | None]:
    """Refuse what is not an ONNX graph that stands by itself.

    Returns:
        The last size of each output by its name, None where it is left open.

    Raises:
        IntegrityError: not an ONNX model, a tensor whose data lies in another file, or an
            operator that loads one.
    """
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from onnx import ModelProto

    proto = ModelProto()
    try:
        proto.ParseFromString(model)
    except DecodeError as error:
        raise _refused("The graph is not an ONNX model", where) from error
    if not proto.graph.node:
        raise _refused("The graph is not an ONNX model: it has no nodes", where)
    for part in _parts(proto):
        kind = type(part).__name__
        if kind == "NodeProto" and part.op_type in LOADERS:
            raise _refused(f"Operator {part.op_type} loads something else", where)
        if kind == "TensorProto" and (part.data_location == part.EXTERNAL or part.external_data):
            paths = [entry.value for entry in part.external_data if entry.key == "location"]
            named = f" ({paths[0]!r:.80})" if paths else ""
            raise _refused(f"Tensor {part.name!r:.80} lies in another file{named}", where)
    return {output.name: _width(output) for output in proto.graph.output}


def _width(output: Any) -> int | None:
    sizes = output.type.tensor_type.shape.dim
    fixed = len(sizes) > 1 and sizes[-1].HasField("dim_value")
    return int(sizes[-1].dim_value) if fixed else None


def _parts(proto: Any) -> Iterator[Any]:
    """Every node and tensor of a model."""
    yield from _of_graph(proto.graph)
    for function in proto.functions:
        yield from _of_nodes(function.node)
        for default in function.attribute_proto:
            yield from _of_attribute(default)
    for training in proto.training_info:
        yield from _of_graph(training.initialization)
        yield from _of_graph(training.algorithm)


def _of_graph(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _of_nodes(graph.node)


def _of_nodes(nodes: Any) -> Iterator[Any]:
    for node in nodes:
        yield node
        for attribute in node.attribute:
            yield from _of_attribute(attribute)


def _of_attribute(attribute: Any) -> Iterator[Any]:
    yield attribute.t
    yield from attribute.tensors
    for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
        yield from (sparse.values, sparse.indices)
    for graph in (attribute.g, *attribute.graphs):
        yield from _of_graph(graph)


def _refused(what: str, where: str) -> IntegrityError:
    return IntegrityError(
        what,
        where=where,
        fix="export the model as one file; a graph that names other files is never loaded",
    )
