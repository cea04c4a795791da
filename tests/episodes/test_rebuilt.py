"""A fresh clone names episodes that no remote holds: their sources make them again, in order."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from onward.errors import IntegrityError, MissingFiles
from onward.project import Project
from tests.episodes import deliveries
from tests.episodes.conftest import Opener


@pytest.fixture
def sources(tmp_path: Path, project: Project, opener: Opener) -> dict[str, Path]:
    """Two episodes on record, and data/ lost."""
    made = {
        "first": deliveries.jsonl(tmp_path / "first.jsonl", deliveries.goods(120)),
        "second": deliveries.jsonl(tmp_path / "second.jsonl", deliveries.goods(120, 500)),
    }
    for name, path in made.items():
        opener(name, path)
    shutil.rmtree(project.data)
    return made


def test_the_same_sources_end_in_what_is_on_record(
    project: Project, opener: Opener, sources: dict[str, Path]
) -> None:
    turn, pointer = project.turn.read_bytes(), project.data_pointer.read_bytes()
    assert [opener(name, path).rebuilt for name, path in sources.items()] == [True, True]
    assert (project.turn.read_bytes(), project.data_pointer.read_bytes()) == (turn, pointer)
    assert opener("first", sources["first"]).already_open


def test_another_source_is_refused_and_leaves_nothing(
    tmp_path: Path, project: Project, opener: Opener, sources: dict[str, Path]
) -> None:
    other = deliveries.jsonl(tmp_path / "first.jsonl", deliveries.goods(119))
    with pytest.raises(IntegrityError, match="0001-first"):
        opener("first", other)
    assert list(project.data.iterdir()) == []


def test_out_of_order_or_new_episodes_wait_for_what_is_missing(
    project: Project, opener: Opener, sources: dict[str, Path]
) -> None:
    for name in ("second", "third"):
        with pytest.raises(MissingFiles, match="0001-first"):
            opener(name, sources["second"])
