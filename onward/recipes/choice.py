"""A question with options, of which one is right; perhaps with a context to choose by.

>>> row = {"context": None, "question": "Where?", "options": ["here", "there"], "answer": 1}
>>> gold(row), inputs(row)
(['there'], {'question': 'Where?', 'options': ['here', 'there']})
>>> guess(["stem", "choices", "answerKey"])
{'question': 'stem', 'options': 'choices', 'answer': 'answerKey'}

A model gives each option one number by itself, so there may be any number of options and their
order says nothing. The numbers of a row's options become probabilities together. How a row is
encoded, and how such a model is trained, is in `options`.
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
from onward.recipes import class_report, classification, hashing, heads, labels, options, texts
from onward.recipes.shapes import ExportSpec, Feature, Inputs, Prediction, Row, Target

encode, inputs_cut = options.encode, options.inputs_cut
labels_of, unanswerable = labels.none, options.unanswerable
metrics, row_scores = classification.metrics, classification.row_scores

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("title", pa.string()),
        pa.field("context", pa.string()),
        pa.field("question", pa.string(), nullable=False),
        pa.field("options", pa.list_(pa.string()), nullable=False),
        pa.field("answer", pa.int32(), nullable=False),
    ]
)
"""One canonical row: two options or more, all different; `answer` is the place of the right one."""

KIND = heads.CHOOSER
PRIMARY = "accuracy"
METRICS = ("accuracy",)
STATISTICS = ("n", "right")
RIGHT_OR_WRONG = True
PERFECT = 100.0
PLACED = None
TARGETS = {"answer": Target("labels", "choice")}

_COLUMNS = {
    "id": ("id", "qid", "questionid", "uid"),
    "context": ("context", "passage", "paragraph", "support", "article", "story", "fact1"),
    "title": ("title", "documenttitle", "article", "topic", "subject", "category"),
    "question": (
        *("question", "questionstem", "stem", "query", "questiontext"),
        *("sentence", "ctx", "startphrase"),
    ),
    "options": ("options", "choices", "candidates", "endings", "answers"),
    "answer": (
        *("answer", "answerkey", "label", "target", "gold", "correctanswer", "answeridx"),
        *("correctoption", "correct", "cop", "correctanswerid", "correctanswerindex"),
        *("correctansweridx", "correctindex", "correctid"),
    ),
}
"""Canonical field -> names of source columns, the likeliest first, compared by letters alone.

An earlier field takes its column first: RACE's `article` is what is read, and no title."""

_TOLD = ("correct", "answerkey", "answeridx", "cop")
"""How the answer's column begins where `answers` are options: else they may all be right."""

_NESTED = "answerkey"
"""A file with such a column keeps its options within the question, if it has none for them."""

_OPTIONS = ((3, "2"), (4, "3"), (5, "4"), (6, "5"), (None, "6+"))


def guess(columns: Sequence[str]) -> dict[str, str] | None:
    """Canonical field -> source column, or None where question, options or answer has none."""
    names = {texts.bare(column): column for column in reversed(columns)}
    found: dict[str, str] = {}
    for field, likely in _COLUMNS.items():
        there = [names[name] for name in likely if name in names]
        left = [column for column in there if column not in found.values()]
        if left:
            found[field] = left[0]
    if names.get("answers") == found.get("options", "") and not _told(found.get("answer", "")):
        found.pop("options")
    needed = {"question", "answer", *(() if _NESTED in names else ("options",))}
    return found if needed <= set(found) else None


def _told(answer: str) -> bool:
    return texts.bare(answer).startswith(_TOLD)


def split_key(row: Row) -> str:
    """What must not straddle train and held-out: the title, else the context, else the question."""
    title = texts.folded(row.get("title") or "")
    bound = row.get("context") or row["question"]
    return f"title:{title}" if title else f"text:{texts.folded(bound)}"


