"""F02 and F04: the registry's commands stopped at each durable operation they do, then repeated."""

from __future__ import annotations

import errno
import multiprocessing
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onward.errors import DiskFull
from onward.project import Project
from onward.registry.verify import verify_all
from tests.faults import commands
from tests.faults.conftest import Strike

MANY = 400
COMMANDS = [
    pytest.param(name, marks=pytest.mark.slow) if name == "first promotion" else name
    for name in commands.COMMANDS
]


class Sweep:
    """One command, the project before it, and the state that an undisturbed run leaves."""

    def __init__(self, root: Path, command: str) -> None:
        self.root, self.command = root, command
        self.origin = commands.setup(root / "origin", command)
        self.before = commands.state(self.origin)
        undisturbed = self.fresh("undisturbed")
        self.run(undisturbed)
        self.after = commands.state(undisturbed)
        assert self.after != self.before

    def fresh(self, name: str = "tried") -> Project:
        shutil.rmtree(self.root / name, ignore_errors=True)
        shutil.copytree(self.origin.root, self.root / name)
        return Project(self.root / name)

    def run(self, project: Project) -> None:
        commands.COMMANDS[self.command](project)

    def check_repeated(self, project: Project) -> None:
        """I5: the same command again ends where an undisturbed run would have."""
        commands.check_stopped(project, self.before, self.after)
        self.run(project)
        assert commands.state(project) == self.after
        assert verify_all(project) == []


@pytest.mark.parametrize("command", COMMANDS)
def test_f02_an_error_at_each_durable_operation(
    tmp_path: Path, command: str, strike: Callable[[int, BaseException], Strike]
) -> None:
    sweep = Sweep(tmp_path, command)
    for nth in range(1, MANY):
        project = sweep.fresh()
        struck = strike(nth, OSError(errno.EIO, "injected"))
        try:
            sweep.run(project)
        except OSError as error:
            assert error.errno == errno.EIO and struck.reached
        else:
            assert not struck.reached, "I4: an error was swallowed"
            break
        strike(0, OSError())
        sweep.check_repeated(project)
    assert nth > 4


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_f04_a_full_disk_at_each_durable_operation(
    tmp_path: Path, command: str, strike: Callable[[int, BaseException], Strike]
) -> None:
    sweep = Sweep(tmp_path, command)
    typed = 0
    for nth in range(1, MANY):
        project = sweep.fresh()
        struck = strike(nth, OSError(errno.ENOSPC, "No space left on device"))
        try:
            sweep.run(project)
        except DiskFull as error:
            assert error.where and {"needed", "free"} <= set(error.details)
            typed += 1
        except OSError as error:
            # Removing and sweeping need no space: a full disk cannot fail them.
            assert error.errno == errno.ENOSPC
        else:
            assert not struck.reached
            break
        strike(0, OSError())
        sweep.check_repeated(project)
    assert typed >= 3


@pytest.mark.parametrize("command", COMMANDS)
def test_f01_f02_sigkill_at_each_durable_operation(tmp_path: Path, command: str) -> None:
    sweep = Sweep(tmp_path, command)
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["tests.faults.commands", "pyarrow.parquet", "psutil"])
    for nth in range(1, MANY):
        project = sweep.fresh()
        arguments = (str(project.root), command, nth)
        child = server.Process(target=commands.run_and_die, args=arguments)
        child.start()
        child.join()
        if child.exitcode == 0:
            break
        assert child.exitcode == -signal.SIGKILL
        sweep.check_repeated(project)
    assert commands.state(project) == sweep.after
    assert nth > 4


def test_f02_struck_twice_in_a_row(
    tmp_path: Path, strike: Callable[[int, BaseException], Strike]
) -> None:
    """The start that finishes what was begun may die as well."""
    sweep = Sweep(tmp_path, "promotion")
    for first in range(1, MANY, 7):
        project = sweep.fresh()
        if _stopped(sweep, project, strike, first):
            break
        for second in range(1, 12):
            if _stopped(sweep, project, strike, second):
                break
        strike(0, OSError())
        sweep.check_repeated(project)


def _stopped(sweep: Sweep, project: Project, strike: Any, nth: int) -> bool:
    strike(nth, OSError(errno.EIO, "injected"))
    try:
        sweep.run(project)
    except OSError:
        return False
    return True


def test_f09_the_clock_changes_nothing_but_the_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datetime as clock

    from onward.registry import journal

    sweep = Sweep(tmp_path, "promotion")

    class Jumping(clock.datetime):
        days = 0

        @classmethod
        def now(cls, zone: clock.tzinfo | None = None) -> clock.datetime:  # type: ignore[override]
            cls.days = -cls.days - 3650
            return clock.datetime(2026, 11, 22, tzinfo=zone) + clock.timedelta(cls.days)

    monkeypatch.setattr(journal, "datetime", Jumping)
    project = sweep.fresh()
    sweep.run(project)
    assert commands.state(project) == sweep.after
    commands.roll_back(project)
    assert [line["seq"] for line in journal.lines(project)] == [1, 2, 3]
    assert verify_all(project) == []
