"""models/journal.jsonl: one line a verdict, rollback, withdrawal or reinstatement; append-only.

SEQ, a line's number, is the only order: `at` is for people, and clocks may jump. What is derived
here (withdrawn candidates and episodes, promotions, verdicts by key) is read from the lines
each time, so there is no second truth to keep in step.

>>> import pathlib, tempfile; project = Project(pathlib.Path(tempfile.mkdtemp()))
>>> append(project, "withdrawn", by="ana", reason="wrong labels", episode="0002-legal")
1
>>> withdrawn_episodes(project)
{'0002-legal': 'wrong labels'}

What it does not cover: a journal whose last lines were cut off by hand reads as a shorter one;
`verify_all` compares it with the pointer and with models/verdicts.
"""

from __future__ import annotations

import getpass
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from onward import files
from onward.errors import Conflict, IntegrityError
from onward.project import Project

SCHEMA = 1
PROMOTING = ("promoted", "forced")
VERDICTS = (*PROMOTING, "refused", "undecided")
KINDS = (*VERDICTS, "adopted", "rollback", "withdrawn", "reinstated")


def user() -> str:
    """The name that lines carry as `by` when none is given."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"


def lines(project: Project) -> list[dict[str, Any]]:
    """All lines, in order.

    Raises:
        IntegrityError: a line is not JSON, its SEQ is not one above the line before, or its
            schema is newer than this code.
    """
    found: list[dict[str, Any]] = files.read_lines(project.journal)
    for number, line in enumerate(found, start=1):
        where = f"{project.journal}:{number}"
        if not isinstance(line, dict) or line.get("seq") != number:
            raise IntegrityError(
                f"Line {number} of the journal does not carry SEQ {number}",
                where=where,
                fix="`git checkout models/journal.jsonl` brings the committed journal back",
            )
        if line.get("schema") != SCHEMA or line.get("what") not in KINDS:
            raise IntegrityError(
                f"Line {number} of the journal is of a kind this version does not know",
                where=where,
                fix="use the release of Onward that wrote it",
            )
    return found


def next_seq(project: Project) -> int:
    """The SEQ of the next line."""
    return len(lines(project)) + 1


def entry(seq: int, what: str, *, by: str = "", reason: str = "", **fields: Any) -> dict[str, Any]:
    """A line as it will be appended; it is made before the pointer moves, and kept in it."""
    if what not in KINDS:
        raise ValueError(f"{what!r} is not one of {', '.join(KINDS)}")
    at = datetime.now(UTC).isoformat(timespec="seconds")
    line = {"schema": SCHEMA, "seq": seq, "what": what, "at": at, "by": by or user()}
    return {**line, **({"reason": reason} if reason else {}), **fields}


def write(project: Project, line: dict[str, Any]) -> None:
    """Append a line that `entry` made. The run lock must be held.

    Raises:
        Conflict: its SEQ is not the next one.
    """
    following = next_seq(project)
    if line["seq"] != following:
        raise Conflict(
            f"The journal goes on with SEQ {following}, not {line['seq']}",
            where=str(project.journal),
            fix="another run wrote in between: run the command again",
        )
    files.append_line(project.journal, line)


def append(
    project: Project,
    what: str,
    *,
    seq: int | None = None,
    by: str = "",
    reason: str = "",
    **fields: Any,
) -> int:
    """Append one line durably and return its SEQ. The run lock must be held.

    Args:
        project: whose journal.
        what: one of KINDS.
        seq: the SEQ that was announced (a kept verdict's folder carries it); default the next.
        by: who; default the user's name.
        reason: why, where a person gave one.
        fields: what else the line carries.

    Raises:
        Conflict: `seq` is not the next one.
    """
    number = next_seq(project) if seq is None else seq
    write(project, entry(number, what, by=by, reason=reason, **fields))
    return number


def withdrawn_candidates(project: Project) -> dict[str, str]:
    """Candidate id -> reason, of those withdrawn and not reinstated since."""
    return withdrawn(lines(project))


def withdrawn(said: Iterable[dict[str, Any]]) -> dict[str, str]:
    """`withdrawn_candidates` of these lines."""
    found: dict[str, str] = {}
    for line in said:
        if line["what"] in ("rollback", "withdrawn"):
            named = line.get("withdraws", [line["candidate"]] if "candidate" in line else [])
            found.update({candidate: line.get("reason", "") for candidate in named})
        elif line["what"] == "reinstated":
            found.pop(line.get("candidate", ""), None)
    return found


def withdrawn_episodes(project: Project) -> dict[str, str]:
    """Episode folder -> reason, of those withdrawn and not reinstated since."""
    found: dict[str, str] = {}
    for line in lines(project):
        if line["what"] == "withdrawn" and "episode" in line:
            found[line["episode"]] = line.get("reason", "")
        elif line["what"] == "reinstated":
            found.pop(line.get("episode", ""), None)
    return found


def verdict_for(project: Project, key: str) -> dict[str, Any] | None:
    """The last verdict line of this key (candidate, champion, tests, settings, code, report)."""
    matching = [line for line in _verdicts(project) if line.get("key") == key]
    return matching[-1] if matching else None


def returned(project: Project, verdict: dict[str, Any]) -> bool:
    """Whether the candidate of a verdict's line was reinstated after it, and may pass.

    One that was forced may not: what stopped it before stands, and a run would find nothing to do.
    """
    named = [one for one in lines(project) if one.get("candidate") == verdict.get("candidate", "")]
    if any(line["what"] == "forced" for line in named):
        return False
    return any(line["what"] == "reinstated" and line["seq"] > verdict["seq"] for line in named)


def promotions(project: Project) -> list[dict[str, Any]]:
    """The lines that made a version, in order."""
    return [line for line in lines(project) if line["what"] in PROMOTING]


def _verdicts(project: Project) -> list[dict[str, Any]]:
    return [line for line in lines(project) if line["what"] in VERDICTS]
