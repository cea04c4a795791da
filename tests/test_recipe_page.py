"""docs/recipe.md adds a recipe: on a copy of the tree, what it adds passes the tests it names."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "recipe.md").read_text()
COPIED = ("cli", "docs", "flows", "onward", "prompts", "tasks", "tests")
NAMED = re.compile(r"`(\S+\.py)`[^`]*\n\n```python\n(.*?)```", re.S)
ASKED = (
    "tests/recipes/test_extractive.py",
    "tests/stages/test_fingerprints.py",
    "tests/test_config.py",
    "tests/test_layers.py",
    "tests/cli/test_combinations.py",
    "tests/cli/test_new.py",
    "tests/learning/test_table.py",
)


def ran(tree: Path, *command: str) -> str:
    """What a command in the tree prints; it must end well."""
    plain = {name: value for name, value in os.environ.items() if "PYTEST" not in name}
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=tree,
        env={**plain, "PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree with all that the page adds to it."""
    made = tmp_path_factory.mktemp("page") / "tree"
    skipped = shutil.ignore_patterns("__pycache__")
    for name in COPIED:
        shutil.copytree(ROOT / name, made / name, symlinks=True, ignore=skipped)
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy2(path, made)
    written = NAMED.findall(PAGE)
    assert [name for name, _ in written] == [
        "onward/recipes/rating.py",
        "tests/recipes/test_rating.py",
    ]
    for name, text in written:
        (made / name).write_text(text)
    (changes,) = re.findall(r"```diff\n(.*?)```", PAGE, re.S)
    subprocess.run(["git", "apply", "-"], cwd=made, input=changes, text=True, check=True)
    page = ran(made, "cli", "combinations", "--markdown")
    (made / "docs" / "combinations.md").write_text(page)
    return made


def test_what_the_page_adds_is_learned_exported_and_judged(tree: Path) -> None:
    pytest_alone = ("pytest", "-q", "-n0", "-p", "no:cacheprovider")
    ran(tree, *pytest_alone, "tests/recipes/test_rating.py")
    ran(tree, *pytest_alone, *ASKED, "-k", "rating or page or recipe or words or names or module")


def test_what_the_page_adds_is_written_as_the_rest_is(tree: Path) -> None:
    touched = [name for name, _ in NAMED.findall(PAGE)] + re.findall(r"^\+\+\+ b/(\S+)", PAGE, re.M)
    ran(tree, "ruff", "format", "--check", *touched)
    ran(tree, "ruff", "check", *touched)


def test_every_table_that_names_recipes_is_on_the_page() -> None:
    """A table that came since would be one that the page forgets."""
    found = {
        path.relative_to(ROOT).as_posix()
        for top in ("cli", "onward")
        for path in (ROOT / top).rglob("*.py")
        if re.search(r'^ +"regression"[:,]', path.read_text(), re.M)
    }
    assert found == set(re.findall(r"^\+\+\+ b/((?:cli|onward)/\S+)", PAGE, re.M))
