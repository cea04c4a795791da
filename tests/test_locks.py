"""The OS lock: one holder, a message that names it, gone with its process, open to its own."""

from __future__ import annotations

import contextvars
import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from onward import locks
from onward.errors import Busy

HOLDER = """
import sys
from pathlib import Path
from onward.locks import held
with held(Path(sys.argv[1]), "training"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "private" / "run.lock"


def other(path: Path) -> subprocess.Popen[str]:
    """Another process that holds the lock until its input is closed or it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_f10_a_second_process_is_told_who_holds_it(path: Path) -> None:
    process = other(path)
    try:
        assert locks.is_held(path)
        with pytest.raises(Busy) as caught, locks.held(path, "a rollback"):
            pass
        assert "`onward run --wait`" in caught.value.fix, "other commands have no such option"
        assert caught.value.details["pid"] == process.pid
        assert caught.value.details["purpose"] == "training"
        assert f"process {process.pid} since 20" in caught.value.what
    finally:
        process.communicate()
    assert not locks.is_held(path)


def test_f10_who_is_refused_is_told_within_two_seconds(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]

    def pass_by(seconds: float) -> None:
        now[0] += seconds

    process = other(path)
    try:
        monkeypatch.setattr("onward.locks.time.monotonic", lambda: now[0])
        monkeypatch.setattr("onward.locks.time.sleep", pass_by)
        for wait, most in ((0.0, 2.0), (30.0, 31.0)):
            now[0] = 0.0
            with pytest.raises(Busy), locks.held(path, "a rollback", wait=wait):
                pass
            assert wait <= now[0] <= most
    finally:
        monkeypatch.undo()
        process.communicate()


def test_f03_a_killed_holder_blocks_nobody(path: Path) -> None:
    process = other(path)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.communicate()
    with locks.held(path, "the next run"):
        assert locks.holder(path) == {
            "pid": os.getpid(),
            "purpose": "the next run",
            "since": json.loads(path.read_bytes())["since"],
        }


def test_waiting_ends_when_the_holder_lets_go(path: Path) -> None:
    process = other(path)
    took = threading.Event()

    def wait_for_it() -> None:
        with locks.held(path, "patient", wait=60):
            took.set()

    thread = threading.Thread(target=wait_for_it)
    thread.start()
    process.communicate()
    thread.join(60)
    assert took.is_set()


def test_who_only_asks_whether_it_is_held_refuses_nobody(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with locks.held(path, "an earlier run"):
        pass
    asking = os.open(path, os.O_RDWR)
    fcntl.flock(asking, fcntl.LOCK_SH)
    assert not locks.is_held(path), "two may ask at once"
    monkeypatch.setattr("onward.locks.time.sleep", lambda _seconds: os.close(asking))
    with locks.held(path, "a run"):
        pass


def test_the_holder_may_take_it_again(path: Path) -> None:
    with locks.held(path, "outer"):
        with locks.held(path, "inner"):
            assert locks.holder(path)["purpose"] == "outer"
        assert locks.is_held(path)
    assert not locks.is_held(path)


def test_also_by_another_path_and_beside_another_lock(path: Path) -> None:
    other_way = path.parent / ".." / path.parent.name / path.name
    with locks.held(path, "outer"), locks.held(path.with_name("train.lock"), "beside"):
        for way in (other_way, path):
            with locks.held(way, "inner"):
                assert locks.holder(path)["purpose"] == "outer"


def test_a_short_note_leaves_nothing_of_a_long_one(path: Path) -> None:
    for purpose in ("a purpose of many words " * 9, "a run"):
        with locks.held(path, purpose):
            assert locks.holder(path)["purpose"] == purpose


def test_f10_another_thread_may_not(path: Path) -> None:
    refused: list[Busy] = []

    def take() -> None:
        try:
            with locks.held(path, "another thread"):
                pass
        except Busy as error:
            refused.append(error)

    with locks.held(path, "outer"):
        thread = threading.Thread(target=take)
        thread.start()
        thread.join()
    assert len(refused) == 1


def test_a_thread_that_copies_the_context_may(path: Path) -> None:
    def take() -> None:
        with locks.held(path, "a task of the run"):
            done.append(True)

    done: list[bool] = []
    with locks.held(path, "run"):
        thread = threading.Thread(target=contextvars.copy_context().run, args=(take,))
        thread.start()
        thread.join()
    assert done == [True]


def test_an_error_inside_lets_go(path: Path) -> None:
    with pytest.raises(ValueError), locks.held(path, "failing"):
        raise ValueError
    assert not locks.is_held(path)
    with locks.held(path, "next"):
        assert locks.is_held(path)


def test_no_file_is_not_held(path: Path) -> None:
    assert not locks.is_held(path)
    assert locks.holder(path) == {"pid": "?", "purpose": "another run", "since": "?"}


def test_an_unreadable_note_still_refuses(path: Path) -> None:
    process = other(path)
    try:
        path.write_bytes(b"\xff not json")
        with pytest.raises(Busy, match="another run is going on, process \\?"):
            with locks.held(path, "x"):
                pass
    finally:
        process.communicate()


def test_a_lock_of_a_read_only_project_can_be_looked_at(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with locks.held(path, "a test"):
        pass
    opened = os.open

    def read_only(name: Path, flags: int, *mode: int) -> int:
        if flags & os.O_RDWR:
            raise OSError(errno.EROFS, "Read-only file system", str(name))
        return opened(name, flags, *mode)

    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(os, "open", read_only)
    assert not locks.is_held(path)
