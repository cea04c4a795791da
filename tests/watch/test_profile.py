"""What is counted of rows of each kind."""

from __future__ import annotations

from typing import Any

import pytest

from onward import recipes
from onward.watch import profile, shift
from onward.watch.profile import Profile
from tests import toys


def of(recipe: str, rows: list[dict[str, Any]]) -> Profile:
    return profile.of_rows(recipes.get(recipe), rows)


@pytest.mark.parametrize(
    ("recipe", "labelled", "blank"),
    [
        ("multilabel", {"labels": ["a"]}, {"labels": []}),
        (
            "tagging",
            {"starts": [0], "ends": [1], "tags": ["a"]},
            {"starts": [], "ends": [], "tags": []},
        ),
    ],
)
def test_rows_without_a_label_are_a_share_like_others(
    recipe: str, labelled: dict[str, Any], blank: dict[str, Any]
) -> None:
    """Half of the known rows had none, and nearly all of the new ones: nothing was seen of it."""
    row = {"id": "1", "title": None, "text": "a b", "pair": None}
    known = of(recipe, [{**row, **labelled}] * 200 + [{**row, **blank}] * 200)
    new = of(recipe, [{**row, **labelled}] * 10 + [{**row, **blank}] * 190)
    p = shift.labels(known.labels, new.labels)
    assert p is not None and p < 0.001


def test_written_answers_are_no_labels() -> None:
    """Each text was kept as one, in memory and on disk, and other texts were a shift of labels."""
    row = {"id": "1", "title": None, "text": "ein Satz"}
    for recipe in ("translation", "summarization"):
        assert not of(recipe, [{**row, "references": ["a sentence"]}] * 9).labels
    assert not of("chat", toys.toy_talks(9, 1)).labels
