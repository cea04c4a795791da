"""Quality against the 95th percentile of latency and against memory, a point a version.

Quality is the mean score over the episodes that every version shown was scored on: only so are two
versions comparable. Latency and memory are those of the package that served, as its benchmark
measured them; what was measured on another machine than the champion's is drawn hollow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from onward.errors import OnwardError
from onward.evaluation.matrix import Matrix
from onward.project import Project
from onward.registry import versions
from onward.report.forest import Scale

HEIGHT = 180
"""Pixels of a plot."""

FACES = (("p95, ms", "p95"), ("memory, MB", "memory"))


@dataclass(frozen=True)
class Measured:
    """A version's quality and what serving it took."""

    version: str
    score: float
    p95: float
    memory: float
    serves: bool
    same_machine: bool
    forced: bool


@dataclass(frozen=True)
class Point:
    """x in percent of the width, y in pixels."""

    x: float
    y: float
    one: Measured


@dataclass(frozen=True)
class Plot:
    """One face: quality upwards, cost to the right."""

    name: str
    points: tuple[Point, ...]
    across: tuple[tuple[float, str], ...]
    up: tuple[tuple[float, str], ...]
    """Ticks: places and labels."""


@dataclass(frozen=True)
class Scatter:
    """Both faces, and what could not be shown."""

    metric: str
    episodes: int
    plots: tuple[Plot, ...]
    measured: tuple[Measured, ...]
    absent: tuple[str, ...]
    """Versions whose files are not on this machine, or that have no score to compare."""


def scatter(project: Project, found: Matrix) -> Scatter:
    """The points of all versions that have both a score and a benchmark on this machine."""
    cards = {one.name: _card(project, one.name) for one in found.versions}
    timed = {name: latency for name, card in cards.items() if (latency := _latency(card))}
    with_scores = {version for version, _ in found.scores}
    scored = [one for one in found.versions if one.name in timed and one.name in with_scores]
    shared = [
        unit
        for unit in found.units
        if unit not in found.withdrawn and all((o.name, unit) in found.scores for o in scored)
    ]
    here = _machine(next((cards[one.name] for one in found.versions if one.serves), None))
    measured = []
    for one in scored if shared else []:
        score = sum(found.scores[one.name, unit] for unit in shared) / len(shared)
        same = _machine(cards[one.name]) == here
        measured.append(Measured(one.name, score, *timed[one.name], one.serves, same, one.forced))
    named = {one.version for one in measured}
    absent = tuple(one.name for one in found.versions if one.name not in named)
    plots = tuple(_plot(name, key, measured) for name, key in FACES) if measured else ()
    return Scatter(found.metric, len(shared), plots, tuple(measured), absent)


def _plot(name: str, key: str, measured: Sequence[Measured]) -> Plot:
    across = _scale([float(getattr(one, key)) for one in measured])
    up = _scale([one.score for one in measured])

    def height(percent: float) -> float:
        return round(HEIGHT * (1 - percent / 100), 1)

    points = tuple(
        Point(across.at(getattr(one, key)), height(up.at(one.score)), one) for one in measured
    )
    most = up.at(100.0)  # no metric is above, and room for a point must not say so
    ticks = tuple((height(at), label) for at, label in up.ticks() if at <= most)
    return Plot(name, points, tuple(across.ticks()), ticks)


def _scale(values: Sequence[float]) -> Scale:
    """Room around all points; around one alone a tenth of its value, or it would be magnified."""
    alone = [values[0] * share for share in (0.9, 1.1)] if len(set(values)) == 1 else []
    return Scale.over([*values, *alone], room=0.15)


def _card(project: Project, version: str) -> dict[str, Any] | None:
    try:
        return versions.card(project, version)
    except OnwardError:
        return None  # shown as absent


def _latency(card: dict[str, Any] | None) -> tuple[float, float] | None:
    """p95 in ms and memory in MB of what served; None where they were not measured."""
    latency = (card or {}).get("latency") or {}
    p95, memory = latency.get("serving_p95_ms"), latency.get("serving_memory_mb")
    return None if p95 is None or memory is None else (float(p95), float(memory))


def _machine(card: dict[str, Any] | None) -> Any:
    machine = ((card or {}).get("environment") or {}).get("machine") or {}
    return machine.get("cpu"), machine.get("gpus")
