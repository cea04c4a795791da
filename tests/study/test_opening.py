"""A sequence listed in a file, and the plan that the command line makes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from onward import files
from onward.errors import SettingsError, UsageError
from onward.project import Project
from onward.study.opening import of_file
from onward.study.planning import planned

WORDS = "amber birch cedar delta ember frost grove heron islet junco karst lemur maple".split()
SETTINGS: dict[str, Any] = {"project": {"name": "toy", "recipe": "classification"}}
LISTING = """
episodes:
  - {name: cards, file: cards.csv, test: cards-test.csv}
  - {name: loans, file: loans.csv}
columns: {text: utterance, label: intent}
"""


@pytest.fixture
def listing(tmp_path: Path) -> Path:
    for number, (name, rows) in enumerate((("cards", 8), ("cards-test", 4), ("loans", 20))):
        lines = [
            f"{number} {word} {WORDS[(at * 5) % 13]} {at},{'yes' if at % 2 else 'no'}"
            for at, word in enumerate((WORDS * 2)[:rows])
        ]
        files.write_text(tmp_path / f"{name}.csv", "\n".join(["utterance,intent", *lines, ""]))
    files.write_text(tmp_path / "sequence.yaml", LISTING)
    return tmp_path / "sequence.yaml"


def test_a_test_file_stays_whole_and_the_others_are_split(listing: Path, tmp_path: Path) -> None:
    cards, loans = of_file(listing, tmp_path / "s", SETTINGS)
    assert (cards.name, loans.name) == ("cards", "loans")
    assert {row["text"].split()[0] for row in cards.train} == {"0"} and len(cards.train) == 8
    assert {row["text"].split()[0] for row in cards.heldout} == {"1"} and len(cards.heldout) == 4
    assert len(loans.train) + len(loans.heldout) == 20 and loans.train and loans.heldout
    assert {row["label"] for row in loans.train} == {"yes", "no"}


def test_files_with_a_test_file_are_taken_whole_whatever_their_titles(tmp_path: Path) -> None:
    """They were split first: one title was refused, and a text of two titles was set aside."""

    def written(name: str, titles: tuple[str, ...]) -> None:
        lines = [
            f"{name} {word} {WORDS[at - 5]} number {at},{title},{title},{'ab'[at % 2]}"
            for at, word in enumerate(WORDS)
            for title in (titles or (f"first {at}", f"second {at}"))
        ]
        files.write_text(tmp_path / f"{name}.csv", "\n".join(["text,pair,title,label", *lines, ""]))

    written("train", ("one title",))
    written("test", ("another",))
    written("twice", ())
    pairs = ", ".join(
        f"{{name: {one}, file: {one}.csv, test: test.csv}}" for one in ("train", "twice")
    )
    files.write_text(tmp_path / "s.yaml", f"episodes: [{pairs}]")
    one_title, two_titles = of_file(tmp_path / "s.yaml", tmp_path / "s", SETTINGS)
    assert len(one_title.train) == len(one_title.heldout) == len(WORDS)
    assert len(two_titles.train) == 2 * len(WORDS)
    assert {row["title"] for row in two_titles.train} >= {"first 0", "second 0"}


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("episodes: [{name: a, file: cards.csv}]", UsageError, "two episodes or more"),
        ("episodes: [{name: a, file: cards.csv}, {name: a, file: loans.csv}]", UsageError, "own"),
        (
            "episodes: [{name: a, file: cards.csv}, {name: b, file: away.csv}]",
            UsageError,
            "no such",
        ),
        (
            "episodes: [{nam: a, file: cards.csv}]",
            SettingsError,
            r"episodes.0.name: Field required$",
        ),
        ("episodes: [a]", SettingsError, r"sequence: episodes.0: is no mapping$"),
        ("text,label", SettingsError, r"sequence: the whole: is no mapping$"),
        ("episodes: [", SettingsError, "while parsing"),
    ],
)
def test_what_lists_no_sequence_is_refused(
    listing: Path, tmp_path: Path, text: str, error: type[Exception], said: str
) -> None:
    files.write_text(listing, text)
    with pytest.raises(error, match=said):
        of_file(listing, tmp_path / "s", SETTINGS)


def test_the_command_line_makes_a_plan_of_it(listing: Path, tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    files.write_json(project.params, SETTINGS)
    folder = project.study("toy")
    plan = planned(project, folder, listing, "naive, replay+der", "0,2", 1, 1)
    assert [one.name for one in plan.combinations] == ["naive", "replay-reservoir+der"]
    assert plan.seeds == [0, 2] and plan.recipe == "classification" and plan.threads == 1
    assert [one.episode for one in plan.sequences[2].named] == ["0001-cards", "0002-loans"]
    again = planned(project, folder, listing, "all", "0", 2, None)
    assert again.sequences[0] == plan.sequences[0], "opened once"
    assert again.threads == 1 and "analytic" in {one.name for one in again.combinations}
    with pytest.raises(UsageError, match="seeds"):
        planned(project, folder, listing, "naive", "one", 1, 1)
    assert plan.steps == "naive"
    held = planned(project, folder, listing, "naive,joint", "0", 1, 1, "joint")
    assert {name: one.steps for (name, _), one in held.trials().items()} == {
        "naive": "joint",
        "joint": "own",
    }
    with pytest.raises(UsageError, match="'most' has no steps"):
        planned(project, folder, listing, "naive", "0", 1, 1, "most")
