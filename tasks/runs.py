"""Which flow runs of this project are alive: a record each in .onward/runs, by process and host.

A killed process leaves its flow run RUNNING on the server for ever. Each run records itself before
it does anything; at the next start the recorded ones whose process is gone are marked Crashed,
which frees their slots, too. Not covered: a record on another host, whose processes cannot be
looked at from here.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psutil
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run
from prefect.states import Crashed

from onward import files
from onward.errors import Cancelled, MissingFiles
from onward.project import Project

KNOWN_ELSEWHERE = 30 * 24 * 3600.0
"""Seconds for which the record of a dead run stays that this server does not know."""


@contextmanager
def recorded(project: Project) -> Iterator[list[str]]:
    """Record this flow run for the block; yields the ids of dead ones that it marked Crashed.

    Where the block raises, the record stays: the server may be what went away, and never hear how
    the run ended. The next start looks, and marks only what is still running there.
    """
    swept = mark_crashed(project)
    record = folder(project) / f"{flow_run.id}.json"
    process = psutil.Process()
    files.write_json(
        record,
        {
            "schema": files.SCHEMA,
            "pid": process.pid,
            "started": process.create_time(),
            "host": socket.gethostname(),
        },
    )
    yield swept
    # SIGKILL leaves it, too, and that is how the next start knows.
    record.unlink(missing_ok=True)


def refuse_cancelled() -> None:
    """Raise where this flow run was cancelled on the dashboard.

    The dashboard ends no process: it marks the run, and a worker ends those that it started. One
    that a person started looks for itself. Where the server does not answer, the run goes on.

    Raises:
        Cancelled: it was.
    """
    if flow_run.id is None:
        return
    try:
        with get_client(sync_client=True) as client:
            state = client.read_flow_run(UUID(flow_run.id)).state
    except (httpx.HTTPError, ObjectNotFound):
        return
    if state is not None and (state.is_cancelling() or state.is_cancelled()):
        raise Cancelled(
            "The run was cancelled on the dashboard; nothing was promoted",
            where=f"flow run {flow_run.id}",
            fix="`onward run` goes on from what was kept",
        )


def folder(project: Project) -> Path:
    """.onward/runs: one file a flow run that has not ended by itself."""
    return project.private / "runs"


def mark_crashed(project: Project) -> list[str]:
    """Mark the recorded runs of dead processes on this host Crashed; returns their ids."""
    swept = []
    for record in sorted(folder(project).glob("*.json")):
        try:
            value = files.read_json(record)
        except MissingFiles:  # its run has just ended, or another start swept it
            continue
        if value["host"] != socket.gethostname() or _alive(value):
            continue
        marked = _mark(UUID(record.stem), f"process {value['pid']} on {value['host']} is gone")
        if marked is None and time.time() - value["started"] < KNOWN_ELSEWHERE:
            continue
        if marked:
            swept.append(record.stem)
        record.unlink(missing_ok=True)
    return swept


def _alive(record: dict[str, Any]) -> bool:
    # Its start counts for this very process, too: a container that is started again gives its
    # programs the numbers that the killed ones had.
    try:
        process = psutil.Process(record["pid"])
        same = abs(process.create_time() - record["started"]) < 1.0
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _mark(run: UUID, why: str) -> bool | None:
    """Whether it was still running; None: this server does not know it."""
    with get_client(sync_client=True) as client:
        try:
            state = client.read_flow_run(run).state
            if state is not None and state.is_final():
                return False
            client.set_flow_run_state(run, Crashed(message=why), force=True)
        except ObjectNotFound:  # another server may, which is asked at another start
            return None
    return True
