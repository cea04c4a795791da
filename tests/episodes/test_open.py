"""Opening an episode: what it leaves, again, dry, corrected, and refused."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from onward import files, locks
from onward.episodes import formats, naming
from onward.episodes import turn as turns
from onward.episodes.columns import resolve
from onward.episodes.open import episodes, open_episode, withdraw
from onward.errors import (
    Busy,
    DataError,
    DiskFull,
    FormatError,
    IntegrityError,
    MissingFiles,
    UsageError,
    Withdrawn,
)
from onward.project import Project
from onward.registry import journal
from tests.episodes import deliveries
from tests.episodes.conftest import Opener

GOOD = deliveries.goods(120)


@pytest.fixture
def delivery(tmp_path: Path) -> Path:
    return deliveries.jsonl(tmp_path / "faq.jsonl", GOOD)


def test_opening_leaves_exactly_these_files(
    project: Project, opener: Opener, delivery: Path
) -> None:
    opened = opener("faq", delivery)
    assert opened.folder == "0001-faq" and opened.guessed and not opened.already_open
    assert set(deliveries.snapshot(project.root)) == {
        "params.yaml",
        "dvc.yaml",
        "data.dvc",
        "models/turn.json",
        *(
            f"data/0001-faq/{name}"
            for name in (
                "train.parquet",
                "heldout.parquet",
                "sides.parquet",
                "signatures.parquet",
                "quarantined.jsonl",
                "manifest.json",
            )
        ),
    }
    assert list((project.private / "tmp").iterdir()) == []
    manifest = files.read_json(project.data / "0001-faq" / "manifest.json")
    assert set(manifest) == {
        "schema",
        "number",
        "name",
        "recipe",
        "source",
        "settings",
        "counts",
        "reasons",
        "repairs",
        "corrects",
        "replaces",
        "emptied",
        "group",
        "labels",
        "leaked",
        "files",
    }
    assert manifest["counts"] == opened.counts
    assert manifest["source"]["sha256"] == files.sha256(delivery)


def test_the_turn_names_what_was_opened(
    project: Project, opener: Opener, delivery: Path, tmp_path: Path
) -> None:
    opener("faq", delivery)
    first = turns.Turn.read(project)
    opener("more", deliveries.jsonl(tmp_path / "more.jsonl", deliveries.goods(90, 500)))
    second = turns.Turn.read(project)
    assert first.learning_episodes == ["0001-faq"]
    assert second.learning_episodes == ["0001-faq", "0002-more"] and second.known == ()
    assert first.id != second.id
    turns.check(project, second)


def test_the_same_delivery_makes_the_same_bytes(tmp_path: Path, project: Project) -> None:
    kept = []
    for name in ("one", "other"):
        there = deliveries.project(tmp_path / name)
        path = deliveries.jsonl(tmp_path / "faq.jsonl", GOOD)
        open_episode(there, "faq", path, keep=deliveries.keep)
        kept.append(deliveries.snapshot(there.root))
    assert kept[0] == kept[1]


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet", "squad"])
def test_every_format_holds_the_same_rows(
    tmp_path: Path, project: Project, opener: Opener, delivery: Path, kind: str
) -> None:
    opener("faq", delivery)
    there = deliveries.project(tmp_path / "there")
    path = tmp_path / ("a.json" if kind == "squad" else f"a.{kind}")
    if kind == "squad":
        path.write_text(json.dumps(deliveries.squad(GOOD)))
    elif kind == "parquet":
        deliveries.parquet(path, GOOD)
    else:
        deliveries.delimited(path, GOOD, "\t" if kind == "tsv" else ",")
    open_episode(there, "faq", path, keep=deliveries.keep)
    for side in ("train", "heldout"):
        found = sorted(turns.rows(there, "0001-faq", side), key=lambda row: row["id"])
        assert found == sorted(turns.rows(project, "0001-faq", side), key=lambda row: row["id"])


def test_the_same_again_is_already_open_and_changes_nothing(
    project: Project, opener: Opener, delivery: Path
) -> None:
    first = opener("faq", delivery)
    before = deliveries.snapshot(project.root)
    again = opener("faq", delivery)
    assert again.already_open and again.counts == first.counts and again.folder == first.folder
    assert deliveries.snapshot(project.root) == before


def test_the_name_with_another_source_columns_or_settings_is_refused(
    project: Project, opener: Opener, delivery: Path, tmp_path: Path
) -> None:
    opener("faq", delivery)
    before = deliveries.snapshot(project.root)
    other = deliveries.jsonl(tmp_path / "other.jsonl", GOOD[1:])
    with pytest.raises(UsageError, match="with other source"):
        opener("faq", other)
    with pytest.raises(UsageError, match="with other columns"):
        opener("faq", delivery, mapping={"title": "id"})
    assert deliveries.snapshot(project.root) == before
    project.params.write_text(deliveries.PARAMS.replace("35", "36"))
    with pytest.raises(UsageError, match="with other settings"):
        opener("faq", delivery)


def test_a_dry_run_that_refuses_names_a_row_and_what_is_wrong_with_it(
    project: Project, opener: Opener, tmp_path: Path
) -> None:
    """It said how many rows cannot be taken, and nothing led to one of them."""
    rows = [{**row, "answers": "Nobody"} for row in deliveries.goods(20)]
    path = deliveries.jsonl(tmp_path / "faq.jsonl", rows)
    with pytest.raises(DataError) as caught:
        opener("faq", path, dry_run=True)
    told = "line 1, answer-not-in-context: 'Nobody' does not stand there"
    assert caught.value.where == f"{path}, for example {told}"
    with pytest.raises(DataError) as caught:
        opener("faq", path)
    assert "the quarantined rows" in str(caught.value.where)


def test_rows_that_nobody_can_read_are_data_for_no_other_recipe(
    opener: Opener, tmp_path: Path
) -> None:
    """Lines of two columns under a header of three were said to be data for chat."""
    path = tmp_path / "faq.csv"
    path.write_text("question,context,answer\n" + "Who?,Ana\n" * 60)
    with pytest.raises(DataError, match="60 malformed") as caught:
        opener("faq", path)
    assert "chat" not in str(caught.value.fix)


def test_a_dry_run_tells_the_same_and_changes_nothing(
    project: Project, opener: Opener, delivery: Path
) -> None:
    before = deliveries.snapshot(project.root)
    told = opener("faq", delivery, dry_run=True)
    assert deliveries.snapshot(project.root) == before and told.dry_run
    done = opener("faq", delivery)
    assert (told.counts, told.reasons, told.folder, told.source) == (
        done.counts,
        done.reasons,
        done.folder,
        done.source,
    )
    assert opener("faq", delivery, dry_run=True).already_open


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".", "A", "a b", "-a", "a\n", "x" * 65])
def test_s04_a_name_that_is_no_name_is_refused(
    project: Project, opener: Opener, delivery: Path, name: str
) -> None:
    with pytest.raises(UsageError):
        opener(name, delivery)
    assert not project.data.exists()


@pytest.mark.parametrize("text", ["question,context,answer\n", "question\tcontext\tanswer\n"])
def test_d01_a_header_without_rows_is_refused(opener: Opener, tmp_path: Path, text: str) -> None:
    path = tmp_path / ("a.csv" if "," in text else "a.tsv")
    path.write_text(text)
    with pytest.raises(DataError, match="holds no rows"):
        opener("faq", path)


@pytest.mark.parametrize(
    ("given", "lacking"), [(None, ["question", "answers"]), ({"question": "q"}, ["answers"])]
)
def test_columns_that_do_not_tell_name_only_what_is_lacking(
    given: dict[str, str] | None, lacking: list[str]
) -> None:
    """`passage` is guessed, and what a person named is not asked for again."""
    with pytest.raises(DataError, match=f"do not tell {', '.join(lacking)}:") as caught:
        resolve(["passage", "q", "a"], given, "extractive")
    assert re.findall(r"--map (\w+)=COLUMN", caught.value.fix) == lacking


@pytest.mark.parametrize(
    ("columns", "recipes"),
    [
        (["instruction", "input", "output"], ["chat"]),
        (["input", "output"], ["translation", "chat"]),
        (["question", "options", "answer"], ["choice"]),
        (["context", "question", "answers", "correct_answer_id"], []),
    ],
)
def test_a_file_names_the_recipes_that_it_is_for(
    tmp_path: Path, columns: list[str], recipes: list[str]
) -> None:
    """Alpaca was called translation, and questions with options chat."""
    there = {"options": ["a fox", "a dog"], "answers": ["a fox", "a dog"], "answer": "a fox"}
    rows = [{name: there.get(name, f"{name} {n}") for name in columns} for n in range(9)]
    source = formats.sniff(deliveries.jsonl(tmp_path / "a.jsonl", rows), 1_000)
    assert [one.recipe for one in naming.readings(source, 1_000)] == recipes


def test_another_command_at_work_is_named(project: Project, opener: Opener, delivery: Path) -> None:
    import multiprocessing

    context = multiprocessing.get_context("fork")
    ready, done = context.Event(), context.Event()

    def hold() -> None:
        with locks.held(project.run_lock, "a long run"):
            ready.set()
            done.wait(30)

    other = context.Process(target=hold)
    other.start()
    try:
        assert ready.wait(30)
        with pytest.raises(Busy, match="a long run"):
            opener("faq", delivery)
        assert opener("faq", delivery, dry_run=True).counts["seen"] == 120
    finally:
        done.set()
        other.join()


def test_f04_what_cannot_fit_is_refused_before_it_starts(
    project: Project, opener: Opener, delivery: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(folder: Path, needed: int) -> None:
        raise DiskFull("Not enough disk space", where=str(folder), details={"needed": needed})

    monkeypatch.setattr(files, "ensure_space", full)
    with pytest.raises(DiskFull) as caught:
        opener("faq", delivery)
    assert caught.value.details["needed"] >= delivery.stat().st_size


def test_a_source_that_changes_meanwhile_is_refused(
    project: Project, opener: Opener, delivery: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from onward.episodes import sift

    genuine = sift.check

    def checking(fields: Any, most: int, kind: Any) -> Any:
        if fields["id"] == "q50":
            with delivery.open("ab") as out:
                out.write(b"\n")
        return genuine(fields, most, kind)

    monkeypatch.setattr(sift, "check", checking)
    with pytest.raises(DataError, match="changed while it was read"):
        opener("faq", delivery)
    assert not project.turn.exists()


def test_episodes_of_another_recipe_name_onward_new(
    project: Project, opener: Opener, delivery: Path, tmp_path: Path
) -> None:
    opener("faq", delivery)
    folder = project.data / "0001-faq"
    manifest = files.read_json(folder / files.MANIFEST)
    extra = {k: v for k, v in manifest.items() if k not in ("files", "schema")}
    files.seal(folder, **{**extra, "recipe": "tagging"})
    project.turn.unlink()
    with pytest.raises(UsageError, match="tagging") as caught:
        opener("more", deliveries.jsonl(tmp_path / "b.jsonl", deliveries.goods(90, 500)))
    assert "onward new" in caught.value.fix


# What is already here is checked before it is versioned again


def test_f05_a_changed_episode_stops_an_opening(
    project: Project, opener: Opener, delivery: Path, tmp_path: Path
) -> None:
    opener("faq", delivery)
    path = project.data / "0001-faq" / "train.parquet"
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    more = deliveries.jsonl(tmp_path / "b.jsonl", deliveries.goods(90, 500))
    with pytest.raises(IntegrityError, match=r"train\.parquet in 0001-faq is changed") as caught:
        opener("more", more)
    assert "onward repair" in caught.value.fix


def test_an_episode_that_is_not_on_this_machine_stops_an_opening(
    project: Project, opener: Opener, delivery: Path, tmp_path: Path
) -> None:
    import shutil

    opener("faq", delivery)
    shutil.rmtree(project.data)
    more = deliveries.jsonl(tmp_path / "b.jsonl", deliveries.goods(90, 500))
    before = deliveries.snapshot(project.root)
    for call in (lambda: opener("more", more), lambda: episodes(project)):
        with pytest.raises(MissingFiles) as caught:
            call()
        assert "dvc pull" in caught.value.fix
    assert deliveries.snapshot(project.root) == before


def test_something_strange_in_data_stops_an_opening(
    project: Project, opener: Opener, delivery: Path
) -> None:
    project.data.mkdir()
    for name in ("notes.txt", ".faq.old"):
        (project.data / name).write_text("x")
        with pytest.raises(IntegrityError, match=rf"data/ holds {re.escape(name)}"):
            opener("faq", delivery)
        (project.data / name).unlink()
    (project.data / ".0001-faq.abcd_123.tmp").mkdir()
    assert opener("faq", delivery).folder == "0001-faq"


# Corrections


def corrected(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "question": row["question"].replace("Which", "What")}


def test_a_correction_replaces_rows_of_the_same_id_and_keeps_their_side(
    project: Project, opener: Opener, delivery: Path, tmp_path: Path
) -> None:
    opener("faq", delivery)
    both = {s: turns.rows(project, "0001-faq", s) for s in ("train", "heldout")}
    wrong = [*both["train"][:10], *both["heldout"][:5]]
    # Without title and with another context, only the id tells which row is meant.
    mended = [{**corrected(r), "title": None, "context": r["context"] + " Yes."} for r in wrong]
    path = deliveries.jsonl(tmp_path / "mended.jsonl", mended)
    opened = opener("mended", path, corrects="faq")
    assert opened.corrects == "0001-faq" and opened.counts["quarantined"] == 0
    learning = turns.Turn.read(project).learning_episodes
    assert learning == ["0001-faq", "0002-mended"], "what was not mended is still learned"
    for side, count in (("train", 10), ("heldout", 5)):
        old, new = turns.rows(project, "0001-faq", side), turns.rows(project, "0002-mended", side)
        assert {r["id"] for r in new} == {r["id"] for r in both[side][:count]}
        assert [r["id"] for r in old] == [r["id"] for r in both[side][count:]]
    assert opener("mended", path, corrects="0001-faq").already_open
    with pytest.raises(UsageError, match="episode to correct"):
        opener("mended", path)


def test_a_withdrawn_correction_gives_the_rows_back(
    project: Project, opener: Opener, delivery: Path, tmp_path: Path
) -> None:
    opener("faq", delivery)
    before = turns.rows(project, "0001-faq", "train")
    mended = deliveries.jsonl(tmp_path / "m.jsonl", [corrected(r) for r in GOOD[:80]])
    opener("mended", mended, corrects="faq")
    assert turns.rows(project, "0001-faq", "train") != before
    withdraw(project, "mended", "wrong again", "ana", deliveries.keep)
    assert turns.rows(project, "0001-faq", "train") == before


def test_an_episode_without_a_row_left_leaves_the_turn(
    project: Project, opener: Opener, delivery: Path, tmp_path: Path
) -> None:
    opener("faq", delivery)
    opener("all", deliveries.jsonl(tmp_path / "m.jsonl", map(corrected, GOOD)), corrects="faq")
    assert turns.Turn.read(project).learning_episodes == ["0002-all"]
    assert [e.state for e in episodes(project)] == ["replaced", "learning"]
    third = deliveries.jsonl(tmp_path / "t.jsonl", map(corrected, map(corrected, GOOD)))
    opener("third", third, corrects="all")
    assert turns.Turn.read(project).learning_episodes == ["0003-third"]
    # What corrects a correction also replaces what that one corrected.
    assert turns.rows(project, "0001-faq", "train") == []


def test_of_two_corrections_of_an_episode_the_later_one_is_right(
    project: Project, opener: Opener, delivery: Path, tmp_path: Path
) -> None:
    opener("faq", delivery)
    first = deliveries.jsonl(tmp_path / "b.jsonl", [corrected(row) for row in GOOD[:80]])
    again = [{**row, "question": f"{row['question']} Say."} for row in GOOD[:60]]
    second = deliveries.jsonl(tmp_path / "c.jsonl", again)
    opener("b", first, corrects="faq")
    opener("c", second, corrects="faq")
    held = [
        row["id"]
        for folder in turns.Turn.read(project).learning_episodes
        for side in ("train", "heldout")
        for row in turns.rows(project, folder, side)  # type: ignore[arg-type]
    ]
    assert len(held) == len(set(held)) == len(GOOD)
    assert opener("b", first, corrects="faq").already_open


@pytest.mark.parametrize("named", ["none", "mended", "7"])
def test_a_correction_of_nothing_is_refused(opener: Opener, delivery: Path, named: str) -> None:
    with pytest.raises(UsageError, match="no other episode"):
        opener("mended", delivery, corrects=named)


# Withdrawals


def test_a_withdrawn_episode_leaves_the_turn_and_keeps_its_sides(
    project: Project, opener: Opener, delivery: Path, tmp_path: Path
) -> None:
    opener("faq", delivery)
    opener("more", deliveries.jsonl(tmp_path / "b.jsonl", deliveries.goods(90, 500)))
    info = withdraw(project, "1", "wrong labels", "ana", deliveries.keep)
    assert (info.state, info.withdrawn) == ("withdrawn", "wrong labels")
    assert turns.Turn.read(project).learning_episodes == ["0002-more"]
    line = journal.lines(project)[-1]
    assert (line["what"], line["by"], line["episode"]) == ("withdrawn", "ana", "0001-faq")
    again = withdraw(project, "faq", "wrong labels", "ana", deliveries.keep)
    assert again == info and len(journal.lines(project)) == 1
    with pytest.raises(Withdrawn, match="wrong labels"):
        opener("faq", delivery)


def test_the_last_episode_cannot_be_withdrawn(
    project: Project, opener: Opener, delivery: Path
) -> None:
    opener("faq", delivery)
    before = deliveries.snapshot(project.root)
    with pytest.raises(UsageError, match="No episode would be left"):
        withdraw(project, "faq", "wrong", "ana", deliveries.keep)
    for episode, reason in (("none", "wrong"), ("faq", " ")):
        with pytest.raises(UsageError):
            withdraw(project, episode, reason, "ana", deliveries.keep)
    assert deliveries.snapshot(project.root) == before


def test_formats_that_lie_open_nothing(project: Project, opener: Opener, tmp_path: Path) -> None:
    path = deliveries.delimited(tmp_path / "rows.parquet", GOOD)
    with pytest.raises(FormatError, match="should be Parquet, but its content is CSV"):
        opener("faq", path)
    assert opener("faq", path, file_format="csv").counts["accepted"] == 120


def test_the_working_folder_does_not_matter(
    project: Project, opener: Opener, delivery: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(delivery.parent)
    opener("faq", Path(delivery.name))
    assert os.listdir(project.data) == ["0001-faq"]  # noqa: PTH208


def test_rows_that_an_earlier_episode_has_already_are_counted(
    project: Project, opener: Opener, delivery: Path, tmp_path: Path
) -> None:
    opener("faq", delivery)
    again = opener("again", delivery, dry_run=True)
    kept = again.counts["train"] + again.counts["heldout"]
    assert again.repeated == {"0001-faq": kept} and kept == len(GOOD)
    renamed = [{**row, "id": f"other-{row['id']}"} for row in GOOD[:7]]
    other = {**GOOD[8], "id": "other", "question": "Which town is near it?", "answers": ["Oslo"]}
    other["starts"] = [other["context"].index("Oslo")]
    more = deliveries.jsonl(tmp_path / "more.jsonl", [*renamed, other, *deliveries.goods(90, 500)])
    assert opener("more", more).repeated == {"0001-faq": 7}
    new = deliveries.jsonl(tmp_path / "new.jsonl", deliveries.goods(90, 900))
    assert opener("new", new).repeated == {}
    withdraw(project, "0001-faq", "wrong", "ana", deliveries.keep)
    assert opener("again", delivery, dry_run=True).repeated == {"0002-more": 7}


def test_rows_that_come_again_as_corrections_are_not_repeated(
    opener: Opener, delivery: Path, tmp_path: Path
) -> None:
    opener("faq", delivery)
    mended = [{**GOOD[0], "question": "Which fox was it?"}, *GOOD[1:]]
    path = deliveries.jsonl(tmp_path / "mended.jsonl", mended)
    assert opener("mended", path, corrects="faq").repeated == {}
