"""Projects with a turn over small episodes, good ones and such as no door would let in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from onward import files, recipes
from onward.episodes import rows as parquet
from onward.episodes.turn import Base, Data, Named, Turn
from onward.learning import encoder
from onward.project import Project
from onward.recipes.extractive import SCHEMA
from tests.toys import toy_rows

NULLABLE = pa.schema([pa.field(f.name, f.type) for f in SCHEMA])
Rows = list[dict[str, Any]]


def sides(seed: int, train: int = 30, heldout: int = 24) -> dict[str, Rows]:
    """The two sides of an episode that passes."""
    return {"train": toy_rows(train, seed), "heldout": toy_rows(heldout, seed + 1000)}


def project(root: Path, validate: str = "{}") -> Project:
    """A project without episodes; `validate` is the block's YAML."""
    (root / "params.yaml").write_text(f"validate: {validate}\nprepare: {{max_length: 320}}\n")
    (root / "dvc.yaml").write_text("stages: {}\n")
    return Project(root)


def encoder_without_weights(folder: Path, model: Any = None) -> Path:
    """What validation reads of an encoder: its tokenizer, which knows every text unless given."""
    from tokenizers import Tokenizer, models

    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"")
    Tokenizer(model or models.BPE()).save(str(folder / "tokenizer.json"))
    return folder


def deliver(
    at: Project,
    *,
    known: dict[str, dict[str, Rows]] | None = None,
    learning: dict[str, dict[str, Rows]] | None = None,
    replaces: dict[str, list[str]] | None = None,
    schema: pa.Schema | None = None,
    recipe: str = "extractive",
    model: Any = None,
) -> Turn:
    """Seal episodes and write the turn that names them; columns may hold nulls."""
    named = {}
    schema = schema or pa.schema([(f.name, f.type) for f in recipes.get(recipe).SCHEMA])
    for number, (name, rows) in enumerate({**(known or {}), **(learning or {})}.items(), start=1):
        folder = f"{number:04}-{name}"
        extra = {"number": number, "name": name, "replaces": (replaces or {}).get(name, [])}
        with files.building(at.episode(folder), **extra) as made:
            for side, listed in rows.items():
                parquet.write(made / f"{side}.parquet", listed, schema)
        manifest = files.sha256(at.episode(folder) / files.MANIFEST)
        named[name] = Named(episode=folder, manifest=manifest)
    toy = encoder_without_weights(at.root / "toy", model)
    turn = Turn(
        recipe=recipe,
        base=Base(kind="pretrained", name=str(toy), sha256=encoder.fingerprint(toy)),
        known=tuple(named[name] for name in known or {}),
        learning=tuple(named[name] for name in learning or {}),
        data=Data(md5="0.dir", size=1, nfiles=1),
    )
    turn.write(at)
    return turn
