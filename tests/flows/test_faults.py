"""Runs that are killed, and servers that are not there: F11 and F12."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from onward import files
from onward.project import Project
from tasks import server
from tests.flows import projects

pytestmark = pytest.mark.timeout(1200)
DEAD = "http://127.0.0.1:1/api"


def test_F11_a_configured_server_that_is_down_is_told_with_what_works(promoted: Project) -> None:
    done = projects.onward(promoted.root, "run", "--json", code=1, PREFECT_API_URL=DEAD)
    told = json.loads(done.stdout)
    assert (told["error"], told["where"]) == ("ServerError", DEAD)
    for command in ("dvc repro", "onward gate", "onward promote"):
        assert command in told["fix"]
    assert projects.onward(promoted.root, "gate").returncode == 0
    assert projects.onward(promoted.root, "promote").returncode == 0


@pytest.mark.slow
def test_F11_a_server_that_dies_midway_costs_no_finished_step(
    promoted: Project, tmp_path: Path
) -> None:
    owner = Project(tmp_path / "server")
    api = server.start(owner, print).api
    pipeline = _wait_in_inputs(promoted, "while [ ! -e go ]; do sleep 0.1; done")
    child = _run(promoted, api, PREFECT_CLIENT_MAX_RETRIES="0")
    _appears(promoted.root / "here", child)
    (record,) = (promoted.private / "runs").glob("*.json")
    server.stop(owner)
    (promoted.root / "go").touch()
    out, err = child.communicate()
    assert child.returncode == 1
    assert json.loads(out)["error"] == "ServerError", out + err
    _restore(promoted, pipeline)
    try:
        api = server.start(owner, print).api
        assert _state(api, record.stem)["type"] == "RUNNING"
        done = projects.onward(promoted.root, "run", PREFECT_API_URL=api)
        assert "Nothing to do" in done.stdout
        assert _state(api, record.stem)["type"] == "CRASHED"
    finally:
        server.stop(owner)


def test_F12_a_dead_run_is_marked_crashed_at_the_next_start(
    promoted: Project, connected: str
) -> None:
    run = _killed_run(promoted, connected)
    assert _state(connected, run)["type"] == "RUNNING"
    done = projects.onward(promoted.root, "run", PREFECT_API_URL=connected)
    assert "Nothing to do" in done.stdout
    state = _state(connected, run)
    assert state["type"] == "CRASHED"
    assert "is gone" in state["message"]
    assert list((promoted.private / "runs").iterdir()) == []


def _killed_run(project: Project, api: str) -> str:
    """A real run, killed when it has recorded itself; its id."""
    pipeline = _wait_in_inputs(project, "sleep 1000")
    child = _run(project, api)
    _appears(project.root / "here", child)
    (record,) = (project.private / "runs").glob("*.json")
    os.killpg(child.pid, signal.SIGKILL)
    child.communicate()
    _end_sleepers(project)
    _restore(project, pipeline)
    return record.stem


def _wait_in_inputs(project: Project, command: str) -> str:
    """Let the first stage say that it is there, and wait. Returns dvc.yaml as it was."""
    pipeline = project.pipeline.read_text()
    waits = pipeline.replace("python -m onward.stages.inputs", f"touch here && {command}")
    project.pipeline.write_text(waits)
    return pipeline


def _restore(project: Project, pipeline: str) -> None:
    project.pipeline.write_text(pipeline)
    for name in ("here", "go"):
        (project.root / name).unlink(missing_ok=True)


def _run(project: Project, api: str, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "cli", "run", "--json"],
        cwd=project.root,
        env={**projects.clean(project.root), "PREFECT_API_URL": api, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _appears(path: Path, child: subprocess.Popen[str]) -> None:
    while not path.exists():
        assert child.poll() is None, "the run ended before it was killed"
        time.sleep(0.05)


def _end_sleepers(project: Project) -> None:
    """The stage's own session outlives the run; a trainer would hold its lock (F03)."""
    for process in psutil.process_iter(["cwd", "cmdline"]):
        if process.info["cwd"] == str(project.root) and process.pid != os.getpid():
            process.kill()


def _state(api: str, run: str) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{api}/flow_runs/{run}").json()["state"]
    return found


