"""The rows of a turn's episodes as columns of numbers and ids, read batch by batch.

A million rows need about 150 MB here, whatever their texts' length: texts are dropped with their
batch once they are measured.

What this does not cover: whether the files are the ones that the turn names; `turn.check` comes
first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from onward.episodes.rows import batches, damaged
from onward.validation import extractive
from onward.validation.expectations import History

SIDES = ("train", "heldout")

MEANS = ("no_answer_percent", "windowed_percent", "mean_context_chars", "mean_question_chars")
"""Columns of an episode that are means over its rows."""


@dataclass(frozen=True)
class Delivery:
    """An episode of the turn: its folder, whether it is being learned, whose rows it corrects."""

    folder: Path
    learning: bool
    replaces: tuple[str, ...] = ()


@dataclass(frozen=True)
class Frames:
    """One line per row, per episode, and per episode that is being learned."""

    rows: pd.DataFrame
    episodes: pd.DataFrame

    @property
    def learning(self) -> pd.DataFrame:
        """The episodes of the turn that its base does not know."""
        return self.episodes[self.episodes["learning"] == 1]

    def of(self, name: str) -> pd.DataFrame:
        """The frame that an expectation names."""
        return {"rows": self.rows, "episodes": self.episodes, "learning": self.learning}[name]


def measure(deliveries: Sequence[Delivery], schema: pa.Schema, window: int) -> Frames:
    """Measure both sides of each episode, without the rows that a later one corrects.

    Args:
        deliveries: the episodes of the turn.
        schema: the recipe's columns; a file that differs is counted and not read further.
        window: tokens that the model reads at once.

    Raises:
        DataError: a file is not readable Parquet, or its text is not UTF-8.
    """
    parts, episodes = [], []
    for delivery in deliveries:
        folder, unlike = delivery.folder, 0
        for side in SIDES:
            path = folder / f"{side}.parquet"
            differs = _unlike(path, schema)
            unlike += differs
            if not differs:
                parts += [_labelled(part, folder.name, side) for part in _measured(path)]
        learning = int(delivery.learning)
        episodes.append({"episode": folder.name, "learning": learning, "unlike_schema": unlike})
    rows = _joined(parts, deliveries)
    return Frames(rows, _by_episode(pd.DataFrame(episodes), rows, window))


def history(frames: Frames) -> History | None:
    """Means over the known episodes; None where the turn's base knows none."""
    known = frames.episodes[frames.episodes["learning"] == 0]
    total = float(known["rows"].sum())
    if total == 0:
        return None
    of_known = frames.rows[frames.rows["episode"].isin(known["episode"])]
    return History(
        rows=total / len(known),
        context_chars=float(of_known["context_chars"].mean()),
        question_chars=float(of_known["question_chars"].mean()),
    )


def _unlike(path: Path, schema: pa.Schema) -> int:
    """How many columns of the file are not those of the schema, by name and type."""
    try:
        found = pq.read_schema(path)
    except (OSError, pa.ArrowException) as error:
        raise damaged(path, error) from error
    return len(_shape(found) ^ _shape(schema))


def _shape(schema: pa.Schema) -> set[tuple[str, str]]:
    """Names and types; what a list's members are called is the writer's own affair."""
    return {
        (f.name, f"list of {f.type.value_type}" if pa.types.is_list(f.type) else str(f.type))
        for f in schema
    }


def _measured(path: Path) -> Iterator[dict[str, Any]]:
    for batch in batches(path, extractive.COLUMNS):
        try:
            # Arrow does not look at the text's encoding until it is asked to.
            batch.validate(full=True)
        except pa.ArrowException as error:
            raise damaged(path, error) from error
        yield extractive.measure(batch)


def _labelled(part: dict[str, Any], episode: str, side: str) -> pd.DataFrame:
    frame = pd.DataFrame({name: v for name, v in part.items() if name != "id"})
    frame["id"] = part["id"].to_pandas()
    frame["episode"], frame["side"] = pd.Categorical([episode] * len(frame)), side
    return frame


def _joined(parts: list[pd.DataFrame], deliveries: Sequence[Delivery]) -> pd.DataFrame:
    if not parts:
        return pd.DataFrame()
    rows = pd.concat(parts, ignore_index=True)
    rows = rows[~_corrected(rows, deliveries)].reset_index(drop=True)
    held = rows["side"] == "heldout"
    rows["same_id"] = rows.duplicated(["episode", "id"], keep=False).astype(np.int64)
    rows["same_id_elsewhere"] = rows["id"].duplicated(keep=False).astype(np.int64) - rows["same_id"]
    rows["also_held_out"] = (~held & rows["key"].isin(rows["key"][held])).astype(np.int64)
    return rows


def _corrected(rows: pd.DataFrame, deliveries: Sequence[Delivery]) -> Any:
    """Which rows another episode of the turn replaces, by their ids."""
    gone = np.zeros(len(rows), bool)
    for delivery in deliveries:
        if delivery.replaces:
            ids = rows["id"][rows["episode"] == delivery.folder.name]
            gone |= (rows["episode"].isin(delivery.replaces) & rows["id"].isin(ids)).to_numpy()
    return gone


def _by_episode(episodes: pd.DataFrame, rows: pd.DataFrame, window: int) -> pd.DataFrame:
    """Sizes, shares and means of each episode; zeros for one without rows."""
    if not len(rows):
        sizes = ("rows", "train_rows", "heldout_rows", *MEANS)
        return episodes.assign(**dict.fromkeys(sizes, 0.0))
    by = rows.assign(
        train_rows=(rows["side"] == "train").astype(int),
        heldout_rows=(rows["side"] == "heldout").astype(int),
        no_answer_percent=100.0 * rows["unanswered"],
        windowed_percent=100.0 * (rows["tokens"] > window),
        mean_context_chars=rows["context_chars"],
        mean_question_chars=rows["question_chars"],
    ).groupby("episode", observed=True)
    sums = by[["train_rows", "heldout_rows"]].sum()
    found = sums.join(by[list(MEANS)].mean().round(3)).reindex(episodes["episode"]).fillna(0.0)
    found["rows"] = found["train_rows"] + found["heldout_rows"]
    return episodes.join(found, on="episode")
