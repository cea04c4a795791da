"""What validation needs to know of each recipe: all that differs between them is here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from onward.config import Validate
from onward.validation import chat, choice, extractive, references, spans, texts
from onward.validation.expectations import Expectation
from onward.validation.words import Words

Listed = Callable[[Validate], list[Expectation]]


@dataclass(frozen=True)
class Measure:
    """How one recipe's rows are measured and judged."""

    columns: tuple[str, ...]
    """The columns that are read."""
    of_rows: Callable[[Any, Words], dict[str, Any]]
    """Rows (Arrow) -> derived columns: id, numbers, and perhaps `label`, a list of names each."""
    expectations: Listed
    lengths: tuple[str, ...]
    """Derived columns whose means new episodes must share with known ones."""
    like: Listed = lambda _: []
    """What else new episodes must share with known ones."""
    means: Mapping[str, tuple[str, float]] = field(default_factory=dict)
    """Column of an episode -> the derived column whose mean it is, and a factor."""

    @property
    def labelled(self) -> bool:
        """Whether rows have labels."""
        return bool({"label", "labels", "tags"} & set(self.columns))


def _of_texts(target: str) -> tuple[str, ...]:
    return ("id", "text", "pair", target)


_REFERENCES = Measure(
    references.COLUMNS, references.measure, references.expectations, references.LENGTHS
)

MEASURES = {
    "chat": Measure(chat.COLUMNS, chat.measure, chat.expectations, chat.LENGTHS),
    "choice": Measure(
        choice.COLUMNS, choice.measure, choice.expectations, choice.LENGTHS, choice.like
    ),
    "classification": Measure(
        _of_texts("label"), texts.single, texts.of_labels, texts.LENGTHS, texts.like_labels
    ),
    "extractive": Measure(
        extractive.COLUMNS,
        extractive.measure,
        extractive.expectations,
        extractive.LENGTHS,
        means=extractive.MEANS,
    ),
    "multilabel": Measure(
        _of_texts("labels"),
        texts.multilabel,
        texts.of_several_labels,
        texts.LENGTHS,
        texts.like_labels,
    ),
    "regression": Measure(
        _of_texts("value"), texts.regression, texts.of_numbers, texts.LENGTHS, texts.like_numbers
    ),
    "relation": Measure(
        spans.RELATION,
        spans.relation,
        spans.of_relations,
        texts.LENGTHS,
        texts.like_labels,
    ),
    "summarization": _REFERENCES,
    "tagging": Measure(
        spans.TAGGING,
        spans.tagging,
        spans.of_tags,
        texts.LENGTHS,
        texts.like_labels,
    ),
    "translation": _REFERENCES,
}
"""Recipe -> how its rows are measured and judged."""
