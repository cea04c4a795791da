"""F10: two processes want the registry at once. One wins; the other is told who holds it."""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from onward.errors import Busy, Conflict
from onward.project import Project
from onward.registry import journal, versions
from onward.registry.verify import verify_all
from tests.faults import commands
from tests.registry import turns


def slow_promotion(root: str, ours: Connection) -> None:
    """A promotion that waits at the probe, holding the lock, until it is told to go on."""

    def wait(package: Path) -> None:
        ours.send("probing")
        ours.recv()

    turns.promoted_as_made(Project(Path(root)), probe=wait)
    ours.send("promoted")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return commands.setup(tmp_path / "project", "promotion")


@pytest.fixture
def other(project: Project) -> Any:
    """Another process in the middle of promoting v2; `go()` lets it end."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["tests.faults.commands", "pyarrow.parquet", "psutil"])
    theirs, ours = server.Pipe()
    process = server.Process(target=slow_promotion, args=(str(project.root), ours))
    process.start()
    assert theirs.recv() == "probing"

    def go() -> None:
        if process.is_alive():
            theirs.send("go")
            assert theirs.recv() == "promoted"
            process.join()

    go.pid = process.pid  # type: ignore[attr-defined]
    yield go
    go()


def test_f10_a_promotion_and_a_promotion(project: Project, other: Any) -> None:
    with pytest.raises(Busy) as caught:
        turns.promoted_as_made(project)
    assert caught.value.details["pid"] == other.pid
    assert caught.value.details["purpose"] == "promotion 2"
    other()
    assert turns.promoted_as_made(project).version == "v2"  # the same candidate: it serves now
    assert [line["version"] for line in journal.lines(project)] == ["v1", "v2"]


def test_f10_a_promotion_and_a_rollback(project: Project, other: Any) -> None:
    with pytest.raises(Busy, match="promotion 2 is going on"):
        commands.roll_back(project)
    assert versions.champion(project).version == "v1"  # type: ignore[union-attr]
    other()
    commands.roll_back(project)
    assert [line["what"] for line in journal.lines(project)] == ["promoted", "promoted", "rollback"]
    assert verify_all(project) == []


def test_f10_readers_are_never_kept_waiting(project: Project, other: Any) -> None:
    champion = versions.champion(project)
    assert champion is not None and champion.version == "v1"
    assert len(journal.lines(project)) == 1
    other()
    champion = versions.champion(project)
    assert champion is not None and champion.version == "v2"


def test_f10_a_verdict_reached_while_another_promoted_is_a_conflict(
    project: Project, other: Any
) -> None:
    """Judged against v1 before the lock was free; v2 serves when its turn comes."""
    from onward import files
    from onward.registry.promote import promote

    judged = turns.verdict(project, "promoted", "v1")
    other()
    turns.candidate(project, "judged before")
    late = files.sha256(project.made("finetune") / files.MANIFEST)
    judged = type(judged).from_json({**judged.to_json(), "candidate": late})
    turns.keep_verdict(project, 3, judged)
    with pytest.raises(Conflict, match="judged against v1; now v2 serves"):
        promote(project, judged, 3, keep=turns.kept, probe=turns.answers)
    assert verify_all(project) == []
