"""A text, or a pair of texts, with something to be said about it: rows and their encoding.

Shared by classification, multilabel and regression, whose rows differ in one column alone.

>>> guess(["Review", "Stars"], ("label", "stars"))
{'text': 'Review', 'label': 'Stars'}
>>> length({"text": "one two", "pair": None})
'0-24'
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from onward.config import Prepare
from onward.recipes import scripts
from onward.recipes.shapes import INPUTS, Feature, Row

COLUMNS = {
    "id": ("id", "uid", "rowid", "guid"),
    "title": ("title", "group", "source", "topic", "documenttitle"),
    "text": ("text", "sentence", "sentence1", "content", "review", "message", "body", "document"),
}
"""Canonical field -> names of source columns, the likeliest first, compared by letters alone."""

_PAIR = {"pair": ("pair", "textpair", "sentence2", "text2", "hypothesis")}
_PAIRS = (
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("query", "document"),
)
"""Names of two columns that are text and pair, where both are there and none is called text.

Where one is, neither is its pair: the two belong together."""

_LENGTHS = ((25, "0-24"), (100, "25-99"), (200, "100-199"), (None, "200+"))


def schema(target: pa.Field) -> pa.Schema:
    """The columns of a row: id, title, text, pair and what is to be said about them."""
    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("title", pa.string()),
            pa.field("text", pa.string(), nullable=False),
            pa.field("pair", pa.string()),
            target,
        ]
    )


def guess(columns: Sequence[str], likely: Sequence[str]) -> dict[str, str] | None:
    """Canonical field -> source column; None where the text or the target has none.

    Args:
        columns: names in the source.
        likely: names that the target's column may have; the first is its canonical name.
    """
    known = {**COLUMNS, **_PAIR, likely[0]: tuple(likely)}
    for text, pair in _PAIRS:
        both = {"text": (text,), "pair": ("pair", pair)}
        if len(named(columns, both)) == 2:
            whole = bool(named(columns, {"text": ("text",)}))
            known |= {"pair": ("pair", "textpair")} if whole else both
            break
    found = named(columns, known)
    return found if "text" in found and likely[0] in found else None


def bare(column: str) -> str:
    """A column's name as names are compared: by its letters and digits alone, in any case.

    >>> bare("Correct_Answer 1")
    'correctanswer1'
    """
    return re.sub(r"[\W_]", "", column).lower()


def named(columns: Sequence[str], likely: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Canonical field -> the source column that has the likeliest of its names.

    Args:
        columns: names in the source.
        likely: field -> names in lower case without spaces and marks, the likeliest first.
    """
    names = {bare(column): column for column in reversed(columns)}
    return {
        field: names[next(name for name in known if name in names)]
        for field, known in likely.items()
        if any(name in names for name in known)
    }


def folded(text: str) -> str:
    """A text without differences of case, spacing and Unicode's composed or decomposed forms."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def split_key(row: Row) -> str:
    """What must not straddle train and held-out: the title, or the text where there is none."""
    title = folded(row.get("title") or "")
    return f"title:{title}" if title else f"text:{folded(row['text'])}"


def inputs(row: Row) -> dict[str, str]:
    """The texts that a person reads: text and, where the row has one, pair."""
    pair = {} if row.get("pair") is None else {"pair": row["pair"]}
    return {"text": row["text"], **pair}


def length(row: Row) -> str:
    """The range that the number of words of text and pair lies in."""
    words = sum(scripts.count(text) for text in inputs(row).values())
    return span_of(words, _LENGTHS)


def span_of(count: int, steps: Sequence[tuple[int | None, str]]) -> str:
    """The name of the first step whose bound is above `count`; the last has none."""
    bounds = [bound for bound, _ in steps if bound is not None]
    return steps[bisect_right(bounds, count)][1]


def encode(
    rows: Sequence[Row],
    tokenizer: Any,
    settings: Prepare,
    target: Callable[[Row], dict[str, Any]] | None,
) -> list[Feature]:
    """Each row as one feature of at most `settings.max_length` tokens.

    A longer text loses its end, and of a pair the longer one does first: `inputs_cut` counts
    these rows.

    Args:
        rows: canonical rows.
        tokenizer: of transformers.
        settings: max_length.
        target: what to add to the feature of a row; None adds nothing.

    Returns:
        Features in the order of the rows: row (index in `rows`), input_ids, attention_mask and,
        where the tokenizer makes them, token_type_ids (lists of T integers).
    """
    encoded = _tokens(rows, tokenizer, truncation="longest_first", max_length=settings.max_length)
    features = []
    for at, row in enumerate(rows):
        feature = {name: encoded[name][at] for name in INPUTS if name in encoded}
        features.append({**feature, "row": at, **(target(row) if target else {})})
    return features


def inputs_cut(rows: Sequence[Row], tokenizer: Any, settings: Prepare) -> int:
    """How many rows are longer than `settings.max_length` tokens and lose an end."""
    encoded = _tokens(rows, tokenizer, truncation=False)
    return sum(len(tokens) > settings.max_length for tokens in encoded["input_ids"])


def _tokens(rows: Sequence[Row], tokenizer: Any, **how: Any) -> dict[str, list[Any]]:
    """The tokenizer's lists, one item a row; rows with a pair and without may be mixed."""
    found: dict[str, list[Any]] = {"input_ids": [None] * len(rows)}
    for paired in (False, True):
        at = [n for n, row in enumerate(rows) if (row.get("pair") is not None) == paired]
        if not at:
            continue
        texts = [[rows[n][name] for n in at] for name in ("text", "pair")[: 1 + paired]]
        made = tokenizer(*texts, padding=False, return_attention_mask=True, **how)
        for name in (name for name in INPUTS if name in made):
            column = found.setdefault(name, [None] * len(rows))
            for n, tokens in zip(at, made[name], strict=True):
                column[n] = tokens
    return found
