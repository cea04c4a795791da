"""Claim: beside a busy process, a training's two threads step faster as stages start them.

    python -m benchmarks.shared_cores [--record] [--rounds 3] [--steps 12]

A model of MiniLM's size with drawn weights takes optimizer steps on a batch of 16 texts of 16
tokens, on two threads, in a process of its own: started as a stage starts (onward/stages/entry.py:
threads sleep soon where they wait) and by OpenMP's default, by turns, alone and beside one process
that never rests. Compared are the medians of all rounds. The part `alone` is what it costs on an
idle machine. Needs two cores and nothing else on them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks import children, record
from onward.stages import entry

FASTER, SLOWER = 1.5, 1.1
"""Times as fast beside other work, at least; times as slow alone, at most."""

STEPS = f"""{children.MODEL}
import time
torch.set_num_threads(2)
tokens, labels = torch.randint(0, 30_000, (16, 16)), torch.randint(0, 8, (16,))
taken = []
for step in range(3 + int(sys.argv[1])):
    began = time.perf_counter()
    model(input_ids=tokens, labels=labels).loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    taken.append(time.perf_counter() - began)
print(json.dumps(taken[3:]))
"""
NAMES = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


def main() -> int:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=12, help="of each round, after three more")
    parser.add_argument("--record", action="store_true", help="keep the run in results.jsonl")
    options = parser.parse_args()
    medians = {}
    for where in ("alone", "beside"):
        taken: dict[str, list[float]] = {"ours": [], "default": []}
        for _ in range(options.rounds):
            for which, found in taken.items():
                with busy(where == "beside"):
                    found += steps(options.steps, ours=which == "ours")
        medians[where] = {which: statistics.median(found) for which, found in taken.items()}
        print(where, {which: round(found, 3) for which, found in medians[where].items()})
    faster = medians["beside"]["default"] / medians["beside"]["ours"]
    slower = medians["alone"]["ours"] / medians["alone"]["default"]
    found = record.result(
        "shared_cores",
        round(faster, 2),
        "times as fast as by OpenMP's default, beside a busy process",
        FASTER,
        met=faster >= FASTER and slower <= SLOWER,
        alone={
            "value": round(slower, 3),
            "unit": "times OpenMP's default's seconds of a step, on an idle machine",
            "target": SLOWER,
            "met": slower <= SLOWER,
        },
        seconds={where: {k: round(v, 4) for k, v in of.items()} for where, of in medians.items()},
        settings={"rounds": options.rounds, "steps": options.steps, "spins": entry.SPINS},
    )
    return record.finish(found, record=options.record)


def steps(count: int, *, ours: bool) -> list[float]:
    """Seconds of each step of a training in a process of its own."""
    env = {name: value for name, value in os.environ.items() if name not in NAMES}
    if ours:
        env["GOMP_SPINCOUNT"] = entry.SPINS
    taken: list[float] = children.printed(STEPS, env, str(count))
    return taken


@contextmanager
def busy(wanted: bool) -> Iterator[None]:
    """A process that never rests, while this lasts."""
    child = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if wanted else None
    try:
        yield
    finally:
        if child is not None:
            child.kill()
            child.wait()


if __name__ == "__main__":
    sys.exit(main())
