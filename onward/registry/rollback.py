"""Going back to an earlier version, and letting a withdrawn candidate return.

A rollback is meant: it withdraws the candidate that it rolls back from, so that neither the same
turn nor the same weights come back by themselves. Versions between the two are left alone; each
that should never serve again is rolled back from, or refused by name, on its own.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from onward import files, locks
from onward.errors import (
    IntegrityError,
    MissingFiles,
    OnwardError,
    SettingsError,
    UsageError,
    Withdrawn,
)
from onward.project import Project
from onward.registry import journal, versions
from onward.registry.finish import compose_anew, finish
from onward.registry.promote import Probe, in_a_fresh_process, move
from onward.registry.versions import Champion, Pointer


@dataclass(frozen=True)
class Target:
    """A version that could serve again; `problem` says why it cannot."""

    version: str
    seq: int
    candidate: str
    problem: OnwardError | None = None


def targets(project: Project) -> list[Target]:
    """All promoted versions but the champion, newest first, each checked byte by byte."""
    serving = versions.pointer(project)
    if serving is None:
        return []
    return [
        Target(line["version"], line["seq"], line["candidate"], _problem(project, line, serving))
        for line in reversed(journal.promotions(project))
        if line["version"] != serving.version
    ]


def rollback(
    project: Project, to: str, reason: str, *, by: str = "", probe: Probe | None = None
) -> Champion:
    """Let an earlier version serve again and withdraw the present champion's candidate.

    What serves by a rollback to it already is left as it is: the same command again, after a death
    or an error behind it, has only the rest to do.

    Args:
        project: whose champion.
        to: the version that is to serve; `targets` lists them.
        reason: why; kept in the journal.
        by: who; default the user's name.
        probe: tries the package in a fresh process; default `onward.runtime.probe.probe`.

    Raises:
        UsageError: no reason, no champion, or not an earlier version.
        Withdrawn: the target's candidate was withdrawn.
        MissingFiles, IntegrityError: the target is not here, or its bytes changed.
        Busy: another process changes the registry.
    """
    _given(reason, "rollback")
    with locks.held(project.run_lock, f"rollback to {to}"):
        finish(project, rebase=False)
        _compose(project)
        if _done(project, to):
            return _champion(project)
        before, line = _ends(project, to)
        problem = _problem(project, line, before)
        if problem is not None:
            raise problem
        (probe or in_a_fresh_process)(project.version(to) / "package")
        seq = journal.next_seq(project)
        left = before.candidate
        said = journal.entry(
            seq,
            "rollback",
            by=by,
            reason=reason,
            champion=before.version,
            version=to,
            candidate=line["candidate"],
            withdraws=[left],
        )
        move(project, before, Pointer(to, seq, line["manifest"], said))
        _compose(project)
        return _champion(project)


def _done(project: Project, to: str) -> bool:
    """Whether it serves because of a rollback to it."""
    at = versions.pointer(project)
    return at is not None and at.version == to and at.line.get("what") == "rollback"


def _champion(project: Project) -> Champion:
    found = versions.champion(project, check=False)
    assert found is not None  # noqa: S101 - there is a pointer
    return found


def _compose(project: Project) -> None:
    """Write the turn anew where its base was withdrawn, if its episodes can be read.

    What serves needs no episodes, so without them a rollback is whole. The turn stays then, and the
    next start says so before it begins anything on a base that was withdrawn.
    """
    with suppress(MissingFiles, IntegrityError, SettingsError, UsageError):
        compose_anew(project)


def reinstate(project: Project, name: str, reason: str, *, by: str = "") -> str:
    """Let a withdrawn candidate be judged and promoted again. Returns the candidate's id.

    Args:
        project: whose candidate.
        name: the version it served as, or the id (at least its first 8 characters).
        reason: why it may return; kept in the journal.
        by: who; default the user's name.

    Raises:
        UsageError: no reason, or nothing withdrawn of that name.
    """
    _given(reason, "reinstatement")
    with locks.held(project.run_lock, f"reinstating {name}"):
        finish(project)
        withdrawn = journal.withdrawn_candidates(project)
        known = {line["version"]: line["candidate"] for line in journal.promotions(project)}
        wanted = known.get(name, name)
        matching = [c for c in withdrawn if c == wanted or (len(name) >= 8 and c.startswith(name))]
        if len(matching) != 1:
            raise UsageError(
                f"{name!r} does not name a withdrawn candidate",
                where=f"withdrawn: {', '.join(c[:12] for c in withdrawn) or 'none'}",
                fix="`onward history` shows what was withdrawn and why",
            )
        journal.append(project, "reinstated", by=by, reason=reason, candidate=matching[0])
        return matching[0]


def _given(reason: str, what: str) -> None:
    if not reason.strip():
        raise UsageError(
            f"A {what} needs a reason", where="--reason", fix="say why; it is kept in the journal"
        )


def _ends(project: Project, to: str) -> tuple[Pointer, dict[str, Any]]:
    """The pointer as it stands and the promotion that made the target."""
    project.version(to)  # refuses what is not a version's name
    before = versions.pointer(project)
    made = {line["version"]: line for line in journal.promotions(project)}
    if before is None or to not in made or to == before.version:
        others = [name for name in made if before is None or name != before.version]
        why = "serves already" if before and to == before.version else "was never promoted"
        raise UsageError(
            f"Cannot roll back: {to} {why}",
            where=str(project.champion),
            fix=f"targets are {', '.join(reversed(others)) or 'none'}",
        )
    return before, made[to]


def _problem(project: Project, line: dict[str, Any], serving: Pointer) -> OnwardError | None:
    """Why this version cannot serve instead of the present one; None: it can."""
    withdrawn = journal.withdrawn_candidates(project)
    if line["candidate"] in withdrawn:
        return Withdrawn(
            f"{line['version']} was withdrawn: {withdrawn[line['candidate']]}",
            where=f"candidate {line['candidate'][:12]}",
            fix=f"`onward reinstate {line['version']} --reason ...` first",
        )
    if line["candidate"] == serving.candidate:
        return UsageError(
            f"{line['version']} is the same candidate as {serving.version}, which it would replace",
            where=f"candidate {line['candidate'][:12]}",
            fix="choose another version: a rollback withdraws the candidate it leaves",
        )
    try:
        files.verify(project.version(line["version"]), line["manifest"])
    except OnwardError as error:
        return error
    return None
