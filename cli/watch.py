"""`onward watch`: whether a turn is worth its cost now, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import RenderableType

from cli.output import Ended, Json, answer, here

if TYPE_CHECKING:
    from onward.watch.record import Seen

MARKS = {"learn": "✓", "wait": "✗", "": " "}
WAITING = 2
"""The exit code of "wait", so that `onward watch && onward run` runs what is worth it."""


def watch(as_json: Json = False) -> None:
    """Say whether there is anything worth learning now.

    By new rows, the champion's error on their held-out part, shifts of labels and lengths, and
    what the last turn took; the limits are the block `watch` of params.yaml. Nothing is trained.
    Exit code 2 is "wait". The flow of the same name does this on schedule and starts the run.
    """
    from onward.watch.record import look

    seen = look(here())
    answer(as_json, seen.to_json(), *_parts(seen))
    if seen.decision.outcome == "wait":
        raise Ended(WAITING)


def _parts(seen: Seen) -> list[RenderableType | str]:
    from onward.evaluation.checks import listed

    decision, evidence = seen.decision, seen.evidence
    if decision.outcome == "nothing":
        return [f"Nothing to learn: {decision.reasons[0]}"]
    against = f"against {evidence.champion}" if evidence.champion else "as the first champion"
    head = f"{decision.outcome.upper()} · {listed(evidence.learning) or 'no new episode'} {against}"
    why, *more = decision.reasons
    lines = [f"Why   {why}", *(f"And   {reason}" for reason in more)]
    return [head, _table(seen), *lines, *(["Next  onward run"] if _learns(seen) else [])]


def _learns(seen: Seen) -> bool:
    return seen.decision.outcome == "learn"


def _table(seen: Seen) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for check in seen.decision.checks:
        table.add_row(MARKS[check.says], check.name, Text(check.found), check.limit)
    return table


COMMANDS = (watch,)
