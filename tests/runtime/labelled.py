"""A classification project whose candidate is trained and evaluated: ready to be exported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from onward import files
from onward.config import Prepare
from onward.learning import models
from onward.project import Project
from onward.recipes import classification
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


def make(root: Path, encoder: Path) -> Project:
    """One episode, the turn, turn/finetune and turn/evaluate."""
    from onward.evaluation import evaluate

    rows = toys.toy_texts(400, seed=1, titles=8)
    project: Project = toys.toy_project(root, encoder, {"first": rows}, "classification", **PARAMS)
    titles = sorted({row["title"] for row in rows})[:-2]
    learned = [row for row in rows if row["title"] in titles]
    with files.building(project.made("finetune")) as folder:
        models.save(train(encoder, learned), encoder, folder / "model")
        spec = {**WINDOW, "no_answer": False, "labels": list(LABELS)}
        files.write_json(folder / "spec.json", spec)
    evaluate.run(project)
    return project


def train(encoder: Path, rows: list[dict[str, Any]], steps: int = 80) -> Any:
    """The toy encoder with a head, after a few steps."""
    import torch

    from onward.evaluation.runner import load_tokenizer
    from onward.runtime.session import pad

    torch.manual_seed(0)
    model = classification.build(encoder, {"dropout": 0.0, "labels": LABELS}).train()
    made = classification.encode(rows, load_tokenizer(encoder), Prepare(**WINDOW), labels=LABELS)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for step in range(steps):
        batch = [made[(step * 32 + n) % len(made)] for n in range(32)]
        arrays = pad(batch, ["input_ids", "token_type_ids", "attention_mask"], 0)
        inputs = {name: torch.from_numpy(array) for name, array in arrays.items()}
        labels = torch.tensor([feature["label"] for feature in batch])
        optimizer.zero_grad()
        model(**inputs, labels=labels).loss.backward()
        optimizer.step()
    return model.eval()


def reseal(folder: Path, **changed: Any) -> None:
    """Change keys of package.json and seal it again, as one who can write the folder could."""
    path = folder / "package.json"
    spec = json.loads(path.read_text(encoding="utf-8"))
    spec.update(changed)
    files.write_json(path, {key: value for key, value in spec.items() if value is not None})
    (folder / files.MANIFEST).unlink()
    files.seal(folder)
