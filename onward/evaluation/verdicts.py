"""models/verdicts/SEQ: the rows, settings and checks of every verdict, so that any replays."""

from __future__ import annotations

from dataclasses import dataclass

from onward.evaluation.checks import Verdict
from onward.evaluation.evidence import Evidence
from onward.project import Project


@dataclass(frozen=True)
class Replay:
    """A verdict computed again from its kept rows and settings."""

    seq: int
    kept: Verdict
    again: Verdict | None
    differences: tuple[str, ...] = ()
    """What differs, a sentence each; empty: bit-identical."""
    notes: tuple[str, ...] = ()
    """What changed since, without changing the outcome: gate code, scorer code, numpy."""

    @property
    def same(self) -> bool:
        """Whether every check came out bit-identical."""
        return not self.differences


def keep(project: Project, seq: int, verdict: Verdict, evidence: Evidence | None = None) -> str:
    """Write models/verdicts/SEQ. Returns its manifest's sha256. Default: `verdict.evidence`."""
    raise NotImplementedError


def read(project: Project, seq: int) -> Verdict:
    """The verdict as it was kept, its folder verified."""
    raise NotImplementedError


def replay(project: Project, seq: int) -> Replay:
    """Decide again from the kept rows and settings."""
    raise NotImplementedError
