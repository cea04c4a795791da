"""A project of any recipe through the whole loop in one process: from a file to an answer.

project = begun(tmp_path / "project", encoder, "tagging")
learned(project, "first", rows)                   # opened, validated, ..., gated, promoted
ask(project, {"text": "..."})
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli import new
from onward import config, files
from onward.episodes import open as opening
from onward.episodes.turn import Turn, compose
from onward.evaluation import evaluate, gate, verdicts
from onward.evaluation.checks import Verdict
from onward.learning import finetune, prepare
from onward.project import Project
from onward.registry import journal
from onward.registry.promote import promote
from onward.runtime import bench, export, memory, probe
from onward.validation import run as validation
from tests import toys
from tests.registry.turns import kept

PARAMS: dict[str, dict[str, Any]] = {
    # Toy texts are alike by nature, and their few titles part well by this seed.
    "episode": {"leakage": "warn", "seed": 13},
    "validate": {"min_train_rows": 10, "min_heldout_rows": 10},
    "finetune": {"tuning": "full"},
    "evaluate": {"threads": 1, "batch_size": 32},
    "gate": {"floor": 40.0, "margin": 10.0, "min_rows": 20, "p95_change_percent": 10_000},
    "export": {"threads": 1, "int8": False},
    "benchmark": {
        "provider": "cpu",
        "threads": 1,
        "shapes": [[1, 16]],
        "serving_shape": [1, 16],
        "seconds": 0.1,
        "min_repeats": 60,
    },
}


def begun(root: Path, encoder: Path, recipe: str, **params: dict[str, Any]) -> Project:
    """A project without episodes: what `onward new` writes, with a toy's settings over it."""
    project = Project(root)
    new.write(root, name="toy", recipe=recipe, encoder=str(encoder))
    written = config.load(project.params)
    blocks = {
        name: {
            **(written.get(name) or {}),
            **toys.PARAMS.get(name, {}),
            **PARAMS.get(name, {}),
            **params.get(name, {}),
        }
        for name in {**written, **toys.PARAMS, **PARAMS, **params}
    }
    files.write_text(project.params, json.dumps(blocks, indent=1))
    return project


def opened(project: Project, name: str, source: Path, **how: Any) -> opening.Opened:
    """Open an episode from a file, and write the turn that learns it."""
    data = {"md5": "0.dir", "size": 0, "nfiles": 0}
    found = opening.open_episode(project, name, source, keep=lambda _: data, **how)
    if not found.dry_run:
        compose(project, data).write(project)
    return found


def staged(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every stage of the turn. Memory is told, not measured: that takes a process each time."""
    monkeypatch.setattr(memory, "peak_mb", lambda ask: 100.0)
    for stage in (validation, prepare, finetune, evaluate, export, bench):
        stage.run(project)


def judged(project: Project) -> Verdict:
    """The final verdict on the turn's candidate; one that promotes is carried out."""
    verdict = gate.judge(project, "final")
    seq = journal.next_seq(project)
    verdicts.keep(project, seq, verdict)
    if verdict.outcome in journal.PROMOTING:
        promote(project, verdict, seq, keep=kept, by="test", revision="0" * 40, probe=probe.check)
    return verdict


def learned(
    project: Project,
    name: str,
    rows: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> Verdict:
    """A whole turn over one more episode."""
    opened(project, name, toys.write_jsonl(project.root / f"{name}.jsonl", rows))
    assert [folder[5:] for folder in Turn.read(project).learning_episodes] == [name]
    staged(project, monkeypatch)
    return judged(project)


__all__ = ["begun", "judged", "learned", "opened", "staged"]
