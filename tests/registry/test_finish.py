"""Completing or undoing what a killed process began."""

from __future__ import annotations

import subprocess
import sys

import pytest

from onward import files
from onward.errors import IntegrityError
from onward.project import Project
from onward.registry import journal, versions
from onward.registry.finish import finish
from tests.registry import turns


def test_nothing_begun_nothing_done(project: Project) -> None:
    assert finish(project) == []
    turns.promoted(project, "first")
    assert finish(project) == []


def test_a_moved_pointer_gets_its_journal_line(project: Project) -> None:
    turns.promoted(project, "first")
    before = project.journal.read_bytes()
    project.journal.unlink()
    assert finish(project) == ["journaled 1: promoted v1"]
    assert project.journal.read_bytes() == before
    assert finish(project) == []


def test_a_version_that_nobody_points_to_is_removed_with_its_dvc_file(project: Project) -> None:
    turns.promoted(project, "first")
    with files.building(project.version("v2")) as folder:
        (folder / "weights").write_text("1 2 3")
    turns.kept(project.version("v2"))
    assert finish(project) == ["removed unfinished registry/v2"]
    assert versions.versions(project) == ["v1"]
    assert sorted(path.name for path in project.registry.iterdir()) == ["v1", "v1.dvc"]


def test_a_verdict_without_a_line_is_removed_but_not_the_one_being_promoted(
    project: Project,
) -> None:
    turns.candidate(project, "first")
    turns.keep_verdict(project, 1, turns.verdict(project))
    turns.kept(project.verdict(1))
    (project.verdicts / "notes.txt").write_text("mine")
    assert finish(project, judging=1) == []
    assert finish(project) == ["removed unfinished verdicts/1"]
    assert [path.name for path in project.verdicts.iterdir()] == ["notes.txt"]


def test_leftovers_of_killed_writers_are_swept(project: Project) -> None:
    left = [
        project.root / ".data.dvc.abcd_123.tmp",
        project.champion.with_name(".champion.json.abcd_123.tmp"),
        project.registry / ".v1.abcd_123.tmp" / "weights",
        project.verdicts / ".1.abcd_123.old" / "1" / "rows.parquet",
        project.data / ".0003-x.abcd_123.tmp" / "train.parquet",
        project.made("export") / ".package.abcd_123.tmp" / "model.onnx",
        project.root / "turn" / ".finetune.abcd_123.tmp" / "model",
    ]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("half")
    assert len(finish(project)) == len(left)
    assert not any(path.exists() for path in left)


def test_f03_what_a_living_trainer_writes_is_not_swept(project: Project) -> None:
    half = project.root / "turn" / ".finetune.abcd_123.tmp" / "model"
    half.parent.mkdir(parents=True)
    half.write_text("half")
    code = (
        "import sys\nfrom pathlib import Path\nfrom onward.locks import held\n"
        "with held(Path(sys.argv[1]), 'training'):\n print(flush=True)\n sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(project.train_lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as trainer:
        assert trainer.stdout is not None
        trainer.stdout.readline()
        assert finish(project) == [] and half.exists()
        trainer.communicate()
    assert finish(project) == ["swept .finetune.abcd_123.tmp"]


STAGE = """
import sys
from onward.stages.entry import start

def run(project):
    print(flush=True)
    sys.stdin.read()

start("prepare", run)
"""


def test_f03_what_a_living_stage_writes_is_not_swept(project: Project) -> None:
    """Of `dvc repro`, which holds no run lock: what came after the sweep was sealed as whole."""
    half = project.root / "turn" / ".prepare.abcd_123.tmp" / "train.parquet"
    half.parent.mkdir(parents=True)
    half.write_text("half")
    left = project.stages_at_work / "export-1.lock"
    left.parent.mkdir(parents=True)
    left.write_text("of a stage that was killed")
    command = [sys.executable, "-c", STAGE]
    with subprocess.Popen(
        command, cwd=project.root, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as stage:
        assert stage.stdout is not None
        stage.stdout.readline()
        assert finish(project) == [] and half.exists() and not left.exists()
        stage.communicate()
    assert stage.returncode == 0 and list(project.stages_at_work.iterdir()) == []
    assert finish(project) == ["swept .prepare.abcd_123.tmp"]


def test_a_journal_cut_short_is_an_error_and_removes_nothing(project: Project) -> None:
    for content in ("first", "second", "third"):
        turns.promoted(project, content)
    first = project.journal.read_bytes().splitlines(keepends=True)[0]
    project.journal.write_bytes(first)
    with pytest.raises(IntegrityError, match="SEQ 3, the journal ends at 1"):
        finish(project)
    assert versions.versions(project) == ["v1", "v2", "v3"]


def test_i1_what_serves_is_never_removed_where_the_journal_says_another_thing(
    project: Project,
) -> None:
    turns.promoted(project, "first")
    project.journal.unlink()
    journal.append(project, "withdrawn", episode="0001-e0")
    with pytest.raises(IntegrityError, match="v1 in 1, the journal has 'withdrawn' there"):
        finish(project)
    assert versions.versions(project) == ["v1"]


def test_a_pointer_without_its_line_is_an_error(project: Project) -> None:
    turns.promoted(project, "first")
    project.journal.unlink()
    at = files.read_json(project.champion)
    files.write_json(project.champion, {**at, "line": {}})
    with pytest.raises(IntegrityError):
        finish(project)
    assert journal.lines(project) == []
