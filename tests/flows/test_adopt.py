"""A model fine-tuned elsewhere becomes first champion through the same stages and gates."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from onward import files
from onward.episodes.turn import Turn
from onward.project import Project
from onward.registry import journal, versions
from tests.flows import projects


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_adopted_model_is_evaluated_exported_timed_judged_and_promoted(
    opened: Project, promoted: Project, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(promoted.version("v1") / "checkpoint", elsewhere)
    projects.onward(opened.root, "adopt", str(elsewhere), "--reason", "it serves today")
    projects.dvc(opened.root, "repro")
    projects.onward(opened.root, "gate")
    projects.onward(opened.root, "promote")
    champion = versions.champion(opened)
    assert champion is not None and champion.version == "v1"
    theirs = files.sha256(elsewhere / "model.safetensors")
    assert files.sha256(opened.version("v1") / "checkpoint" / "model.safetensors") == theirs
    assert [line["what"] for line in journal.lines(opened)][-1] == "promoted"
    projects.onward(opened.root, "verify")

    projects.open_episode(opened, "second", projects.rows(2, "city"))
    turn = Turn.read(opened)
    assert (turn.base.name, turn.known_episodes) == ("v1", [])
    assert turn.learning_episodes == ["0001-first", "0002-second"]
