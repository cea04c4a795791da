"""Two turns of a toy project: what the first one taught, and what is left of it after the second.

`taught` trains the first turn and leaves the second one ready; `second` runs it with any strategy.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from onward import config, files, recipes
from onward.config import Finetune, Strategy
from onward.episodes.turn import Turn
from onward.learning import base, finetune, models, prepare
from onward.learning.job import Job
from onward.project import Project
from tests import toys
from tests.learning.structures.turns import held, inputs, learn, project_of

NAMES = ["0001-one", "0002-two"]

TRAINING: dict[str, Any] = {
    "first_epochs": 8,
    "first_learning_rate": 0.005,
    "epochs": 4,
    "learning_rate": 0.005,
    "schedule": "constant",
}
"""With which the first episode is learned well, and lost in the second turn."""


def taught(
    root: Path,
    encoder: Path,
    recipe: str,
    episodes: dict[str, list[dict[str, Any]]],
    strategy: dict[str, Any],
    **training: Any,
) -> Project:
    """A project whose v1 learned the first of two episodes, and whose turn learns the second."""
    blocks = {"strategy": strategy, "finetune": {**TRAINING, **training}}
    project = project_of(root, encoder, recipe, episodes, NAMES[:1], **blocks)
    learn(project, 1)
    turn = {"learning": NAMES[1:], "known": NAMES[:1], "version": "v1", "recipe": recipe}
    toys.toy_turn(project, encoder, **turn)  # type: ignore[arg-type]
    return project


def change(project: Project, strategy: dict[str, Any], **training: Any) -> None:
    """Another strategy, and other settings of the training."""
    params = files.read_json(project.params)
    params["strategy"] = strategy
    params["finetune"] |= training
    files.write_json(project.params, params)


def second(project: Project, strategy: dict[str, Any], **training: Any) -> Path:
    """Run the second turn; its candidate's folder."""
    change(project, strategy, **training)
    prepare.run(project)
    finetune.run(project)
    return project.made("finetune") / "model"


def job(project: Project) -> Job:
    """The job of the project's turn, prepared."""
    turn = Turn.read(project)
    return finetune._job(
        project,
        turn,
        finetune.read_prepared(project, turn),
        config.read(project.params, Finetune),
        config.read(project.params, Strategy),
        base.source(project, turn),
        project.root / "work",
    )


def logits(recipe: str, folder: Path, rows: list[dict[str, Any]]) -> Any:
    """Of each row, [B, C], by the model of a folder, and its labels."""
    import torch

    with torch.inference_mode():
        model = models.load(recipes.get(recipe), folder, {"new_head": False})
        return model(**inputs(recipe, rows, folder))["logits"], model.config.id2label


def right(project: Project, recipe: str, folder: Path, episode: str, of: list[str]) -> float:
    """Percent of held-out decisions that are right: of one label a row, or of each of `of`."""
    rows = held(project, episode)
    found, names = logits(recipe, folder, rows)
    if recipe == "classification":
        told = [names[int(at)] for at in found.argmax(dim=1)]
        every = [each == row["label"] for each, row in zip(told, rows, strict=True)]
    else:
        places = {names[at]: at for at in names}
        every = [
            bool(found[n, places[label]] > 0) == (label in row["labels"])
            for n, row in enumerate(rows)
            for label in of
        ]
    return 100 * sum(every) / len(every)
