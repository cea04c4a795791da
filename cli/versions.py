"""`onward rollback`, `reinstate`, `adopt`, `repair`, `verify` and `history`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.output import Ended, Json, Reason, answer, failure, here, note
from onward.errors import UsageError


def rollback(
    to: Annotated[str, typer.Option(metavar="vN", help="The version that is to serve.")] = "",
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Let an earlier version serve again.

    Without --to, lists the versions that could, each verified. The version left behind is
    withdrawn: no run brings it back until `onward reinstate`.
    """
    from onward.registry import rollback as registry

    project = here()
    if not to:
        if reason:
            raise UsageError(
                "--reason is given without --to",
                where="onward rollback",
                fix="name the version: onward rollback --to vN --reason ...",
            )
        return _targets(registry.targets(project), as_json)
    from onward import locks
    from tasks.verdicts import publish
    from tasks.versions import require_committer

    require_committer(project)
    with locks.held(project.run_lock, f"rollback to {to}"):
        champion = registry.rollback(project, to, reason)
        publish(project)
    answer(
        as_json,
        {"version": champion.version, "seq": champion.seq, "reason": reason},
        f"{champion.version} serves again ({champion.seq} in the journal)",
        "What it replaced is withdrawn; `onward reinstate` lets it return",
    )
    return None


def _targets(found: list[Any], as_json: bool) -> None:
    data = [
        {
            "version": target.version,
            "seq": target.seq,
            "candidate": target.candidate,
            "problem": target.problem.what if target.problem else None,
        }
        for target in found
    ]
    lines = [
        f"{'✗' if item['problem'] else '✓'} {item['version']:<5} promoted in {item['seq']:<4} "
        f"{item['problem'] or 'verified'}"
        for item in data
    ]
    if not lines:
        lines = ["There is no earlier version to go back to"]
    elif any(item["problem"] is None for item in data):
        lines.append("Go back with  onward rollback --to vN --reason ...")
    answer(as_json, {"targets": data}, *lines)


def reinstate(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The version it served as, or the candidate's id.")
    ],
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Let a withdrawn candidate be judged and promoted again."""
    from onward.registry import rollback as registry

    candidate = registry.reinstate(here(), name, reason)
    answer(
        as_json,
        {"candidate": candidate, "reason": reason},
        f"Candidate {candidate[:12]} may be judged again",
        "Next  onward run",
    )


def adopt(
    source: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="A fine-tuned model, as safetensors.")
    ],
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Take a fine-tuned model as this turn's candidate.

    The stages export and time it; `onward run` then judges it like any other.
    """
    import functools

    from onward.registry import adopt as registry
    from tasks import versions

    project = here()
    registry.adopt(project, source, reason, keep=functools.partial(versions.add, project))
    answer(
        as_json,
        {"adopted": str(source)},
        f"Took {source} as this turn's candidate",
        "Next  onward run   (the gate decides whether it serves)",
    )


def repair(as_json: Json = False) -> None:
    """Bring changed or lost files back to what is recorded."""
    from tasks import repair as steps

    done = steps.repair(here(), note)
    lines = done or ["Nothing to repair: all files are as recorded"]
    answer(as_json, {"repaired": done}, *lines)


def verify(as_json: Json = False) -> None:
    """Hash everything that is kept against what is recorded.

    Episodes, versions, verdicts, the pointer and the journal.
    """
    from onward.episodes import repair as episodes
    from onward.registry import verify as registry

    project = here()
    data = episodes.problems(project) if project.turn.exists() else []
    problems = [*data, *registry.verify_all(project)]
    found = {"clean": not problems, "problems": [problem.to_json() for problem in problems]}
    answer(as_json, found, *([] if problems else ["All files are as recorded"]))
    if problems:
        if not as_json:
            for problem in problems:
                failure(problem, as_json=False)
        raise Ended(1)


def history(
    limit: Annotated[int, typer.Option(help="The newest so many lines; 0 for all.", min=0)] = 20,
    as_json: Json = False,
) -> None:
    """Every verdict, rollback and withdrawal, newest first."""
    from cli.tables import history_table
    from onward.registry import journal, versions

    project = here()
    lines = journal.lines(project)
    pointer = versions.pointer(project)
    champion = pointer.version if pointer else None
    shown = lines[-limit:] if limit else lines
    data = {"champion": champion, "lines": shown}
    if not lines:
        answer(as_json, data, "Nothing has happened yet: `onward run` begins")
        return
    answer(as_json, data, history_table(lines, champion, limit))


COMMANDS = (rollback, reinstate, adopt, repair, verify, history)
