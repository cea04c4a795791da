"""From a model of adapters to what ONNX Runtime switches between: two graphs and a file an adapter.

    model.onnx               the encoder once; LoRA's matrices and the head are inputs of the graph
    router.onnx              from the frozen encoder's embedding to each adapter's log-probability
    adapter-N.onnx_adapter   one adapter's matrices and head, in ONNX Runtime's own format

The matrices have a free rank, so adapters of other ranks fit; their scale, alpha by rank, is
multiplied into the second matrix. Without an adapter the inputs are zeros, and the graph's output
`embedding` is the frozen encoder's: what the router reads. A later turn adds an adapter and makes
the router anew; the graph's bytes stay. Running them is onward/runtime/switched.py.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from onward.learning import pooled
from onward.recipes.shapes import ExportSpec
from onward.runtime import graph as graphs
from onward.runtime.graph import Graph
from onward.runtime.switched import EMBEDDING, ROUTES

_PEFT = "base_model.model."
_RANK, _OWN = 4, 5
"""Sizes of the example: a rank, and labels of an adapter. Any but 0 and 1, which are constants."""


@dataclass(frozen=True)
class Switchable:
    """What is exported of a model of adapters."""

    graph: Graph
    router: bytes
    adapters: tuple[bytes, ...]
    """In the order of the router's outputs."""


def export(model: Any, spec: ExportSpec, *, opset: int) -> Switchable:
    """Export a `routed.Routed` in evaluation mode.

    Args:
        model: what `routed.load` gave.
        spec: of the recipe, as for a model without adapters.
        opset: of the standard operators.

    Raises:
        ExportError: as `graph.export`.
    """
    every = [_tensors(model, at) for at in range(len(model.head_names))]
    with _alone(model), graphs.quiet():
        program = _program(model, spec, every[0], opset)
        fused = graphs.fuse(program.model)
        graph = graphs.finished(fused, spec.inputs, spec.outputs, model.config)
        router = _router(model, opset)
    adapters = tuple(adapter(model, at) for at in range(len(every)))
    return Switchable(_with_defaults(graph, every[0]), router, adapters)


def adapter(model: Any, at: int) -> bytes:
    """One adapter of a model in ONNX Runtime's own format."""
    return _file(_tensors(model, at))


def _tensors(model: Any, at: int) -> dict[str, Any]:
    """An adapter's matrices and head by the names of the graph's inputs, sorted by name."""
    found = {}
    for name, module in model.model.named_modules():
        if hasattr(module, "lora_A") and str(at) in module.lora_A:
            plain = name.removeprefix(_PEFT)
            found[f"{plain}.lora_A"] = module.lora_A[str(at)].weight.detach()
            scaled = module.lora_B[str(at)].weight.detach() * module.scaling[str(at)]
            found[f"{plain}.lora_B"] = scaled
    for n, name in enumerate(model.head_names[at]):
        found[name] = getattr(model, f"head:{at}:{n}")
    return {name: found[name] for name in sorted(found)}


def _inside(name: str) -> str:
    """The name in peft's model of the weight that an input stands for."""
    if name.endswith((".lora_A", ".lora_B")):
        return f"{_PEFT}{name}.0.weight"
    return f"{_PEFT}{name}"


@contextmanager
def _alone(model: Any) -> Iterator[None]:
    """The first adapter active, its scale 1 (it is in the inputs), and every bias added last.

    The fusion of attention takes whatever is added last to a projection for its bias.
    """
    adapted = [module for module in model.model.modules() if hasattr(module, "lora_A")]
    before = [(module.scaling["0"], module.base_layer.bias) for module in adapted]
    model.model.set_adapter("0", inference_mode=True)
    hooks = []
    try:
        for module, (_, bias) in zip(adapted, before, strict=True):
            module.scaling["0"] = 1.0
            module.base_layer.bias = None
            if bias is not None:
                hooks.append(module.register_forward_hook(partial(_biased, bias.detach())))
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for module, (scale, bias) in zip(adapted, before, strict=True):
            module.scaling["0"], module.base_layer.bias = scale, bias


def _biased(bias: Any, module: Any, given: Any, made: Any) -> Any:
    return made + bias


