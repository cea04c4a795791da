"""Rows of labels and numbers: each expectation has an input that reaches it and fails it."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from onward import files
from onward.config import Validate
from onward.errors import ValidationFailed
from onward.validation import arrays
from onward.validation.expectations import History
from onward.validation.measures import MEASURES
from onward.validation.run import expectations, kept_report, run
from tests.toys import KINDS, toy_texts
from tests.validation.episodes import Rows, deliver, project

Episode = dict[str, Rows]
Change = Callable[[Episode], None]
ALL = ("classification", "multilabel", "regression")
LABELS = ("classification", "multilabel")


def sides(seed: int, recipe: str, kinds: tuple[str, ...] = tuple(KINDS)) -> Episode:
    """The two sides of an episode that passes."""
    return {
        "train": toy_texts(40, seed, recipe, kinds=kinds),
        "heldout": toy_texts(30, seed + 1000, recipe, kinds=kinds),
    }


def examined(root: Path, recipe: str, known: Episode | None, new: Episode) -> dict[str, Any]:
    """The report over a known and a new episode: name -> line, and whether all passed."""
    at = project(root)
    episodes = {"known": {"old": known}} if known else {}
    deliver(at, learning={"new": new}, recipe=recipe, **episodes)
    try:
        run(at)
    except ValidationFailed as error:
        assert error.details["expectations"]
    report = files.read_json(kept_report(at))
    return {"passed": report["passed"]} | {line["name"]: line for line in report["expectations"]}


def _row(**changes: Any) -> Change:
    return lambda episode: episode["train"][3].update(changes)


def _each(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Change:
    def changed(episode: Episode) -> None:
        for row in (row for rows in episode.values() for row in rows):
            row.update(change(row))

    return changed


def _held_out_text_in_other_case(episode: Episode) -> None:
    """With another pair: the text alone has one side."""
    episode["train"][3].update(text=f" {episode['heldout'][5]['text'].upper()}!", pair="other")


def _label(name: str) -> dict[str, Any]:
    return {"label": name, "labels": [name]}


def _held_out_label(name: str) -> Change:
    return lambda episode: episode["heldout"][5].update(_label(name))


def _mostly_one(row: dict[str, Any]) -> dict[str, Any]:
    return _label("city" if hash_of(row) else "animal")


def hash_of(row: dict[str, Any]) -> int:
    """0 for one row in ten."""
    return int(row["id"].rpartition("-")[2]) % 10


def _two_labels(episode: Episode) -> None:
    """No city any more."""
    _each(lambda row: _label("animal" if hash_of(row) % 2 else "colour"))(episode)


def _one_as_a_table_has_it(episode: Episode) -> None:
    """All cities are 7, and one row's is 7.0."""
    _each(lambda row: _label("7") if "city" in _of(row) else {})(episode)
    episode["train"][3].update(_label("7.0"))


def _of(row: dict[str, Any]) -> list[str]:
    return row.get("labels") or [row.get("label", "")]


ROW, EPISODE = "0002-new/train/text-7-3", "0002-new"

CASES: dict[str, list[tuple[str, tuple[str, ...], Change, str]]] = {
    "no null in a row": [
        ("D05 text", ALL, _row(text=None), ROW),
        ("D05 label", ("classification",), _row(label=None), ROW),
        ("D05 inside a list", ("multilabel",), _row(labels=[None]), ROW),
        ("D05 value", ("regression",), _row(value=None), ROW),
    ],
    "no training row is held out": [("D09", ALL, _held_out_text_in_other_case, ROW)],
    "texts say something": [("D06", ALL, _row(text="\u200b ."), ROW)],
    "texts are short enough": [("D10", ALL, _row(text="what " * 50_000), ROW)],
    "share of texts longer than the model's window": [
        ("D10", ALL, _each(lambda row: {"text": row["text"] + " then" * 600}), EPISODE)
    ],
    "labels say something": [("D06", LABELS, _row(**_label(" ?")), ROW)],
    "enough labels to tell apart": [
        ("D14 single", LABELS, _each(lambda _: _label("animal")), EPISODE)
    ],
    "held-out labels are in training rows": [
        ("D14 unknown", LABELS, _held_out_label("rumour"), "0002-new/heldout/text-1007-5")
    ],
    "labels differ in more than case, spacing or .0": [
        ("D14 unknown spelling", LABELS, _row(**_label("Animal")), ROW),
        ("D14 a table's number", LABELS, _one_as_a_table_has_it, ROW),
    ],
    "labels of known episodes come again": [
        ("D14 vanished", ("classification",), _two_labels, "0001-old/train/text-5-0"),
        ("D14 vanished", ("multilabel",), _two_labels, "0001-old/train/text-5-1"),
    ],
    "shares of known labels as in known episodes": [("D15", LABELS, _each(_mostly_one), EPISODE)],
    "each label stands once in a row": [
        ("D08", ("multilabel",), _row(labels=["city", "city"]), ROW)
    ],
    "values are finite": [
        ("D13 NaN", ("regression",), _row(value=float("nan")), ROW),
        ("D13 infinity", ("regression",), _row(value=float("-inf")), ROW),
    ],
    "enough values to tell apart": [
        ("D14 single", ("regression",), _each(lambda _: {"value": 1.0}), EPISODE)
    ],
    "values on average as in known episodes": [
        ("D15", ("regression",), _each(lambda row: {"value": row["value"] + 5.0}), EPISODE)
    ],
    "text chars on average as in known episodes": [
        ("D15 length", ALL, _each(lambda row: {"text": row["text"] * 6}), EPISODE)
    ],
    "words as in known episodes": [
        (
            "D15 language",
            ALL,
            _each(lambda row: {"text": " ".join(f"{w}ž" for w in row["text"].split())}),
            EPISODE,
        )
    ],
}


