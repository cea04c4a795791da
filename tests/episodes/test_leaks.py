"""New rows that repeat, or nearly repeat, a row on the other side of any episode (D09)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from onward import files
from onward.episodes import rows as parquet
from onward.episodes import signatures
from onward.episodes import turn as turns
from onward.episodes.leakage import Guard
from onward.episodes.open import open_episode, withdraw
from onward.errors import DataError
from onward.project import Project
from tests.episodes import deliveries, texts
from tests.episodes.conftest import Opener
from tests.toys import toy_episode

RECIPES = ["extractive", "classification"]


def of(project: Project, recipe: str, leakage: str = "quarantine", near: float = 0.8) -> None:
    """The project's settings, before anything is opened."""
    params = deliveries.PARAMS.replace("recipe: extractive", f"recipe: {recipe}")
    more = f"  leakage: {leakage}\n  near_duplicate: {near}\n  max_quarantined_percent: 60\n"
    project.params.write_text(params + more)


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    return deliveries.jsonl(path, rows)


def repeated(
    recipe: str, there: list[dict[str, Any]], number: int, title: str, name: str = "again"
) -> dict[str, Any]:
    """A row under a new title that has one other word than a row that is there."""
    found = there[number]
    text = found["context" if recipe == "extractive" else "text"]
    return texts.row(recipe, name, title, texts.with_another_word(text))


def ids(project: Project, folder: str, side: str) -> set[str]:
    return {row["id"] for row in turns.rows(project, folder, side)}


@pytest.fixture
def delivered(tmp_path: Path, project: Project, opener: Opener, request: Any) -> Any:
    """An episode that is open: its rows; r8 to r11 are held out."""

    def opened(recipe: str, leakage: str = "quarantine") -> list[dict[str, Any]]:
        of(project, recipe, leakage)
        rows = texts.plain(recipe, 0)
        opener("old", write(tmp_path / "old.jsonl", rows))
        assert ids(project, "0001-old", "heldout") == {"r8", "r9", "r10", "r11"}
        return rows

    return opened


@pytest.mark.parametrize("recipe", RECIPES)
def test_d09_a_training_row_that_nearly_repeats_a_heldout_row_is_quarantined_and_both_are_named(
    project: Project, opener: Opener, delivered: Any, tmp_path: Path, recipe: str
) -> None:
    old = delivered(recipe)
    again = repeated(recipe, old, 9, texts.titled("train", 1, "New")[0])
    opened = opener("new", write(tmp_path / "new.jsonl", [*texts.plain(recipe, 100), again]))
    assert opened.reasons == {"near-duplicate": 1} and opened.leaked == 0
    (line,) = deliveries.quarantined(project, opened.folder)
    assert line["row"]["id"] == "again" and line["line"] == 13
    assert line["detail"] == "nearly repeats the held-out row 'r9' of 0001-old (0.90 alike)"
    assert "again" not in ids(project, opened.folder, "train")


@pytest.mark.parametrize("dry_run", [True, False])
def test_d09_refuse_takes_nothing_and_names_the_rows(
    project: Project, opener: Opener, delivered: Any, tmp_path: Path, dry_run: bool
) -> None:
    old = delivered("classification", "refuse")
    again = repeated("classification", old, 9, texts.titled("train", 1, "New")[0])
    before = deliveries.snapshot(project.root)
    path = write(tmp_path / "new.jsonl", [*texts.plain("classification", 100), again])
    with pytest.raises(DataError, match=r"1 rows nearly repeat .* episode\.leakage is refuse") as e:
        opener("new", path, dry_run=dry_run)
    assert e.value.details["leaks"] == 1
    assert e.value.details["samples"] == [
        "line 13 nearly repeats the held-out row 'r9' of 0001-old (0.90 alike)"
    ]
    assert deliveries.snapshot(project.root) == before


def test_d09_warn_keeps_the_rows_and_says_so(
    project: Project, opener: Opener, delivered: Any, tmp_path: Path
) -> None:
    old = delivered("classification", "warn")
    again = repeated("classification", old, 9, texts.titled("train", 1, "New")[0])
    path = write(tmp_path / "new.jsonl", [*texts.plain("classification", 100), again])
    opened = opener("new", path)
    assert opened.reasons == {} and opened.leaked == 1
    assert opened.leaks == ["line 13 nearly repeats the held-out row 'r9' of 0001-old (0.90 alike)"]
    assert "again" in ids(project, opened.folder, "train")
    manifest = files.read_json(project.episode(opened.folder) / "manifest.json")
    assert manifest["leaked"] == 1
    assert opener("new", path).leaked == 1


