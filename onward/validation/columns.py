"""The rows of a turn's episodes as columns of numbers and ids, read batch by batch.

A million rows need about 200 MB here, whatever their texts' length: texts are dropped with their
batch once they are measured.

What this does not cover: whether the files are the ones that the turn names; `turn.check` comes
first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from onward import recipes
from onward.episodes.rows import batches, damaged
from onward.validation import arrays, unknown
from onward.validation import labels as of_labels
from onward.validation.expectations import History
from onward.validation.labels import Labels
from onward.validation.measures import MEASURES, Measure
from onward.validation.unknown import Reader
from onward.validation.words import Words

SIDES = ("train", "heldout")


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


def measure(
    deliveries: Sequence[Delivery], recipe: str, window: int, reader: Reader | None = None
) -> Frames:
    """Measure both sides of each episode, without the rows that a later one corrects.

    Args:
        deliveries: the episodes of the turn.
        recipe: of all of them; a file without its columns is counted and not read further.
        window: tokens that the model reads at once.
        reader: the model's tokenizer; without one nothing counts as unknown to it.

    Raises:
        DataError: a file is not readable Parquet, or its text is not UTF-8.
    """
    schema, kind = recipes.get(recipe).SCHEMA, MEASURES[recipe]
    parts = _Parts(kind, reader, recipe)
    # Known episodes come first: new words are those that they lack.
    inward = sorted(deliveries, key=lambda one: one.learning)
    episodes = pd.DataFrame([parts.episode(delivery, schema) for delivery in inward])
    rows, found = parts.joined(deliveries)
    if len(rows):
        rows = rows.assign(
            windowed=(rows["tokens"] > window).astype(np.int64),
            new_words_share=rows["new_words"] / rows["words"].clip(lower=1),
        )
    families = {d.folder.name: [d.folder.name, *d.replaces] for d in deliveries}
    if kind.labelled and len(rows):
        rows = of_labels.by_row(rows, found, parts.labels)
        more = of_labels.by_episode(rows, found, families)
    elif "value" in rows:
        rows, more = of_labels.of_values(rows, families)
    else:
        more = pd.DataFrame(index=list(families))
    listed = _by_episode(episodes, rows, kind)
    return Frames(rows, listed.join(more, on="episode"))


def history(frames: Frames, recipe: str) -> History | None:
    """Means over the known episodes; None where the turn's base knows none."""
    known = frames.episodes[frames.episodes["learning"] == 0]
    total = float(known["rows"].sum())
    if total == 0:
        return None
    of_known = frames.rows[frames.rows["learning"] == 0]
    lengths = {name: float(of_known[name].mean()) for name in MEASURES[recipe].lengths}
    return History(rows=total / len(known), lengths=lengths)


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


