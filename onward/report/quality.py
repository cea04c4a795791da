"""The panel on answers: their scores before and after, unsafe ones, and exchanged names.

What was measured and not gated is here as well; the verdict's panels show what was judged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from onward import files, recipes, wording
from onward.project import Project
from onward.quality.columns import COLUMNS, FINDINGS


@dataclass(frozen=True)
class Line:
    """One score: in percent, or a count of answers."""

    name: str
    before: str
    after: str


@dataclass(frozen=True)
class Answers:
    """What turn/evaluate says of the judged candidate's answers."""

    before: str
    """What the candidate is compared with, by name."""
    lines: tuple[Line, ...]
    unsafe: tuple[str, ...]
    """Rows with findings, in words."""
    swaps: tuple[dict[str, Any], ...]
    """swap, rows, plain, swapped, gap, changed_percent."""
    metric: str


def read(project: Project, candidate: str) -> Answers | None:
    """The panel of a judged candidate; None where nothing was measured, or of another one."""
    path = project.made("evaluate") / "summary.json"
    if not path.is_file():
        return None
    summary = files.read_json(path)
    if summary.get("candidate") != candidate or not {"quality", "bias"} & summary.keys():
        return None
    quality, bias = summary.get("quality") or {}, summary.get("bias") or {}
    sides = (quality.get("units") or {}).get("all") or {"before": {}, "after": {}}
    names = [name for name in (*COLUMNS, *FINDINGS) if sides["after"].get(name) is not None]
    return Answers(
        before=wording.before(str(summary.get("before", ""))),
        lines=tuple(
            Line(name, *(_shown(name, sides[side].get(name)) for side in ("before", "after")))
            for name in names
        ),
        unsafe=tuple(
            f"{one['unit']} {one['row'][:12]}: {', '.join(one['findings'])}"
            for one in quality.get("unsafe", ())
        ),
        swaps=tuple(bias.get("kinds", ())),
        metric=recipes.shown(str(summary.get("metric", ""))),
    )


def _shown(name: str, value: float | None) -> str:
    if value is None:
        return "—"
    if name not in FINDINGS:
        return f"{value:.1f}"
    return wording.counted(value, "answer")
