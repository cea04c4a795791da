"""The registry's commands as a person gives them, and what must be true whenever one stopped.

Each command starts as every start does: it finishes what an earlier one began. `SETUPS` prepares
the project that a command runs in; `COMMANDS` runs it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from onward import files
from onward.errors import UsageError
from onward.project import Project
from onward.registry import journal, versions
from onward.registry.finish import finish
from onward.registry.promote import record
from onward.registry.rollback import reinstate, rollback
from tests.registry import turns


def promote(project: Project) -> None:
    turns.promoted_as_made(project)


def refuse(project: Project) -> None:
    finish(project)
    judged = turns.verdict(project, "refused", "v1")
    if journal.verdict_for(project, judged.key) is None:
        seq = journal.next_seq(project)
        turns.keep_verdict(project, seq, judged)
        record(project, judged, seq, keep=turns.kept, by="gate")


def roll_back(project: Project) -> None:
    rollback(project, "v1", "slow", by="ana", probe=turns.answers)


def let_return(project: Project) -> None:
    try:
        reinstate(project, "v2", "measured again", by="ana")
    except UsageError as error:
        if "does not name" not in error.what:
            raise


COMMANDS: dict[str, Callable[[Project], None]] = {
    "first promotion": promote,
    "promotion": promote,
    "refusal": refuse,
    "rollback": roll_back,
    "reinstatement": let_return,
}


def setup(root: Path, command: str) -> Project:
    """A project in which the command has something to do."""
    project = turns.project(root)
    if command == "first promotion":
        turns.candidate(project, "new")
        return project
    turns.promoted(project, "first")
    if command in ("promotion", "refusal"):
        turns.candidate(project, "new")
        return project
    turns.promoted(project, "second")
    if command == "rollback":
        # The next episode was opened on v2, so that rolling back composes the turn anew.
        turns.turn(project, learning=turns.EPISODES[1:], base="v2")
    else:
        rollback(project, "v1", "slow", by="ana", probe=turns.answers)
    return project


def state(project: Project) -> dict[str, Any]:
    """Everything under models/, path by path, without the times that people read."""
    found: dict[str, Any] = {}
    for path in sorted((project.root / "models").rglob("*")):
        if path.is_file():
            found[path.relative_to(project.root).as_posix()] = _timeless(path)
    return found


def _timeless(path: Path) -> Any:
    if path.name == "journal.jsonl":
        return [{**json.loads(line), "at": ""} for line in path.read_bytes().splitlines()]
    if path.name == "champion.json":
        value = files.read_json(path)
        return {**value, "line": {**value["line"], "at": ""}}
    return files.sha256(path)


def check_stopped(project: Project, before: dict[str, Any], after: dict[str, Any]) -> None:
    """I1 and I3 at the very moment a command stopped, before anything was cleaned up."""
    pointer = "models/champion.json"
    now = _timeless(project.champion) if project.champion.exists() else None
    assert now in (before.get(pointer), after.get(pointer)), "the pointer is neither old nor new"
    versions.champion(project)  # raises unless the version is whole and verified
    lines = journal.lines(project)
    kept = before.get("models/journal.jsonl", [])
    assert [{**line, "at": ""} for line in lines][: len(kept)] == kept, "a line was lost"
    assert len(lines) <= len(kept) + 1


def run_and_die(root: str, command: str, nth: int) -> None:
    """In a process of its own: run the command and be killed at its Nth durable operation."""
    import os
    import signal

    count = 0

    def strike(kind: str, path: Path) -> None:
        nonlocal count
        count += 1
        if count == nth:
            os.kill(os.getpid(), signal.SIGKILL)

    os.fsync = lambda descriptor: None  # type: ignore[assignment]
    files.operation = strike
    COMMANDS[command](Project(Path(root)))
