"""An answer written in words: to a question about a context, or to the last turn of a conversation.

>>> row = {"history": ["Who came?", "Ana."], "question": "And then?", "context": None}
>>> slices({**row, "references": ["She left."]})["turns before"]
'1'

A causal model goes on from the conversation, as its own template writes it, until it ends its
answer. It learns the first of a row's references, and nothing of what stands before it. How a row
becomes tokens is in `turns`, templates are in `chat_template`.
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
from onward.recipes import (
    chat_template,
    extractive,
    generated,
    generative,
    hashing,
    heads,
    labels,
    prompting,
    rouge,
    scripts,
    squad_metrics,
    turns,
)
from onward.recipes.shapes import ExportSpec, Feature, Inputs, Prediction, Row, Target
from onward.recipes.texts import folded, named, span_of

labels_of = labels.none

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("title", pa.string()),
        pa.field("context", pa.string()),
        pa.field("history", pa.list_(pa.string()), nullable=False),
        pa.field("question", pa.string(), nullable=False),
        pa.field("references", pa.list_(pa.string()), nullable=False),
    ]
)
"""One canonical row. `history` are turns before the question, the user's first, the assistant's
last; of `references`, all of them right, the first is learned."""

KIND = heads.WRITER
PRIMARY = "f1"
METRICS = ("f1", "em", "rouge_l")
STATISTICS = ("n", "f1", "em", "rouge_l")
RIGHT_OR_WRONG = False
PERFECT = 100.0
PLACED = None
GENERATES = True
PACKS = True
"""Whether rows may lie side by side in one window: see `features.Collate`."""

TARGETS = {"labels": Target("labels", "tokens")}

_COLUMNS = {
    "id": ("id", "qid", "questionid", "uid", "fname"),
    "title": ("title", "documenttitle", "dialogueid", "conversationid", "topic"),
    "context": ("context", "passage", "story", "document", "input", "support"),
    "history": ("history", "turns", "previous", "chathistory", "pastturns"),
    "question": ("question", "query", "instruction", "prompt", "user", "input"),
    "references": (
        *("references", "reference", "response", "output", "completion", "reply"),
        *("assistant", "answers", "answer", "answertext", "correctanswer"),
    ),
    "messages": ("messages", "conversation", "conversations", "dialogue", "dialog"),
    "system": ("system", "systemprompt", "systemmessage"),
}
"""Canonical field -> names of source columns, the likeliest first, compared by letters alone.

