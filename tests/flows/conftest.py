"""One real local Prefect server a session, and toy projects to copy."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from onward.project import Project
from tasks import server
from tests.flows import projects


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server of its own folder."""
    owner = Project(tmp_path_factory.mktemp("server"))
    running = server.start(owner, print)
    yield running.api
    server.stop(owner)


@pytest.fixture
def connected(api: str, tmp_path: Path) -> Iterator[str]:
    """Prefect in this process talks to that server."""
    import prefect.main  # noqa: F401 - it sets logging up
    from prefect.settings import (
        PREFECT_API_URL,
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
        PREFECT_HOME,
        temporary_settings,
    )

    logging.getLogger("prefect").handlers.clear()  # what it says is on the server
    with temporary_settings(
        {
            PREFECT_API_URL: api,
            PREFECT_HOME: tmp_path / "prefect",
            PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,
        }
    ):
        yield api


@pytest.fixture
def opened(tmp_path: Path) -> Project:
    """A copy of a toy project with one open episode."""
    return projects.opened(tmp_path)


@pytest.fixture
def made(tmp_path: Path) -> Project:
    """A copy of a toy project whose stages are all up to date, before any gate."""
    return projects.made(tmp_path)


@pytest.fixture
def promoted(tmp_path: Path) -> Project:
    """A copy of a toy project with v1 promoted."""
    return projects.promoted(tmp_path)


@pytest.fixture
def onward() -> Callable[..., object]:
    """The command line in a process of its own."""
    return projects.onward
