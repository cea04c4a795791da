"""What a version's card and a verdict's journal line say: where it came from and why.

The card lies in the version's folder and so holds no date: equal inputs give equal cards.
"""

from __future__ import annotations

import platform
from importlib import metadata
from typing import TYPE_CHECKING, Any, Protocol

from onward import config, files
from onward.project import Project

if TYPE_CHECKING:
    from onward.evaluation.evidence import Evidence

SCHEMA = 1
PACKAGES = ("torch", "transformers", "peft", "onnx", "onnxruntime-gpu", "numpy", "dvc", "onward")


class Judged(Protocol):
    """What promotion needs of the gate's verdict."""

    @property
    def outcome(self) -> str:
        """promoted, forced, refused or undecided."""

    @property
    def candidate(self) -> str:
        """The id of the candidate that was judged."""

    @property
    def champion(self) -> str | None:
        """The version it was judged against; None: there was none."""

    @property
    def learning(self) -> tuple[str, ...]:
        """The episodes that the turn was to learn."""

    @property
    def evidence(self) -> Evidence | None:
        """The rows that it rests on; None: none were taken."""

    def summary(self) -> dict[str, Any]:
        """The fields of its journal line."""

    def to_json(self) -> dict[str, Any]:
        """All of it, with every check."""


def card(
    project: Project,
    version: str,
    verdict: Judged,
    seq: int,
    revision: str | None,
    served: dict[str, dict[str, float]],
) -> dict[str, Any]:
    """The lineage of a version that is being promoted.

    Args:
        project: whose turn and outputs it is made of.
        version: the version's name.
        verdict: the gate's.
        seq: the verdict's number.
        revision: Git's sha of the code and settings, `+` at its end where files had changed.
        served: what its package scored, by episode; `metrics` are its checkpoint's.
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
        "learning": turn["learning"],
        "learned": [] if adopted else [*turn["known"], *turn["learning"]],
        "data": turn["data"],
        "revision": revision,
        "parameters": config.load(project.params),
        "environment": environment(project),
        "metrics": _read(project, "turn/scores.json"),
        "served": served,
        "latency": _read(project, "turn/latency.json"),
        "package": serving(project),
        "verdict": {"seq": seq, **verdict.to_json()},
    }


def line(project: Project, verdict: Judged, seq: int, before: str | None) -> dict[str, Any]:
    """The fields that a verdict's journal line carries; `before` is the champion's version."""
    return {
        **verdict.summary(),
        "champion": before,
        "version": None,
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
