"""`onward new`: what it writes, what it refuses, and that its templates are the repository's."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from cli import main, new
from onward import config
from onward.project import Project

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


def test_inside_a_repository_no_second_one_is_made(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    assert main.start(["new", str(tmp_path / "inner")]) == 0
    assert not (tmp_path / "inner" / ".git").exists()
    assert (tmp_path / "inner" / ".dvc").is_dir()


def test_a_folder_that_is_not_empty_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert main.start(["new", str(tmp_path), "--name", "x"]) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("name", ["..", "a/b", "A b", "-x", ""])
def test_S04_names_that_could_leave_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "_"
    assert main.start(["new", str(folder), "--name", name]) == 3
    assert not folder.exists()


def test_an_unknown_recipe_is_refused(tmp_path: Path) -> None:
    assert main.start(["new", str(tmp_path / "p"), "--recipe", "poetry"]) == 3


def test_templates_are_the_repositorys_files() -> None:
    for name in ("dvc.yaml", "prefect.yaml"):
        assert new.template(name) == _without_artifacts((ROOT / name).read_text())
    ours, theirs = (
        YAML(typ="safe").load(text)
        for text in (
            (ROOT / "params.yaml").read_text(),
            new.template("params.yaml").replace("$", ""),
        )
    )
    assert theirs.pop("project") == {"name": "name", "recipe": "recipe", "encoder": "encoder"}
    ours.pop("project")
    assert theirs == ours


def test_the_repositorys_gitignore_covers_a_projects() -> None:
    ours = (ROOT / ".gitignore").read_text().split()
    assert set(new.template("gitignore.txt").split()) <= set(ours)


def _without_artifacts(text: str) -> str:
    """dvc.yaml without the artifact that a promotion with git.commit declares in it."""
    return text.partition("\nartifacts:\n")[0].rstrip() + "\n"
