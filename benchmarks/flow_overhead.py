"""What the flow adds to `dvc repro`: gates, promotion, Prefect, and one process a stage.

    python -m benchmarks.flow_overhead [--record] [--pairs 3]

Pairs of runs on the same cold inputs, interleaved: a fresh copy of a toy project with one open
episode each time, no run cache, a running local server. `dvc repro` ends with a benchmarked
package; `onward run` does the same and also judges twice, promotes, probes the package in a fresh
process and puts version and verdict under DVC. All of that counts as overhead here.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import record as results
from onward import files
from onward.project import Project
from tasks import server
from tests.flows import projects

TARGET = 10.0
"""Seconds."""


def main() -> None:
    """Measure, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        owner = Project(Path(folder) / "server")
        owner.root.mkdir()
        api = server.start(owner, print).api
        try:
            pairs = [measure(Path(folder), number, api) for number in range(options.pairs + 1)][1:]
        finally:
            server.stop(owner)
    extra = [flow - repro for repro, flow in pairs]
    for repro, flow in pairs:
        print(f"dvc repro {repro:6.1f} s   flow {flow:6.1f} s   difference {flow - repro:5.1f} s")
    middle = statistics.median(extra)
    found = results.result(
        "flow_overhead",
        round(middle, 1),
        "s",
        TARGET,
        middle <= TARGET,
        pairs=[[round(repro, 1), round(flow, 1)] for repro, flow in pairs],
    )
    sys.exit(results.finish(found, record=options.record))


def measure(folder: Path, number: int, api: str) -> tuple[float, float]:
    """Seconds of `dvc repro` and of `onward run`, each in a copy of its own."""
    repro = projects.opened(folder / f"repro-{number}").root
    flow = projects.opened(folder / f"flow-{number}").root
    started = time.perf_counter()
    projects.dvc(repro, "repro")
    between = time.perf_counter()
    projects.onward(flow, "run", PREFECT_API_URL=api)
    ended = time.perf_counter()
    for project in (repro, flow):
        files.verify(project / "turn" / "export")
    return between - started, ended - between


if __name__ == "__main__":
    main()
