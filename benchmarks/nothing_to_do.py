"""Work that repeats is cheap: with nothing to do, `dvc repro` and the flow end at once.

    python -m benchmarks.nothing_to_do [--record] [--runs 7] [--project DIR]

Times whole processes, in turn: `dvc repro` and `onward run` against a running local server. Without
--project it makes a toy project (two layers) and promotes it first; the time with nothing to do
does not depend on the model, since neither loads one.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import record as results
from tests.flows import projects

TARGETS = {"dvc_repro": 1.5, "flow": 5.0}
"""Seconds."""


def main() -> None:
    """Measure, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--project", type=Path)
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    if options.project and not (options.project / "dvc.yaml").is_file():
        parser.error(f"--project: {options.project} is no project of Onward")
    with tempfile.TemporaryDirectory() as folder:
        project = options.project or projects.promoted(Path(folder)).root
        try:
            seconds = measure(project, options.runs)
        finally:
            if options.project is None:
                projects.onward(project, "server", "stop", code=None)
    codes = [tell(name, taken, options.record) for name, taken in seconds.items()]
    sys.exit(max(codes))


def tell(name: str, taken: list[float], record: bool) -> int:
    """One claim's table line and JSON line. 0 where it is met."""
    middle = statistics.median(taken)
    print(f"{name:10} median {middle:.2f} s  of {sorted(taken)}")
    found = results.result(
        f"nothing_to_do_{name}",
        round(middle, 2),
        "s",
        TARGETS[name],
        middle <= TARGETS[name],
        seconds=taken,
    )
    return results.finish(found, record=record)


def measure(project: Path, runs: int) -> dict[str, list[float]]:
    """Seconds of each run, the two doors in turn, after one of each that is not counted."""
    taken: dict[str, list[float]] = {"dvc_repro": [], "flow": []}
    for number in range(runs + 1):
        for name in taken:
            started = time.perf_counter()
            if name == "dvc_repro":
                said = projects.dvc(project, "repro").stdout
                assert "Running stage 'finetune'" not in said, "there was something to do"
            else:
                said = projects.onward(project, "run", "--json").stdout
                assert json.loads(said)["outcome"] == "NothingToDo", said
            if number:
                taken[name].append(round(time.perf_counter() - started, 3))
    return taken


if __name__ == "__main__":
    main()
