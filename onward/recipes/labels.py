"""Sets of labels: how they grow, and where a label stands in them.

>>> extended(["spam", "ham", "ad"], ["spam"])
['spam', 'ad', 'ham']
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

from onward import files
from onward.errors import DataError
from onward.recipes.shapes import Row

_UNWRITTEN = {"0": "LABEL_0", "1": "LABEL_1"}
"""transformers leaves out of config.json what is its own default."""


def extended(found: Iterable[str], base: Sequence[str]) -> list[str]:
    """The labels of the base in their order, and after them the new ones, sorted."""
    return [*base, *sorted(set(found) - set(base))]


def single(rows: Iterable[Row], base: Sequence[str]) -> list[str]:
    """`extended` by the rows' `label`."""
    return extended((row["label"] for row in rows), base)


def several(rows: Iterable[Row], base: Sequence[str]) -> list[str]:
    """`extended` by the rows' `labels`."""
    return extended(chain.from_iterable(row["labels"] for row in rows), base)


def index(label: str, places: dict[str, int], row: Row) -> int:
    """Where a label stands. Raises DataError: it is none of the model's."""
    if label not in places:
        raise DataError(
            f"The label {label!r:.80} is not one that this model has",
            where=f"row {row['id']}",
            fix="`onward run` makes the set of labels anew from the rows of the turn",
        )
    return places[label]


def of_folder(folder: Path) -> tuple[str, ...]:
    """The labels of a trained model, by their index, from its config.json."""
    named = files.read_json(folder / "config.json").get("id2label") or _UNWRITTEN
    return tuple(str(named[key]) for key in sorted(named, key=int))


def none(folder: Path) -> tuple[str, ...]:
    """The labels of a model whose recipe has none."""
    return ()
