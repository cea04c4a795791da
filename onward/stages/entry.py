"""How a stage starts and how its errors cross the process border.

A stage's module calls `start("name", run)` under `__main__`. An error is printed as three lines,
kept with the run's id in .onward/errors/NAME.json for whoever started the stage, and becomes the
exit code. What a stage cost is kept in .onward/costs.jsonl. Whoever reads the output may die; the
stage does not die of that, and ends by its own rules.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from onward import allocation, costs, files, locks
from onward.errors import InternalError, OnwardError
from onward.project import Project

RUN = "ONWARD_RUN"
"""The environment variable that holds the id of the run a stage belongs to."""

SPINS = "1000"
"""Turns of the loop in which a thread waits before it sleeps: some microseconds."""


class _Unbroken:
    """A stream whose reader may go: what is written from then on is lost, and nothing else is.

    Without it the next line of progress would end a training before its checkpoint is written.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write; returns the characters taken."""
        try:
            self._stream.write(text)
        except BrokenPipeError:
            self._let_go()
        return len(text)

    def flush(self) -> None:
        """Send on what was written."""
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._let_go()

    def _let_go(self) -> None:
        """Nobody reads: the interpreter's own flush at its end must not fail either."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _share_the_cores() -> None:
    """Let torch's threads (GNU OpenMP) sleep soon where they wait for each other.

    By default they spin for milliseconds. On a machine that does other work, too, the one that is
    waited for often has no core meanwhile, and a training takes several times as long. OpenMP reads
    this as torch is loaded. Whoever has set it, or OMP_WAIT_POLICY, is left alone.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)


def start(name: str, run: Callable[[Project], None]) -> None:
    """Run a stage in the project of the current folder and exit with its code."""
    sys.stdout, sys.stderr = _Unbroken(sys.stdout), _Unbroken(sys.stderr)
    project = Project(Path.cwd())
    project.error(name).unlink(missing_ok=True)
    if name != "benchmark":  # which times torch as it comes, and counts its memory
        _share_the_cores()
        allocation.keep()
    try:
        with _at_work(project, name), files.disk_errors(project.root, 0):
            with costs.measured(project, name):
                run(project)
    except OnwardError as error:
        sys.exit(_report(project, name, error))
    except Exception as error:  # noqa: BLE001 - the border: every defect gets a type here
        trace = project.error(name).with_suffix(".traceback.txt")
        files.write_text(trace, traceback.format_exc())
        wrapped = InternalError(
            f"The stage {name} failed in a way it should not: {type(error).__name__}: {error}",
            where=str(trace),
            fix="run it again; if it stays, report it with the traceback file",
        )
        sys.exit(_report(project, name, wrapped))


@contextmanager
def _at_work(project: Project, name: str) -> Iterator[None]:
    """Show that a stage writes in turn/, also one whose run was killed: nobody sweeps there then.

    Each process has a lock of its own, so none waits for another.
    """
    path = project.stages_at_work / f"{name}-{os.getpid()}.lock"
    with locks.held(path, f"the stage {name}"):
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _report(project: Project, name: str, error: OnwardError) -> int:
    record = {"stage": name, "run": os.environ.get(RUN, ""), **error.to_json()}
    files.write_json(project.error(name), record)
    for line in error.lines():
        print(line, file=sys.stderr, flush=True)
    return error.exit_code


def failed(project: Project, name: str, run: str) -> OnwardError | None:
    """The typed error that the stage left in this run, if it left one."""
    path = project.error(name)
    if not path.exists():
        return None
    record = files.read_json(path)
    return OnwardError.from_json(record) if record.get("run") == run else None
