"""The champion over the journal: which version served after each line, and what happened there.

>>> made = timeline([{"seq": 1, "what": "promoted", "version": "v1"},
...                  {"seq": 2, "what": "refused", "version": None}])
>>> made.versions, [event.serving for event in made.events]
(('v1',), ['v1', 'v1'])
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

MOST = 40
"""Events that are drawn: the latest."""

ROW = 34
"""Height of a version's row in pixels."""

MARKS = {
    "promoted": "●",
    "adopted": "◇",
    "forced": "!",
    "refused": "✗",
    "undecided": "?",
    "rollback": "↩",
    "withdrawn": "–",
    "reinstated": "+",
}


@dataclass(frozen=True)
class Event:
    """One line of the journal, and where it is drawn: x in percent, y in pixels."""

    seq: int
    what: str
    mark: str
    serving: str | None
    x: float
    y: float
    line: dict[str, Any]


@dataclass(frozen=True)
class Segment:
    """A stretch in which one version served, or a move from one to another."""

    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True)
class Timeline:
    """What is drawn, the newest version at the top."""

    versions: tuple[str, ...]
    events: tuple[Event, ...]
    segments: tuple[Segment, ...]
    height: int
    unserved: bool
    """Whether a lowest row stands for "nothing served yet"."""
    left_out: int = 0


def timeline(lines: Sequence[dict[str, Any]]) -> Timeline:
    """The journal's latest lines as a drawing."""
    after = _serving(lines)
    shown = list(zip(lines, after, strict=True))[-MOST:]
    names = sorted({v for _, v in shown if v}, key=lambda v: int(v[1:]), reverse=True)
    unserved = any(version is None for _, version in shown)
    height = ROW * (len(names) + unserved)
    rows = {name: ROW * n + ROW / 2 for n, name in enumerate(names)}
    step = 100 / max(len(shown), 1)
    events = tuple(
        Event(
            seq=line["seq"],
            what=line["what"],
            mark=MARKS.get(line["what"], "·"),
            serving=version,
            x=round(step * (n + 0.5), 2),
            y=rows.get(version or "", height - ROW / 2),
            line=line,
        )
        for n, (line, version) in enumerate(shown)
    )
    return Timeline(
        tuple(names), events, _segments(events), height, unserved, len(lines) - len(shown)
    )


def _serving(lines: Sequence[dict[str, Any]]) -> list[str | None]:
    """The version that served after each line."""
    now: str | None = None
    found = []
    for line in lines:
        if line["what"] in ("promoted", "forced", "rollback") and line.get("version"):
            now = line["version"]
        found.append(now)
    return found


def _segments(events: Sequence[Event]) -> tuple[Segment, ...]:
    """Level while a version serves, upright where another takes over."""
    found = []
    for before, after in pairwise(events):
        if before.serving is not None:
            found.append(Segment(before.x, before.y, after.x, before.y))
            if before.y != after.y:
                found.append(Segment(after.x, before.y, after.x, after.y))
    if events and events[-1].serving is not None:
        found.append(Segment(events[-1].x, events[-1].y, 100.0, events[-1].y))
    return tuple(found)
