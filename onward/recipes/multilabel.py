"""Any number of labels for a text, or for a pair of texts.

>>> rows = [{"labels": ["red"]}, {"labels": []}, {"labels": ["red", "old"]}]
>>> vocabulary(rows, []), common(rows)
(['old', 'red'], ['red'])
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
from onward.recipes import class_report, hashing, heads, labels, micro_f1, texts
from onward.recipes.shapes import ExportSpec, Feature, Prediction, Row, Target

inputs, inputs_cut, split_key = texts.inputs, texts.inputs_cut, texts.split_key
vocabulary, labels_of = labels.several, labels.of_folder

SCHEMA = texts.schema(pa.field("labels", pa.list_(pa.string()), nullable=False))
KIND = heads.CLASSIFIER
PRIMARY, METRICS, STATISTICS = micro_f1.PRIMARY, micro_f1.METRICS, micro_f1.STATISTICS
metrics, row_scores = micro_f1.metrics, micro_f1.row_scores
sizes = micro_f1.sizes
RIGHT_OR_WRONG = False
PERFECT = 100.0
PLACED = None
TARGETS = {"labels": Target("labels", "classes")}

_NAMES = ("labels", "classes", "categories", "tags", "topics", "label")
_COUNTS = ((1, "none"), (2, "1"), (4, "2-3"), (None, "4+"))


def guess(columns: Sequence[str]) -> dict[str, str] | None:
    """Canonical field -> source column, or None where text or labels has none."""
    return texts.guess(columns, _NAMES)


def gold(row: Row) -> list[str]:
    """The right labels, sorted."""
    return sorted(set(row["labels"]))


def slices(row: Row) -> dict[str, str]:
    """Slice -> value of one row; lengths are in words."""
    labels = texts.span_of(len(set(row["labels"])), _COUNTS)
    return {"labels": labels, "text length": texts.length(row)}


def encode(
    rows: Sequence[Row], tokenizer: Any, settings: Prepare, *, labels: Sequence[str] | None
) -> list[Feature]:
    """One feature a row, as `texts.encode`; `labels` are the sorted indices of its labels.

    Raises:
        DataError: a label of a row is not among `labels`.
    """
    if labels is None:
        return texts.encode(rows, tokenizer, settings, None)
    places = {label: at for at, label in enumerate(labels)}
    return texts.encode(rows, tokenizer, settings, lambda row: _target(row, places))


def _target(row: Row, places: dict[str, int]) -> dict[str, Any]:
    return {"labels": sorted({labels.index(label, places, row) for label in row["labels"]})}


def decode(
    rows: Sequence[Row],
    features: Sequence[Feature],
    outputs: Sequence[Mapping[str, NDArray[np.floating]]],
    settings: Evaluate,
    labels: Sequence[str] = (),
    *,
    tokenizer: Any = None,
) -> Iterator[Prediction]:
    """The labels of each row whose probability is above one half.

    Args:
        rows: the rows that `features` were encoded from.
        features: one a row, in any order.
        outputs: logits [C] of each feature.
        settings: n_best.
        labels: what the C outputs stand for.

    Yields:
        labels (in their order), text, no_answer where there are none, probability (that just
        these are right, were labels independent) and n_best, labels with their probabilities.
    """
    placed = {feature["row"]: out["logits"] for feature, out in zip(features, outputs, strict=True)}
    for at in range(len(rows)):
        logits = placed[at].astype(np.float64)
        shares = np.exp(-np.logaddexp(0.0, -logits))
        chosen = [labels[n] for n in np.flatnonzero(logits > 0).tolist()]
        yield {
            "text": ", ".join(chosen),
            "labels": chosen,
            "probability": round(float(np.maximum(shares, 1 - shares).prod()), 6),
            "no_answer": not chosen,
            "n_best": [
                {"text": labels[n], "probability": round(float(shares[n]), 6)}
                for n in np.argsort(-shares, kind="stable")[: settings.n_best]
            ],
        }


def statistics(row: Row, prediction: Prediction) -> NDArray[np.float64]:
    """What one prediction adds to the totals. A label that the model lacks counts as missed."""
    return micro_f1.counted(set(row["labels"]), set(prediction["labels"]))


def report(rows: Sequence[Row], predictions: Sequence[Prediction]) -> dict[str, Any]:
    """Precision, recall and F1 by label, and macro F1."""
    return class_report.by_class(
        [set(row["labels"]) for row in rows], [set(told["labels"]) for told in predictions]
    )


def common(rows: Iterable[Row]) -> list[str]:
    """The labels that reach the highest micro F1 where every training row gets them, sorted.

    These are always the k most frequent, for some k; the least k of equal ones.
    """
    counts: Counter[str] = Counter()
    n = 0
    for row in rows:
        n += 1
        counts.update(set(row["labels"]))
    ranked = sorted(counts, key=lambda label: (-counts[label], label))
    best, score, found = 0, 0.0, 0
    for k, label in enumerate(ranked, start=1):
        found += counts[label]
        reached = 2 * found / (k * n + counts.total())
        if reached > score:
            best, score = k, reached
    return sorted(ranked[:best])


def baseline(row: Row, common: Sequence[str]) -> Prediction:
    """The trivial answer: the same labels for every row, chosen on the training rows."""
    told = {"text": ", ".join(common), "labels": list(common), "probability": 1.0}
    return {**told, "no_answer": not common, "n_best": []}


def build(source: Path, spec: Mapping[str, Any]) -> Any:
    """A torch model with one output a label: see `heads.classifier` for `spec` and errors."""
    return heads.classifier(source, spec, "multi_label_classification")


def graphs(model: Any) -> list[ExportSpec]:
    """One graph: token ids and their mask in, logits [batch, labels] out."""
    return [heads.graph(model, ("logits",), per_token=False)]


def scorer(settings: Evaluate, prepare: Prepare) -> str:
    """Hash of all that can change a score but the artifact and the rows."""
    return hashing.scorer(("micro_f1", "multilabel", "shapes", "texts"), settings, prepare)
