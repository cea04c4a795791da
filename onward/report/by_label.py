"""The panel on labels: how each is told, and whether probabilities keep what they say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from onward import config, files, recipes
from onward.project import Project
from onward.wording import counted

SHOWN = 20
"""Labels, the weakest first."""

SIDE = 220
"""Pixels of the calibration picture's square."""


@dataclass(frozen=True)
class Bin:
    """A point of the calibration picture: its place in pixels, its size, and what it says."""

    x: float
    y: float
    radius: float
    told: str


@dataclass(frozen=True)
class Labels:
    """What turn/evaluate says of the judged candidate, label by label."""

    classes: tuple[dict[str, Any], ...]
    """label, rows, precision, recall, f1: the SHOWN weakest."""
    of: int
    macro_f1: float
    ece: float | None
    bins: tuple[Bin, ...]
    name: str = "label"
    """What is counted: of questions with options, the place of the right one."""
    holds: str = "rows"
    """What a label's number is of: a row may have many entities."""
    side: int = SIDE


def read(project: Project, candidate: str) -> Labels | None:
    """The panel of a judged candidate; None where its recipe has no labels, or of another one."""
    path = project.made("evaluate") / "summary.json"
    summary = files.read_json(path) if path.is_file() else {}
    if summary.get("candidate") != candidate or not summary.get("classes"):
        return None
    ranked = sorted(summary["classes"], key=lambda one: (one["f1"], one["label"]))
    sure = summary.get("calibration") or {}
    bins = [one for one in sure.get("bins", ()) if one["rows"]]
    kinds = _kinds(project)
    most = max((one["rows"] for one in bins), default=1)
    return Labels(
        classes=tuple(ranked[:SHOWN]),
        of=len(ranked),
        macro_f1=float(summary.get("macro_f1", 0.0)),
        ece=sure.get("ece"),
        bins=tuple(_bin(one, most) for one in bins),
        name="right option" if "choice" in kinds else "label",
        holds="entities" if "tags" in kinds else "rows",
    )


def _kinds(project: Project) -> set[str]:
    """What the recipe's rows hold: labels, places of options, tags of spans."""
    recipe = recipes.get(config.read(project.params, config.Identity).recipe)
    return {target.kind for target in recipe.TARGETS.values()}


def _bin(one: dict[str, Any], most: int) -> Bin:
    """A circle whose area is as its rows."""
    rows = counted(one["rows"], "row")
    told = f"{rows}, {one['confidence']:.0f}% sure, right in {one['accuracy']:.0f}%"
    return Bin(
        x=round(SIDE * one["confidence"] / 100, 1),
        y=round(SIDE - SIDE * one["accuracy"] / 100, 1),
        radius=round(max(12 * (one["rows"] / most) ** 0.5, 2.0), 1),
        told=told,
    )
