"""What a structure is given to fit: one training of one turn, with everything it may read.

>>> Job.__dataclass_fields__["work"].type
'Path'
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from onward.config import Finetune, Strategy
from onward.episodes import rows as parquet
from onward.episodes.turn import Turn
from onward.learning import encoder
from onward.learning.features import Features
from onward.learning.rows import Labelled
from onward.project import Project


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
    def rate(self) -> float:
        """The learning rate: a first training has one of its own."""
        chosen = self.settings
        return chosen.first_learning_rate if self.first else chosen.learning_rate

    @property
    def epochs(self) -> float:
        """Passes over the windows: a first training has a number of its own."""
        return self.settings.first_epochs if self.first else self.settings.epochs

    def build(self) -> Any:
        """A new model from the base, in fp32; what it lacks is drawn from torch's generator."""
        spec = {"dropout": self.settings.dropout, "new_head": self.first}
        return self.recipe.build(self.source, spec)

    def tokenizer(self) -> Any:
        """The base's tokenizer."""
        return encoder.tokenizer(self.source)

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
        for row in parquet.read(self.prepared.folder / "train.parquet"):
            yield row.pop("episode"), row

    def ids(self, rows: list[int]) -> list[str]:
        """The ids of training rows by their numbers, in the order of the file."""
        wanted = set(rows)
        path = self.prepared.folder / "train.parquet"
        return [row["id"] for at, row in enumerate(parquet.read(path, ["id"])) if at in wanted]
