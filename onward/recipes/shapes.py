"""What passes between recipes, runners, the scorer and the training.

A row is one canonical labelled example, a feature one encoded window of it, a prediction the
answer to one row. Rows and predictions are plain dicts, because they are read from and written to
parquet and JSON as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Row = dict[str, Any]
"""The columns of a recipe's SCHEMA; `id` and `title` are among them in every recipe."""

Feature = dict[str, Any]
"""row (an index), the INPUTS that the tokenizer makes, targets; extractive adds offsets."""

Inputs = dict[str, str | list[str]]
"""What a row asks, by name: texts, and lists of texts such as options."""

Prediction = dict[str, Any]
"""text, probability, no_answer, n_best; extractive adds start and end, classification label,
multilabel labels, regression value, tagging spans, relation label and triple, choice
option (its place)."""

INPUTS = ("input_ids", "token_type_ids", "attention_mask")
"""The keys of a feature that a model reads; each a list of T integers."""

NOTHING = -100
"""The target of a token from which nothing is learned: what torch's cross-entropy passes over."""


@dataclass(frozen=True)
class ExportSpec:
    """One graph to export: its name, inputs and outputs; batch and token dimensions are dynamic."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    per_token: bool
    """Whether each output is [batch, tokens]; else it is [batch, as many as the head has]."""
    per_label: bool = False
    """Whether each token has as many values as the head has: [batch, tokens, labels]."""
    cached: bool = False
    """Whether it is a graph of a model that generates, as onward/recipes/generative.py has them."""


@dataclass(frozen=True)
class Target:
    """What a model learns from one key of a feature: the argument it goes to, and its form.

    position: a token, int64 [B]; class: an index, int64 [B]; classes: indices as a list in the
    feature, multi-hot float32 [B, C] in a batch; number: float32 [B]; tags: an index for each
    token, int64 [B, T], -100 where there is nothing to learn; choice: the place of the right one of
    a row's options, int64 [B], beside `groups`, int64 [B], how many sequences are its options;
    tokens: an index for each token of what is to be generated, int64 [B, T], -100 where there is
    nothing to learn (a prompt, padding).
    """

    argument: str
    kind: Literal["position", "class", "classes", "number", "tags", "choice", "tokens"]


def each_text(inputs: Inputs) -> list[tuple[str, str]]:
    """(name, text) of every text of a row, those of a list one by one.

    >>> each_text({"question": "Where?", "options": ["here", "there"]})
    [('question', 'Where?'), ('options', 'here'), ('options', 'there')]
    """
    return [
        (name, text)
        for name, value in inputs.items()
        for text in ([value] if isinstance(value, str) else value)
    ]
