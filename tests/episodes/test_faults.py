"""Faults at every durable operation of opening and withdrawing: I3 to I5, F01, F04."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from onward import files
from onward.episodes import turn as turns
from onward.episodes.open import episodes, open_episode, withdraw
from onward.errors import DiskFull, Withdrawn
from onward.project import Project
from onward.registry import journal
from onward.registry.finish import finish
from tests.episodes import deliveries

Act = Callable[[Project], object]


@pytest.fixture
def started(project: Project, tmp_path: Path) -> Callable[[str], Project]:
    """A project with one open episode, as often as needed."""
    first = deliveries.jsonl(tmp_path / "first.jsonl", deliveries.goods(80))
    template = deliveries.project(tmp_path / "template")
    open_episode(template, "first", first, keep=deliveries.keep)
    deliveries.jsonl(tmp_path / "second.jsonl", deliveries.goods(80, 500))

    def start(name: str) -> Project:
        return Project(shutil.copytree(template.root, tmp_path / name))

    return start


def opening(project: Project) -> object:
    source = project.root.parent / "second.jsonl"
    return open_episode(project, "second", source, keep=deliveries.keep)


def withdrawing(project: Project) -> object:
    return withdraw(project, "first", "wrong labels", "ana", deliveries.keep)


def both(project: Project) -> object:
    opening(project)
    return withdrawing(project)


def durable(project: Project) -> dict[str, str]:
    """The state that counts; a journal line holds the time."""
    found = deliveries.snapshot(project.root)
    found.pop("models/journal.jsonl", None)
    lines = [{k: v for k, v in line.items() if k != "at"} for line in journal.lines(project)]
    return {**found, "journal": files.digest(lines)}


def sound(project: Project) -> None:
    """What a start finds at any moment: a turn whose episodes are all there, whole and wanted."""
    turn = turns.Turn.read(project)
    if {*turns.withdrawn(project)} & {*turn.known_episodes, *turn.learning_episodes}:
        with pytest.raises(Withdrawn):
            turns.require_wanted(project, turn)
        # On a copy: the same command again must mend it by itself, too.
        beside = project.root.with_name(f"{project.root.name}-started")
        project = Project(shutil.copytree(project.root, beside))
        finish(project)
        turn = turns.Turn.read(project)
    turns.check(project, turn)
    assert len({e.name for e in episodes(project)}) == len(episodes(project))


class Fault:
    """Stands for files.operation: acts at its Nth call."""

    def __init__(self, at: int, act: Callable[[], None]) -> None:
        self.at, self.act, self.calls = at, act, 0
        self.path = ""

    def __call__(self, kind: str, path: Path) -> None:
        self.calls += 1
        if self.calls == self.at:
            self.path = path.name
            self.act()


def full() -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def broken() -> None:
    raise OSError(errno.EIO, "Input/output error")


@pytest.mark.parametrize(
    ("act", "fault"),
    [
        pytest.param(both, full, id="open and withdraw, disk full"),
        pytest.param(both, broken, id="open and withdraw, I/O error", marks=pytest.mark.slow),
    ],
)
def test_f04_each_failed_operation_leaves_a_state_from_which_the_same_command_ends_well(
    started: Callable[[str], Project],
    monkeypatch: pytest.MonkeyPatch,
    act: Act,
    fault: Callable[[], None],
) -> None:
    undisturbed = started("undisturbed")
    act(undisturbed)
    goal = durable(undisturbed)
    for number in range(1, 200):
        there = started(f"at-{number}")
        hook = Fault(number, fault)
        with monkeypatch.context() as patched:
            patched.setattr(files, "operation", hook)
            try:
                act(there)
            except DiskFull as error:
                assert error.where and error.details["free"] > 0
            except OSError as error:
                assert (fault, error.errno) == (broken, errno.EIO) or hook.path == "data.dvc"
        sound(there)
        if hook.calls < number:
            break
        act(there)
        assert durable(there) == goal, f"after a fault at operation {number}"
    assert number > 20, "the sweep reached the end"
    assert durable(there) == goal


@pytest.mark.parametrize(
    "act",
    [
        pytest.param(opening, id="open"),
        pytest.param(both, id="open and withdraw", marks=pytest.mark.slow),
    ],
)
def test_f01_a_death_at_each_operation_is_finished_by_the_same_command(
    started: Callable[[str], Project], act: Act
) -> None:
    undisturbed = started("undisturbed")
    act(undisturbed)
    goal = durable(undisturbed)
    for number in range(1, 200):
        there = started(f"at-{number}")
        survived = _dies_at(number, there, act)
        sound(there)
        act(there)
        assert durable(there) == goal, f"after a death at operation {number}"
        assert not [*there.root.rglob(".*.tmp"), *there.root.rglob(".*.old")]
        if survived:
            break
    assert number > 20, "the sweep reached the end"


def _dies_at(number: int, project: Project, act: Act) -> bool:
    """Run in a child that kills itself at its Nth operation; whether it lived to the end."""
    child = os.fork()
    if child == 0:
        files.operation = Fault(number, lambda: os.kill(os.getpid(), signal.SIGKILL))
        try:
            act(project)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFEXITED(status) or os.WTERMSIG(status) == signal.SIGKILL
    return os.WIFEXITED(status)


def test_i3_a_withdrawal_that_died_before_the_turn_is_heeded_by_the_next_start(
    started: Callable[[str], Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rows were trained on and promoted, and judged by nobody."""
    there = started("there")
    opening(there)
    write = turns.Turn.write

    def dying(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(turns.Turn, "write", dying)
    with pytest.raises(KeyboardInterrupt):
        withdrawing(there)
    monkeypatch.setattr(turns.Turn, "write", write)
    assert turns.Turn.read(there).learning_episodes == ["0001-first", "0002-second"]
    with pytest.raises(Withdrawn, match="0001-first, which was withdrawn: wrong labels"):
        turns.require_wanted(there, turns.Turn.read(there))
    assert "0001-first was withdrawn" in finish(there)[0]
    assert turns.Turn.read(there).learning_episodes == ["0002-second"]
    assert finish(there) == []


def test_f04_a_disk_that_is_full_while_rows_are_compared(
    started: Callable[[str], Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    from onward.episodes import split

    def full_database(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    there = started("there")
    before = durable(there)
    monkeypatch.setattr(split, "assign", full_database)
    with pytest.raises(DiskFull) as caught:
        opening(there)
    assert caught.value.where.endswith("tmp") and durable(there) == before


def test_an_unfinished_opening_is_listed_and_finished_by_the_next_one_too(
    started: Callable[[str], Project], tmp_path: Path
) -> None:
    there = started("there")

    def dying(project: Project) -> dict[str, int]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_episode(there, "second", tmp_path / "second.jsonl", keep=dying)
    assert [e.state for e in episodes(there)] == ["learning", "unfinished"]
    third = deliveries.jsonl(tmp_path / "third.jsonl", deliveries.goods(80, 900))
    open_episode(there, "third", third, keep=deliveries.keep)
    assert [e.state for e in episodes(there)] == ["learning"] * 3