@pytest.mark.parametrize("change", [str, str.upper, lambda text: f" {text.replace(' ', ' - ')}!"])
def test_d09_a_heldout_text_that_comes_again_is_held_out_again(
    project: Project, opener: Opener, delivered: Any, tmp_path: Path, change: Any
) -> None:
    """Exactly, or after normalisation: it has one side for ever, whatever its title draws."""
    old = delivered("classification")
    again = {**old[9], "id": "again", "text": change(old[9]["text"]), "title": None}
    straddling = {**again, "id": "not", "pair": "other", "title": old[0]["title"]}
    path = write(tmp_path / "new.jsonl", [*texts.plain("classification", 100), again, straddling])
    opened = opener("new", path)
    assert opened.reasons == {"straddles": 1}
    assert "again" in ids(project, opened.folder, "heldout")


def test_d09_a_withdrawn_episode_counts(
    project: Project, opener: Opener, delivered: Any, tmp_path: Path
) -> None:
    old = delivered("classification")
    opener("mid", write(tmp_path / "mid.jsonl", texts.plain("classification", 200)))
    withdraw(project, "old", "wrong labels", by="ana", keep=deliveries.keep)
    again = repeated("classification", old, 9, texts.titled("train", 1, "New")[0])
    path = write(tmp_path / "new.jsonl", [*texts.plain("classification", 100), again])
    assert opener("new", path).reasons == {"near-duplicate": 1}


def test_d09_a_heldout_row_that_nearly_repeats_an_earlier_training_row_gives_way(
    project: Project, opener: Opener, delivered: Any, tmp_path: Path
) -> None:
    """A model may know it by heart."""
    old = delivered("classification")
    again = repeated("classification", old, 2, texts.titled("heldout", 1, "New")[0])
    opened = opener(
        "new", write(tmp_path / "new.jsonl", [*texts.plain("classification", 100), again])
    )
    (line,) = deliveries.quarantined(project, opened.folder)
    assert line["detail"] == "nearly repeats the training row 'r2' of 0001-old (0.90 alike)"
    assert "again" not in ids(project, opened.folder, "heldout")


def test_a_row_that_gave_way_accuses_no_other(
    project: Project, opener: Opener, delivered: Any, tmp_path: Path
) -> None:
    old = delivered("classification")
    held = repeated("classification", old, 2, texts.titled("heldout", 1, "New")[0], "held")
    text = texts.with_another_word(held["text"], at=40)
    learned = texts.row("classification", "learned", texts.titled("train", 1, "New")[0], text)
    path = write(tmp_path / "new.jsonl", [*texts.plain("classification", 100), held, learned])
    opened = opener("new", path)
    assert [line["row"]["id"] for line in deliveries.quarantined(project, opened.folder)] == [
        "held"
    ]
    assert "learned" in ids(project, opened.folder, "train")


def test_d09_within_a_delivery_the_training_row_gives_way(
    project: Project, opener: Opener, tmp_path: Path
) -> None:
    of(project, "classification")
    rows = texts.plain("classification", 100)
    again = repeated("classification", rows, 9, texts.titled("train", 1, "New")[0])
    opened = opener("new", write(tmp_path / "new.jsonl", [again, *rows]))
    (line,) = deliveries.quarantined(project, opened.folder)
    assert line["row"]["id"] == "again"
    assert "the held-out row 'r109' of this delivery" in line["detail"]


def test_the_same_side_may_nearly_repeat(
    project: Project, opener: Opener, delivered: Any, tmp_path: Path
) -> None:
    old = delivered("classification")
    train = repeated("classification", old, 2, texts.titled("train", 1, "New")[0], "a")
    held = repeated("classification", old, 9, texts.titled("heldout", 1, "New")[0], "b")
    rows = [*texts.plain("classification", 100), train, held]
    assert opener("new", write(tmp_path / "new.jsonl", rows)).reasons == {}


def test_all_rows_under_one_text_go_together(
    project: Project, opener: Opener, delivered: Any, tmp_path: Path
) -> None:
    old = delivered("extractive")
    again = repeated("extractive", old, 9, texts.titled("train", 1, "New")[0])
    twin = {**again, "id": "twin", "question": "What comes third?"}
    rows = [*texts.plain("extractive", 100), again, twin]
    opened = opener("new", write(tmp_path / "new.jsonl", rows))
    assert opened.reasons == {"near-duplicate": 2}


