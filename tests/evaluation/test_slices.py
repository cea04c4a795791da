"""Slices: every row in its slice, with the score before and after."""

from __future__ import annotations

import pytest

from onward.errors import MissingFiles
from onward.evaluation.comparison import compare
from onward.evaluation.slices import TITLES, slices
from onward.recipes import extractive
from tests.evaluation.comparisons import answered, compared, row


@pytest.mark.parametrize(
    ("question", "word"),
    [
        ("Who won?", "who"),
        ("In what year, and when?", "what"),
        ("Name the WHICH one", "which"),
        ("how many", "how"),
        ("Whoever did it", "other"),
        ("", "other"),
    ],
)
def test_question_words(question: str, word: str) -> None:
    assert extractive.slices(row(question, "x"))["question word"] == word


@pytest.mark.parametrize(
    ("answer", "length"),
    [("", "none"), ("a", "1"), ("a b", "2-3"), ("a b c", "2-3"), ("a b c d", "4-7"),
     ("a b c d e f g", "4-7"), ("a b c d e f g h", "8+")],
)  # fmt: skip
def test_answer_lengths(answer: str, length: str) -> None:
    found = extractive.slices(row("x", "a b c d e f g h", answer))
    assert found["answer length"] == length
    assert found["answer"] == ("given" if answer else "none")


@pytest.mark.parametrize(
    ("words", "length"),
    [(1, "0-99"), (99, "0-99"), (100, "100-199"), (399, "200-399"), (400, "400+")],
)
def test_context_lengths(words: int, length: str) -> None:
    assert extractive.slices(row("x", "a " * words))["context length"] == length


def test_each_slice_has_its_rows_and_scores() -> None:
    rows = {
        "0001-a": [row("who?", "Ana Bo", "Ana"), row("who else?", "Ana Bo", "Bo")],
        "0002-b": [row("when?", "in 1066", "1066"), row("why?", "x y")],
    }
    before = [("Ana",), ("Ana",), ("in",), ("x",)]
    after = [("Ana",), ("Bo",), ("in 1066",), ("",)]
    found = {(s["slice"], s["value"]): s for s in slices(extractive, compared(rows, before, after))}
    who = found["question word", "who"]
    assert (who["rows"], who["before"], who["after"], who["change"]) == (2, 50.0, 100.0, 50.0)
    when = found["question word", "when"]
    assert (when["before"], when["after"]) == (0.0, pytest.approx(66.6667))
    none = found["answer", "none"]
    assert (none["rows"], none["before"], none["after"]) == (1, 0.0, 100.0)
    assert ("context length", "0-99") not in found, "a slice of all rows says nothing"
    assert sum(s["rows"] for (name, _), s in found.items() if name == "question word") == 4


def test_the_largest_titles_are_slices() -> None:
    rows = [
        row(f"{t} {n}", "x y", "x", f"T{t:02}") for t in range(TITLES + 3) for n in range(t + 1)
    ]
    rows.append(row("untitled", "x y", "x"))
    told = [("x",)] * len(rows)
    found = [s for s in slices(extractive, compared({"0001-a": rows}, told, told))
             if s["slice"] == "title"]  # fmt: skip
    assert [(s["value"], s["rows"]) for s in found] == [
        (f"T{t:02}", t + 1) for t in range(3, TITLES + 3)
    ]


def test_a_comparison_needs_every_row_on_both_sides() -> None:
    rows = {"0001-a": [row("who?", "Ana", "Ana"), row("what?", "Bo", "Bo")]}
    whole = answered(rows, [("Ana",), ("Bo",)])
    part = answered({"0001-a": rows["0001-a"][:1]}, [("Ana",)])
    with pytest.raises(MissingFiles, match="lacks rows"):
        compare(extractive, rows, part, whole)
    with pytest.raises(MissingFiles, match="lacks rows"):
        compare(extractive, rows, whole, part)
