"""The rows worth a look: wrong with most confidence, and most changed since before."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from onward import recipes
from onward.evaluation.comparison import Comparison
from onward.recipes.shapes import Prediction, Row

SCHEMA = 3

SHOWN = 20
"""How many of each kind."""

LENGTH = 300
"""Characters of a text that is kept; a cut is marked by an ellipsis."""

_DECIMALS = 4


def examples(recipe: ModuleType, compared: Comparison) -> dict[str, Any]:
    """Examples as plain JSON; row hashes and ids lead to the whole rows.

    Returns:
        length: LENGTH. placed: the input in which answers have a place, or None. nothing: what an
        empty answer is called. score: what a row's score is. worst: lowest score first, of equal
        ones the most confident. lost and won: rows whose score fell or rose, the largest change
        first. Each at most SHOWN of {unit, row, id, title, inputs, answers, marked, before, after};
        inputs are texts by the recipe's names, the placed one cut around the answer; answers are
        the right ones; marked is where the first of them begins and ends in it, or None; before and
        after are {text, score, probability, no_answer}, with the score as the recipe's `row_scores`
        has it and None for the probability of a number.
    """
    before, after = (recipe.row_scores(made) for made in (compared.before, compared.after))
    told = [prediction["probability"] for prediction in compared.predicted_after]
    order = range(len(compared))
    imperfect = (n for n in order if after[n] < recipe.PERFECT)
    worst = sorted(imperfect, key=lambda n: (after[n], -told[n]))
    change = after - before
    lost = sorted((n for n in order if change[n] < 0), key=lambda n: (change[n], -told[n]))
    won = sorted((n for n in order if change[n] > 0), key=lambda n: (-change[n], -told[n]))

    def shown(numbers: list[int]) -> list[dict[str, Any]]:
        scores = [(n, float(before[n]), float(after[n])) for n in numbers[:SHOWN]]
        return [_example(recipe, compared, *one) for one in scores]

    found = {"worst": shown(worst), "lost": shown(lost), "won": shown(won)}
    named = {"placed": recipe.PLACED, "nothing": recipes.nothing(recipe)}
    named["score"] = recipes.row_score(recipe)
    return {"schema": SCHEMA, "length": LENGTH, **named, **found}


def _example(
    recipe: ModuleType, compared: Comparison, n: int, before: float, after: float
) -> dict[str, Any]:
    row, told = compared.rows[n], compared.predicted_after[n]
    return {
        "unit": compared.units[n],
        "row": compared.hashes[n],
        "id": cut(row["id"]),
        "title": cut(row["title"] or ""),
        "inputs": {
            name: cut(
                text if isinstance(text, str) else " / ".join(text),
                _middle(row, told) if name == recipe.PLACED else 0,
            )
            for name, text in recipe.inputs(row).items()
        },
        "answers": [cut(answer) for answer in recipe.gold(row)],
        "marked": _marked(row, row[recipe.PLACED]) if recipe.PLACED else None,
        "before": _answer(compared.predicted_before[n], before),
        "after": _answer(told, after),
    }


def _answer(prediction: Prediction, score: float) -> dict[str, Any]:
    return {
        "text": cut(prediction["text"]),
        "score": round(score, _DECIMALS) + 0.0,  # plain, where it is -0.0
        # Of a number it is 1 by convention, and says nothing.
        "probability": None if "value" in prediction else prediction["probability"],
        "no_answer": prediction["no_answer"],
    }


def _middle(row: Row, prediction: Prediction) -> int:
    """Where in the placed input the answer is, the given one before the predicted one."""
    return int(row["starts"][0] if row["starts"] else max(prediction["start"], 0))


def _marked(row: Row, text: str) -> list[int] | None:
    """Where the right answer begins and ends in the placed input, as `cut` leaves it."""
    if not row["starts"]:
        return None
    start = row["starts"][0]
    first = _first(text, start)
    shift = first - bool(first)  # the ellipsis
    end = min(start + len(row["answers"][0]), first + LENGTH)
    return [start - shift, end - shift]


def _first(text: str, middle: int) -> int:
    """The first character that is kept."""
    return max(min(middle - LENGTH // 2, len(text) - LENGTH), 0)


def cut(text: str, middle: int = 0) -> str:
    """At most LENGTH characters of a text around `middle`, with an ellipsis where it was cut."""
    if len(text) <= LENGTH:
        return text
    first = _first(text, middle)
    start = "…" if first else ""
    end = "…" if first + LENGTH < len(text) else ""
    return f"{start}{text[first : first + LENGTH]}{end}"
