"""What the name of a scorer covers."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from onward import files, made_of, recipes
from onward.config import Evaluate, Prepare
from onward.recipes import hashing

HERE = Path(hashing.__file__).parent
PACKAGE = "onward.recipes"

NO_SCORE = {"class_report", "hashing", "heads", "labels", "texts", "scripts", "windows"}
"""Modules of which a recipe may use what makes no score: reports, heads, keys of splits, checks."""

WRITE = {"chat", "summarization", "translation"}


def covered(recipe: str, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    read: list[Path] = []
    plain = files.sha256

    def noted(path: Path) -> str:
        read.append(path)
        return plain(path)

    with monkeypatch.context() as patch:
        patch.setattr(files, "sha256", noted)
        recipes.get(recipe).scorer(Evaluate(), Prepare())
    return {f"{path.parent.name}.{path.stem}" for path in read}


def imported(name: str) -> Iterator[str]:
    for node in ast.walk(ast.parse((HERE / f"{name}.py").read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith(PACKAGE):
            continue
        named = [one.name for one in node.names] if node.module == PACKAGE else [node.module or ""]
        yield from (one.rpartition(".")[2] for one in named)


@pytest.mark.parametrize("recipe", sorted(made_of.RECIPES))
def test_a_scorers_name_covers_every_module_that_makes_its_answers(
    recipe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = covered(recipe, monkeypatch)
    assert f"recipes.{recipe}" in found
    used = {f"recipes.{name}" for name in imported(recipe) if (HERE / f"{name}.py").is_file()}
    assert used - found <= {f"recipes.{name}" for name in NO_SCORE}


@pytest.mark.parametrize("recipe", sorted(made_of.RECIPES))
def test_a_scorers_name_covers_what_generates_where_the_recipe_writes(
    recipe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {name for name in covered(recipe, monkeypatch) if name.startswith("runtime.")}
    made = {"runtime.cache", "runtime.generation", "runtime.prompts"}
    assert found == (made if recipe in WRITE else set())
