"""Questions with options: each expectation has an input that reaches it and fails it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onward.config import Validate
from onward.validation.expectations import History
from onward.validation.measures import MEASURES
from onward.validation.run import expectations
from tests.toys import toy_choices
from tests.validation.test_texts import examined

Episode = dict[str, list[dict[str, Any]]]
Change = Callable[[Episode], None]


def sides(seed: int) -> Episode:
    """The two sides of an episode that passes."""
    return {"train": toy_choices(40, seed), "heldout": toy_choices(30, seed + 1000)}


def row(**changes: Any) -> Change:
    return lambda episode: episode["train"][3].update(changes)


def each(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Change:
    def changed(episode: Episode) -> None:
        for one in (one for rows in episode.values() for one in rows):
            one.update(change(one))

    return changed


def _first(one: dict[str, Any]) -> dict[str, Any]:
    right = one["options"][one["answer"]]
    return {"options": [right, *(o for o in one["options"] if o != right)], "answer": 0}


def _held_out(episode: Episode) -> None:
    """The question alone has one side where there is no context, whatever its options."""
    held = next(one for one in episode["heldout"] if one["context"] is None)
    episode["train"][3].update(context=None, question=held["question"].upper())


ROW, EPISODE = "0002-new/train/choice-7-3", "0002-new"
CASES: dict[str, tuple[str, Change, str]] = {
    "no null in a row": ("D05", row(options=["a", None]), ROW),
    "no training row is held out": ("D09", _held_out, ROW),
    "questions say something": ("D06", row(question="\u200b ?"), ROW),
    "questions are short enough": ("D10", row(question="what " * 500), ROW),
    "contexts are short enough": ("D10", row(context="what " * 50_000), ROW),
    "there are two options or more": ("D14", row(options=["a"], answer=0), ROW),
    "options say something": ("D06", row(options=["a", " "], answer=0), ROW),
    "options differ": ("D08", row(options=["a", "a "], answer=0), ROW),
    "answers are among the options": ("D07", row(answer=7), ROW),
    "right options stand at different places": ("D14", each(_first), EPISODE),
    "right options stand where they do in known episodes": (
        "D15",
        each(lambda one: {"options": [*"abcdefgh", "fox"], "answer": 8}),
        EPISODE,
    ),
    "question chars on average as in known episodes": (
        "D15",
        each(lambda one: {"question": one["question"] * 6}),
        EPISODE,
    ),
    "context chars on average as in known episodes": (
        "D15",
        each(lambda one: {"context": one["context"] and one["context"] * 6}),
        EPISODE,
    ),
    "option chars on average as in known episodes": (
        "D15",
        each(lambda one: {"options": [option * 6 for option in one["options"]]}),
        EPISODE,
    ),
}


def test_every_expectation_of_the_recipe_has_a_failing_case() -> None:
    history = History(1, dict.fromkeys(MEASURES["choice"].lengths, 1.0))
    listed = {e.name for e in expectations("choice", Validate(), history)}
    of_any_recipe = {e.name for e in expectations("regression", Validate(), history)}
    assert set(CASES) <= listed
    assert listed - set(CASES) <= of_any_recipe


@pytest.mark.parametrize("name", CASES)
def test_fails(name: str, tmp_path: Path) -> None:
    _, change, sample = CASES[name]
    new = sides(7)
    change(new)
    found = examined(tmp_path, "choice", sides(5), new)
    line = found[name]
    assert not line["passed"] and sample in line["sample_ids"]
    assert line["severity"] == "warning" or not found["passed"]


def test_contexts_may_come_where_no_known_row_had_one(tmp_path: Path) -> None:
    """Four times nothing is nothing, and no setting could let them pass."""
    known = sides(5)
    each(lambda one: {"context": None})(known)
    found = examined(tmp_path, "choice", known, sides(7))
    assert found.pop("passed")
    assert "context chars on average as in known episodes" not in found


def test_a_good_turn_passes_without_a_warning(tmp_path: Path) -> None:
    found = examined(tmp_path, "choice", sides(5), sides(7))
    assert found.pop("passed")
    assert [name for name, line in found.items() if not line["passed"]] == []
