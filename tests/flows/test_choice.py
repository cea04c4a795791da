"""A project of questions with options, by the command line alone: from a file to an answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli import main
from onward import files
from onward.project import Project
from onward.registry import journal
from tests import toys
from tests.flows import projects

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main.start([*arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_from_a_file_to_an_answer_on_an_encoder_that_read_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = Project(tmp_path / "toy")
    encoder = toys.toy_encoder(tmp_path / "encoder")
    named = ["--recipe", "choice", "--encoder", str(encoder)]
    projects.onward(tmp_path, "new", str(project.root), *named)
    projects.change(
        project.root,
        **projects.SETTINGS,
        pretrain={"max_length": 32, "threads": 1, "batch_size": 16, "micro_batch": 16},
    )
    projects.change(project.root, gate={"floor": 70.0})
    rows = [{**row, "title": None} for row in toys.toy_choices(480, 1)]
    projects.open_episode(project, "animals", rows)
    monkeypatch.chdir(project.root)
    notes = tmp_path / "notes.txt"
    notes.write_text("\n\n".join(row["context"] for row in toys.toy_rows(300, 4, contexts=1)))
    read = told(capsys, "pretrain", "notes", str(notes))
    assert read["counts"]["left_out"] == {} and not read["already"]
    assert told(capsys, "pretrain", "notes", str(notes))["already"]
    assert (project.root / "models" / "pretrained" / "notes.dvc").is_file()
    settings = project.params.read_text()
    assert settings.count(str(encoder)) == 1
    project.params.write_text(settings.replace(str(encoder), "models/pretrained/notes"))
    assert main.start(["run", "--fresh", "--dry-run"]) == 0
    projects.open_episode(project, "more", [{**r, "title": None} for r in toys.toy_choices(200, 2)])
    turn = files.read_json(project.turn)
    assert turn["base"]["name"] == "models/pretrained/notes"
    projects.dvc(project.root, "repro")
    assert main.start(["gate"]) == 0
    assert main.start(["promote"]) == 0
    assert [line["what"] for line in journal.lines(project)] == ["promoted"]
    found = told(capsys, "ask", "which animal is named ?", "-o", "red", "-o", "otter", "-o", "lima")
    assert (found["text"], found["option"], found["version"]) == ("otter", 1, "v1")
    assert main.start(["report"]) == 0
    assert main.start(["matrix"]) == 0
