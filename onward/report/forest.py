"""A verdict as a forest plot: one bar a check, with its interval and limit on a shared scale.

Positions are percent of the plot's width, so that the page needs no script to fit a phone.

>>> scale = Scale.over([-3.0, 2.0])
>>> round(scale.at(-0.5))
50
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from onward.evaluation.checks import (
    CHANGED,
    FAILED,
    LEARNING,
    MEMORY,
    OPEN,
    P95,
    P95_CHANGE,
    PASSED,
    UNSAFE,
    Check,
    Verdict,
    episode_name,
    listed,
    looks_worse,
    signed,
)

_KINDS = ("slice", "floor", "quality", "bias", "budget")
_CHANGES = ("gain", "harm", "slice", "quality", "bias")
TONES = {PASSED: "good", FAILED: "bad", OPEN: "open"}


@dataclass(frozen=True)
class Scale:
    """Values to percent of the width."""

    low: float
    high: float

    @staticmethod
    def over(values: Iterable[float | None], room: float = 0.08) -> Scale:
        """A scale that holds all the finite values, with some room at both ends."""
        told = [v for v in values if v is not None and math.isfinite(v)] or [0.0, 1.0]
        low, high = min(told), max(told)
        pad = (high - low or 1.0) * room
        return Scale(low - pad, high + pad)

    def at(self, value: float) -> float:
        """Where a value lies, 0 to 100; what lies outside is put at the edge."""
        share = (value - self.low) / (self.high - self.low)
        return round(100 * min(max(share, 0.0), 1.0), 2)

    def ticks(self) -> list[tuple[float, str]]:
        """Three to six round values inside the scale, with their labels."""
        raw = (self.high - self.low) / 4
        power = 10 ** math.floor(math.log10(raw))
        step = power * min((1, 2, 5, 10), key=lambda m: abs(m * power - raw))
        first = math.ceil(self.low / step)
        values = [n * step for n in range(first, math.floor(self.high / step) + 1)]
        return [(self.at(v), f"{v:g}".replace("-", "−")) for v in values]


@dataclass(frozen=True)
class Bar:
    """One line of the plot: words, and positions in percent (None: nothing to draw)."""

    name: str
    mark: str
    tone: str
    rows: str = ""
    values: str = ""
    change: str = ""
    limit: str = ""
    note: str = ""
    point: float | None = None
    low: float | None = None
    high: float | None = None
    bound: float | None = None
    zero: float | None = None
    beyond: str = ""
    """Which side of the bound fails: "left" or "right"."""

    @property
    def spoken(self) -> str:
        """The line for who cannot see the plot."""
        parts = (self.name, self.change, self.limit, self.rows, self.note)
        return ", ".join(part for part in parts if part)


@dataclass(frozen=True)
class Panel:
    """Bars that share a scale."""

    title: str
    bars: tuple[Bar, ...]
    ticks: tuple[tuple[float, str], ...] = ()


def panels(verdict: Verdict) -> list[Panel]:
    """The verdict's checks as panels; what could not be measured has a note instead of a bar."""
    of = {kind: [c for c in verdict.checks if c.kind == kind] for kind in _KINDS}
    changes = [c for c in verdict.checks if c.kind in ("gain", "harm")]
    found = []
    if changes:
        title = f"Change in {verdict.metric}, new minus {verdict.champion}"
        found.append(_panel(title, changes, verdict))
    if of["slice"]:
        found.append(_panel("The same by kind of row, known episodes", of["slice"], verdict))
    if of["floor"]:
        found.append(_panel(f"{verdict.metric} of the first champion", of["floor"], verdict))
    if of["quality"]:
        found.append(_panel("Quality of the answers, change in points", of["quality"], verdict))
    changed = [c for c in of["bias"] if c.unit.startswith(CHANGED)]
    gaps = [c for c in of["bias"] if c not in changed]
    if gaps:
        title = f"Change in {verdict.metric} where names, genders and places are exchanged"
        found.append(_panel(title, gaps, verdict))
    if changed:
        found.append(_panel("Answers that this exchange changes, in percent", changed, verdict))
    found += [_panel(_BUDGETS.get(c.unit, c.unit), [c], verdict) for c in of["budget"]]
    notes = [c for c in verdict.checks if c.kind == "evidence"]
    bars = tuple(Bar(episode_name(c.unit), c.mark, TONES[c.mark], note=c.note) for c in notes)
    return [*found, *([Panel("Evidence", bars)] if bars else [])]


