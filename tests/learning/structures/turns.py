"""Turns of a toy project, one after the other, with one structure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from onward import files, recipes
from onward.episodes import rows as parquet
from onward.episodes import split
from onward.episodes import turn as turns
from onward.learning import finetune, models, prepare
from onward.project import Project
from tests import toys


def learn(project: Project, number: int) -> Path:
    """Prepare and train the project's turn, seal the candidate as a version; its checkpoint."""
    prepare.run(project)
    finetune.run(project)
    return toys.toy_version(project, f"v{number}") / "checkpoint"


def project_of(
    root: Path,
    encoder: Path,
    recipe: str,
    episodes: dict[str, list[dict[str, Any]]],
    learning: list[str] | None = None,
    **blocks: dict[str, Any],
) -> Project:
    """A project whose turn learns all its episodes, or those of `learning`, on the encoder."""
    project: Project = toys.toy_project(root, encoder, episodes, recipe=recipe, **blocks)
    if learning is not None:
        toys.toy_turn(project, encoder, learning=learning, recipe=recipe)
    return project


def held(project: Project, episode: str) -> list[dict[str, Any]]:
    """The held-out rows of an episode."""
    return turns.rows(project, episode, "heldout")


def inputs(recipe: str, rows: list[dict[str, Any]], folder: Path) -> dict[str, Any]:
    """One padded batch of rows, as a model takes it."""
    import torch

    from onward.config import Prepare
    from onward.evaluation.runner import pad
    from onward.learning import encoder

    window = Prepare(max_length=64, stride=16)
    found = recipes.get(recipe).encode(rows, encoder.tokenizer(folder), window, labels=None)
    return {name: torch.from_numpy(array) for name, array in pad(found, 0).items()}


def answers(recipe: str, folder: Path, rows: list[dict[str, Any]]) -> list[str]:
    """The most probable label of each row, told by the model of a folder."""
    import torch

    with torch.inference_mode():
        model = models.load(recipes.get(recipe), folder, {"new_head": False})
        logits = model(**inputs(recipe, rows, folder))["logits"]
    return [model.config.id2label[int(at)] for at in logits.argmax(dim=1)]


def bytes_of(folder: Path) -> dict[str, str]:
    """The sha256 of every file."""
    return {name: entry["sha256"] for name, entry in files.inventory(folder).items()}


def correcting(
    project: Project, number: int, name: str, corrected: str, rows: list[dict[str, Any]]
) -> str:
    """Seal an episode of training rows that replace those of another; its folder's name."""
    recipe, folder = files.read_json(project.params)["project"]["recipe"], f"{number:04d}-{name}"
    about = {"number": number, "name": name, "recipe": recipe, "replaces": [corrected]}
    with files.building(project.episode(folder), **about) as at:  # type: ignore[arg-type]
        parquet.write(at / "train.parquet", rows, recipes.get(recipe).SCHEMA)
        parquet.write(at / "heldout.parquet", [], recipes.get(recipe).SCHEMA)
        keys = {parquet.side_key(parquet.split_text(row)).hex() for row in rows}
        lines = ({"kind": "context", "key": key, "side": "train"} for key in sorted(keys))
        parquet.write(at / "sides.parquet", lines, split.SCHEMA)
    return folder
