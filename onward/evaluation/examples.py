"""The rows worth a look: wrong with most confidence, and most changed since before."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from onward.evaluation.comparison import Comparison
from onward.recipes.shapes import Prediction, Row

SHOWN = 20
"""How many of each kind."""

LENGTH = 300
"""Characters of a text that is kept; a cut is marked by an ellipsis."""

_DECIMALS = 4


def examples(recipe: ModuleType, compared: Comparison) -> dict[str, Any]:
    """Examples as plain JSON; row hashes and ids lead to the whole rows.

    Returns:
        length: LENGTH. worst: lowest score first, of equal ones the most confident. lost and won:
        rows whose score fell or rose, the largest change first. Each at most SHOWN of {unit, row,
        id, title, question, context, answers, before, after}; the two last are {text, score,
        probability, no_answer}; the context is cut around the answer.
    """
    before, after = (
        np.asarray(recipe.metrics(statistics)[recipe.PRIMARY])
        for statistics in (compared.before, compared.after)
    )
    told = [prediction["probability"] for prediction in compared.predicted_after]
    order = range(len(compared))
    worst = sorted((n for n in order if after[n] < 100), key=lambda n: (after[n], -told[n]))
    change = after - before
    lost = sorted((n for n in order if change[n] < 0), key=lambda n: (change[n], -told[n]))
    won = sorted((n for n in order if change[n] > 0), key=lambda n: (-change[n], -told[n]))

    def shown(numbers: list[int]) -> list[dict[str, Any]]:
        return [_example(compared, n, float(before[n]), float(after[n])) for n in numbers[:SHOWN]]

    return {"length": LENGTH, "worst": shown(worst), "lost": shown(lost), "won": shown(won)}


def _example(compared: Comparison, n: int, before: float, after: float) -> dict[str, Any]:
    row = compared.rows[n]
    return {
        "unit": compared.units[n],
        "row": compared.hashes[n],
        "id": cut(row["id"]),
        "title": cut(row["title"] or ""),
        "question": cut(row["question"]),
        "context": cut(row["context"], _middle(row, compared.predicted_after[n])),
        "answers": [cut(answer) for answer in row["answers"]],
        "before": _answer(compared.predicted_before[n], before),
        "after": _answer(compared.predicted_after[n], after),
    }


def _answer(prediction: Prediction, score: float) -> dict[str, Any]:
    return {
        "text": cut(prediction["text"]),
        "score": round(score, _DECIMALS),
        "probability": prediction["probability"],
        "no_answer": prediction["no_answer"],
    }


def _middle(row: Row, prediction: Prediction) -> int:
    """Where in the context the answer is, the given one before the predicted one."""
    return int(row["starts"][0] if row["starts"] else max(prediction["start"], 0))


def cut(text: str, middle: int = 0) -> str:
    """At most LENGTH characters of a text around `middle`, with an ellipsis where it was cut."""
    if len(text) <= LENGTH:
        return text
    first = min(max(middle - LENGTH // 2, 0), len(text) - LENGTH)
    start = "…" if first else ""
    end = "…" if first + LENGTH < len(text) else ""
    return f"{start}{text[first : first + LENGTH]}{end}"
