"""What passes between recipes, runners and the scorer.

A row is one canonical labelled question, a feature one encoded window of it, a prediction the
answer to one row. Rows and predictions are plain dicts, because they are read from and written to
parquet and JSON as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]
"""id, title, context, question, answers, starts; both lists are empty where there is no answer."""

Feature = dict[str, Any]
"""row (an index), the INPUTS that the tokenizer makes, offsets; see `windows.encode`."""

Prediction = dict[str, Any]
"""text, start, end, probability, no_answer, n_best."""

INPUTS = ("input_ids", "token_type_ids", "attention_mask")
"""The keys of a feature that a model reads; each a list of T integers."""


@dataclass(frozen=True)
class ExportSpec:
    """One graph to export: its name, inputs and outputs; dimensions 0 and 1 of each are dynamic."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
