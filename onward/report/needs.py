"""What needs a person: at most three, the most urgent first, each with the command to give.

>>> Need("Nothing was learned yet", "onward run").command
'onward run'
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from onward import files
from onward.episodes.turn import Turn
from onward.errors import MissingFiles, OnwardError
from onward.project import Project
from onward.registry import journal
from onward.report.words import because

MOST = 3
RUN = "onward run"

STAGES = ("inputs", "validate", "prepare", "finetune", "evaluate", "export", "benchmark")


@dataclass(frozen=True)
class Need:
    """Why a person is needed, and what to type."""

    why: str
    command: str


def needs_you(
    project: Project, last: dict[str, Any] | None, problem: OnwardError | None
) -> tuple[Need, ...]:
    """At most MOST needs.

    Args:
        project: which project.
        last: the journal's line of the last verdict.
        problem: what is wrong with the champion's files.
    """
    failed = list(_failed(project))
    turn = [need for need in _turn(project, last) if not failed or need.command != RUN]
    found = [*_broken(problem), *failed, *turn, *_quarantined(project)]
    return tuple(islice(found, MOST))


def _broken(problem: OnwardError | None) -> Iterator[Need]:
    if problem is None:
        return
    missing = isinstance(problem, MissingFiles)
    yield Need(problem.what, "dvc pull" if missing else "onward repair")


def _failed(project: Project) -> Iterator[Need]:
    """Stages whose last run failed: a stage removes its error when it starts anew.

    Where nothing is left to learn, none starts again, and what failed is of an earlier turn.
    """
    if project.turn.exists() and not Turn.read(project).learning:
        return
    for stage in STAGES:
        path = project.error(stage)
        if path.exists():
            error = files.read_json(path)
            fix = f" — {error['fix']}" if error.get("fix") else ""
            yield Need(f"{stage} failed: {error.get('what', '')}{fix}", RUN)


def _turn(project: Project, last: dict[str, Any] | None) -> Iterator[Need]:
    if not project.turn.exists():
        yield Need("No episode is open", "onward episode open NAME FILE")
        return
    turn = Turn.read(project)
    if last is None or (last.get("turn") != turn.id and turn.learning):
        names = ", ".join(turn.learning_episodes)
        yield Need(f"{names} can be learned" if names else "A turn is waiting", RUN)
    elif last.get("turn") == turn.id and journal.returned(project, last):
        yield Need(f"The candidate of turn {last['seq']} was reinstated", RUN)
    elif last.get("turn") == turn.id and last["what"] in ("refused", "undecided"):
        why = f"Turn {last['seq']} was {last['what']}{because(last)}"
        yield Need(why, f"onward gate --show {last['seq']}")


def _quarantined(project: Project) -> Iterator[Need]:
    """Rows that were set aside in the episodes of the turn."""
    if not project.turn.exists():
        return
    turn = Turn.read(project)
    count = 0
    for folder in (*turn.known_episodes, *turn.learning_episodes):
        path = project.episode(folder) / files.MANIFEST
        if path.exists():
            count += int(files.read_json(path).get("counts", {}).get("quarantined", 0))
    if count:
        rows = "row is" if count == 1 else "rows are"
        yield Need(f"{count:,} {rows} in quarantine", "onward episode list --quarantined")
