"""`onward gate` and `onward promote`: the verdict on this turn, without any server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, Any

import typer

from cli.output import Ended, Json, Reason, answer, here, note
from onward.errors import UsageError
from onward.project import Project


def gate(
    show: Annotated[
        int | None, typer.Option(metavar="SEQ", help="Show a kept verdict; see `onward history`.")
    ] = None,
    replay: Annotated[
        int | None,
        typer.Option(metavar="SEQ", help="Compute a kept verdict again from its rows."),
    ] = None,
    examples: Annotated[
        int | None,
        typer.Option(metavar="SEQ", help="Answers lost and won between champion and challenger."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Judge what the stages made, or show a kept verdict.

    Prints the table, the reasons and what to do next. A refusal is kept and journaled, once.
    What passes the final gate waits for `onward promote`.
    """
    if sum(value is not None for value in (show, replay, examples)) > 1:
        raise UsageError(
            "Only one of --show, --replay and --examples at a time",
            where="onward gate",
            fix="name one of them",
        )
    if show is not None:
        _show(show, as_json)
    elif replay is not None:
        _replay(replay, as_json)
    elif examples is not None:
        _examples(examples, as_json)
    else:
        _judge(as_json)


def promote(
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Promote against the rule, with --reason; marked so for ever."
        ),
    ] = False,
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Make the candidate the champion, if the gate says so."""
    from onward.registry.journal import user
    from tasks import verdicts

    if force != bool(reason.strip()):
        raise UsageError(
            "--force and --reason go together",
            where="onward promote",
            fix="promote by the rule with neither, or against it with both",
        )
    project = here()
    with _at_the_gate(project, "onward promote", as_json):
        settled = verdicts.whole(project, forced=reason)
        if settled.verdict.outcome in ("promoted", "forced"):
            by = user() if force else verdicts.RULE
            settled = verdicts.serve(project, settled.verdict, by=by, reason=reason)
    _say(settled, as_json)


def _judge(as_json: bool) -> None:
    from tasks import verdicts

    project = here()
    with _at_the_gate(project, "onward gate", as_json):
        settled = verdicts.whole(project)
    _say(settled, as_json)


@contextmanager
def _at_the_gate(project: Project, purpose: str, as_json: bool) -> Iterator[None]:
    """The run lock, what was begun finished, and a candidate that does not serve already.

    Raises:
        Ended: the candidate serves; said, and exit code 0.
    """
    from onward import locks
    from tasks import verdicts

    with locks.held(project.run_lock, purpose):
        for line in verdicts.begin(project):
            note(line)
        if version := verdicts.serving(project):
            answer(
                as_json,
                {"outcome": "nothing to do", "version": version},
                f"Nothing to do: {version} serves and is what the stages made",
            )
            raise Ended(0)
        yield


def _say(settled: Any, as_json: bool) -> None:
    """The verdict as a table; ends with 2 where it is refused or undecided."""
    from cli.tables import verdict_table

    verdict = settled.verdict
    data = {**verdict.to_json(), "seq": settled.seq, "version": settled.version}
    answer(as_json, data, verdict_table(verdict, settled.seq, version=settled.version))
    if verdict.outcome in ("refused", "undecided"):
        raise Ended(2)


def _show(seq: int, as_json: bool) -> None:
    from cli.tables import verdict_table
    from onward.evaluation import verdicts

    version = _line(seq).get("version")
    verdict = verdicts.read(here(), seq)
    data = {**verdict.to_json(), "seq": seq, "version": version}
    answer(as_json, data, verdict_table(verdict, seq, version=version, kept=True))


def _replay(seq: int, as_json: bool) -> None:
    from cli.tables import verdict_table
    from onward.evaluation import verdicts

    version = _line(seq).get("version")
    replay = verdicts.replay(here(), seq)
    data = {
        "seq": seq,
        "same": replay.same,
        "differences": list(replay.differences),
        "notes": list(replay.notes),
    }
    said = "bit-identical" if replay.same else "NOT the same"
    verdict = replay.again or replay.kept
    if replay.kept.forced:  # the rule says otherwise, and a person's word stands
        verdict = replace(verdict, outcome=replay.kept.outcome, forced=replay.kept.forced)
    shown = verdict_table(verdict, seq, version=version, kept=True)
    lines = [f"Replayed from the kept rows: {said}", *replay.differences, *replay.notes]
    answer(as_json, data, shown, *lines)
    if not replay.same:
        raise Ended(1)


def _examples(seq: int, as_json: bool) -> None:
    from cli.examples import lines, lost_and_won

    _line(seq)
    data = lost_and_won(here(), seq)
    answer(as_json, data, *lines(data))


def _line(seq: int) -> dict[str, Any]:
    """The journal's line of a verdict."""
    from onward.registry import journal

    lines = journal.lines(here())
    known = {line["seq"]: line for line in lines if line["what"] in journal.VERDICTS}
    if seq not in known:
        raise UsageError(
            f"There is no verdict {seq}",
            where=str(here().journal),
            fix=f"verdicts are {', '.join(map(str, known)) or 'none yet'}; see `onward history`",
        )
    return known[seq]


COMMANDS = (gate, promote)
