"""A text becomes another text, by an encoder-decoder model: shared by translation and summaries.

>>> guess(["English", "Summary"], ("summary",), ("english",))
{'text': 'English', 'references': 'Summary'}
>>> slices({"text": "one two", "references": ["three"]})
{'text length': '0-9', 'reference length': '0-9'}

The model learns the first of a row's references from its text. Both lose their end where they are
longer than `prepare.max_length` tokens: `inputs_cut` counts the texts. The names of special tokens
in them are broken up, so that none ends a text in its middle; scores are against the references as
they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from onward.config import Evaluate, Prepare
from onward.recipes import generated, generative, heads, labels, scripts, special_tokens, texts
from onward.recipes.shapes import ExportSpec, Feature, Prediction, Row, Target

labels_of = labels.none
split_key = texts.split_key

KIND = heads.TRANSLATOR
SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("title", pa.string()),
        pa.field("text", pa.string(), nullable=False),
        pa.field("references", pa.list_(pa.string()), nullable=False),
    ]
)
"""One canonical row; the first of `references`, all of them right, is learned."""

TARGETS = {"labels": Target("labels", "tokens")}
GENERATES = True

_ABOUT = {
    "id": ("id", "uid", "rowid", "guid", "fname"),
    "title": ("title", "documenttitle", "group", "topic"),
}
_LENGTHS = ((10, "0-9"), (20, "10-19"), (40, "20-39"), (100, "40-99"), (200, "100-199"))


def guess(
    columns: Sequence[str], references: Sequence[str], sources: Sequence[str]
) -> dict[str, str] | None:
    """Canonical field -> source column; None where the text or its references have none.

    Args:
        columns: names in the source.
        references, sources: names that the two may have, the likeliest first.
    """
    wanted = {**_ABOUT, "text": ("text", *sources), "references": ("references", *references)}
    found = texts.named(columns, wanted)
    return found if "text" in found and "references" in found else None


def inputs(row: Row) -> dict[str, str]:
    """The text that a person reads."""
    return {"text": row["text"]}


def gold(row: Row) -> list[str]:
    """The right answers."""
    return list(row["references"])


def slices(row: Row) -> dict[str, str]:
    """Slice -> value of one row; lengths are in words."""
    steps = [*_LENGTHS, (None, "200+")]
    return {
        "text length": texts.span_of(scripts.count(row["text"]), steps),
        "reference length": texts.span_of(scripts.count(row["references"][0]), steps),
    }


def vocabulary(rows: Iterable[Row], base: Sequence[str]) -> list[str]:
    """No labels."""
    return []


def encode(
    rows: Sequence[Row], tokenizer: Any, settings: Prepare, *, labels: Sequence[str] | None
) -> list[Feature]:
    """One feature a row: row, input_ids, attention_mask, and for training labels.

    Args:
        rows: canonical rows.
        tokenizer: of transformers; it ends a text with a mark, which is learned as the answer's.
        settings: max_length, of texts and references each.
        labels: None leaves out what is to be learned.
    """
    if not rows:
        return []
    how = {"truncation": True, "max_length": settings.max_length}
    read = tokenizer(_plain((row["text"] for row in rows), tokenizer), **how)
    features = [
        {
            "row": at,
            "input_ids": read["input_ids"][at],
            "attention_mask": read["attention_mask"][at],
        }
        for at in range(len(rows))
    ]
    if labels is None:
        return features
    learned = _plain((row["references"][0] for row in rows), tokenizer)
    targets = tokenizer(text_target=learned, **how)["input_ids"]
    return [{**one, "labels": tokens} for one, tokens in zip(features, targets, strict=True)]


def _plain(said: Iterable[str], tokenizer: Any) -> list[str]:
    """Texts in which no special token stands."""
    names = special_tokens.named(tokenizer).values()
    return [special_tokens.broken(text, names) for text in said]


def longest(settings: Prepare) -> int:
    """Tokens of the longest text that is read."""
    return settings.max_length


def inputs_cut(rows: Sequence[Row], tokenizer: Any, settings: Prepare) -> int:
    """How many texts are longer than `settings.max_length` tokens and lose their end."""
    if not rows:
        return 0
    read = _plain((row["text"] for row in rows), tokenizer)
    found = tokenizer(read, truncation=False)["input_ids"]
    return sum(len(tokens) > settings.max_length for tokens in found)


def decode(
    rows: Sequence[Row],
    features: Sequence[Feature],
    outputs: Sequence[Mapping[str, NDArray[Any]]],
    settings: Evaluate,
    labels: Sequence[str] = (),
    *,
    tokenizer: Any = None,
) -> Iterator[Prediction]:
    """What was generated for each row, as `generated.told`.

    Args:
        rows: the rows that `features` were encoded from.
        features: one a row, in any order.
        outputs: tokens, logprobs and ended of each feature.
        settings: stop.
        tokenizer: the artifact's own.
    """
    placed = {feature["row"]: out for feature, out in zip(features, outputs, strict=True)}
    for at in range(len(rows)):
        yield generated.told(placed[at], settings, tokenizer)


def report(rows: Sequence[Row], predictions: Sequence[Prediction]) -> dict[str, Any]:
    """How long answers are beside the references, how many are empty, repeat the text, or cut off.

    `length_ratio` is words said per word of the first reference.
    """
    said = sum(scripts.count(one["text"]) for one in predictions)
    wanted = sum(scripts.count(row["references"][0]) for row in rows)
    pairs = list(zip(rows, predictions, strict=True))
    return {
        "generated": {
            "rows": len(pairs),
            "length_ratio": round(said / wanted, 4) if wanted else 0.0,
            "empty": sum(one["no_answer"] for one in predictions),
            "copied": sum(one["text"] == row["text"] for row, one in pairs),
            "cut_off": sum(one.get("ended") == "length" for one in predictions),
        }
    }


def answered(text: str) -> Prediction:
    """The prediction of something that is no model."""
    return {"text": text, "probability": 1.0, "no_answer": not text, "n_best": []}


def common(rows: Iterable[Row]) -> None:
    """The trivial answer needs nothing of the training rows."""


def build(source: Path, spec: Mapping[str, Any]) -> Any:
    """An encoder-decoder in fp32 from a folder with safetensors; nothing is drawn or fetched.

    Args:
        source: a pretrained or trained model with its tokenizer.
        spec: `dropout`, where given, replaces the model's own rates.

    Raises:
        SettingsError: the folder holds another kind of model, or one whose answers do not begin as
            its tokenizer has them.
        IntegrityError: weights are missing.
    """
    from transformers import AutoTokenizer

    config = heads.config(source, spec)
    model = generative.tokens_alone(heads.load(KIND, source, config, new_head=False))
    tokenizer = AutoTokenizer.from_pretrained(
        source, local_files_only=True, trust_remote_code=False
    )
    generative.require_start(model, tokenizer, source.name)
    return model


def graphs(model: Any) -> list[ExportSpec]:
    """The decoder with a key-value cache, and the encoder: see `generative`."""
    return generative.graphs(model)


def scores(n: NDArray[np.float64], sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums of shares over n rows -> percent; 0 over no rows."""
    found: NDArray[np.float64] = 100 * np.divide(sums, n, out=np.zeros_like(sums), where=n > 0)
    return found
