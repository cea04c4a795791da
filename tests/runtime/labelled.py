"""Projects of the other recipes whose candidate is trained and evaluated: ready to be exported."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

from onward import files, recipes
from onward.config import Prepare
from onward.learning import models
from onward.project import Project
from tests import toys

UNIT = "0001-first"
WINDOW = {"max_length": 48, "stride": 16}
LABELS = ("city", "animal", "colour")
"""Not sorted: the order of a model's labels is its own."""

PARAMS: dict[str, dict[str, Any]] = {
    "prepare": {**WINDOW, "early_stopping_percent": 0},
    "evaluate": {"threads": 1, "batch_size": 8},
    "export": {"threads": 1},
    "benchmark": {
        "provider": "cpu",
        "threads": 1,
        "shapes": [[1, 16], [2, 40]],
        "serving_shape": [1, 16],
        "seconds": 0.2,
        "min_repeats": 20,
    },
}


def make(root: Path, encoder: Path, recipe: str) -> Project:
    """One episode, the turn, turn/finetune and turn/evaluate."""
    from onward.evaluation import evaluate

    rows = toys.toy_texts(400, seed=1, recipe=recipe, titles=8)
    project: Project = toys.toy_project(root, encoder, {"first": rows}, recipe, **PARAMS)
    titles = sorted({row["title"] for row in rows})[:-2]
    learned = [row for row in rows if row["title"] in titles]
    task = recipes.get(recipe)
    labels = LABELS if recipe != "regression" else ()
    with files.building(project.made("finetune")) as folder:
        models.save(train(task, encoder, learned, labels), encoder, folder / "model")
        spec = {**WINDOW, "no_answer": False, "labels": list(labels)}
        files.write_json(folder / "spec.json", spec)
    evaluate.run(project)
    return project


def train(
    recipe: ModuleType,
    encoder: Path,
    rows: list[dict[str, Any]],
    labels: tuple[str, ...],
    steps: int = 80,
) -> Any:
    """The toy encoder with the recipe's head, after a few steps."""
    import torch

    from onward.evaluation.runner import load_tokenizer

    torch.manual_seed(0)
    model = recipe.build(encoder, {"dropout": 0.0, "labels": labels})
    tokenizer = load_tokenizer(encoder)
    made = recipe.encode(rows, tokenizer, Prepare(**WINDOW), labels=labels)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    model.train()
    for step in range(steps):
        batch = [made[(step * 32 + n) % len(made)] for n in range(32)]
        loss = model(**_padded(recipe, batch, len(labels))).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def _padded(recipe: ModuleType, batch: list[dict[str, Any]], width: int) -> dict[str, Any]:
    import torch

    from onward.runtime.session import pad

    arrays = pad(batch, ["input_ids", "token_type_ids", "attention_mask"], 0)
    ((key, target),) = recipe.TARGETS.items()
    values: Any = [feature[key] for feature in batch]
    if target.kind == "classes":
        values = [[float(n in value) for n in range(width)] for value in values]
    inputs = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return {**inputs, target.argument: torch.tensor(values)}


def reseal(folder: Path, **changed: Any) -> None:
    """Change keys of package.json and seal it again, as one who can write the folder could."""
    path = folder / "package.json"
    spec = json.loads(path.read_text(encoding="utf-8"))
    spec.update(changed)
    files.write_json(path, {key: value for key, value in spec.items() if value is not None})
    (folder / files.MANIFEST).unlink()
    files.seal(folder)
