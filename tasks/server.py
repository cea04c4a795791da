"""The project's own Prefect server: SQLite, loopback, everything inside .onward/prefect.

Used where no other is configured. It is started detached, its port and process are recorded in
server.json, and it is reused while it answers. Free of Prefect: importing that takes over a second
and fixes its settings, so `environment` must be in place before.

>>> import tempfile; find(Project(Path(tempfile.mkdtemp()))) is None
True
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from onward import files
from onward.errors import ServerError
from onward.locks import held
from onward.project import Project

HOST = "127.0.0.1"
WITHOUT = "`dvc repro`, then `onward gate` and `onward promote`, work without a server"
START_SECONDS = 120.0
PATIENCE_SECONDS = 30.0
COMMAND = ("-m", "prefect", "server", "start")
QUIET = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_CLI_PROMPT": "false",
}


@dataclass(frozen=True)
class Server:
    """A running server: its process, and where its API and dashboard are."""

    pid: int
    port: int

    @property
    def api(self) -> str:
        """What PREFECT_API_URL is set to."""
        return f"http://{HOST}:{self.port}/api"

    @property
    def dashboard(self) -> str:
        """What a person opens in a browser."""
        return f"http://{HOST}:{self.port}"


def home(project: Project) -> Path:
    """.onward/prefect: PREFECT_HOME of the project's own server."""
    return project.private / "prefect"


def configured() -> str | None:
    """The API address that the environment or the active Prefect profile names, if one does."""
    if url := os.environ.get("PREFECT_API_URL"):
        return url
    folder = Path(os.environ.get("PREFECT_HOME") or Path.home() / ".prefect")
    try:
        profiles = tomllib.loads((folder / "profiles.toml").read_text(encoding="utf-8"))
        name = os.environ.get("PREFECT_PROFILE") or profiles.get("active")
        url = profiles.get("profiles", {}).get(name, {}).get("PREFECT_API_URL")
    except (OSError, tomllib.TOMLDecodeError):
        return None
    return str(url) if url else None


def healthy(api: str, seconds: float = 2.0) -> bool:
    """Whether the health route of an API address answers."""
    if not api.startswith(("http://", "https://")):
        return False
    try:
        # A proxy would look for this machine's own address on itself.
        own = urllib.parse.urlsplit(api).hostname == HOST
        ways = [urllib.request.ProxyHandler({})] if own else []
        opener = urllib.request.build_opener(*ways)
        with opener.open(f"{api.rstrip('/')}/health", timeout=seconds) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False


def require(api: str) -> None:
    """Refuse within a few seconds where a configured server does not answer.

    Raises:
        ServerError: names the address and the commands that work without it.
    """
    if not healthy(api, seconds=4.0):
        raise ServerError(
            "The configured Prefect server does not answer",
            where=api,
            fix=f"start it, or unset PREFECT_API_URL; {WITHOUT}",
        )


def environment(project: Project, api: str) -> dict[str, str]:
    """What Prefect must find in its environment to use the project's own server."""
    return {**QUIET, **direct(), "PREFECT_HOME": str(home(project)), "PREFECT_API_URL": api}


def direct() -> dict[str, str]:
    """The environment in which Prefect asks no proxy for what runs on this machine."""
    named = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    if named != "*" and HOST not in named.split(","):
        named = f"{named},{HOST}".lstrip(",")
    return {"no_proxy": named, "NO_PROXY": named}


def find(project: Project) -> Server | None:
    """The project's own server, if the recorded process still runs."""
    record = home(project) / "server.json"
    if not record.exists():
        return None
    value = files.read_json(record)
    if _process(value) is None:
        return None
    return Server(pid=value["pid"], port=value["port"])


def _process(record: dict[str, Any]) -> psutil.Process | None:
    """The recorded process; another one that was given the same id does not count."""
    try:
        process = psutil.Process(record["pid"])
        alive = process.status() != psutil.STATUS_ZOMBIE
        same = abs(process.create_time() - record["started"]) < 1.0
    except (psutil.NoSuchProcess, KeyError, TypeError):
        return None
    return process if alive and same else None


def start(project: Project, tell: Callable[[str], None]) -> Server:
    """The project's own server, started if needed; `tell` hears what is waited for.

    Raises:
        ServerError: it ended or did not answer in time; the end of its log is quoted.
    """
    with held(home(project) / "start.lock", "starting the server", wait=START_SECONDS):
        running = find(project)
        if running is not None:
            # It may be slow under load, and another run may be using it: not ended in haste.
            if _comes_up(running, PATIENCE_SECONDS, tell):
                return running
            stop(project)
        tell("Starting the project's own Prefect server (about 15 s the first time)")
        started = _launch(project)
        if not _comes_up(started, START_SECONDS, tell):
            raise _did_not_start(project)
        return started


def _launch(project: Project) -> Server:
    folder = home(project)
    folder.mkdir(parents=True, exist_ok=True)
    port = _free_port()
    # The dashboard asks the port of Prefect's settings, not the one that the server listens on.
    own = {"PREFECT_HOME": str(folder), "PREFECT_UI_API_URL": f"http://{HOST}:{port}/api"}
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    with (folder / "server.log").open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, *COMMAND, "--host", HOST, "--port", str(port)],
            cwd=folder,
            env={**kept, **QUIET, **direct(), **own},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    started = psutil.Process(child.pid).create_time()
    record = {"schema": files.SCHEMA, "pid": child.pid, "port": port, "started": started}
    files.write_json(folder / "server.json", record)
    return Server(pid=child.pid, port=port)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _comes_up(server: Server, seconds: float, tell: Callable[[str], None]) -> bool:
    """Wait for the health route; False where the process ended or the time is over."""
    began = told = time.monotonic()
    while not healthy(server.api):
        waited = time.monotonic() - began
        if not _runs(server.pid) or waited > seconds:
            return False
        if time.monotonic() - told >= 5.0:
            told = time.monotonic()
            tell(f"Waiting for the Prefect server, {waited:.0f} s")
        time.sleep(0.25)
    return True


def _runs(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _did_not_start(project: Project) -> ServerError:
    stop(project)
    log = home(project) / "server.log"
    last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
    return ServerError(
        "The project's own Prefect server did not come up: " + "".join(last)[:300],
        where=str(log),
        fix=f"`rm -r {home(project)}` if another version wrote its database; {WITHOUT}",
    )


def stop(project: Project, seconds: float = 10.0) -> bool:
    """End the project's own server and its children. Returns whether one was running."""
    record = home(project) / "server.json"
    process = _process(files.read_json(record)) if record.exists() else None
    if process is not None:
        family = [process, *process.children(recursive=True)]
        for member in family:
            _signal(member, psutil.Process.terminate)
        _, alive = psutil.wait_procs(family, timeout=seconds)
        for member in alive:
            _signal(member, psutil.Process.kill)
        psutil.wait_procs(alive, timeout=seconds)
    record.unlink(missing_ok=True)
    return process is not None


def _signal(process: psutil.Process, send: Callable[[psutil.Process], None]) -> None:
    try:
        send(process)
    except psutil.NoSuchProcess:
        return
