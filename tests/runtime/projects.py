"""A project whose candidate, the toy reader, is trained and evaluated: ready to be exported."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from onward import files
from onward.config import Prepare
from onward.episodes import rows as parquet
from onward.episodes.turn import Base, Data, Named, Turn
from onward.project import Project
from onward.recipes import extractive
from onward.runtime import package
from onward.runtime.export import Job
from onward.runtime.graph import Graph
from tests import toys

UNIT = "0001-toy"
WINDOW = {"max_length": 48, "stride": 16}
PARAMS = """
project: {name: toy, recipe: extractive}
prepare: {max_length: 48, stride: 16}
evaluate: {threads: 1, batch_size: 8}
export: {threads: 1}
benchmark:
  provider: cpu
  threads: 1
  shapes: [[1, 16], [2, 40]]
  serving_shape: [1, 16]
  seconds: 0.2
  min_repeats: 60
"""


def train(encoder: Path, rows: list[dict[str, Any]], steps: int = 60) -> Any:
    """The toy encoder with a head, trained until it answers most of the rows."""
    import torch

    torch.manual_seed(0)
    model = extractive.build(encoder, {"dropout": 0.0})
    tokenizer = _tokenizer(encoder)
    features = extractive.encode(rows, tokenizer, Prepare(**WINDOW), labels=())
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    model.train()
    for step in range(steps):
        batch = [features[(step * 32 + n) % len(features)] for n in range(32)]
        names = ("input_ids", "token_type_ids", "attention_mask")
        longest = max(len(f["input_ids"]) for f in batch)
        inputs = {
            name: torch.tensor([[*f[name], *[0] * (longest - len(f[name]))] for f in batch])
            for name in names
        }
        places = {
            f"{side}_positions": torch.tensor([f[f"{side}_position"] for f in batch])
            for side in ("start", "end")
        }
        loss = model(**inputs, **places).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def _tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def make(root: Path, encoder: Path, *, evaluate: bool = True) -> Project:
    """Write params, one episode, the turn, turn/finetune and turn/evaluate."""
    from onward.evaluation import evaluate as stage

    project = Project(root)
    root.mkdir(parents=True, exist_ok=True)
    files.write_text(project.params, PARAMS)
    files.write_text(project.pipeline, "stages: {}\n")
    rows = toys.toy_rows(480, seed=1, titles=24, no_answer=0.0)
    # One context longer than the window, so that it becomes several.
    rows[0]["context"] += " then it was seen near a box" * 12
    with files.building(project.episode(UNIT), number=1, name="toy") as folder:
        parquet.write(folder / "train.parquet", rows[120:], extractive.SCHEMA)
        parquet.write(folder / "heldout.parquet", rows[:120], extractive.SCHEMA)
    manifest = files.sha256(project.episode(UNIT) / files.MANIFEST)
    turn = Turn(
        recipe="extractive",
        base=Base(kind="pretrained", name="toy", sha256="00"),
        learning=(Named(episode=UNIT, manifest=manifest),),
        data=Data(md5="0.dir", size=1, nfiles=1),
    )
    turn.write(project)
    _finetune(project, encoder, rows[120:])
    if evaluate:
        stage.run(project)
    return project


def _finetune(project: Project, encoder: Path, rows: list[dict[str, Any]]) -> None:
    with files.building(project.made("finetune")) as folder:
        train(encoder, rows).save_pretrained(folder / "model")
        for name in package.TOKENIZER:
            shutil.copyfile(encoder / name, folder / "model" / name)
        files.write_json(folder / "spec.json", {**WINDOW, "no_answer": False})


def job(project: Project, rows: dict[str, list[dict[str, Any]]]) -> Job:
    """What export scores with, over rows of the caller's choice."""
    from onward.config import Evaluate

    prepare = Prepare(**WINDOW)
    evaluate = Evaluate(threads=1, batch_size=8, no_answer=False)
    return Job(project, Turn.read(project), extractive, rows, prepare, evaluate, 1)


def graph_of(model: Any) -> Graph:
    """The model's graph as the stage exports it."""
    from onward.runtime import graph

    return graph.export(model, extractive.graphs(model)[0], opset=20)


__all__ = ["UNIT", "WINDOW", "graph_of", "job", "make", "train"]
