"""What opening needs to know of each recipe's rows: all that differs between them is here.

>>> KINDS["classification"].read({"text": "Hi", "label": "greeting"}, 100)
({'text': 'Hi', 'pair': None, 'label': 'greeting'}, '')
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onward.episodes import answers, exchanges, labels, marked, options, references, spanned
from onward.episodes.values import optional, text
from onward.recipes.shapes import Row

PLAIN = ("jsonl", "csv", "tsv", "parquet")
"""The formats whose columns are named by whoever wrote the file."""


@dataclass(frozen=True)
class Kind:
    """One recipe's rows as they come in."""

    fields: tuple[str, ...]
    """What a source may hold, by canonical names."""
    asked: tuple[str, ...]
    """The columns that say what is asked: rows that agree in them must not differ in `gold`."""
    read: Callable[[Mapping[str, Any], int], tuple[dict[str, Any], str]]
    """(fields, most characters) -> the columns but id and title, and the kind of repair.

    Raises Fault."""
    gold: Callable[[Row], Any]
    """The right answer, in a form that is the same whatever order it came in."""
    formats: tuple[str, ...] = PLAIN
    needed: tuple[str, ...] = ("text",)
    """The fields that every source holds, beside the right answer's."""
    several: Callable[[Mapping[str, Any], str | None], Sequence[Mapping[str, Any]]] | None = None
    """Where one incoming row may hold several, or a field in another: its fields, and the system
    message that all rows of the source share -> the fields of each.

    Raises Fault."""

    @property
    def bound(self) -> str:
        """The column whose normalised text has one side for ever; see `rows.split_text`."""
        return self.asked[0]

    def asks(self, row: Row) -> list[Any]:
        """What a row asks, in a form that is the same whatever order its options came in."""
        return [sorted(row[name]) if name == "options" else row[name] for name in self.asked]

    def rows(
        self, fields: Mapping[str, Any], instruction: str | None = None
    ) -> Sequence[Mapping[str, Any]]:
        """The fields of each row that an incoming one holds. Raises Fault."""
        return [fields] if self.several is None else self.several(fields, instruction)

    def labels(self, row: Row) -> Sequence[str]:
        """The labels of a row; none where the recipe has none."""
        for name in ("labels", "tags"):
            if name in row:
                return list(dict.fromkeys(row[name]))
        return [row["label"]] if "label" in row else []


def _extractive(fields: Mapping[str, Any], most: int) -> tuple[dict[str, Any], str]:
    context, question = text(fields, "context", most), text(fields, "question", most)
    found, repair = answers.targets(fields, context, most)
    return {
        "context": context,
        "question": question,
        "answers": [gold.text for gold in found],
        "starts": [gold.start for gold in found],
    }, repair


def _texts(fields: Mapping[str, Any], most: int) -> dict[str, Any]:
    return {"text": text(fields, "text", most), "pair": optional(fields, "pair", most)}


def _classification(fields: Mapping[str, Any], most: int) -> tuple[dict[str, Any], str]:
    label, repair = labels.one(fields, most)
    return {**_texts(fields, most), "label": label}, repair


def _multilabel(fields: Mapping[str, Any], most: int) -> tuple[dict[str, Any], str]:
    found, repair = labels.several(fields, most)
    return {**_texts(fields, most), "labels": found}, repair


def _regression(fields: Mapping[str, Any], most: int) -> tuple[dict[str, Any], str]:
    return {**_texts(fields, most), "value": labels.number(fields)}, ""


def _choice(fields: Mapping[str, Any], most: int) -> tuple[dict[str, Any], str]:
    found, place, repair = options.read(fields, most)
    return {
        "context": optional(fields, "context", most),
        "question": text(fields, "question", most),
        "options": found,
        "answer": place,
    }, repair


_EXTRACTIVE = ("id", "title", "context", "question", "answers", "starts", "is_impossible")
_TEXTS = ("id", "title", "text", "pair")


def _becomes(*formats: str) -> Kind:
    """Rows of a text and what it should become."""
    return Kind(
        ("id", "title", "text", "references"),
        ("text",),
        references.read,
        lambda row: sorted(row["references"]),
        (*formats, *PLAIN),
    )


KINDS = {
    "chat": Kind(
        ("id", "title", "context", "history", "question", "references", "messages", "system"),
        ("context", "history", "question"),
        exchanges.read,
        lambda row: sorted(row["references"]),
        ("squad", *PLAIN),
        ("question",),
        exchanges.several,
    ),
    "choice": Kind(
        ("id", "title", "context", "question", "options", "answer"),
        ("question", "context", "options"),
        _choice,
        lambda row: row["options"][row["answer"]],
        needed=("question", "options"),
        several=lambda fields, _: [options.apart(fields)],
    ),
    "classification": Kind(
        (*_TEXTS, "label"),
        ("text", "pair"),
        _classification,
        lambda row: row["label"],
        ("tagged", *PLAIN),
    ),
    "extractive": Kind(
        _EXTRACTIVE,
        ("context", "question"),
        _extractive,
        lambda row: sorted(zip(row["answers"], row["starts"], strict=True)),
        ("squad", *PLAIN),
        ("context", "question"),
    ),
    "multilabel": Kind(
        (*_TEXTS, "labels"), ("text", "pair"), _multilabel, lambda row: sorted(row["labels"])
    ),
    "regression": Kind((*_TEXTS, "value"), ("text", "pair"), _regression, lambda row: row["value"]),
    "relation": Kind(
        ("id", "title", "text", "tokens", *marked.PLACES, "label"),
        ("text", *marked.PLACES),
        marked.read,
        lambda row: row["label"],
        ("semeval", *PLAIN),
    ),
    "summarization": _becomes(),
    "tagging": Kind(
        ("id", "title", "text", "tokens", "spans", "starts", "ends", "tags"),
        ("text",),
        spanned.read,
        lambda row: [row["starts"], row["ends"], row["tags"]],
        ("tagged", "conll", *PLAIN),
    ),
    "translation": _becomes("parallel"),
}
"""Recipe -> its rows."""
