"""From a torch model to one ONNX file: dynamic shapes, attention fused, the same bytes every time.

`torch.onnx.export(dynamo=True)`, then onnxscript's `optimize_for_ort` (ONNX Runtime's own optimiser
fuses no attention in graphs made this way), then constants are folded, because the fusion leaves
the joined query, key and value weights as a Concat. Stack traces and other notes are dropped: they
hold paths and would make equal graphs differ.

>>> sorted(FUSED)[:2]
['bert', 'camembert']
"""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from onward.errors import ExportError
from onward.recipes import generative
from onward.recipes.shapes import ExportSpec

FUSED = frozenset({"bert", "roberta", "xlm-roberta", "camembert", "electra", "distilbert"})
"""Architectures whose every layer must come out as one fused attention node."""

ATTENTION = ("Attention", "MultiHeadAttention", "GroupQueryAttention")
MAX_BYTES = 2**31 - 1
"""protobuf's limit. A larger model would need external data, which is never loaded."""

_UNLIMITED = 2**40


@dataclass(frozen=True)
class Graph:
    """One exported graph."""

    model: bytes
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: int
    attention_fused: int
    layers: int
    architecture: str

    @property
    def fusion_known(self) -> bool:
        """Whether fewer fused attention nodes than layers would be an error."""
        return self.architecture in FUSED


def export(model: Any, spec: ExportSpec, *, opset: int) -> Graph:
    """Export a model in evaluation mode.

    Args:
        model: a torch model whose outputs have the names of `spec.outputs`.
        spec: inputs (int64 [batch, length]), of which both dimensions stay dynamic, and outputs
            [batch, length], or with C fixed [batch, C] where `spec.per_token` is false and
            [batch, length, C] where `spec.per_label` is true.
        opset: of the standard operators.

    Raises:
        ExportError: torch cannot make a graph of it, the attention of a known architecture was not
            fused, an output has another shape, or the file would need external data.
    """
    with quiet():
        fused = fuse(_program(model, spec, opset).model)
    _require_shapes(fused.graph.outputs, spec)
    return finished(fused, spec.inputs, spec.outputs, model.config)


def fuse(model: Any) -> Any:
    """The graph of an exported program with its attention fused and its constants folded.

    Args:
        model: of onnx_ir; it is changed.
    """
    import onnx_ir.passes.common as passes
    from onnxscript import optimizer
    from onnxscript.rewriter.ort_fusions import optimize_for_ort

    fused, _ = optimize_for_ort(model)
    optimizer.fold_constants(fused, input_size_limit=_UNLIMITED, output_size_limit=_UNLIMITED)
    passes.RemoveUnusedNodesPass()(fused)
    passes.ClearMetadataAndDocStringPass()(fused)
    return fused


def finished(fused: Any, inputs: tuple[str, ...], outputs: tuple[str, ...], config: Any) -> Graph:
    """A fused graph of a model with this configuration. Raises ExportError as `export`."""
    import onnx_ir

    counts = Counter(node.op_type for node in fused.graph)
    graph = Graph(
        model=serialised(onnx_ir.to_proto(fused)),
        inputs=inputs,
        outputs=outputs,
        nodes=sum(counts.values()),
        attention_fused=sum(counts[kind] for kind in ATTENTION),
        layers=int(config.num_hidden_layers),
        architecture=str(config.model_type),
    )
    _require_fusion(graph)
    return graph


def serialised(proto: Any) -> bytes:
    """The one byte form of a graph, without notes. Raises ExportError: larger than one file."""
    graph = proto.graph
    values = (*graph.input, *graph.output, *graph.value_info, *graph.initializer)
    nodes = [node for part in (graph, *proto.functions) for node in part.node]
    for part in (proto, graph, *proto.functions, *values, *nodes):
        del part.metadata_props[:]
        part.doc_string = ""
    size = proto.ByteSize()
    if size > MAX_BYTES:
        raise ExportError(
            f"The graph needs {size:,} bytes; one file holds {MAX_BYTES:,}",
            where="turn/finetune/model",
            fix="use a smaller encoder: external data is never loaded",
        )
    data: bytes = proto.SerializeToString(deterministic=True)
    return data


def _program(model: Any, spec: ExportSpec, opset: int) -> Any:
    import torch

    module, example, dynamic = (generative.traced if spec.cached else _named)(model, spec)
    try:
        with torch.no_grad():
            return torch.onnx.export(
                module,
                example,
                dynamo=True,
                opset_version=opset,
                input_names=list(spec.inputs),
                output_names=list(spec.outputs),
                dynamic_shapes=dynamic,
                external_data=False,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        why = " ".join(str(error.__cause__ or error).split())[:200]
        raise ExportError(
            f"torch makes no ONNX graph of a {model.config.model_type} model: {why}",
            where=f"turn/finetune/model, its graph {spec.name}",
            fix="choose a model of another architecture: bert, llama, qwen2, gpt2, marian and t5 "
            "are tried",
        ) from error


def _named(model: Any, spec: ExportSpec) -> tuple[Any, tuple[Any, ...], tuple[Any, ...]]:
    """A model as a module with the spec's inputs and outputs, example inputs, dynamic shapes."""
    import torch

    class Named(torch.nn.Module):
        """The model with inputs and outputs in the order of the spec."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *inputs: Any) -> tuple[Any, ...]:
            named = dict(zip(spec.inputs, inputs, strict=True))
            made = self.model(**named, return_dict=True)
            return tuple(made[name] for name in spec.outputs)

    # Two rows of unequal length: sizes of 1 would be taken for constants.
    example = {name: torch.ones(2, 16, dtype=torch.int64) for name in spec.inputs}
    example["attention_mask"][1, 10:] = 0
    dimensions = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length")}
    return Named().eval(), tuple(example.values()), (tuple(dimensions for _ in spec.inputs),)


def _require_shapes(outputs: Any, spec: ExportSpec) -> None:
    """A session tells by an output's sizes whether it speaks of tokens or of whole texts."""
    wanted = [False, not spec.per_token, *([True] if spec.per_label else [])]
    for output in outputs:
        if spec.cached and output.name != "logits":
            wanted = [False, True, False, True]
        fixed = [isinstance(size, int) for size in output.shape or ()]
        if fixed != wanted:
            raise ExportError(
                f"The output {output.name} came out with the shape {output.shape}",
                where=f"graph {spec.name}",
                fix="install the pinned torch, onnx and onnxscript (`make env`)",
            )


def _require_fusion(graph: Graph) -> None:
    if graph.fusion_known and graph.attention_fused != graph.layers:
        raise ExportError(
            f"{graph.attention_fused} of {graph.layers} attention layers were fused",
            where=f"architecture {graph.architecture}",
            fix="install the pinned torch, onnx and onnxscript (`make env`); other versions draw "
            "the graph differently",
            details={"fused": graph.attention_fused, "layers": graph.layers},
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Without the exporter's notes about operators of packages that are not installed."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
