"""Extractive question answering: the answer is a part of the context, or there is none.

>>> guess(["Passage", "query", "answer_text"])
{'context': 'Passage', 'question': 'query', 'answers': 'answer_text'}
>>> baseline({"question": "Who wrote it?", "context": "It rained. Ana wrote it."})["text"]
'Ana wrote it.'

Here is what a row holds and how a model for it is built. The three larger parts have a file of
their own: `windows` (encode), `spans` (decode) and `squad_metrics`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from onward import files
from onward.config import Evaluate, Prepare
from onward.errors import IntegrityError
from onward.recipes.shapes import ExportSpec, Prediction, Row
from onward.recipes.spans import decode
from onward.recipes.squad_metrics import METRICS, PRIMARY, STATISTICS, metrics, statistics
from onward.recipes.windows import encode, questions_cut

__all__ = [
    "METRICS",
    "PRIMARY",
    "SCHEMA",
    "STATISTICS",
    "baseline",
    "build",
    "decode",
    "encode",
    "graphs",
    "guess",
    "metrics",
    "questions_cut",
    "scorer",
    "split_key",
    "statistics",
]

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
_SENTENCE = re.compile(r"[^.!?\n]*[^.!?\s][^.!?\n]*[.!?]*")
_DROPOUTS = ("hidden_dropout_prob", "attention_probs_dropout_prob", "dropout", "attention_dropout")


def guess(columns: Sequence[str]) -> dict[str, str] | None:
    """Canonical field -> source column, or None where context, question or answers has none."""
    names = {re.sub(r"[\W_]", "", column).lower(): column for column in reversed(columns)}
    found = {
        field: names[next(name for name in likely if name in names)]
        for field, likely in _COLUMNS.items()
        if any(name in names for name in likely)
    }
    return found if all(field in found for field in _NEEDED) else None


def split_key(row: Row) -> str:
    """What must not straddle train and held-out: the title, or the context where there is none.

    Case, spacing and Unicode's composed or decomposed forms make no difference.
    """
    title = _folded(row.get("title") or "")
    return f"title:{title}" if title else f"context:{_folded(row['context'])}"


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def baseline(row: Row) -> Prediction:
    """The trivial answer: the sentence of the context that shares most words with the question.

    The first of equal ones; never "no answer" unless the context holds no words.
    """
    asked = set(re.findall(r"\w+", row["question"].lower()))
    best: tuple[int, int, int] | None = None
    for found in _SENTENCE.finditer(row["context"]):
        shared = len(asked & set(re.findall(r"\w+", found[0].lower())))
        if best is None or shared > best[0]:
            lead = len(found[0]) - len(found[0].lstrip())
            best = (shared, found.start() + lead, found.end())
    if best is None:
        return {**_answer(row, -1, -1), "no_answer": True, "n_best": []}
    return {**_answer(row, best[1], best[2]), "no_answer": False, "n_best": []}


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
    from transformers import AutoConfig, AutoModelForQuestionAnswering
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    config = AutoConfig.from_pretrained(source, local_files_only=True, trust_remote_code=False)
    for name in _DROPOUTS:
        if spec.get("dropout") is not None and hasattr(config, name):
            setattr(config, name, float(spec["dropout"]))
    model, found = AutoModelForQuestionAnswering.from_pretrained(
        source,
        config=config,
        dtype="float32",
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
        output_loading_info=True,
    )
    lacking = sorted(found["missing_keys"])
    if lacking and not spec.get("new_head", True):
        raise IntegrityError(
            f"The model lacks {len(lacking)} weights, first {lacking[0]}",
            where=str(source),
            fix="name the folder of a trained question-answering model, not of an encoder",
        )
    return model


def graphs(model: Any) -> list[ExportSpec]:
    """One graph: token ids and their mask in, start and end logits [batch, length] out."""
    segments = ("token_type_ids",) if getattr(model.config, "type_vocab_size", 0) > 1 else ()
    inputs = ("input_ids", *segments, "attention_mask")
    return [ExportSpec("model", inputs, ("start_logits", "end_logits"))]


def scorer(settings: Evaluate, prepare: Prepare) -> str:
    """Hash of all that can change a score but the artifact and the rows.

    The source of this recipe, every setting of the block `evaluate`, and of `prepare` the window.
    """
    here = Path(__file__).parent
    names = ("extractive", "shapes", "spans", "squad_metrics", "windows")
    return files.digest(
        {
            "source": {name: files.sha256(here / f"{name}.py") for name in names},
            "evaluate": settings.model_dump(),
            "window": {"max_length": prepare.max_length, "stride": prepare.stride},
        }
    )
