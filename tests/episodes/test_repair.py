"""What is wrong with data/ is named, and repaired from what the turn remembers."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from onward.episodes import turn as turns
from onward.episodes.repair import data_pointer, problems, repair
from onward.errors import IntegrityError, MissingFiles, UsageError
from onward.project import Project
from tests.episodes import deliveries
from tests.episodes.conftest import Opener


@pytest.fixture
def opened(project: Project, opener: Opener, tmp_path: Path) -> Project:
    """A project with one episode, and a copy of its data/ that stands for DVC's cache."""
    opener("faq", deliveries.jsonl(tmp_path / "a.jsonl", deliveries.goods(80)))
    shutil.copytree(project.data, tmp_path / "cache")
    return project


def fetch(project: Project) -> None:
    shutil.rmtree(project.data, ignore_errors=True)
    shutil.copytree(project.root.parent / "cache", project.data)


def no_fetch(project: Project) -> None:
    raise AssertionError("nothing is to be fetched")


def test_nothing_is_wrong_with_what_was_just_opened(opened: Project) -> None:
    assert problems(opened) == [] and repair(opened, no_fetch) == []


def test_the_pointer_is_written_as_dvc_writes_it(opened: Project) -> None:
    turn = turns.Turn.read(opened)
    assert data_pointer(turn) == opened.data_pointer.read_text()
    assert data_pointer(turn).startswith("outs:\n- md5: ") and data_pointer(turn).endswith(
        "\n  hash: md5\n  path: data\n"
    )


def test_a_hand_edited_episode_and_a_rewritten_pointer_are_put_back(opened: Project) -> None:
    before = deliveries.snapshot(opened.root)
    (opened.data / "0001-faq" / "train.parquet").write_bytes(b"edited")
    deliveries.keep(opened)  # what a plain repro does: the change becomes a new version
    assert deliveries.snapshot(opened.root) != before
    found = repair(opened, fetch)
    assert [type(problem) for problem in found] == [IntegrityError, IntegrityError]
    assert deliveries.snapshot(opened.root) == before


def test_missing_data_is_fetched(opened: Project) -> None:
    before = deliveries.snapshot(opened.root)
    shutil.rmtree(opened.data)
    assert [type(problem) for problem in problems(opened)] == [MissingFiles]
    repair(opened, fetch)
    assert deliveries.snapshot(opened.root) == before


def test_what_is_still_wrong_after_the_fetch_is_an_error(opened: Project) -> None:
    (opened.data / "0001-faq" / "train.parquet").write_bytes(b"edited")
    with pytest.raises(IntegrityError, match=r"train\.parquet"):
        repair(opened, lambda project: None)


def test_a_stranger_in_data_is_named(opened: Project) -> None:
    (opened.data / "notes.txt").write_text("x")
    assert ["notes.txt" in problem.what for problem in problems(opened)] == [True]


def test_an_unfinished_opening_is_not_fetched_over(
    opened: Project, opener: Opener, tmp_path: Path
) -> None:
    def dying(project: Project) -> dict[str, int]:
        raise KeyboardInterrupt

    more = deliveries.jsonl(tmp_path / "b.jsonl", deliveries.goods(80, 500))
    with pytest.raises(KeyboardInterrupt):
        opener("more", more, keep=dying)
    with pytest.raises(UsageError, match="opening of episode more was not finished"):
        repair(opened, no_fetch)
    opener("more", more)
    assert problems(opened) == []


def test_a_withdrawn_episode_must_be_whole_too(
    opened: Project, opener: Opener, tmp_path: Path
) -> None:
    from onward.episodes.open import withdraw

    opener("more", deliveries.jsonl(tmp_path / "b.jsonl", deliveries.goods(80, 500)))
    withdraw(opened, "faq", "wrong", "ana", deliveries.keep)
    assert problems(opened) == []
    (opened.data / "0001-faq" / "sides.parquet").write_bytes(b"edited")
    assert ["sides.parquet" in problem.what for problem in problems(opened)] == [True]
    (opened.data / "0001-faq" / "manifest.json").unlink()
    assert [type(problem) for problem in problems(opened)] == [MissingFiles]