_BUDGETS = {
    P95: "Latency, 95th percentile in ms",
    P95_CHANGE: "Change of that latency in percent",
    MEMORY: "Memory in MB",
}


def _panel(title: str, checks: list[Check], verdict: Verdict) -> Panel:
    drawn = [c for c in checks if c.unit != UNSAFE]
    values = [v for c in drawn for v in (_compared(c), c.low, c.high, _bound(c))]
    changing = any(_changes(c) for c in drawn)
    from_zero = changing or checks[0].kind in ("budget", "bias")
    scale = Scale.over([*values, 0.0] if from_zero else values)
    bars = tuple(
        _bar(c, scale, verdict, changing) if c.unit != UNSAFE else _counted(c) for c in checks
    )
    return Panel(title, bars, tuple(scale.ticks()) if drawn else ())


def _changes(check: Check) -> bool:
    """Whether what is compared is a change, and so has a sign."""
    share = check.unit.startswith(CHANGED)
    return (check.kind in _CHANGES and not share) or check.unit == P95_CHANGE


def _compared(check: Check) -> float | None:
    """The number that is held against the limit."""
    if (check.kind in _CHANGES and check.change is not None) or check.unit == P95_CHANGE:
        return check.change
    return check.new


def _two_sided(check: Check) -> bool:
    """Whether it must lie within its limit on both sides of zero."""
    return check.kind == "bias" and not check.unit.startswith(CHANGED)


def _bound(check: Check) -> float | None:
    """The limit; of a two-sided one the end on the value's own side."""
    if check.limit is not None and _two_sided(check) and (_compared(check) or 0.0) < 0:
        return -check.limit
    return check.limit


def _counted(check: Check) -> Bar:
    """Unsafe answers: numbers of answers, which have no place on a scale of points."""
    judged = check.limit is not None or check.change is None
    return Bar(
        name=check.unit,
        mark=check.mark if judged else "·",
        tone=TONES[check.mark] if judged else "told",
        rows=_rows(check),
        values=f"{check.old:,.0f} → {check.new:,.0f}" if _both(check) else "",
        change=f"{check.change:,.0f} new" if check.change is not None else "",
        limit="limit 0 new" if check.limit is not None else "",
        note=check.note,
    )


def _bar(check: Check, scale: Scale, verdict: Verdict, zero: bool) -> Bar:
    judged, value, bound = check.limit is not None, _compared(check), _bound(check)
    at = [None if v is None else scale.at(v) for v in (value, check.low, check.high, bound)]
    above = check.kind == "budget" or (check.kind == "bias" and bound == check.limit)
    sign = "±" if _two_sided(check) else "≤ " if above else "≥ "
    show = signed if zero else _plain
    shown = _plain if _two_sided(check) else show
    return Bar(
        name=_name(check, verdict),
        mark=check.mark if judged else "·",
        tone=TONES[check.mark] if judged else "told",
        rows=_rows(check),
        values=f"{check.old:.1f} → {check.new:.1f}" if _both(check) else "",
        change=_change(check, value, show),
        limit=f"limit {sign}{shown(check.limit)}" if check.limit is not None else "",
        note="; ".join(part for part in (_seeds(check, show), check.note, _needed(check)) if part),
        point=at[0],
        low=at[1] if value is not None else None,
        high=at[2] if value is not None else None,
        bound=at[3],
        zero=scale.at(0.0) if zero else None,
        beyond="right" if above else "left",
    )


def _both(check: Check) -> bool:
    return check.old is not None and check.new is not None


def _plain(value: float) -> str:
    return f"{value:,.1f}"


def _name(check: Check, verdict: Verdict) -> str:
    if check.unit == LEARNING:
        return f"learning {listed(verdict.learning)}" if verdict.learning else "learning"
    return episode_name(check.unit)


def _rows(check: Check) -> str:
    if not check.rows:
        return ""
    return f"{check.rows:,} {'timings' if check.kind == 'budget' else 'rows'}"


def _change(check: Check, value: float | None, show: Any) -> str:
    if value is None:
        return ""
    if check.low is None or check.high is None:
        return str(show(value))
    return f"{show(value)} [{show(check.low)}, {show(check.high)}]"


def _seeds(check: Check, show: Any) -> str:
    if check.spread is None:
        return ""
    low, high = check.spread
    return f"all seeds: {show(low)} to {show(high)}"


def _needed(check: Check) -> str:
    if not check.rows_needed:
        return ""
    if looks_worse(check):
        return "rows enough for an unchanged one: it looks worse"
    return f"about {check.rows_needed:,} rows would settle it"
