"""One label for a text, or for a pair of texts.

>>> rows = [{"label": "spam"}, {"label": "ham"}, {"label": "spam"}]
>>> vocabulary(rows, ["ham"]), baseline({"text": "..."}, common(rows))["label"]
(['ham', 'spam'], 'spam')
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from onward.config import Evaluate, Prepare
from onward.recipes import class_report, hashing, heads, labels, texts
from onward.recipes.shapes import ExportSpec, Feature, Prediction, Row, Target

inputs, inputs_cut, split_key = texts.inputs, texts.inputs_cut, texts.split_key
vocabulary, labels_of = labels.single, labels.of_folder

SCHEMA = texts.schema(pa.field("label", pa.string(), nullable=False))
KIND = heads.CLASSIFIER
PRIMARY = "accuracy"
METRICS = ("accuracy",)
STATISTICS = ("n", "right")
RIGHT_OR_WRONG = True
PERFECT = 100.0
PLACED = None
TARGETS = {"label": Target("labels", "class")}

_NAMES = ("label", "goldlabel", "class", "category", "intent", "sentiment", "target", "y")


def guess(columns: Sequence[str]) -> dict[str, str] | None:
    """Canonical field -> source column, or None where text or label has none."""
    return texts.guess(columns, _NAMES)


def gold(row: Row) -> list[str]:
    """The right answer as people read it."""
    return [row["label"]]


def slices(row: Row) -> dict[str, str]:
    """Slice -> value of one row; lengths are in words."""
    return {"label": row["label"], "text length": texts.length(row)}


def encode(
    rows: Sequence[Row], tokenizer: Any, settings: Prepare, *, labels: Sequence[str] | None
) -> list[Feature]:
    """One feature a row, as `texts.encode`; `label` is the label's index in `labels`.

    Raises:
        DataError: a row's label is not among `labels`.
    """
    if labels is None:
        return texts.encode(rows, tokenizer, settings, None)
    places = {label: at for at, label in enumerate(labels)}
    return texts.encode(rows, tokenizer, settings, lambda row: _target(row, places))


def _target(row: Row, places: dict[str, int]) -> dict[str, Any]:
    return {"label": labels.index(row["label"], places, row)}


def decode(
    rows: Sequence[Row],
    features: Sequence[Feature],
    outputs: Sequence[Mapping[str, NDArray[np.floating]]],
    settings: Evaluate,
    labels: Sequence[str] = (),
    *,
    tokenizer: Any = None,
) -> Iterator[Prediction]:
    """The most probable label of each row, the first of equal ones.

    Args:
        rows: the rows that `features` were encoded from.
        features: one a row, in any order.
        outputs: logits [C] of each feature.
        settings: n_best.
        labels: what the C outputs stand for.

    Yields:
        text and label, probability (softmax), no_answer (never) and n_best.
    """
    placed = {feature["row"]: out["logits"] for feature, out in zip(features, outputs, strict=True)}
    for at in range(len(rows)):
        logits = placed[at].astype(np.float64)
        weights = np.exp(logits - logits.max())
        shares = weights / weights.sum()
        n_best = [
            {"text": labels[n], "probability": round(float(shares[n]), 6)}
            for n in np.argsort(-shares, kind="stable")[: settings.n_best]
        ]
        best = n_best[0]
        yield {**best, "label": best["text"], "no_answer": False, "n_best": n_best}


def statistics(row: Row, prediction: Prediction) -> NDArray[np.float64]:
    """What one prediction adds to the totals. A label that the model lacks counts as missed."""
    return np.array([1.0, float(prediction["label"] == row["label"])])


def metrics(total: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
    """Totals [..., 2] -> accuracy in percent and n, each [...]; 0 over no rows."""
    n, right = np.moveaxis(np.asarray(total, dtype=np.float64), -1, 0)
    return {"accuracy": 100.0 * np.divide(right, n, out=np.zeros_like(n), where=n > 0), "n": n}


def row_scores(statistics: NDArray[np.float64]) -> NDArray[np.float64]:
    """What each row [n, k] is worth: 100 where it is right, else 0."""
    found: NDArray[np.float64] = metrics(statistics)["accuracy"]
    return found


def report(rows: Sequence[Row], predictions: Sequence[Prediction]) -> dict[str, Any]:
    """Precision, recall and F1 by label, macro F1, and the calibration of the probabilities."""
    right = [told["label"] == row["label"] for row, told in zip(rows, predictions, strict=True)]
    return {
        **class_report.by_class(
            [{row["label"]} for row in rows], [{told["label"]} for told in predictions]
        ),
        "calibration": class_report.calibration(
            [told["probability"] for told in predictions], right
        ),
    }


def common(rows: Iterable[Row]) -> str:
    """The most frequent label, the first of equal ones by name; "" of no rows."""
    counts = Counter(row["label"] for row in rows)
    return min(counts, key=lambda label: (-counts[label], label), default="")


def baseline(row: Row, common: str) -> Prediction:
    """The trivial answer: the most frequent label of the training rows."""
    told = {"text": common, "label": common, "probability": 1.0}
    return {**told, "no_answer": False, "n_best": []}


def build(source: Path, spec: Mapping[str, Any]) -> Any:
    """A torch model with one output a label: see `heads.classifier` for `spec` and errors."""
    return heads.classifier(source, spec, heads.SINGLE)


def graphs(model: Any) -> list[ExportSpec]:
    """One graph: token ids and their mask in, logits [batch, labels] out."""
    return [heads.graph(model, ("logits",), per_token=False)]


def scorer(settings: Evaluate, prepare: Prepare) -> str:
    """Hash of all that can change a score but the artifact and the rows."""
    return hashing.scorer(("classification", "shapes", "texts"), settings, prepare)
