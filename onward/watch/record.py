"""What the watch decided, and since when: .onward/watch.jsonl, a line for each change of mind.

    seen = look(project)          # decide now; the same as before adds no line
    told(project)                 # what was decided last on the present turn, without looking

The file may be deleted: then it is not known any more why earlier turns were not begun.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from onward import config, files, locks
from onward.config import Watch
from onward.project import Project
from onward.watch.decision import Decision, Evidence, decide
from onward.watch.evidence import gather

SCHEMA = 1
PATIENCE = 60.0
"""Seconds to wait for another look, which then has kept what this one asks for."""


@dataclass(frozen=True)
class Seen:
    """One look: the decision, what it rests on, and since when it is so."""

    decision: Decision
    evidence: Evidence
    since: str

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**self.decision.to_json(), "evidence": asdict(self.evidence), "since": self.since}


def look(project: Project) -> Seen:
    """Gather the evidence, decide, and record what was decided.

    Raises:
        MissingFiles, IntegrityError, NotFinite: as `gather`; nothing is recorded then.
        Busy: another process looks for longer than PATIENCE.
    """
    settings = config.read(project.params, Watch)
    with locks.held(project.private / "watch.lock", "a look", wait=PATIENCE):
        evidence = gather(project, settings)
        decision = decide(evidence, settings)
        line = {
            "turn": _turn(project),
            "outcome": decision.outcome,
            "reasons": list(decision.reasons),
            "evidence": _plain(evidence),
        }
        before = _last(project)
        if before is not None and all(before.get(key) == value for key, value in line.items()):
            return Seen(decision, evidence, before["at"])
        at = datetime.now(UTC).isoformat(timespec="seconds")
        files.append_line(_file(project), {"schema": SCHEMA, "at": at, **line})
        return Seen(decision, evidence, at)


def told(project: Project) -> dict[str, Any] | None:
    """The last line, where it is about the present turn: at, outcome, reasons, evidence.

    Raises:
        IntegrityError: a line before the last is not JSON.
    """
    line = _last(project)
    return line if line is not None and line.get("turn") == _turn(project) else None


def _last(project: Project) -> dict[str, Any] | None:
    lines = files.read_lines(_file(project), notes=True)
    known = [line for line in lines if line.get("schema") == SCHEMA]
    return dict(known[-1]) if known else None


def _turn(project: Project) -> str | None:
    return files.digest(files.read_json(project.turn)) if project.turn.exists() else None


def _plain(evidence: Evidence) -> dict[str, Any]:
    return {**asdict(evidence), "learning": list(evidence.learning)}


def _file(project: Project) -> Path:
    return project.private / "watch.jsonl"
