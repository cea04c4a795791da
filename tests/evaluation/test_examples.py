"""Examples: the confident wrong ones first, and those that changed most."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from onward.evaluation.comparison import Comparison
from onward.evaluation.examples import LENGTH, SHOWN, cut, examples
from onward.evaluation.ledger import row_hash
from onward.recipes import extractive, multilabel, regression
from tests.evaluation.comparisons import compared, row


def ids(found: list[Any]) -> list[str]:
    return [one["id"] for one in found]


def test_worst_lost_and_won() -> None:
    rows = {"0001-a": [row(f"q{n}", "one two three four", "one two") for n in range(5)]}
    before = [("one two", 0.9), ("one two", 0.9), ("four", 0.9), ("one two", 0.9), ("one", 0.2)]
    after = [("four", 0.6), ("three", 0.8), ("one two", 0.9), ("one two", 0.9), ("one two", 0.9)]
    after[3] = ("one", 0.99)
    found = examples(extractive, compared(rows, before, after))
    assert ids(found["worst"]) == ["q1", "q0", "q3"], "lowest score, then most confident"
    assert ids(found["lost"]) == ["q1", "q0", "q3"]
    assert ids(found["won"]) == ["q2", "q4"]
    first = found["won"][0]
    assert first["before"] == {"text": "four", "score": 0.0, "probability": 0.9, "no_answer": False}
    assert first["after"]["score"] == 100.0
    assert first["row"] == row_hash(extractive, rows["0001-a"][2]) and first["unit"] == "0001-a"
    assert found["length"] == LENGTH


def test_no_more_than_stated() -> None:
    rows = {"0001-a": [row(f"q{n:03}", "one two", "one") for n in range(SHOWN + 9)]}
    found = examples(extractive, compared(rows, [("one",)] * (SHOWN + 9), [("two",)] * (SHOWN + 9)))
    assert len(found["worst"]) == len(found["lost"]) == SHOWN and found["won"] == []


def test_a_long_context_is_cut_around_the_answer() -> None:
    context = "x " * 4000 + "HERE" + " y" * 4000
    found = examples(
        extractive,
        compared({"0001-a": [row("q", context, "HERE")]}, [("HERE",)], [("x",)]),
    )
    text = found["worst"][0]["inputs"]["context"]
    assert "HERE" in text and len(text) == LENGTH + 2 and text[0] == text[-1] == "…"


@pytest.mark.parametrize("shift", [0, 2, 400, 900])
def test_the_place_of_the_right_answer_is_kept(shift: int) -> None:
    """Nothing said which of several occurrences was meant: the report marked the middle one."""
    context = "x " * (shift // 2) + "year two, year one, year two" + " y" * 450
    start = context.index("year")
    found = examples(
        extractive, compared({"0001-a": [row("q", context, "year")]}, [("year",)], [("y",)])
    )["worst"][0]
    first, last = found["marked"]
    text = found["inputs"]["context"]
    assert text[first:last] == "year" and text[last:].startswith(" two, year one")
    assert context[start:].startswith(text[first:].removesuffix("…"))


def test_an_answer_that_is_longer_than_the_text_shown_is_marked_to_its_end() -> None:
    answer = "long " * 100
    found = examples(
        extractive, compared({"0001-a": [row("q", f"a {answer}b", answer)]}, [(answer,)], [("a",)])
    )["worst"][0]
    first, last = found["marked"]
    assert found["inputs"]["context"][first:last] == answer[: last - first]
    assert found["inputs"]["context"][last:] == "…"


def test_where_there_is_no_answer_nothing_is_marked() -> None:
    found = examples(extractive, compared({"0001-a": [row("q", "a b")]}, [("",)], [("a",)]))
    assert found["worst"][0]["marked"] is None


def _texts(recipe: Any, golds: list[Any], before: list[Any], after: list[Any]) -> dict[str, Any]:
    """Examples of rows of a text, with these right answers and fields of what was told."""
    made = [{"id": f"t{n}", "title": None, "text": "a b", **g} for n, g in enumerate(golds)]
    blank = {"text": "", "probability": 1.0, "no_answer": False, "n_best": []}
    sides = [[{**blank, **told} for told in side] for side in (before, after)]
    counted = [
        np.array([recipe.statistics(one, told) for one, told in zip(made, side, strict=True)])
        for side in sides
    ]
    hashes = [one["id"] for one in made]
    compared = Comparison(["0001-a"] * len(made), hashes, made, *counted, *sides)
    return examples(recipe, compared)


def test_a_number_has_no_probability() -> None:
    found = _texts(regression, [{"value": 1.0}], [{"value": 2.0}], [{"value": 1.00001}])
    after = found["won"][0]["after"]
    assert after["probability"] is None and str(after["score"]) == "0.0", "nor is 0 negative"
    assert found["score"] == "minus the absolute error", "it was taken for R2"


def test_an_empty_answer_has_the_recipe_s_name() -> None:
    """Rows without labels were told as questions without an answer."""
    found = _texts(multilabel, [{"labels": []}], [{"labels": ["x"]}], [{"labels": []}])
    assert found["won"][0]["answers"] == [] and found["nothing"] == "no label"
    rows = {"0001-a": [row("q", "one two")]}
    assert examples(extractive, compared(rows, [("one",)], [("",)]))["nothing"] == "no answer"


def test_cut() -> None:
    assert cut("short") == "short"
    assert cut("a" * LENGTH) == "a" * LENGTH
    assert cut("a" * (LENGTH + 1)) == "a" * LENGTH + "…"
    assert cut("a" * 999, 998) == "…" + "a" * LENGTH