def test_the_threshold_is_a_setting(project: Project, opener: Opener, tmp_path: Path) -> None:
    of(project, "classification", near=0.95)
    old = texts.plain("classification", 0)
    opener("old", write(tmp_path / "old.jsonl", old))
    again = repeated("classification", old, 9, texts.titled("train", 1, "New")[0])
    rows = [*texts.plain("classification", 100), again]
    assert opener("new", write(tmp_path / "new.jsonl", rows)).reasons == {}


def test_the_order_of_rows_changes_no_leak(tmp_path: Path, project: Project) -> None:
    found = []
    rows = texts.plain("classification", 100)
    again = [
        repeated("classification", rows, at, title, f"again{at}")
        for at, title in zip((8, 9, 10), texts.titled("train", 3, "New"), strict=True)
    ]
    for name, listed in (("a", [*rows, *again]), ("b", [*again[::-1], *rows[::-1]])):
        there = deliveries.project(tmp_path / name)
        of(there, "classification")
        open_episode(there, "x", write(tmp_path / f"{name}.jsonl", listed), keep=deliveries.keep)
        found.append({line["row"]["id"] for line in deliveries.quarantined(there, "0001-x")})
    assert found == [{"again8", "again9", "again10"}] * 2


def test_a_later_opening_reads_no_row_of_an_earlier_episode(
    project: Project, opener: Opener, delivered: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    delivered("classification")
    opener("mid", write(tmp_path / "mid.jsonl", texts.plain("classification", 200)))
    opened, read = [], parquet.batches
    fetched, fetch = [], signatures.texts_at

    def batches(path: Path, columns: Any = None) -> Iterator[Any]:
        opened.append(f"{path.parent.name}/{path.name}")
        return read(path, columns)

    def texts_at(path: Path, numbers: Any) -> Any:
        fetched.append(path.name)
        return fetch(path, numbers)

    monkeypatch.setattr(parquet, "batches", batches)
    monkeypatch.setattr(signatures, "texts_at", texts_at)
    opener("new", write(tmp_path / "new.jsonl", texts.plain("classification", 100)))
    earlier = {name for name in opened if not name.startswith(".")}
    assert earlier == {
        f"{folder}/{name}.parquet"
        for folder in ("0001-old", "0002-mid")
        for name in ("sides", "signatures")
    }
    assert fetched == []


def test_an_episode_of_another_sketch_is_read_from_its_rows(
    project: Project, opener: Opener, delivered: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    old = delivered("classification")
    monkeypatch.setattr(signatures, "VERSION", "another")
    again = repeated("classification", old, 9, texts.titled("train", 1, "New")[0])
    path = write(tmp_path / "new.jsonl", [*texts.plain("classification", 100), again])
    assert opener("new", path).reasons == {"near-duplicate": 1}


@pytest.mark.parametrize("recipe", RECIPES)
def test_d09_the_guard_names_rows_that_a_memory_must_not_keep(
    project: Project, delivered: Any, recipe: str
) -> None:
    old = delivered(recipe)
    bound = "context" if recipe == "extractive" else "text"
    rows = [
        old[2],
        old[9],
        {**old[10], bound: old[10][bound].upper() + "!"},
        repeated(recipe, old, 11, "any"),
        texts.row(recipe, "other", "any", texts.passage(999)),
    ]
    assert Guard(project).leaks(rows) == {
        1: "repeats a held-out text of 0001-old",
        2: "repeats a held-out text of 0001-old",
        3: "nearly repeats the held-out row 'r11' of 0001-old (0.90 alike)",
    }


def test_d09_the_guard_reads_an_episode_without_signatures(project: Project) -> None:
    of(project, "classification")
    rows = texts.plain("classification", 0)
    toy_episode(project, 1, "old", rows, "classification")
    held = {line["id"] for line in parquet.read(project.episode("0001-old") / "heldout.parquet")}
    at = next(n for n, row in enumerate(rows) if row["id"] in held)
    assert list(Guard(project).leaks([repeated("classification", rows, at, "any")])) == [0]


def test_a_row_that_was_named_can_be_mended_and_sent_again(
    project: Project, opener: Opener, delivered: Any, tmp_path: Path
) -> None:
    old = delivered("classification")
    again = repeated("classification", old, 9, texts.titled("train", 1, "New")[0])
    opened = opener(
        "new", write(tmp_path / "new.jsonl", [*texts.plain("classification", 100), again])
    )
    lines = deliveries.quarantined(project, opened.folder)
    lines[0]["row"]["text"] = texts.passage(777)
    path = tmp_path / "mended.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    mended = [*texts.plain("classification", 300), lines[0]["row"]]
    assert "again" in ids(project, opener("mended", write(path, mended)).folder, "train")
