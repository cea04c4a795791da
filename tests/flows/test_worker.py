"""prefect.yaml: its deployments, run by a real worker against a real server."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import httpx
import pytest

from onward.project import Project
from onward.registry import versions
from tests.flows import projects

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def prefect(project: Project, api: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {**projects.clean(project.root), "PREFECT_API_URL": api}
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", *arguments],
        cwd=project.root,
        env={**env, "PREFECT_HOME": str(project.root.parent / "prefect")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_a_worker_runs_the_watch_which_starts_the_loop(made: Project, api: str) -> None:
    prefect(made, api, "work-pool", "create", "onward", "--type", "process")
    prefect(made, api, "deploy", "--all")
    found = httpx.post(f"{api}/deployments/filter", json={}).json()
    schedules = {one["name"]: one["schedules"][0] for one in found if one["schedules"]}
    assert {one["name"] for one in found} - set(schedules) == {"toy-compare"}
    crons = {name: (one["schedule"]["cron"], one["active"]) for name, one in schedules.items()}
    assert crons == {"toy-hourly": ("17 * * * *", True), "toy-nightly": ("0 2 * * *", False)}

    prefect(made, api, "deployment", "run", "watch/toy-hourly")
    prefect(made, api, "worker", "start", "--pool", "onward", "--limit", "1", "--run-once")
    hourly = next(one["id"] for one in found if one["name"] == "toy-hourly")
    runs = _ended(api, flow_runs={}, deployments={"id": {"any_": [hourly]}})
    assert list(runs.values()) == ["Learn"]
    turns = _ended(api, flow_runs={"parent_flow_run_id": {"any_": list(runs)}})
    assert list(turns.values()) == ["Promoted"]
    at = versions.pointer(made)
    assert at is not None and at.version == "v1"


def _ended(api: str, **wanted: Any) -> dict[str, str]:
    """Id -> state of the runs that are not still to come."""
    runs = httpx.post(f"{api}/flow_runs/filter", json=wanted).json()
    return {run["id"]: run["state_name"] for run in runs if run["state_type"] != "SCHEDULED"}
