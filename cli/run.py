"""`onward run`: one turn of the loop, as a Prefect flow."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console

from cli.output import Ended, Json, answer, console, here, note
from onward import config, locks
from onward.errors import Cancelled, OnwardError, ServerError
from onward.project import Project

A_DAY = 24 * 3600.0
CODES = {"Promoted": 0, "NothingToDo": 0, "Refused": 2, "Undecided": 2}


def run(
    fresh: Annotated[
        bool,
        typer.Option("--fresh", help="Start from the pretrained encoder, over all episodes."),
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for another run to end, up to a day.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done; change nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Learn what is new, prove it, promote it.

    The whole loop, or what of it is not done yet. Uses the Prefect server that PREFECT_API_URL
    names, else starts the project's own. Without any server: `dvc repro`, then `onward gate`
    and `onward promote`.
    """
    from onward.episodes.turn import Turn, require_settings
    from tasks import stage

    project = here()
    for block in config.BLOCKS.values():
        config.read(project.params, block)
    turn = Turn.read(project)
    require_settings(project, turn, fresh=fresh)
    stage.require(project)
    waiting = A_DAY if wait else 0.0
    if wait and locks.is_held(project.run_lock):
        who = locks.holder(project.run_lock)
        note(f"Waiting for {who['purpose']}, process {who['pid']} since {who['since']}")
    with locks.held(project.run_lock, "onward run", wait=waiting):
        pass  # told within a second, and before a server is started for nothing
    if dry_run:
        return _would(project, turn, fresh, as_json)
    dashboard = _server(project)
    with _printed():
        state, run_id = _flow(project, fresh=fresh, wait=waiting)
    if state.name not in CODES:
        raise _why(state, run_id)
    _summary(project, state, f"{dashboard}/runs/flow-run/{run_id}", as_json)
    if CODES[state.name]:
        raise Ended(CODES[state.name])
    return None


def _would(project: Project, turn: Any, fresh: bool, as_json: bool) -> None:
    from onward.episodes.turn import ALL_LEARNED
    from tasks import stage, verdicts

    known = turn.known_episodes
    learning = turn.learning_episodes
    if fresh:
        known, learning = [], sorted([*known, *learning])
    if not learning:
        behind, reason = [], ALL_LEARNED
    else:
        behind = list(stage.STEPS) if fresh else stage.foreseen(project)
        judged = not set(behind) & set(stage.BEFORE_THE_GATE)
        reason = verdicts.nothing_to_do(project) if judged else None
    data = {"known": known, "learning": learning, "stages": behind, "nothing": reason}
    base = "the pretrained encoder" if fresh or turn.base.kind == "pretrained" else turn.base.name
    answer(
        as_json,
        {**data, "base": base},
        f"Base      {base}",
        f"Known     {', '.join(known) or '—'}",
        f"To learn  {', '.join(learning) or '—'}",
        _what_for(behind, reason),
        "Nothing was changed",
    )


def _what_for(behind: list[str], reason: str | None) -> str:
    if reason is not None:
        return f"Nothing to do: {reason}"
    if behind:
        return f"Would make  {', '.join(behind)}, then judge"
    return "All stages are up to date; only the gate would be asked"


def _server(project: Project) -> str:
    """Set Prefect's environment; returns the dashboard's address. Prefect is not imported yet."""
    from tasks import server

    if api := server.configured():
        server.require(api)
        os.environ.update({**server.direct(), "PREFECT_API_URL": api})
        return api.removesuffix("/").removesuffix("/api")
    running = server.start(project, note)
    os.environ.update(server.environment(project, running.api))
    note(f"Dashboard  {running.dashboard}   (stop it with `onward server stop`)")
    return running.dashboard


def _flow(project: Project, *, fresh: bool, wait: float) -> tuple[Any, str]:
    import httpx
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    from flows.improve import improve

    try:
        # Without the heartbeat's thread the run ends when it ends, not up to a second later;
        # dead runs are found by tasks/runs.py.
        with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
            state = improve(str(project.root), fresh=fresh, wait=wait, return_state=True)
    except (httpx.HTTPError, ConnectionError) as error:
        raise _gone(error) from error
    return state, str(state.state_details.flow_run_id)


def _why(state: Any, run_id: str) -> Exception:
    """The typed error of a run that came to no outcome of its own."""
    import httpx

    if state.is_cancelled() or state.is_cancelling():
        return Cancelled(
            state.message or "The run was cancelled on the dashboard",
            where=f"flow run {run_id}",
            fix="`onward run` goes on from what was kept; `onward status` says what serves",
        )
    if not (state.is_failed() or state.is_crashed()):
        return ServerError(
            f"The server has the run as {state.name}, which it was given from elsewhere",
            where=f"flow run {run_id}",
            fix="`onward status` says what serves; `onward run` goes on where something is left",
        )
    error = state.result(raise_on_failure=False)
    if isinstance(error, OnwardError):
        return error
    if isinstance(error, httpx.HTTPError | ConnectionError):
        return _gone(error)
    if isinstance(error, TimeoutError):
        return OnwardError(
            f"A step of the run took longer than it may: {error}",
            where=f"flow run {run_id}",
            fix="`onward run` again: what was finished is kept; or, without a limit, `dvc repro`, "
            "then `onward gate` and `onward promote`",
        )
    if isinstance(error, BaseException):
        return RuntimeError(f"{type(error).__name__}: {error}")
    return RuntimeError(str(state.message))


def _gone(error: Exception) -> ServerError:
    return ServerError(
        f"The Prefect server went away: {type(error).__name__}",
        where=os.environ.get("PREFECT_API_URL", ""),
        fix="`onward run` again: finished stages are kept; or, without a server, `dvc repro`, "
        "then `onward gate` and `onward promote`",
    )


class _Lines(logging.Handler):
    """Prints the lines that the tasks tell; progress stays on one line in a terminal."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self._status: Any = None

    def emit(self, record: logging.LogRecord) -> None:
        if not getattr(record, "onward", False):
            return
        line = record.getMessage()
        if self._console.is_terminal and re.match(r".+ \d+% \d+/\d+ .* left", line):
            self._status = self._status or self._console.status("")
            self._status.update(line)
            self._status.start()
            return
        self.clear()
        self._console.print(line, markup=False, soft_wrap=True)

    def clear(self) -> None:
        if self._status is not None:
            self._status.stop()


@contextmanager
def _printed() -> Iterator[None]:
    """Print what the tasks tell; Prefect's own lines remain on the dashboard."""
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    import prefect.main  # noqa: F401 - it sets logging up anew, so it must come first

    lines = _Lines(console())
    loggers = [logging.getLogger(f"prefect.{kind}_runs") for kind in ("flow", "task")]
    for logger in loggers:
        logger.addHandler(lines)
    try:
        yield
    finally:
        lines.clear()
        for logger in loggers:
            logger.removeHandler(lines)


def _summary(project: Project, state: Any, run_page: str, as_json: bool) -> None:
    from cli.summary import lines, result

    data = {**result(project, state.name), "message": state.message, "run": run_page}
    if state.name != "NothingToDo":
        from onward.report.page import write

        data["report"] = str(write(project))
    answer(as_json, data, *lines(project, data))


COMMANDS = (run,)
