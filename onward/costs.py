"""What a turn cost: seconds and peak memory of each stage that was run, in .onward/costs.jsonl.

    with costs.measured(project, "finetune"):     # around the stage, in its own process
        run(project)
    costs.by_turn(project)["3f…"].minutes

It lies outside the stages' outputs, which hold no time, and may be deleted: then minutes and memory
of earlier turns are not known any more. A stage that DVC skipped, or that failed, has no line.

What it does not cover: memory of a GPU, and the gates and the promotion, which are no stages.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from onward import files
from onward.project import Project

SCHEMA = 1


@dataclass(frozen=True)
class Cost:
    """Of one turn: all its stages together, each as often as it was run."""

    seconds: float
    peak_mb: float
    """The largest of its stages' peaks of resident memory, in 10^6 bytes."""
    stages: tuple[str, ...]
    """Those that were run, in order."""

    @property
    def minutes(self) -> float:
        """The same seconds, in minutes."""
        return self.seconds / 60


@contextmanager
def measured(project: Project, stage: str) -> Iterator[None]:
    """Append a line with the block's seconds and this process's peak memory, if it ends well."""
    begun = time.monotonic()
    yield
    line = {
        "schema": SCHEMA,
        "stage": stage,
        "turn": _turn(project),
        "seconds": round(time.monotonic() - begun, 3),
        "peak_mb": round(_peak() / 1e6, 1),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    files.append_line(_file(project), line)


def by_turn(project: Project) -> dict[str, Cost]:
    """Turn id -> its cost, the turn whose stage ran last at the end; empty where none is known.

    Raises:
        IntegrityError: a line before the last is not JSON.
    """
    of: dict[str, list[dict[str, Any]]] = {}
    for line in files.read_lines(_file(project), notes=True):
        if line.get("schema") == SCHEMA and line.get("turn"):
            lines = of.pop(line["turn"], [])
            of[line["turn"]] = [*lines, line]
    return {
        turn: Cost(
            seconds=sum(line["seconds"] for line in lines),
            peak_mb=max(line["peak_mb"] for line in lines),
            stages=tuple(dict.fromkeys(line["stage"] for line in lines)),
        )
        for turn, lines in of.items()
    }


def _file(project: Project) -> Path:
    return project.private / "costs.jsonl"


def _turn(project: Project) -> str | None:
    return files.digest(files.read_json(project.turn)) if project.turn.exists() else None


def _peak() -> int:
    """Bytes: the most that this process, or one that it waited for, held in memory at a time.

    Its own peak is read from /proc: what `getrusage` says of it counts the process that started it.
    """
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    own = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
    return 1024 * max(int(own), children)