class _Parts:
    """The measured rows of each batch, and what is gathered over all of them."""

    def __init__(self, kind: Measure, reader: Reader | None, recipe: str) -> None:
        self._reader, self._recipe = reader, recipe
        self.kind, self.words, self.labels = kind, Words(), Labels()
        self._parts: list[pd.DataFrame] = []
        self._rows = 0

    def episode(self, delivery: Delivery, schema: pa.Schema) -> dict[str, Any]:
        """Read both sides. The sizes are those of the delivery, before rows are corrected."""
        if delivery.learning:
            self.words.judge()
        else:
            self.words.learn()
        line = {"episode": delivery.folder.name, "learning": int(delivery.learning)}
        begun = len(self._parts)
        unlike = {side: _unlike(delivery.folder / f"{side}.parquet", schema) for side in SIDES}
        sizes = {
            f"{side}_delivered": 0 if unlike[side] else self._read(delivery, side) for side in SIDES
        }
        line |= {"unlike_schema": sum(unlike.values()), "unknown_percent": 0.0}
        if self._reader is not None and not line["unlike_schema"]:
            texts = unknown.texts_of(delivery.folder, self._recipe)
            line["unknown_percent"], size = self._reader.read(texts)
            for part in self._parts[begun:] if size else ():
                part["tokens"] = arrays.retold(part["tokens"], size)
        return line | sizes

    def _read(self, delivery: Delivery, side: str) -> int:
        first = self._rows
        path = delivery.folder / f"{side}.parquet"
        for measured in _measured(path, self.kind, self.words):
            if "label" in measured:
                self.labels.take(measured.pop("label"), self._rows)
            part = _frame(measured, delivery, side)
            self._parts.append(part)
            self._rows += len(part)
        return self._rows - first

    def joined(self, deliveries: Sequence[Delivery]) -> tuple[pd.DataFrame, pd.DataFrame]:
        """All rows but corrected ones, and the labels of each."""
        if not self._parts:
            return pd.DataFrame(), pd.DataFrame()
        rows = pd.concat(self._parts, ignore_index=True)
        kept = ~_corrected(rows, deliveries)
        rows = rows[kept].reset_index(drop=True)
        held = rows["side"] == "heldout"
        again = rows["id"].duplicated(keep=False).astype(np.int64)
        rows["same_id"] = rows.duplicated(["episode", "id"], keep=False).astype(np.int64)
        rows["same_id_elsewhere"] = again - rows["same_id"]
        rows["also_held_out"] = (~held & rows["key"].isin(rows["key"][held])).astype(np.int64)
        return rows, self.labels.found(kept)


def _measured(path: Path, kind: Measure, words: Words) -> Iterator[dict[str, Any]]:
    for batch in batches(path, kind.columns):
        try:
            # Arrow does not look at the text's encoding until it is asked to.
            batch.validate(full=True)
        except pa.ArrowException as error:
            raise damaged(path, error) from error
        yield kind.of_rows(batch, words)


def _frame(measured: Mapping[str, Any], delivery: Delivery, side: str) -> pd.DataFrame:
    frame = pd.DataFrame({name: v for name, v in measured.items() if name != "id"})
    frame["id"] = measured["id"].to_pandas()
    frame["episode"], frame["side"] = pd.Categorical([delivery.folder.name] * len(frame)), side
    frame["learning"] = int(delivery.learning)
    return frame


def _corrected(rows: pd.DataFrame, deliveries: Sequence[Delivery]) -> Any:
    """Which rows another episode of the turn replaces, by their ids."""
    gone = np.zeros(len(rows), bool)
    for delivery in deliveries:
        if delivery.replaces:
            ids = rows["id"][rows["episode"] == delivery.folder.name]
            gone |= (rows["episode"].isin(delivery.replaces) & rows["id"].isin(ids)).to_numpy()
    return gone


def _by_episode(episodes: pd.DataFrame, rows: pd.DataFrame, kind: Measure) -> pd.DataFrame:
    """Sizes, shares and means of each episode; zeros for one without rows."""
    means = {f"mean_{name}": (name, 1.0) for name in kind.lengths}
    means |= {"windowed_percent": ("windowed", 100.0), **kind.means}
    if not len(rows):
        sizes = ("rows", "train_rows", "heldout_rows", "new_words_percent", *means)
        return episodes.assign(**dict.fromkeys(sizes, 0.0))
    by = rows.assign(
        train_rows=(rows["side"] == "train").astype(int),
        heldout_rows=(rows["side"] == "heldout").astype(int),
        **{mean: factor * rows[name] for mean, (name, factor) in means.items()},
    ).groupby("episode", observed=True)
    sums = by[["train_rows", "heldout_rows", "words", "new_words"]].sum()
    found = sums.join(by[list(means)].mean().round(3)).reindex(episodes["episode"]).fillna(0.0)
    found["rows"] = found["train_rows"] + found["heldout_rows"]
    found["new_words_percent"] = (100.0 * found["new_words"] / found["words"].clip(lower=1)).round(
        3
    )
    return episodes.join(found.drop(columns=["words", "new_words"]), on="episode")