def test_F12_only_runs_of_this_host_whose_process_is_gone_are_marked(
    tmp_path: Path, connected: str
) -> None:
    from prefect.client.orchestration import get_client
    from prefect.states import Running

    from flows.improve import improve
    from tasks import runs

    project = Project(tmp_path)
    with get_client(sync_client=True) as client:
        made = [client.create_flow_run(improve, state=Running()).id for _ in range(4)]
    begun = psutil.Process().create_time()
    own = {"schema": 1, "pid": os.getpid(), "host": socket.gethostname(), "started": begun}
    gone = {**own, "pid": 2**22 + 1}
    for run, record in zip(made[:3], (gone, own, {**gone, "host": "elsewhere"}), strict=True):
        files.write_json(runs.folder(project) / f"{run}.json", record)
    assert runs.mark_crashed(project) == [str(made[0])]
    types = [_state(connected, str(run))["type"] for run in made]
    assert types == ["CRASHED", "RUNNING", "RUNNING", "RUNNING"]
    assert runs.mark_crashed(project) == []


def test_F12_the_number_of_a_killed_process_may_be_ones_own_by_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it is in a container that is started again: the killed run was RUNNING for ever."""
    from tasks import runs

    project = Project(tmp_path)
    record = {"schema": 1, "pid": os.getpid(), "host": socket.gethostname(), "started": 0.0}
    name = "00000000-0000-4000-8000-000000000000"
    files.write_json(runs.folder(project) / f"{name}.json", record)
    monkeypatch.setattr(runs, "_mark", lambda *_: True)
    assert runs.mark_crashed(project) == [name]


def test_F12_a_run_that_another_server_knows_keeps_its_record_for_a_while(
    tmp_path: Path, connected: str
) -> None:
    from tasks import runs

    project = Project(tmp_path)
    record = {"schema": 1, "pid": 2**22 + 1, "host": socket.gethostname(), "started": 0.0}
    name = "00000000-0000-4000-8000-000000000000"
    files.write_json(runs.folder(project) / f"{name}.json", record)
    # Of a month ago it is let go; that server may be asked at tomorrow's start.
    lately = name.replace("8000", "8001", 1)
    yesterday = {**record, "started": time.time() - 86_400}
    files.write_json(runs.folder(project) / f"{lately}.json", yesterday)
    assert runs.mark_crashed(project) == []
    assert [path.stem for path in runs.folder(project).iterdir()] == [lately]


def test_F12_two_starts_at_once_sweep_the_same_dead_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a reboot, when a worker takes what was scheduled in the meantime."""
    from tasks import runs

    project = Project(tmp_path)
    record = {"schema": 1, "pid": 2**22 + 1, "host": socket.gethostname(), "started": 0.0}
    names = [f"00000000-0000-4000-8000-00000000000{at}" for at in range(3)]
    for name in names:
        files.write_json(runs.folder(project) / f"{name}.json", record)

    def mark(run: Any, _why: str) -> bool:
        (runs.folder(project) / f"{names[1]}.json").unlink(missing_ok=True)  # by the other one
        return True

    monkeypatch.setattr(runs, "_mark", mark)
    assert runs.mark_crashed(project) == [names[0], names[2]]
    assert list(runs.folder(project).iterdir()) == []


def test_F11_the_run_whose_end_the_server_may_not_have_heard_keeps_its_record(
    tmp_path: Path, connected: str
) -> None:
    """The run of a server that went away midway was RUNNING for ever when it came back."""
    from prefect import flow
    from prefect.states import Completed

    from tasks import runs

    project = Project(tmp_path)

    @flow(name="improve")
    def ends(error: str = "") -> Any:
        with runs.recorded(project):
            if error:
                raise httpx.ConnectError(error)
            return Completed()

    assert ends(return_state=True).is_completed()
    assert list(runs.folder(project).iterdir()) == []
    state = ends("all connection attempts failed", return_state=True)
    (record,) = runs.folder(project).iterdir()
    assert record.stem == str(state.state_details.flow_run_id)
    files.write_json(record, {**files.read_json(record), "started": 0.0})
    assert runs.mark_crashed(project) == []  # this server heard of it
    assert _state(connected, record.stem)["type"] == "FAILED"
    assert list(runs.folder(project).iterdir()) == []
