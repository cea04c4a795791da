"""A project without a real encoder, and a stand-in for DVC's part of opening."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onward.episodes.open import Opened, open_episode
from onward.learning import encoder
from onward.project import Project
from tests.episodes import deliveries


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """An empty project; the pretrained encoder is named but never read."""
    monkeypatch.setattr(encoder, "locate", lambda name, root=None: Path(name))
    monkeypatch.setattr(encoder, "fingerprint", lambda path: "e" * 64)
    return deliveries.project(tmp_path / "project")


Opener = Callable[..., Opened]


@pytest.fixture
def opener(project: Project) -> Opener:
    """open_episode in the project, with a stand-in for DVC."""

    def opened(name: str, source: Path, **options: Any) -> Opened:
        return open_episode(project, name, source, **{"keep": deliveries.keep, **options})

    return opened