def _program(model: Any, spec: ExportSpec, tensors: Mapping[str, Any], opset: int) -> Any:
    import torch

    class Reader(torch.nn.Module):
        """One adapter's outputs and the embedding, the adapter's weights among the inputs."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model.model

        def forward(self, *given: Any) -> tuple[Any, ...]:
            texts = dict(zip(spec.inputs, given, strict=False))
            rest = given[len(spec.inputs) :]
            weights = dict(zip(map(_inside, tensors), rest, strict=True))
            seen: list[Any] = []
            base = self.model.get_base_model().base_model
            hook = base.register_forward_hook(lambda _, __, made: seen.append(made))
            made = torch.func.functional_call(self.model, weights, (), texts)
            hook.remove()
            embedding = pooled.mean(seen[0].last_hidden_state, texts["attention_mask"])
            return (*(made[name] for name in spec.outputs), embedding)

    example = {name: torch.ones(2, 16, dtype=torch.int64) for name in spec.inputs}
    example["attention_mask"][1, 10:] = 0
    batch, length = torch.export.Dim("batch"), torch.export.Dim("length")
    shapes: list[dict[int, Any]] = [{0: batch, 1: length} for _ in spec.inputs]
    rank, own = torch.export.Dim("rank"), torch.export.Dim("own")
    for name, tensor in tensors.items():
        free = _free(model, name, tensor)
        sizes = list(tensor.shape)
        if free is not None:
            sizes[free] = _RANK if "lora_" in name else _OWN
        shapes.append({} if free is None else {free: rank if "lora_" in name else own})
        example[name] = torch.zeros(sizes)
    with torch.no_grad():
        return torch.onnx.export(
            Reader().eval(),
            tuple(example.values()),
            dynamo=True,
            opset_version=opset,
            input_names=list(example),
            output_names=[*spec.outputs, EMBEDDING],
            dynamic_shapes=(tuple(shapes),),
            external_data=False,
            verbose=False,
        )


def _free(model: Any, name: str, tensor: Any) -> int | None:
    """The dimension of an input that adapters differ in: the rank, or their own labels."""
    if name.endswith(".lora_A"):
        return 0
    if name.endswith(".lora_B"):
        return 1
    labels = len(getattr(model, "places:0"))
    return 0 if labels and len(tensor) == labels else None


def _with_defaults(graph: Graph, tensors: Mapping[str, Any]) -> Graph:
    """The graph with an adapter of zeros where none is given; without one of rank 0."""
    import numpy as np
    from onnx import ModelProto, numpy_helper

    proto = ModelProto()
    proto.ParseFromString(graph.model)
    for name, tensor in tensors.items():
        sizes = list(tensor.shape)
        if name.endswith(".lora_A"):
            sizes[0] = 1
        elif name.endswith(".lora_B"):
            sizes[1] = 1
        zeros = np.zeros(sizes, dtype=np.float32)
        proto.graph.initializer.append(numpy_helper.from_array(zeros, name))
    return replace(graph, model=graphs.serialised(proto))


def _router(model: Any, opset: int) -> bytes:
    """The graph embedding [B, D] -> routes [B, E]."""
    import onnx_ir
    import onnx_ir.passes.common as passes
    import torch

    width = model.router.projection.shape[0]
    with torch.no_grad():
        program = torch.onnx.export(
            model.router,
            (torch.ones(2, width),),
            dynamo=True,
            opset_version=opset,
            input_names=[EMBEDDING],
            output_names=[ROUTES],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            external_data=False,
            verbose=False,
        )
    passes.ClearMetadataAndDocStringPass()(program.model)
    return graphs.serialised(onnx_ir.to_proto(program.model))


def _file(tensors: Mapping[str, Any]) -> bytes:
    """The tensors in ONNX Runtime's format for adapters."""
    import numpy as np
    import onnxruntime

    made = onnxruntime.AdapterFormat()
    made.set_adapter_version(1)
    made.set_model_version(1)
    values = {
        name: onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(tensor.cpu().numpy()))
        for name, tensor in tensors.items()
    }
    made.set_parameters(values)
    with tempfile.TemporaryDirectory(prefix="onward-") as folder:
        path = Path(folder) / "adapter"
        made.export_adapter(str(path))
        return path.read_bytes()
