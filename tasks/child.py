"""Run one DVC stage as a child in a session of its own, stream its lines, end it with its group.

`dvc repro` alone would leave the trainer running when it is killed; here whatever ends this call
(an error of the listener, Ctrl-C, SIGTERM) ends the whole group. Only SIGKILL of this process
cannot be answered: then the trainer lives on and its own lock refuses a second one.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from onward.errors import Busy, DiskFull, InternalError, MissingFiles, OnwardError
from onward.project import Project
from onward.stages.entry import RUN, failed

QUIET = {"DVC_NO_ANALYTICS": "1", "DO_NOT_TRACK": "1"}
GRACE = 10.0
"""Seconds between SIGTERM and SIGKILL to the child's group."""
KEPT = 30
"""Lines of the log kept for an error without a type."""


def reproduce(
    project: Project,
    stage: str,
    *,
    on_line: Callable[[str], None],
    run_id: str,
    env: Mapping[str, str] | None = None,
) -> None:
    """`dvc repro --single-item STAGE`.

    Args:
        project: whose stage.
        stage: as dvc.yaml names it.
        on_line: hears each line of the child's output and errors while it runs.
        run_id: goes to the stage, so that its typed error can be told from an older run's.
        env: more environment variables for the child.

    Raises:
        OnwardError: the stage's own typed error.
        Busy: another process works on the same files.
        MissingFiles: what the stage reads is not here.
        DiskFull: DVC or the stage could not write.
        InternalError: it ended otherwise; `details["log"]` holds its last lines.
    """
    command = [sys.executable, "-m", "dvc", "repro", "--single-item", stage]
    last: deque[str] = deque(maxlen=KEPT)
    code = run_group(command, project, on_line, last, {**(env or {}), RUN: run_id})
    if code != 0:
        raise failed(project, stage, run_id) or _untyped(project, stage, code, list(last))


def run_group(
    command: list[str],
    project: Project,
    on_line: Callable[[str], None],
    last: deque[str],
    env: Mapping[str, str],
) -> int:
    """Run a command in its own session, feed its lines to `on_line`; returns its exit status.

    Whatever ends this early ends the whole group first.
    """
    with (
        _terminable(),
        subprocess.Popen(
            command,
            cwd=project.root,
            env=_environment(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        ) as process,
    ):
        try:
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            for line in process.stdout:
                last.append(line.rstrip())
                on_line(line.rstrip())
            return process.wait()
        except BaseException:
            end_group(process)
            raise


def end_group(process: subprocess.Popen[Any]) -> None:
    """SIGTERM to the whole group, and SIGKILL to what is left of it."""
    _signal(process.pid, signal.SIGTERM)
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        pass  # the next line ends it
    _signal(process.pid, signal.SIGKILL)
    process.wait()


def _signal(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return


@contextmanager
def _terminable() -> Iterator[None]:
    """While the child runs, SIGTERM raises here, where it would end this process at once."""
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def leave(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    """`python` in a stage's command means this one, and its lines come as they are printed."""
    here = str(Path(sys.executable).parent)
    path = os.pathsep.join([here, os.environ.get("PATH", "")])
    return {**os.environ, **QUIET, "PATH": path, "PYTHONUNBUFFERED": "1", **more}


def _untyped(project: Project, stage: str, code: int, log: list[str]) -> OnwardError:
    text = "\n".join(log)
    details = {"log": log, "code": code}
    where = f"dvc repro --single-item {stage}"
    if re.search(r"Unable to acquire lock|it is being blocked by", text):
        return Busy(
            f"Busy: another process works on what {stage} reads or writes",
            where=where,
            fix="wait for it to end; nothing was changed",
            details=details,
        )
    if re.search(r"missing data 'source'|missing cache|No such file or directory", text):
        return MissingFiles(
            f"What the stage {stage} reads is not here: {_said(log)}",
            where=where,
            fix="`dvc pull` fetches what Git names; stages before this one make the rest",
            details=details,
        )
    if "No space left on device" in text:
        return DiskFull(
            f"The disk is full: the stage {stage} could not write",
            where=where,
            fix="free some space (`dvc gc --workspace` drops unused objects), then run again",
            details=details,
        )
    killed = " (killed; was the memory full?)" if "exited with -9" in text else ""
    return InternalError(
        f"The stage {stage} ended without saying why{killed}: {_said(log)}",
        where=where,
        fix=f"run `{where}` in {project.root} to see its whole log",
        details=details,
    )


def _said(log: list[str]) -> str:
    errors = [line for line in log if line.startswith("ERROR")]
    return (errors or log or ["no output"])[-1][:300]
