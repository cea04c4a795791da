"""Extractive question answering: the answer is a part of the context, or there is none.

>>> guess(["Passage", "query", "answer_text"])
{'context': 'Passage', 'question': 'query', 'answers': 'answer_text'}
>>> baseline({"question": "Who wrote it?", "context": "It rained. Ana wrote it."}, None)["text"]
'Ana wrote it.'

Here is what a row holds and how a model for it is built. The three larger parts have a file of
their own: `windows` (encode), `spans` (decode) and `squad_metrics`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from onward.config import Evaluate, Prepare
from onward.recipes import hashing, heads, labels, scripts, spans, squad_metrics, windows
from onward.recipes.shapes import ExportSpec, Prediction, Row, Target
from onward.recipes.texts import folded, named, span_of

encode, inputs_cut = windows.encode, windows.inputs_cut
decode, labels_of = spans.decode, labels.none
metrics, statistics = squad_metrics.metrics, squad_metrics.statistics
KIND = heads.READER
METRICS, PRIMARY = squad_metrics.METRICS, squad_metrics.PRIMARY
STATISTICS = squad_metrics.STATISTICS

RIGHT_OR_WRONG = False
"""Whether each row's primary score is 0 or 100 and nothing between."""

PERFECT = 100.0
"""What `row_scores` gives a row that could not be answered better."""

PLACED = "context"
"""The input in which gold answers and predictions have a place; None in other recipes."""

TARGETS = {
    "start_position": Target("start_positions", "position"),
    "end_position": Target("end_positions", "position"),
}
"""A feature's key -> what a model learns from it."""

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("title", pa.string()),
        pa.field("context", pa.string(), nullable=False),
        pa.field("question", pa.string(), nullable=False),
        pa.field("answers", pa.list_(pa.string()), nullable=False),
        pa.field("starts", pa.list_(pa.int32()), nullable=False),
    ]
)
"""One canonical row. `starts` are characters (code points) in `context`, one per answer."""

_COLUMNS = {
    "id": ("id", "qid", "questionid", "uid"),
    "title": ("title", "documenttitle", "article", "topic"),
    "context": ("context", "passage", "paragraph", "support", "document", "documenttext", "text"),
    "question": ("question", "query", "questiontext"),
    "answers": ("answers", "answer", "answertext", "correctanswer"),
    "starts": ("starts", "answerstart", "answerstarts", "start", "startposition", "offset"),
}
"""Canonical field -> names of source columns, the likeliest first, compared by letters alone."""

_NEEDED = ("context", "question", "answers")
_SENTENCE = re.compile(
    rf"[^{scripts.ENDS}\n]*[^{scripts.ENDS}\s][^{scripts.ENDS}\n]*[{scripts.ENDS}]*"
)
_ASKING = ("who", "what", "when", "where", "which", "why", "how", "whose", "whom")
_ANSWER = ((2, "1"), (4, "2-3"), (8, "4-7"), (None, "8+"))
_CONTEXT = ((100, "0-99"), (200, "100-199"), (400, "200-399"), (None, "400+"))


def guess(columns: Sequence[str]) -> dict[str, str] | None:
    """Canonical field -> source column, or None where context, question or answers has none."""
    found = named(columns, _COLUMNS)
    return found if all(field in found for field in _NEEDED) else None


def split_key(row: Row) -> str:
    """What must not straddle train and held-out: the title, or the context where there is none.

    Case, spacing and Unicode's composed or decomposed forms make no difference.
    """
    title = folded(row.get("title") or "")
    return f"title:{title}" if title else f"context:{folded(row['context'])}"


def inputs(row: Row) -> dict[str, str]:
    """The texts that a person reads."""
    return {"question": row["question"], "context": row["context"]}


def gold(row: Row) -> list[str]:
    """The right answers; none where the context holds none."""
    return list(row["answers"])


def slices(row: Row) -> dict[str, str]:
    """Slice -> value of one row; lengths are in words.

    >>> slices({"question": "In which year?", "context": "x " * 150, "answers": []})["answer"]
    'none'
    """
    answers = row["answers"]
    return {
        "question word": question_word(row["question"]),
        "answer": "given" if answers else "none",
        "answer length": span_of(scripts.count(answers[0]), _ANSWER) if answers else "none",
        "context length": span_of(scripts.count(row["context"]), _CONTEXT),
    }


def question_word(question: str) -> str:
    """Who, what, when ...: the first that stands in a question; "other" where none does."""
    words = re.findall(r"\w+", question.lower())
    return next((word for word in words if word in _ASKING), "other")


def vocabulary(rows: Iterable[Row], base: Sequence[str]) -> list[str]:
    """No labels."""
    return []


def row_scores(statistics: NDArray[np.float64]) -> NDArray[np.float64]:
    """What each row [n, k] is worth: its F1."""
    found: NDArray[np.float64] = metrics(statistics)[PRIMARY]
    return found


def report(rows: Sequence[Row], predictions: Sequence[Prediction]) -> dict[str, Any]:
    """Nothing beyond the metrics."""
    return {}


def common(rows: Iterable[Row]) -> None:
    """The trivial answer needs nothing of the training rows."""


def baseline(row: Row, common: None) -> Prediction:
    """The trivial answer: the sentence of the context that shares most words with the question.

    The first of equal ones; never "no answer" unless the context holds no words.
    """
    asked = _words(row["question"])
    best: tuple[int, int, int] | None = None
    for found in _SENTENCE.finditer(row["context"]):
        shared = len(asked & _words(found[0]))
        if best is None or shared > best[0]:
            lead = len(found[0]) - len(found[0].lstrip())
            best = (shared, found.start() + lead, found.end())
    if best is None:
        return {**_answer(row, -1, -1), "no_answer": True, "n_best": []}
    return {**_answer(row, best[1], best[2]), "no_answer": False, "n_best": []}


def _words(text: str) -> set[str]:
    """Different words, each character one where there are no spaces, without punctuation."""
    return {word for part in scripts.runs(text.lower()) for word in scripts.words(part)}


def _answer(row: Row, start: int, end: int) -> Prediction:
    text = row["context"][start:end] if start >= 0 else ""
    return {"text": text, "start": start, "end": end, "probability": 1.0}


def build(source: Path, spec: Mapping[str, Any]) -> Any:
    """A torch model with a span head, in fp32, from a folder with safetensors.

    Args:
        source: an encoder or a trained reader. Nothing is fetched, unpickled or run from it.
        spec: `dropout`, where given, replaces the model's own rates. `new_head` (default true):
            a head that the folder lacks is drawn from torch's global generator; seed it first.

    Raises:
        IntegrityError: weights are missing and `new_head` is false.
    """
    config = heads.config(source, spec)
    new_head = bool(spec.get("new_head", True))
    return heads.load(KIND, source, config, new_head=new_head)


def graphs(model: Any) -> list[ExportSpec]:
    """One graph: token ids and their mask in, start and end logits [batch, length] out."""
    return [heads.graph(model, ("start_logits", "end_logits"), per_token=True)]


def scorer(settings: Evaluate, prepare: Prepare) -> str:
    """Hash of all that can change a score but the artifact and the rows."""
    modules = ("extractive", "scripts", "shapes", "spans", "squad_metrics", "windows")
    return hashing.scorer(modules, settings, prepare)