@pytest.mark.parametrize("recipe", ALL)
def test_every_expectation_of_the_recipe_has_a_failing_case(recipe: str) -> None:
    history = History(1, dict.fromkeys(MEASURES[recipe].lengths, 1.0))
    listed = {e.name for e in expectations(recipe, Validate(), history)}
    reached = {n for n, cases in CASES.items() for _, where, _, _ in cases if recipe in where}
    of_any_recipe = {e.name for e in expectations("extractive", Validate(), history)}
    assert reached <= listed
    assert listed - reached <= of_any_recipe


@pytest.mark.parametrize(
    ("name", "recipe", "change", "sample"),
    [
        pytest.param(name, recipe, change, sample, id=f"{name}: {label}, {recipe}")
        for name, cases in CASES.items()
        for label, where, change, sample in cases
        for recipe in where
    ],
)
def test_fails(name: str, recipe: str, change: Change, sample: str, tmp_path: Path) -> None:
    new = sides(7, recipe)
    change(new)
    found = examined(tmp_path, recipe, sides(5, recipe), new)
    line = found[name]
    assert not line["passed"] and line["failed"] >= 1
    assert sample in line["sample_ids"]
    assert line["severity"] == "warning" or not found["passed"]


@pytest.mark.parametrize("recipe", ALL)
def test_a_good_turn_passes_without_a_warning(recipe: str, tmp_path: Path) -> None:
    found = examined(tmp_path, recipe, sides(5, recipe), sides(7, recipe))
    assert found.pop("passed")
    assert [name for name, line in found.items() if not line["passed"]] == []


def test_d14_labels_that_grow_pass_with_a_warning_of_those_that_stay_away(tmp_path: Path) -> None:
    """Other labels in each episode, as classes come in: nothing is stopped, no share shifts."""
    old = sides(5, "classification", ("colour", "animal"))
    new = sides(7, "classification", ("city",))
    new["train"][0]["label"] = "river"
    found = examined(tmp_path, "classification", old, new)
    assert found.pop("passed")
    warned = {name: line["failed"] for name, line in found.items() if not line["passed"]}
    assert warned == {"labels of known episodes come again": 2}
    assert found["shares of known labels as in known episodes"]["observed"]["max"] == 0.0


def test_d14_a_rare_label_that_chance_keeps_away_is_no_warning(tmp_path: Path) -> None:
    old = sides(5, "classification")
    old["train"][0]["label"] = "rare"
    found = examined(tmp_path, "classification", old, sides(7, "classification"))
    assert found["labels of known episodes come again"]["passed"]


def test_d14_a_single_label_is_taken_where_the_settings_say_so(tmp_path: Path) -> None:
    at = project(tmp_path, validate="{min_labels: 1}")
    new = sides(7, "classification", ("city",))
    old = sides(5, "classification")
    deliver(at, known={"old": old}, learning={"new": new}, recipe="classification")
    run(at)


def test_d14_a_correction_has_the_labels_of_what_it_corrects(tmp_path: Path) -> None:
    at = project(tmp_path)
    wrong, right = sides(7, "classification"), sides(8, "classification", ("city",))
    for before, after in zip(wrong["train"][:30], right["train"], strict=False):
        after["id"] = before["id"]
    deliver(
        at,
        known={"wrong": wrong},
        learning={"right": right},
        replaces={"right": ["0001-wrong"]},
        recipe="classification",
    )
    run(at)


def test_d15_shares_that_chance_explains_are_no_shift(tmp_path: Path) -> None:
    """Of 7 labels 70 rows have no exact shares."""
    at = project(tmp_path, validate="{max_label_shift: 0.05}")
    old, new = sides(5, "classification"), sides(7, "classification")
    for episode in (old, new):
        _each(lambda row: {"label": f"label {zlib.crc32(row['id'].encode()) % 7}"})(episode)
    deliver(at, known={"old": old}, learning={"new": new}, recipe="classification")
    run(at)
    lines = {line["name"]: line for line in files.read_json(kept_report(at))["expectations"]}
    assert lines["shares of known labels as in known episodes"]["passed"]


def test_s07_no_label_in_the_report(tmp_path: Path) -> None:
    new = sides(7, "classification")
    new["train"][3]["label"] = "<b>SECRET</b>"
    examined(tmp_path, "classification", sides(5, "classification"), new)
    assert "SECRET" not in kept_report(project(tmp_path)).read_text()


def test_words_of_a_text_without_spaces_are_its_characters() -> None:
    texts = pa.array(["\u5b78\u8853\u7814\u7a76", "two words", " \u5b78 in 1851 ", "", "x"])
    assert arrays.counts(texts).tolist() == [4, 2, 3, 1, 1]