def inputs(row: Row) -> Inputs:
    """What a person reads: question and options, and the context where the row has one."""
    context = {} if row.get("context") is None else {"context": row["context"]}
    return {"question": row["question"], "options": list(row["options"]), **context}


def gold(row: Row) -> list[str]:
    """The right option as people read it; none of a row that only asks."""
    return row["options"][row["answer"] :][:1]


def slices(row: Row) -> dict[str, str]:
    """Slice -> value of one row; lengths are in words."""
    return {
        "options": texts.span_of(len(row["options"]), _OPTIONS),
        "right option": options.letter(row["answer"]),
        "context": "none" if row["context"] is None else "given",
        "question length": texts.length({"text": row["question"]}),
    }


def vocabulary(rows: Iterable[Row], base: Sequence[str]) -> list[str]:
    """No labels: each row brings its own options."""
    return []


def decode(
    rows: Sequence[Row],
    features: Sequence[Feature],
    outputs: Sequence[Mapping[str, NDArray[np.floating]]],
    settings: Evaluate,
    labels: Sequence[str] = (),
    *,
    tokenizer: Any = None,
) -> Iterator[Prediction]:
    """The most probable option of each row, the first of equal ones.

    Args:
        rows: the rows that `features` were encoded from.
        features: one for each option of each row, in any order.
        outputs: logits [1] of each feature.
        settings: n_best.

    Yields:
        text, option (its place), probability (softmax over the row's options), no_answer (never)
        and n_best.
    """
    scores = [np.full(len(row["options"]), -np.inf) for row in rows]
    for feature, out in zip(features, outputs, strict=True):
        scores[feature["row"]][feature["option"]] = float(out["logits"][0])
    for row, found in zip(rows, scores, strict=True):
        weights = np.exp(found - found.max())
        shares = weights / weights.sum()
        n_best = [
            {"text": row["options"][n], "probability": round(float(shares[n]), 6)}
            for n in np.argsort(-shares, kind="stable")[: settings.n_best]
        ]
        option = int(shares.argmax())
        yield {**n_best[0], "option": option, "no_answer": False, "n_best": n_best}


def statistics(row: Row, prediction: Prediction) -> NDArray[np.float64]:
    """What one prediction adds to the totals."""
    return np.array([1.0, float(prediction["option"] == row["answer"])])


def report(rows: Sequence[Row], predictions: Sequence[Prediction]) -> dict[str, Any]:
    """Precision, recall and F1 by option (A, B, ...), and the calibration of the probabilities."""
    right = [told["option"] == row["answer"] for row, told in zip(rows, predictions, strict=True)]
    return {
        **class_report.by_class(
            [{options.letter(row["answer"])} for row in rows],
            [{options.letter(told["option"])} for told in predictions],
        ),
        "calibration": class_report.calibration(
            [told["probability"] for told in predictions], right
        ),
    }


def common(rows: Iterable[Row]) -> int:
    """The place at which the right option stands most often, the first of equal ones."""
    counts = Counter(int(row["answer"]) for row in rows)
    return min(counts, key=lambda place: (-counts[place], place), default=0)


def baseline(row: Row, common: int) -> Prediction:
    """The trivial answer: always the same place, or the last where a row has fewer options."""
    place = min(common, len(row["options"]) - 1)
    told = {"text": row["options"][place], "option": place, "probability": 1.0}
    return {**told, "no_answer": False, "n_best": []}


def build(source: Path, spec: Mapping[str, Any]) -> Any:
    """A torch model with one output, an option's score: see `options.model` and `heads`."""
    return options.model(heads.regressor(source, spec, kind=KIND))


def graphs(model: Any) -> list[ExportSpec]:
    """One graph: token ids and their mask in, logits [batch, 1] out, a line for each option."""
    return [heads.graph(model, ("logits",), per_token=False)]


def scorer(settings: Evaluate, prepare: Prepare) -> str:
    """Hash of all that can change a score but the artifact and the rows."""
    modules = ("choice", "classification", "options", "shapes", "texts")
    return hashing.scorer(modules, settings, prepare)
