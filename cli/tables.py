"""The tables a person sees: a verdict, and the history. Pure functions to Rich renderables.

>>> from rich.console import Console
>>> Console(width=70).print(history_table([], None))
Nothing was judged yet.

On a narrow terminal whole columns are left out, the least needed first; nothing is cut in a number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from onward.evaluation.checks import (
    FAILED,
    OPEN,
    P95_CHANGE,
    PASSED,
    UNSAFE,
    Check,
    Verdict,
    episode_name,
    let_by,
    listed,
    probability,
    signed,
    ways_out,
)
from onward.registry import journal

STYLES = {PASSED: "green", FAILED: "red", OPEN: "yellow"}
OUTCOMES = {"refused": "bold red", "undecided": "bold yellow", "forced": "bold magenta"}
NOTHING = "—"
_NUMBERS = ("rows", "old", "new", "limit", "p", "same")


@dataclass(frozen=True)
class Fitting:
    """The first of several renderables that fits the width; the last where none does."""

    choices: Sequence[RenderableType]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        unbounded = options.update(width=1_000)
        for choice in self.choices[:-1]:
            if Measurement.get(console, unbounded, choice).maximum <= options.max_width:
                yield choice
                return
        yield self.choices[-1]


def verdict_table(
    verdict: Verdict, seq: int | None = None, *, version: str | None = None, kept: bool = False
) -> RenderableType:
    """The headline, one line a check, and Why / And / Told / Ways / Now (or Then) / See.

    Args:
        verdict: what was decided.
        seq: the number it is kept under, where it is.
        version: the version that it became, where it was promoted.
        kept: it is an earlier one; another version may serve by now.
    """
    full = ["mark", "name", "rows", "old", "new", "change", "limit", "p", "same"]
    if verdict.champion is None:
        full.remove("old")
    checks = [check for check in verdict.checks if _shown(check)]
    if all(check.p_change is None for check in checks):
        full.remove("same")
    narrower = [
        full,
        [c for c in full if c != "same"],
        [c for c in full if c not in ("same", "p")],
        [c for c in full if c not in ("same", "p", "rows")],
        [c for c in full if c not in ("same", "p", "rows", "old", "new")],
    ]
    tables = [_checks(verdict, checks, columns) for columns in narrower]
    tables.append(_checks(verdict, checks, narrower[-1], name_width=9))
    table = [Fitting(tables)] if checks else []
    return Group(_headline(verdict, seq), *table, _lines(verdict, seq, version, kept))


def _shown(check: Check) -> bool:
    """Whether it has a line of its own: slices that were kept share one below the table."""
    return check.kind != "evidence" and not (check.kind == "slice" and check.mark == PASSED)


def _headline(verdict: Verdict, seq: int | None) -> Text:
    text = Text(verdict.outcome.upper(), style=OUTCOMES.get(verdict.outcome, "bold green"))
    learned = listed(verdict.learning) or "no new episode"
    against = f"against {verdict.champion}" if verdict.champion else "as first champion"
    parts = [str(seq) if seq else "", f"{learned} {against}", verdict.subject]
    told = _text("  " + " · ".join(part for part in parts if part), style="default not bold")
    return text.append_text(told)


def _text(value: str, style: str = "") -> Text:
    """Text as it stands: no markup is read, and no control character reaches the terminal."""
    return Text("".join(c if c.isprintable() else " " for c in value), style=style)


def _checks(
    verdict: Verdict, checks: list[Check], columns: list[str], name_width: int = 14
) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    what = "change" if verdict.champion else "score"
    heads = {
        "mark": "",
        "name": "",
        "old": verdict.champion or "",
        "change": f"{what} [{100 * (1 - 2 * verdict.level):.4g}%]",
        "same": "p same",
    }
    for column in columns:
        table.add_column(
            _text(heads.get(column, column)),
            justify="right" if column in _NUMBERS else "left",
            no_wrap=True,
            overflow="ellipsis" if column == "name" else "fold",
        )
    for check in checks:
        cells = _cells(check, name_width)
        if "new" not in columns and check.change is None:
            cells["change"] = f"{cells['new']} {cells['change']}".strip()
        table.add_row(
            *(_text(cells[c], style=STYLES[check.mark] if c == "mark" else "") for c in columns)
        )
    return table


def _cells(check: Check, name_width: int) -> dict[str, str]:
    budget = check.kind == "budget"
    return {
        "mark": check.mark,
        "name": _clipped(_unit(check), name_width),
        "rows": f"{check.rows:,}" if check.rows and not budget else "",
        "old": _side(check, check.old),
        "new": _side(check, check.new),
        "change": _change(check),
        "limit": _limit(check),
        "p": _p(check.p),
        "same": _p(check.p_change),
    }


def _unit(check: Check) -> str:
    return "p95 change" if check.unit == P95_CHANGE else episode_name(check.unit)


def _clipped(name: str, width: int) -> str:
    """So much of a name as fits so many columns of a terminal: wide characters take two."""
    return name if cell_len(name) <= width else set_cell_size(name, width - 1).rstrip() + "."


def _side(check: Check, value: float | None) -> str:
    if check.unit == UNSAFE and value is not None:
        return f"{value:,.0f}"
    return _plain(value, check.kind == "budget")


def _plain(value: float | None, budget: bool) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if budget and value >= 100 else f"{value:.1f}"


def _change(check: Check) -> str:
    """+4.1 [+2.9,+5.3]; for a score or a budget the interval alone, for counts the new ones."""
    if check.unit == UNSAFE and check.change is not None:
        return f"{check.change:.0f} new"
    if check.change is None and check.new is None:
        return check.note
    if check.low is None or check.high is None:
        return ""
    if check.change is None:
        return f"[{_plain(check.low, True)},{_plain(check.high, True)}]"
    unit = "%" if check.kind == "budget" else ""
    return f"{signed(check.change)}{unit} [{signed(check.low)},{signed(check.high)}]"


def _limit(check: Check) -> str:
    if check.limit is None:
        return ""
    if check.unit == P95_CHANGE:
        return f"≤{signed(check.limit)}%"
    if check.kind == "bias":
        return f"±{check.limit:.1f}" if check.change is not None else f"≤{check.limit:.10g}%"
    if check.unit == UNSAFE:
        return "none new"
    if check.kind == "budget":
        return f"≤{check.limit:,.10g}"
    return f"≥{check.limit:.1f}" if check.kind == "floor" else f"≥{signed(check.limit)}"


def _p(value: float | None) -> str:
    if value is None:
        return ""
    return probability(value)


def _lines(verdict: Verdict, seq: int | None, version: str | None, kept: bool) -> Table:
    grid = Table.grid(padding=(0, 3, 0, 0))
    grid.add_column(no_wrap=True, style="bold")
    grid.add_column(overflow="fold")
    for word, reason in zip(
        ["Why", *["And"] * len(verdict.reasons)], verdict.reasons, strict=False
    ):
        grid.add_row(word, _text(reason))
    further = (("Told", let_by(verdict)), ("Kinds", _slices(verdict)), ("Seeds", _seeds(verdict)))
    for word, told in further:
        if told:
            grid.add_row(word, _text(told))
    if told := ways_out(verdict):
        grid.add_row("Ways", _text(told))
    grid.add_row("Then" if kept else "Now", _text(_now(verdict, version)))
    if seq and any(_shown(check) for check in verdict.checks):
        grid.add_row("See", Text(f"onward gate --examples {seq} · --replay {seq}"))
    return grid


def _slices(verdict: Verdict) -> str:
    """What became of the slices, and which one changed worst."""
    slices = [check for check in verdict.checks if check.kind == "slice"]
    if not slices:
        return ""
    lost = sum(check.mark == FAILED for check in slices)
    worst = min(slices, key=lambda check: (check.change or 0.0, check.unit))
    return (
        f"{lost or 'none'} of {len(slices)} slices of the known rows is shown to have lost; "
        f"worst: {worst.unit} {signed(worst.change or 0.0)} on {worst.rows:,} rows"
    )


def _seeds(verdict: Verdict) -> str:
    """The spread over all seeds, of the gain and of the episode that they harm most."""
    every = [check for check in verdict.checks if check.spread and check.kind != "slice"]
    if not every:
        return ""
    harmed = sorted((c for c in every if c.kind != "gain"), key=lambda c: c.spread or (0.0, 0.0))
    told = [
        f"{episode_name(c.unit)} {signed(c.spread[0])} to {signed(c.spread[1])}"
        for c in [*(c for c in every if c.kind == "gain"), *harmed[:1]]
        if c.spread
    ]
    return f"{', '.join(map(str, verdict.challengers))}: {'; '.join(told)}"


def _now(verdict: Verdict, version: str | None) -> str:
    if version:
        against = f", against the rule: {verdict.forced}" if verdict.forced else ""
        return f"{version} serves{against}"
    if verdict.outcome == "passed":
        return "export, benchmark and the final gate come next"
    if verdict.passes:
        return "`onward promote` makes it the champion"
    serving = f"{verdict.champion} serves" if verdict.champion else "nothing serves yet"
    return f"nothing changed; {serving}"


def history_table(
    lines: Sequence[dict[str, Any]], champion: str | None, limit: int = 0
) -> RenderableType:
    """The journal, newest first, and the line that says who serves and how to undo it.

    Args:
        lines: the journal's lines, oldest first; all of them, since an early one may say what
            served before the champion.
        champion: the version that serves, or None.
        limit: so many lines are shown, the newest; 0: all.
    """
    if not lines:
        return Text("Nothing was judged yet.")
    full = ["SEQ", "DATE", "WHAT", "CHAMPION", "EPISODE", "NEW", "WORST OLD", "BY · WHY"]
    narrower = [
        full,
        [c for c in full if c != "DATE"],
        [c for c in full if c not in ("DATE", "BY · WHY")],
        ["SEQ", "WHAT", "CHAMPION", "NEW"],
    ]
    newest = list(reversed(lines[-limit:]))
    tables = [_history(newest, columns) for columns in narrower]
    tables.insert(2, _history(newest, narrower[1], why=16))
    return Group(Fitting(tables), _serving(lines, champion))


def _history(lines: Sequence[dict[str, Any]], columns: list[str], why: int = 40) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for column in columns:
        table.add_column(Text(column), justify="right" if column == "SEQ" else "left", no_wrap=True)
    for line in lines:
        cells = _history_cells(line, why)
        table.add_row(*(_text(cells[column]) for column in columns))
    return table


def _history_cells(line: dict[str, Any], why: int) -> dict[str, str]:
    what = str(line["what"])
    return {
        "SEQ": str(line["seq"]),
        "DATE": _date(str(line.get("at", ""))),
        "WHAT": f"{what} !" if what == "forced" else what,
        "CHAMPION": _champions(line),
        "EPISODE": _episodes(line),
        "NEW": _signed(line.get("learning_change")),
        "WORST OLD": _worst(line),
        "BY · WHY": _clipped(_why(line), why),
    }


def _date(at: str) -> str:
    try:
        return datetime.fromisoformat(at).astimezone().strftime("%d %b")
    except ValueError:
        return NOTHING


def _champions(line: dict[str, Any]) -> str:
    before, after = line.get("champion"), line.get("version")
    if before and after and before != after:
        return f"{before} → {after}"
    return f"→ {after}" if after and not before else before or NOTHING


def _episodes(line: dict[str, Any]) -> str:
    folders = line.get("episodes") or ([line["episode"]] if line.get("episode") else [])
    if not folders:
        return NOTHING
    numbers = [folder.partition("-")[0].lstrip("0") for folder in folders]
    shown = "+".join(numbers) if len(numbers) <= 3 else f"{numbers[0]}…{numbers[-1]}"
    return _clipped(f"{shown} {episode_name(folders[-1])}", 18)


def _signed(value: float | None) -> str:
    return NOTHING if value is None else signed(value)


def _worst(line: dict[str, Any]) -> str:
    if line["what"] == "undecided" and line.get("rows_needed"):
        return f"needs {line['rows_needed']:,} rows"
    if line.get("worst_unit") is None:
        return NOTHING
    return f"{_clipped(episode_name(line['worst_unit']), 14)} {_signed(line.get('worst_change'))}"


def _why(line: dict[str, Any]) -> str:
    reason = line.get("reason") or line.get("because") or ""
    return " · ".join(part for part in (str(line.get("by", "")), str(reason)) if part)


def _serving(lines: Sequence[dict[str, Any]], champion: str | None) -> Text:
    if champion is None:
        return Text("○ nothing serves yet")
    made = {
        line["version"]: line["candidate"] for line in lines if line["what"] in journal.PROMOTING
    }
    gone = {*journal.withdrawn(lines), made.get(champion)}
    before = [version for version, candidate in made.items() if candidate not in gone]
    undo = f" · undo: onward rollback --to {before[-1]} --reason …" if before else ""
    return Text(f"● {champion} serves{undo}")


def narrowing(
    columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[str]], leave_out: Sequence[str]
) -> RenderableType:
    """A table whose columns are left out one by one until the rest fits, whole.

    Args:
        columns: (name, left or right).
        rows: cells in the order of the columns.
        leave_out: names that may be missing, the least needed first.
    """
    every = list(range(len(columns)))
    choices = [_of_columns(columns, rows, every)]
    for name in leave_out:
        every = [at for at in every if columns[at][0] != name]
        choices.append(_of_columns(columns, rows, every))
    return Fitting(choices)


def _of_columns(
    columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[str]], shown: Sequence[int]
) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for at in shown:
        name, side = columns[at]
        right = side == "right"
        table.add_column(Text(name), justify="right" if right else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(row[at]) for at in shown))
    return table
