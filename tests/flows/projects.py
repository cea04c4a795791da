"""Toy projects that tests copy: an episode open; all stages made; promoted.

Each is made once a session, through the door that needs no Prefect; a copy costs milliseconds.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from onward.project import Project
from tests import toys

SETTINGS: dict[str, dict[str, Any]] = {
    "validate": {"min_train_rows": 10, "min_heldout_rows": 10},
    "prepare": {"max_length": 64, "stride": 16},
    "finetune": {
        "first_learning_rate": 0.003,
        "first_epochs": 8,
        "learning_rate": 0.001,
        "epochs": 3,
        "batch_size": 16,
        "micro_batch": 16,
        "threads": 1,
        "precision": "fp32",  # in bf16 a toy learns something else
    },
    "evaluate": {"threads": 1, "max_answer_tokens": 4},
    "gate": {"floor": 40.0, "margin": 10.0, "min_rows": 20, "p95_change_percent": 10_000},
    "export": {"threads": 1, "int8": False},
    "benchmark": {
        "shapes": [[1, 32]],
        "serving_shape": [1, 32],
        "seconds": 0.2,
        "min_repeats": 60,  # fewer cannot bound a p95, however slow the machine is
        "threads": 1,
    },
}


def onward(
    project: Path, *arguments: str, code: int | None = 0, **env: str
) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own, without any Prefect settings of the outside."""
    done = subprocess.run(
        [sys.executable, "-m", "cli", *arguments],
        cwd=project,
        env={**clean(project), **env},
        capture_output=True,
        text=True,
    )
    assert code is None or done.returncode == code, done.stdout + done.stderr
    return done


def dvc(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """DVC's own command line."""
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=project,
        env=clean(project),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def clean(project: Path) -> dict[str, str]:
    """The environment without Prefect's settings, with this Python first."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    here = str(Path(sys.executable).parent)
    return {
        **kept,
        "PATH": os.pathsep.join([here, kept.get("PATH", "")]),
        "HOME": str(project.parent),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    }


def change(project: Path, **blocks: dict[str, Any]) -> None:
    """Set keys of params.yaml."""
    yaml = YAML()
    path = project / "params.yaml"
    values = yaml.load(path.read_text())
    for block, keys in blocks.items():
        values.setdefault(block, {}).update(keys)
    with path.open("w") as out:
        yaml.dump(values, out)


@functools.cache
def _home() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="onward-toys-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    toys.toy_encoder(folder / "encoder")
    return folder


@functools.cache
def _opened() -> Path:
    """One open episode, nothing learned."""
    project = _home() / "opened" / "toy"
    onward(_home(), "new", str(project), "--encoder", str(_home() / "encoder"))
    change(project, **SETTINGS)
    open_episode(Project(project), "first", rows(1, "colour", "animal"))
    return project


@functools.cache
def _made() -> Path:
    """All stages made by `dvc repro`; nothing judged."""
    project = copy(_opened(), _home() / "made")
    dvc(project, "repro")
    return project


@functools.cache
def _promoted() -> Path:
    """Then promoted by `onward gate` and `onward promote`."""
    project = copy(_made(), _home() / "promoted")
    onward(project, "gate")
    onward(project, "promote")
    return project


def copy(source: Path, into: Path) -> Path:
    """A copy of a project, in a folder of the same name below `into`."""
    shutil.copytree(source, into / source.name, symlinks=True)
    return into / source.name


def opened(into: Path) -> Project:
    """A toy project with one open episode."""
    return Project(copy(_opened(), into / "opened"))


def made(into: Path) -> Project:
    """A toy project whose stages are all up to date, before any gate."""
    return Project(copy(_made(), into / "made"))


def promoted(into: Path) -> Project:
    """A toy project with v1 promoted."""
    return Project(copy(_promoted(), into / "promoted"))


def rows(seed: int, *kinds: str) -> list[dict[str, Any]]:
    """Toy rows whose answer is of the given kinds (colour, animal, city)."""
    wanted = {word for kind in kinds for word in toys.KINDS[kind]}
    made = toys.toy_rows(480, seed=seed, titles=30)
    return [row for row in made if wanted & set(row["answers"])]


def open_episode(project: Project, name: str, given: list[dict[str, Any]]) -> None:
    """Open an episode of these rows by the command line."""
    source = toys.write_jsonl(project.root.parent / f"{name}.jsonl", given)
    onward(project.root, "episode", "open", name, str(source))
