"""Rows with stated predictions before and after, without any model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from onward.evaluation.comparison import Comparison, compare
from onward.evaluation.ledger import LedgerPart, entry, part, row_hash
from onward.recipes import extractive


def row(question: str, context: str, answer: str = "", title: str | None = None) -> Any:
    return {
        "id": question[:60],
        "title": title,
        "context": context,
        "question": question,
        "answers": [answer] if answer else [],
        "starts": [context.index(answer)] if answer else [],
    }


def said(row: Any, text: str, probability: float = 0.5) -> Any:
    start = row["context"].find(text) if text else -1
    return {
        "text": text,
        "start": start,
        "end": start + len(text),
        "probability": probability,
        "no_answer": not text,
        "n_best": [],
    }


def answered(rows: dict[str, list[Any]], answers: Sequence[Any]) -> LedgerPart:
    """A part in which the rows, in order, are answered by (text, probability)."""
    rest = iter(answers)
    found = {
        unit: {
            row_hash(extractive, one): entry(extractive, one, said(one, *next(rest)))
            for one in of_unit
        }
        for unit, of_unit in rows.items()
    }
    return part("artifact", "torch", "scorer", found)


def compared(rows: dict[str, list[Any]], before: Sequence[Any], after: Sequence[Any]) -> Comparison:
    return compare(extractive, rows, answered(rows, before), answered(rows, after))
