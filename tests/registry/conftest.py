"""A project with two episodes and no champion."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from onward.project import Project
from tests.registry import turns


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here has to survive a power cut, and an fsync may take 20 ms."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return turns.project(tmp_path / "project")
