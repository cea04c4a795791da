"""What a version's card and a verdict's journal line say: where it came from and why.

The card lies in the version's folder and so holds no date: equal inputs give equal cards.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib import metadata
from typing import Any, Protocol

from onward import config, files
from onward.project import Project

SCHEMA = 1
PACKAGES = ("torch", "transformers", "peft", "onnx", "onnxruntime-gpu", "numpy", "dvc", "onward")


class Check(Protocol):
    """One line of the gate's table."""

    kind: str
    unit: str
    change: float | None


class Judged(Protocol):
    """What promotion needs of the gate's verdict."""

    outcome: str
    candidate: str
    champion: str | None
    key: str
    level: float

    @property
    def checks(self) -> Sequence[Any]:
        """The checks, each with kind, unit and change."""


def card(
    project: Project, version: str, verdict: Judged, seq: int, revision: str | None
) -> dict[str, Any]:
    """The lineage of a version that is being promoted.

    Args:
        project: whose turn and outputs it is made of.
        version: the version's name.
        verdict: the gate's.
        seq: the verdict's number.
        revision: Git's sha of the code and settings, `+` at its end where files had changed.
    """
    turn = files.read_json(project.turn)
    adopted = turn["base"]["kind"] == "adopted"  # it was not trained on these rows
    return {
        "schema": SCHEMA,
        "version": version,
        "candidate": verdict.candidate,
        "recipe": turn["recipe"],
        "turn": files.digest(turn),
        "base": turn["base"],
        "known": turn["known"],
        "learning": [] if adopted else turn["learning"],
        "learned": [] if adopted else [*turn["known"], *turn["learning"]],
        "data": turn["data"],
        "revision": revision,
        "parameters": config.load(project.params),
        "environment": environment(project),
        "metrics": _read(project, "turn/scores.json"),
        "latency": _read(project, "turn/latency.json"),
        "package": serving(project),
        "verdict": {"seq": seq, "outcome": verdict.outcome, **summary(verdict)},
    }


def summary(verdict: Judged) -> dict[str, Any]:
    """The change on what was learned, and the old unit that changed worst (None: there is none)."""
    gained = [c.change for c in verdict.checks if c.kind == "gain" and c.change is not None]
    old = [c for c in verdict.checks if c.kind == "harm" and c.change is not None]
    worst = min(old, key=lambda check: check.change, default=None)
    return {
        "learning_change": gained[0] if gained else None,
        "worst_unit": worst.unit if worst else None,
        "worst_change": worst.change if worst else None,
    }


def line(project: Project, verdict: Judged, seq: int, before: str | None) -> dict[str, Any]:
    """The fields that a verdict's journal line carries; `before` is the champion's version."""
    turn = files.read_json(project.turn)
    return {
        "turn": files.digest(turn),
        "candidate": verdict.candidate,
        "key": verdict.key,
        "champion": before,
        "version": None,
        "episodes": [item["episode"] for item in turn["learning"]],
        **summary(verdict),
        "verdict": files.sha256(project.verdict(seq) / files.MANIFEST),
    }


def serving(project: Project) -> dict[str, Any]:
    """{variant, provider} that the benchmark chose."""
    report = files.read_json(project.made("benchmark") / "report.json")
    return {"variant": report["variant"], "provider": report["provider"]}


def environment(project: Project) -> dict[str, Any]:
    """Python, the packages that matter, and the machine as the stages saw it."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "python": platform.python_version(),
        "packages": found,
        "machine": _read(project, "turn/inputs/machine.json"),
    }


def _read(project: Project, name: str) -> Any:
    path = project.root / name
    return files.read_json(path) if path.exists() else None
