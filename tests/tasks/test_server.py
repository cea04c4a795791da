"""The project's own Prefect server: found, started, reused and stopped, and F11's quick refusal."""

from __future__ import annotations

import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import psutil
import pytest

from cli import main
from onward import files
from onward.errors import ServerError
from onward.project import Project
from tasks import server

DEAD = "http://127.0.0.1:1/api"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return Project(tmp_path)


def test_the_environment_names_the_server_before_the_profile_does(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert server.configured() is None
    profiles = Path.home() / ".prefect" / "profiles.toml"
    files.write_text(
        profiles, 'active = "a"\n[profiles.a]\nPREFECT_API_URL = "http://a/api"\n[profiles.b]\n'
    )
    assert server.configured() == "http://a/api"
    monkeypatch.setenv("PREFECT_PROFILE", "b")
    assert server.configured() is None
    monkeypatch.setenv("PREFECT_API_URL", DEAD)
    assert server.configured() == DEAD
    profiles.write_text("not toml = = =")
    monkeypatch.delenv("PREFECT_API_URL")
    assert server.configured() is None


@pytest.mark.parametrize("api", [DEAD, "file:///etc/passwd", "http://[bad", ""])
def test_F11_what_does_not_answer_is_refused_with_what_works_without_it(api: str) -> None:
    with pytest.raises(ServerError) as refused:
        server.require(api)
    for command in ("dvc repro", "onward gate", "onward promote"):
        assert command in refused.value.fix


def test_a_proxy_is_not_asked_for_this_machine(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind one that the environment names, the server never came up."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *words: object) -> None:
            return None

    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with HTTPServer(("127.0.0.1", 0), Answer) as own:
        threading.Thread(target=own.serve_forever, daemon=True).start()
        api = server.Server(1, own.server_port).api
        assert server.healthy(api)
        for name, value in server.environment(project, api).items():
            monkeypatch.setenv(name, value)
        assert httpx.get(f"{api}/health").status_code == 200, "so does Prefect's own client"
        own.shutdown()


@pytest.mark.parametrize(
    ("named", "direct"),
    [("", "127.0.0.1"), ("a,b", "a,b,127.0.0.1"), ("127.0.0.1,a", "127.0.0.1,a"), ("*", "*")],
)
def test_other_exceptions_from_the_proxy_stay(
    monkeypatch: pytest.MonkeyPatch, named: str, direct: str
) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("NO_PROXY", named)
    assert server.direct() == {"no_proxy": direct, "NO_PROXY": direct}


def test_another_process_with_the_recorded_number_is_not_the_server(project: Project) -> None:
    own = psutil.Process()
    record = server.home(project) / "server.json"
    value = {"schema": 1, "pid": own.pid, "port": 1, "started": own.create_time()}
    files.write_json(record, value)
    assert server.find(project) == server.Server(own.pid, 1)
    files.write_json(record, {**value, "started": own.create_time() - 100})
    assert server.find(project) is None
    assert server.stop(project) is False  # and so is not ended, either
    assert not record.exists()


def test_a_server_that_ends_at_once_is_a_typed_error_with_its_log(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "COMMAND", ("-c", "print('database is of another version')"))
    with pytest.raises(ServerError, match="another version") as refused:
        server.start(project, lambda _line: None)
    assert refused.value.where.endswith("server.log")
    assert server.find(project) is None


@pytest.mark.timeout(600)
def test_started_once_reused_and_stopped(
    project: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("params.yaml", "dvc.yaml"):
        (project.root / name).write_text("")
    monkeypatch.chdir(project.root)
    assert main.start(["server", "start"]) == 0
    said = capsys.readouterr().out
    running = server.find(project)
    assert running is not None
    assert running.dashboard in said and "onward server stop" in said
    assert os.getsid(running.pid) != os.getsid(0)
    # A dashboard that asks another port than the server's shows an error and no run.
    told = httpx.get(f"{running.dashboard}/ui-settings", trust_env=False).json()
    assert told["api_url"] == running.api
    assert server.start(project, print) == running
    assert main.start(["server", "status"]) == 0
    assert running.api in capsys.readouterr().out
    assert (server.home(project) / "prefect.db").is_file()
    assert main.start(["server", "stop"]) == 0
    assert not psutil.pid_exists(running.pid)
    assert not server.healthy(running.api)
    assert main.start(["server", "stop"]) == 0
