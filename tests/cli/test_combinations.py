"""The page of what may be trained with what is the table that the tests run."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli import combinations, main
from onward.errors import UsageError
from onward.learning import table

PAGE = Path(__file__).parents[2] / "docs" / "combinations.md"


def test_the_page_in_the_docs_is_the_table() -> None:
    """Mend it with `onward combinations --markdown > docs/combinations.md`."""
    assert PAGE.read_text() == combinations.page() + "\n"
    assert PAGE.read_text().count(" ✓") - 1 == len(table.ALLOWED)  # one in the words above


@pytest.mark.parametrize("recipe", table.RECIPES)
def test_each_mark_is_what_the_table_says(recipe: str) -> None:
    grid = combinations.of_recipe(recipe)
    allowed = [cell for cell in table.ALLOWED if cell.recipe == recipe]
    assert sum(marks.count(0) for marks in grid.lines.values()) == len(allowed)
    assert set(grid.lines) == {cell.tuning for cell in allowed}
    named = {number for marks in grid.lines.values() for number in marks} - {0}
    assert named == set(range(1, len(grid.reasons) + 1))
    assert set(grid.reasons) <= set(table.cells().values())


def test_an_unknown_recipe_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="no recipe 'poetry'"):
        combinations.of_recipe("poetry")


def test_a_project_whose_settings_are_wrong_is_told_as_that(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "params.yaml").write_text("project: {recip: chat}\n")
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    assert main.start(["-C", str(tmp_path), "combinations"]) == 3
    assert "unknown key project.recip; did you mean 'recipe'?" in capsys.readouterr().err
    assert main.start(["-C", str(tmp_path.parent), "combinations"]) == 3
    assert "There is no project here" in capsys.readouterr().err
