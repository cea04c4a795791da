"""prefect.yaml: its deployment, run by a real worker against a real server."""

from __future__ import annotations

import subprocess
import sys

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


def test_a_worker_runs_the_nightly_deployment(made: Project, api: str) -> None:
    prefect(made, api, "work-pool", "create", "onward", "--type", "process")
    prefect(made, api, "deploy", "--all")
    (deployment,) = httpx.post(f"{api}/deployments/filter", json={}).json()
    assert deployment["name"] == "nightly"
    (schedule,) = deployment["schedules"]
    assert schedule["active"] and schedule["schedule"]["cron"] == "0 2 * * *"

    prefect(made, api, "deployment", "run", "improve/nightly")
    prefect(made, api, "worker", "start", "--pool", "onward", "--run-once")
    runs = httpx.post(
        f"{api}/flow_runs/filter",
        json={"deployments": {"id": {"any_": [deployment["id"]]}}, "sort": "START_TIME_DESC"},
    ).json()
    ended = [run["state_name"] for run in runs if run["state_type"] != "SCHEDULED"]
    assert ended == ["Promoted"]
    at = versions.pointer(made)
    assert at is not None and at.version == "v1"