`input` is the context of an instruction or question, and the question where there is none."""

_TURNS = ((1, "0"), (2, "1"), (4, "2-3"), (None, "4+"))
_CONTEXT = ((1, "none"), (100, "1-99"), (200, "100-199"), (400, "200-399"), (None, "400+"))
_ANSWER = ((2, "1"), (4, "2-3"), (16, "4-15"), (None, "16+"))


def guess(columns: Sequence[str]) -> dict[str, str] | None:
    """Canonical field -> source column; None without question and answer, or a conversation."""
    found = named(columns, _COLUMNS)
    if found.get("context") == found.get("question"):
        found.pop("context", None)
    whole = "messages" in found or ("question" in found and "references" in found)
    return found if whole else None


def split_key(row: Row) -> str:
    """What must not straddle train and held-out: title, else context, else the first turn."""
    for name in ("title", "context"):
        if row.get(name):
            return f"{name}:{folded(row[name])}"
    return f"turn:{folded([*row['history'], row['question']][0])}"


def inputs(row: Row) -> Inputs:
    """What a person reads: the question and, where the row has them, context and history."""
    found: Inputs = {"question": row["question"]}
    if row.get("context") is not None:
        found["context"] = row["context"]
    if row["history"]:
        found["history"] = list(row["history"])
    return found


def unanswerable(row: Row) -> str:
    """Why a row that only asks cannot be answered; "" where it can."""
    if len(row["history"]) % 2:
        return "The history must end with an answer: user and assistant by turns, the user first"
    return "" if all(turn.strip() for turn in row["history"]) else "A turn of the history is empty"


def gold(row: Row) -> list[str]:
    """The right answers."""
    return list(row["references"])


def slices(row: Row) -> dict[str, str]:
    """Slice -> value of one row; lengths are in words."""
    return {
        "question word": extractive.question_word(row["question"]),
        "turns before": span_of(len(row["history"]) // 2, _TURNS),
        "context length": span_of(scripts.count(row["context"] or ""), _CONTEXT),
        "answer length": span_of(scripts.count(row["references"][0]), _ANSWER),
    }


def vocabulary(rows: Iterable[Row], base: Sequence[str]) -> list[str]:
    """No labels."""
    return []


def encode(
    rows: Sequence[Row], tokenizer: Any, settings: Prepare, *, labels: Sequence[str] | None
) -> list[Feature]:
    """Each row's prompt and, with `labels` (empty), the answer to learn after it.

    Args:
        rows: canonical rows.
        tokenizer: of transformers, with a chat template or without.
        settings: max_length, of which a prompt takes three quarters at most.
        labels: where given, features to learn from.

    Returns:
        One feature a row, in their order: row (index in `rows`), input_ids, attention_mask and,
        to learn, labels: -100 before the answer (lists of T integers).

    Raises:
        DataError: a question alone is too long.
        SettingsError: the template has an unknown field, or the tokenizer no end token.
    """
    rows = _asked(rows, tokenizer)
    features = []
    for at, (row, prompt) in enumerate(
        zip(rows, turns.prompts(rows, tokenizer, settings), strict=True)
    ):
        after: list[int] = []
        if labels is not None:
            after = turns.answer(prompt, row["references"][0], tokenizer, settings.max_length)
        tokens = [*prompt.tokens, *after]
        feature: Feature = {"row": at, "input_ids": tokens, "attention_mask": [1] * len(tokens)}
        target = [-100] * len(prompt.tokens) + after
        features.append(feature if labels is None else {**feature, "labels": target})
    return features


def longest(settings: Prepare) -> int:
    """Tokens of the longest prompt that a row can have."""
    return turns.room(settings.max_length)


def inputs_cut(rows: Sequence[Row], tokenizer: Any, settings: Prepare) -> int:
    """How many rows lose turns or an end of their context, being longer than a prompt may be."""
    return int(prompted(rows, tokenizer, settings)["inputs_cut"])


def prompted(rows: Sequence[Row], tokenizer: Any, settings: Prepare) -> dict[str, Any]:
    """`inputs_cut`, and how many examples the prompts have where some are wanted: `shots`."""
    prompt = prompting.of(tokenizer)
    made = turns.prompts(_asked(rows, tokenizer), tokenizer, settings)
    return turns.counted(made, prompt.shots if prompt else 0)


def _asked(rows: Sequence[Row], tokenizer: Any) -> Sequence[Row]:
    """The rows as the prompt puts them that was loaded with the tokenizer, if one was."""
    prompt = prompting.of(tokenizer)
    return rows if prompt is None else prompt.asked(rows)


def decode(
    rows: Sequence[Row],
    features: Sequence[Feature],
    outputs: Sequence[Mapping[str, NDArray[Any]]],
    settings: Evaluate,
    labels: Sequence[str] = (),
    *,
    tokenizer: Any = None,
) -> Iterator[Prediction]:
    """The answer to each row, in their order: see `generated.told` and `prompting.told`.

    Args:
        rows: the rows that `features` were encoded from.
        features: one a row, in any order.
        outputs: what was generated for each feature.
        settings: stop.
        tokenizer: the artifact's own.
    """
    placed = {feature["row"]: out for feature, out in zip(features, outputs, strict=True)}
    for at in range(len(rows)):
        told = generated.told(placed[at], settings, tokenizer)
        yield prompting.told(prompting.of(tokenizer), told)


def statistics(row: Row, prediction: Prediction) -> NDArray[np.float64]:
    """What one prediction adds to the totals; of several references the best counts, by metric.

    An empty answer is worth nothing.
    """
    text = prediction["text"]
    if not text:
        return np.array([1.0, 0.0, 0.0, 0.0])
    right = row["references"]
    best = squad_metrics.best(row, text, right)
    return np.array([1.0, *best, max(rouge.longest(text, gold) for gold in right)])


def metrics(total: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
    """Totals [..., 4] -> METRICS in percent and n, each [...]; 0 over no rows."""
    n, *sums = np.moveaxis(np.asarray(total, dtype=np.float64), -1, 0)
    found = {
        name: 100.0 * np.divide(each, n, out=np.zeros_like(n), where=n > 0)
        for name, each in zip(METRICS, sums, strict=True)
    }
    return {**found, "n": n}


def row_scores(statistics: NDArray[np.float64]) -> NDArray[np.float64]:
    """What each row [n, k] is worth: its F1."""
    found: NDArray[np.float64] = metrics(statistics)[PRIMARY]
    return found


def report(rows: Sequence[Row], predictions: Sequence[Prediction]) -> dict[str, Any]:
    """How many answers are empty, and how many were cut off at evaluate.max_new_tokens."""
    told = [one for one in predictions if "ended" in one]
    return {
        "generated": {
            "rows": len(told),
            "empty": sum(one["no_answer"] for one in told),
            "cut_off": sum(one["ended"] == "length" for one in told),
        }
    }


def common(rows: Iterable[Row]) -> str:
    """The most frequent answer, the first of equal ones by name; "" of no rows."""
    counts = Counter(row["references"][0] for row in rows)
    return min(counts, key=lambda text: (-counts[text], text), default="")


def baseline(row: Row, common: str) -> Prediction:
    """The trivial answer: the sentence of the context that shares most words with the question.

    Without a context the most frequent answer of the training rows.
    """
    if row["context"]:
        found = extractive.baseline(row, None)
        return {key: found[key] for key in ("text", "probability", "no_answer", "n_best")}
    return {"text": common, "probability": 1.0, "no_answer": not common, "n_best": []}


def build(source: Path, spec: Mapping[str, Any]) -> Any:
    """A causal model in fp32 from a folder with safetensors; nothing is drawn or fetched.

    It ends an answer where the folder's chat template does, and where it says itself.

    Args:
        source: a pretrained or trained causal model with its tokenizer.
        spec: `dropout`, where given, replaces the model's own rates.

    Raises:
        SettingsError: the folder holds another kind of model.
        IntegrityError: weights are missing.
    """
    from transformers import AutoTokenizer

    config = heads.config(source, spec)
    model = heads.load(KIND, source, config, new_head=False)
    model = generative.tokens_alone(model)
    tokenizer = AutoTokenizer.from_pretrained(
        source, local_files_only=True, trust_remote_code=False
    )
    own = model.generation_config.eos_token_id
    ends = chat_template.ends(tokenizer, own if isinstance(own, list) else [own])
    model.generation_config.eos_token_id = ends
    return model


def graphs(model: Any) -> list[ExportSpec]:
    """One graph with a key-value cache: see `generative`."""
    return generative.graphs(model)


def scorer(settings: Evaluate, prepare: Prepare) -> str:
    """Hash of all that can change a score but the artifact and the rows."""
    modules = ("chat", "chat_template", "extractive", "generated", "generative", "prompting")
    more = ("rouge", "scripts", "shapes", "special_tokens", "squad_metrics", "texts", "turns")
    return hashing.scorer((*modules, *more), settings, prepare, writes=True)
