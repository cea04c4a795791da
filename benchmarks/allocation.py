"""Claim: a training that keeps the memory it frees takes less of the processor.

    python -m benchmarks.allocation [--record] [--rounds 3] [--steps 30]

A model of MiniLM's size with drawn weights takes optimizer steps on batches of 8 texts of 8 to 40
tokens, on one thread, in a process of its own: as stages start it (onward/allocation.py) and by
glibc's default, by turns; once by its loss alone and once with the penalty of ewc, which makes
blocks of the size of every weight. Compared are processor seconds, which other work on the machine
changes less than the clock's, and the most memory that was held. Lengths differ from batch to
batch, as they do in a training: blocks of other sizes leave gaps between them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from typing import Any

from benchmarks import children, record

LESS, MEMORY = 0.95, 1.35
"""Times the default's processor seconds, and the memory that may be paid for it, at most."""

STEPS = f"""
import resource, sys
from onward import allocation
count, penalty, kept = int(sys.argv[1]), sys.argv[2] == "ewc", sys.argv[3] == "kept"
if kept and not allocation.keep():
    raise SystemExit("this C library does not let memory be kept")
{children.MODEL}
torch.set_num_threads(1)
base = [weight.detach().clone() for weight in model.parameters()]
fisher = [torch.rand_like(weight) for weight in base]
for step in range(5 + count):
    if step == 5:
        began = resource.getrusage(resource.RUSAGE_SELF)
    tokens = torch.randint(0, 30_000, (8, int(torch.randint(8, 41, ()))))
    loss = model(input_ids=tokens, labels=torch.randint(0, {children.LABELS}, (8,))).loss
    if penalty:
        loss = loss + sum(
            (f * (weight - b) ** 2).sum()
            for f, weight, b in zip(fisher, model.parameters(), base, strict=True))
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
ended = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({{
    "seconds": ended.ru_utime - began.ru_utime + ended.ru_stime - began.ru_stime,
    "kernel": ended.ru_stime - began.ru_stime,
    "peak_mb": ended.ru_maxrss / 1024,
    "loss": loss.item()}}))
"""


def main() -> int:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=30, help="of each round, after five more")
    parser.add_argument("--record", action="store_true", help="keep the run in results.jsonl")
    options = parser.parse_args()
    told = {term: _compared(term, options) for term in ("none", "ewc")}
    worst, most = (
        max(found[name] for found in told.values()) for name in ("times_seconds", "times_memory")
    )
    found = record.result(
        "allocation",
        worst,
        "times the processor seconds of glibc's default; the term that gains least",
        LESS,
        met=worst <= LESS and most <= MEMORY,
        memory={
            "value": most,
            "unit": "times the memory of glibc's default, the more of both",
            "target": MEMORY,
            "met": most <= MEMORY,
        },
        terms=told,
        settings={"rounds": options.rounds, "steps": options.steps},
    )
    return record.finish(found, record=options.record)


def _compared(term: str, options: argparse.Namespace) -> dict[str, Any]:
    """Medians of both, and of their ratios round by round."""
    rounds = [
        {which: steps(options.steps, term, which) for which in ("default", "kept")}
        for _ in range(options.rounds)
    ]
    if any(one["default"]["loss"] != one["kept"]["loss"] for one in rounds):
        raise SystemExit("The losses differ: where memory comes from changed what was learned")
    ratios = {
        name: statistics.median(one["kept"][name] / one["default"][name] for one in rounds)
        for name in ("seconds", "peak_mb")
    }
    medians = {
        f"{name}_{which}": round(statistics.median(one[which][name] for one in rounds), 2)
        for name in ("seconds", "kernel", "peak_mb")
        for which in ("default", "kept")
    }
    told = {
        "times_seconds": round(ratios["seconds"], 3),
        "times_memory": round(ratios["peak_mb"], 3),
        **medians,
    }
    print(term, told, flush=True)
    return told


def steps(count: int, term: str, which: str) -> dict[str, float]:
    """What so many steps took in a process of its own."""
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("MALLOC_") and name != "GLIBC_TUNABLES"
    }
    found: dict[str, float] = children.printed(STEPS, env, str(count), term, which)
    return found


if __name__ == "__main__":
    sys.exit(main())
