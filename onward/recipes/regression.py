"""A number for a text, or for a pair of texts.

>>> rows = [{"value": 1.0}, {"value": 4.0}]
>>> baseline({"text": "..."}, common(rows))["value"]
2.5
>>> made = sum(statistics(row, {"value": row["value"]}) for row in rows)
>>> float(metrics(made)["r2"])
100.0

The model learns the values as they stand, by their squared error: values of about -10 to 10 suit
the usual learning rates; divide larger ones first.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from onward.config import Evaluate, Prepare
from onward.recipes import hashing, heads, labels, texts
from onward.recipes.shapes import ExportSpec, Feature, Prediction, Row, Target

inputs, inputs_cut, split_key = texts.inputs, texts.inputs_cut, texts.split_key
labels_of = labels.none

SCHEMA = texts.schema(pa.field("value", pa.float64(), nullable=False))
KIND = heads.REGRESSOR
PRIMARY = "r2"
METRICS = ("r2", "mae", "rmse")
"""Explained variance in percent; mean absolute error and the root of the mean squared error in
the unit of the values."""

STATISTICS = ("n", "value", "squared_value", "squared_error", "absolute_error")
RIGHT_OR_WRONG = False
ROW_SCORE = "minus the absolute error"
PERFECT = 0.0
PLACED = None
TARGETS = {"value": Target("labels", "number")}

_NAMES = ("value", "score", "rating", "stars", "grade", "target", "similarity", "label", "y")
_ROUNDING = 1e-12
"""Of the sum of squares: a variance below it is a rounding error, not a variance."""


def guess(columns: Sequence[str]) -> dict[str, str] | None:
    """Canonical field -> source column, or None where text or value has none."""
    return texts.guess(columns, _NAMES)


def gold(row: Row) -> list[str]:
    """The right number as people read it."""
    return [_shown(row["value"])]


def _shown(value: float) -> str:
    return f"{value:.6g}"


def slices(row: Row) -> dict[str, str]:
    """Slice -> value of one row; lengths are in words."""
    return {"text length": texts.length(row)}


def vocabulary(rows: Iterable[Row], base: Sequence[str]) -> list[str]:
    """No labels."""
    return []


def encode(
    rows: Sequence[Row], tokenizer: Any, settings: Prepare, *, labels: Sequence[str] | None
) -> list[Feature]:
    """One feature a row, as `texts.encode`; with `labels` (empty) also its `value`."""
    target = None if labels is None else lambda row: {"value": float(row["value"])}
    return texts.encode(rows, tokenizer, settings, target)


def decode(
    rows: Sequence[Row],
    features: Sequence[Feature],
    outputs: Sequence[Mapping[str, NDArray[np.floating]]],
    settings: Evaluate,
    labels: Sequence[str] = (),
    *,
    tokenizer: Any = None,
) -> Iterator[Prediction]:
    """The number of each row.

    Args:
        rows: the rows that `features` were encoded from.
        features: one a row, in any order.
        outputs: logits [1] of each feature.

    Yields:
        value, text, probability (1, for a number says nothing of its certainty), no_answer
        (never) and an empty n_best.
    """
    placed = {feature["row"]: out["logits"] for feature, out in zip(features, outputs, strict=True)}
    for at in range(len(rows)):
        yield _told(float(placed[at][0]))


def _told(value: float) -> Prediction:
    told = {"text": _shown(value), "value": value, "probability": 1.0}
    return {**told, "no_answer": False, "n_best": []}


def statistics(row: Row, prediction: Prediction) -> NDArray[np.float64]:
    """What one prediction adds to the totals."""
    value, error = row["value"], prediction["value"] - row["value"]
    return np.array([1.0, value, value * value, error * error, abs(error)])


def metrics(total: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
    """Totals [..., 5] -> METRICS and n, each [...]; 0 over no rows.

    Where all values are equal there is no variance to explain: r2 is 100 without any error, else 0
    (as scikit-learn has it).
    """
    n, value, square, squared, absolute = np.moveaxis(np.asarray(total, dtype=np.float64), -1, 0)
    some = n > 0
    mean = np.divide(value * value, n, out=np.zeros_like(n), where=some)
    spread = square - mean
    varies = spread > _ROUNDING * square
    lacking = np.where(some & (squared == 0), 0.0, 1.0)
    unexplained = np.divide(squared, spread, out=lacking, where=varies)
    return {
        "r2": 100.0 * (1.0 - unexplained),
        "mae": np.divide(absolute, n, out=np.zeros_like(n), where=some),
        "rmse": np.sqrt(np.divide(squared, n, out=np.zeros_like(n), where=some)),
        "n": n,
    }


def row_scores(statistics: NDArray[np.float64]) -> NDArray[np.float64]:
    """What each row [n, k] is worth: minus its absolute error."""
    return -statistics[:, STATISTICS.index("absolute_error")]


def report(rows: Sequence[Row], predictions: Sequence[Prediction]) -> dict[str, Any]:
    """Nothing beyond the metrics."""
    return {}


def common(rows: Iterable[Row]) -> float:
    """The mean value; 0 of no rows."""
    values = [row["value"] for row in rows]
    return math.fsum(values) / len(values) if values else 0.0


def baseline(row: Row, common: float) -> Prediction:
    """The trivial answer: the mean value of the training rows."""
    return _told(common)


def build(source: Path, spec: Mapping[str, Any]) -> Any:
    """A torch model with one output: see `heads.regressor` for `spec` and errors."""
    return heads.regressor(source, spec)


def graphs(model: Any) -> list[ExportSpec]:
    """One graph: token ids and their mask in, logits [batch, 1] out."""
    return [heads.graph(model, ("logits",), per_token=False)]


def scorer(settings: Evaluate, prepare: Prepare) -> str:
    """Hash of all that can change a score but the artifact and the rows."""
    return hashing.scorer(("regression", "shapes", "texts"), settings, prepare)
