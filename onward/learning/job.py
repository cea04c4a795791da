"""What a structure is given to fit: one training of one turn, with everything it may read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onward import files
from onward.config import Finetune, Strategy
from onward.episodes import rows as parquet
from onward.episodes.turn import Turn
from onward.learning import encoder, memory, models
from onward.learning.features import Collate, Features
from onward.learning.rows import Labelled
from onward.project import Project

PACKED = ("full", "last", "lora")
"""Tunings with which several windows may lie in a line."""


def packs(recipe: Any, tuning: str) -> bool:
    """Whether windows of a recipe may be packed; see onward/learning/packing.py."""
    return tuning in PACKED and bool(getattr(recipe, "PACKS", False))


def afresh(base: str, structure: str) -> bool:
    """Whether what is trained on a base of this kind begins with pretrained weights.

    So does every adapter, in later turns too: `first_learning_rate` and `first_epochs` are its own.
    """
    return base == "pretrained" or structure == "adapters"


@dataclass(frozen=True)
class Prepared:
    """turn/prepare, verified."""

    folder: Path
    manifest: dict[str, Any]
    counts: dict[str, Any]

    @property
    def stopping(self) -> bool:
        """Whether rows were carved off to say when to stop."""
        return bool(self.counts["stopping"]["rows"])


@dataclass(frozen=True)
class Job:
    """One seed's training of a turn; `settings.seed` is that seed."""

    recipe: ModuleType
    turn: Turn
    settings: Finetune
    strategy: Strategy
    source: Path
    """The folder with the base's weights and tokenizer, verified."""
    memory: Path | None
    """What the base remembers, verified; None where the base is not a version."""
    prepared: Prepared
    work: Path
    """Where unfinished training lies; this seed's own."""
    labels: tuple[str, ...]
    """Of the model to be made, in the order of its outputs; empty where the recipe has none."""
    base_labels: int
    """How many of them, from the first, the base has."""
    project: Project

    @property
    def seed(self) -> int:
        """Of this training."""
        return self.settings.seed

    @property
    def first(self) -> bool:
        """Whether the base is a pretrained encoder, which has learned nothing to keep."""
        return self.turn.base.kind == "pretrained"

    @property
    def adopted(self) -> bool:
        """Whether the base is handed on as it is, and nothing is trained."""
        return self.turn.base.kind == "adopted"

    @property
    def draw(self) -> int:
        """The seed that rows are drawn with: prepare's, the same for every challenger."""
        return int(self.prepared.manifest["seed"])

    @property
    def rate(self) -> float:
        """The learning rate: a training from pretrained weights has one of its own."""
        return float(getattr(self.settings, self.rate_key.removeprefix("finetune.")))

    @property
    def rate_key(self) -> str:
        """The setting that it is of."""
        return f"finetune.{'first_' if self._afresh else ''}learning_rate"

    @property
    def epochs(self) -> float:
        """Passes over the windows: a training from pretrained weights has a number of its own."""
        return self.settings.first_epochs if self._afresh else self.settings.epochs

    @property
    def _afresh(self) -> bool:
        return afresh(self.turn.base.kind, self.strategy.structure)

    def build(self) -> Any:
        """A new model from the base, in fp32; what it lacks is drawn from torch's generator."""
        spec = {"dropout": self.settings.dropout, "new_head": self.first}
        return models.load(self.recipe, self.source, {**spec, "labels": list(self.labels)})

    def tokenizer(self) -> Any:
        """The base's tokenizer."""
        return encoder.tokenizer(self.source)

    def collate(self) -> Collate:
        """Makes a batch of windows, a line each."""
        pad = self.tokenizer().pad_token_id or 0
        return Collate(pad, self.recipe.TARGETS, len(self.labels))

    def packing(self) -> Collate:
        """Makes a batch to train on: with several windows in a line, where that may be.

        Whether the model keeps them apart is seen where there is one, `packing.apart`.
        """
        if not (self.settings.packing and packs(self.recipe, self.settings.tuning)):
            return self.collate()
        return replace(self.collate(), line=int(self.prepared.manifest["window"]["max_length"]))

    def features(self) -> Features:
        """The windows to train on; `row` is a row's number in `rows`."""
        return Features.load(self.prepared.folder / "features.parquet")

    def stopping(self) -> Features | None:
        """The windows that say when to stop, where some were carved off."""
        if not self.prepared.stopping:
            return None
        return Features.load(self.prepared.folder / "stopping_features.parquet")

    def rows(self) -> Iterator[Labelled]:
        """The rows to train on with the episode of each: new ones, and known ones by strategy."""
        return memory.read_rows(self.prepared.folder / "train.parquet")

    def recalled(self) -> NDArray[np.bool_]:
        """Which windows are of rows that were recalled from memory, [N]."""
        windows = self.features().single["row"]
        if self.strategy.rows != "replay":
            return np.zeros(len(windows), dtype=np.bool_)
        known = set(self.turn.known_episodes)
        path = self.prepared.folder / "train.parquet"
        old = [row["episode"] in known for row in parquet.read(path, ["episode"])]
        return np.array(old, dtype=np.bool_)[windows]

    def new_rows(self) -> Iterator[Labelled]:
        """The training rows of the turn's new episodes that may be remembered."""
        new = set(self.turn.learning_episodes)
        barred = set(files.read_json(self.prepared.folder / "barred.json")["rows"])
        for name in ("train", "stopping"):
            for episode, row in memory.read_rows(self.prepared.folder / f"{name}.parquet"):
                if episode in new and parquet.row_hash(row) not in barred:
                    yield episode, row

    def old_rows(self) -> Iterator[Labelled]:
        """What the base remembers, without rows that must not be remembered; with replay alone."""
        if self.strategy.rows != "replay":
            return iter(())
        return memory.read_rows(self.prepared.folder / "recalled.parquet")

    def ids(self, rows: list[int]) -> list[str]:
        """The ids of training rows by their numbers, in the order of the file."""
        wanted = set(rows)
        path = self.prepared.folder / "train.parquet"
        return [row["id"] for at, row in enumerate(parquet.read(path, ["id"])) if at in wanted]
