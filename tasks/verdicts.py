"""Judge, keep and journal, promote: the steps with side effects, free of Prefect.

The flow and the commands `onward gate` and `onward promote` call the same functions, so that both
doors leave the same journal. Whoever calls holds the run lock.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import Any

from onward import config, files
from onward.episodes.turn import Turn
from onward.errors import UsageError
from onward.evaluation import gate, verdicts
from onward.evaluation.checks import Verdict
from onward.project import Project
from onward.registry import journal, promote
from onward.registry import versions as registry
from onward.registry.finish import finish
from tasks import stage, versions

RULE = "gate"
"""Who stands in the journal where no person decided."""


@dataclass(frozen=True)
class Settled:
    """A verdict and what became of it."""

    verdict: Verdict
    seq: int | None = None
    """Its line in the journal; None: it passed, and is not promoted yet."""
    version: str | None = None
    """What it was promoted to."""
    known: bool = False
    """Whether it was in the journal before."""


def serving(project: Project) -> str | None:
    """The champion's version, where it is the candidate that the stages made; else None."""
    champion = registry.champion(project, check=False)
    made = project.made("finetune") / files.MANIFEST
    if champion is None or not made.is_file():
        return None
    return champion.version if files.sha256(made) == champion.candidate else None


def nothing_to_do(project: Project) -> str | None:
    """Why there is nothing to judge, where that can be told without scoring; else None."""
    if serving(project):
        return gate.nothing_to_do(project)
    behind = stage.stale(project)
    if set(behind) & set(stage.BEFORE_THE_GATE):
        return None
    # A stale export or benchmark could still turn the final gate's verdict, not the first one's.
    return gate.nothing_to_do(project, package=not behind)


def whole(project: Project, *, forced: str = "") -> Settled:
    """Both gates, as far as the stages were made; a refusal is settled.

    Args:
        project: whose candidate.
        forced: a person's reason to promote against the rule.

    Raises:
        UsageError: the stages before the accuracy gate are not up to date, or it is forced and
            there is no package yet.
    """
    behind = stage.stale(project)
    if behind and behind[0] in stage.BEFORE_THE_GATE:
        raise UsageError(
            f"There is nothing to judge yet: {', '.join(behind)} to be made",
            where=str(project.root / "turn"),
            fix="`dvc repro` makes them (or `onward run`, which does everything)"
            if Turn.read(project).learning
            else "open an episode: every open one is learned already",
        )
    if forced and behind:
        raise UsageError(
            f"There is no package to promote yet: {', '.join(behind)} to be made",
            where=str(project.root / "turn"),
            fix="`dvc repro` makes them, then the same command again: a run ends at a refusal",
        )
    if forced:
        return _forced(project, forced)
    accuracy = settle(project, gate.judge(project, "accuracy"))
    if behind or accuracy.seq is not None:
        return accuracy
    return settle(project, gate.judge(project, "final"))


def _forced(project: Project, reason: str) -> Settled:
    """The final verdict, forced where either gate stops the candidate.

    What the accuracy gate alone stops is settled first, so that the journal says why.
    """
    final = gate.judge(project, "final", force_reason=reason)
    if final.outcome != "promoted" or settle(project, gate.judge(project, "accuracy")).seq is None:
        return Settled(final)
    return Settled(replace(final, outcome="forced", forced=reason))


def settle(project: Project, verdict: Verdict) -> Settled:
    """Keep and journal a refused or undecided verdict, once; others pass through."""
    if verdict.outcome not in ("refused", "undecided"):
        return Settled(verdict)
    known = journal.verdict_for(project, verdict.key)
    # Forced or promoted under this key, before a rollback: that line says nothing of a refusal.
    if known is not None and known["what"] in ("refused", "undecided"):
        return Settled(verdict, known["seq"], known=True)
    seq = journal.next_seq(project)
    verdicts.keep(project, seq, verdict)
    promote.record(project, verdict, seq, keep=_keep(project), by=RULE)
    return Settled(verdict, seq)


def serve(project: Project, verdict: Verdict, *, by: str = RULE, reason: str = "") -> Settled:
    """Keep a verdict that promotes, make the candidate a version and move the pointer to it.

    Args:
        project: whose candidate.
        verdict: promoted by the rule, or forced.
        by: who, in the journal.
        reason: why, where it was forced.

    Raises:
        Conflict: the champion changed since the candidate was judged.
        Withdrawn: the candidate was withdrawn.
    """
    seq = journal.next_seq(project)
    verdicts.keep(project, seq, verdict)
    champion = promote.promote(
        project,
        verdict,
        seq,
        keep=_keep(project),
        by=by,
        reason=reason,
        revision=_revision(project),
    )
    publish(project)
    return Settled(verdict, seq, champion.version)


def begin(project: Project) -> list[str]:
    """Complete or undo what a killed run began; what was done, in words."""
    done = finish(project)
    publish(project)
    return done


def publish(project: Project) -> None:
    """With `git.commit`, commit and tag so that Git says what the pointer says; once each."""
    at = registry.pointer(project)
    if at is None or not config.read(project.params, config.GitSettings).commit:
        return
    line = at.line
    message = f"{line.get('what', 'promoted').capitalize()}: {at.version} serves ({at.seq})"
    versions.commit_promotion(project, at.version, at.seq, message)


def _revision(project: Project) -> str | None:
    found = versions.revision(project)
    return None if found is None else f"{found[0]}{'+' if found[1] else ''}"


def _keep(project: Project) -> functools.partial[Any]:
    return functools.partial(versions.add, project)
