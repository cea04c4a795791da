"""The gates of a turn: gather the evidence, refuse what is withdrawn, decide by the rule."""

from __future__ import annotations

from typing import Literal

from onward.evaluation.checks import Check, Verdict
from onward.evaluation.rule import decide
from onward.project import Project

__all__ = ["Check", "Verdict", "decide", "judge", "nothing_to_do"]


def judge(
    project: Project, kind: Literal["accuracy", "final"], *, force_reason: str = ""
) -> Verdict:
    """The verdict on turn/finetune's candidate against the champion. Journals nothing.

    `verdict.outcome` is passed (accuracy gate), promoted (final gate), refused or undecided;
    `verdict.evidence` is what `verdicts.keep` stores.
    """
    raise NotImplementedError


def nothing_to_do(project: Project) -> str | None:
    """Why there is nothing to judge (the candidate serves, or was judged so already), or None."""
    raise NotImplementedError
