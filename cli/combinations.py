"""`onward combinations`: what may be trained with what, and why not all of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, NamedTuple

import typer
from rich.table import Table
from rich.text import Text

from cli.output import Json, answer, here
from onward import config
from onward.errors import UsageError
from onward.learning import table
from onward.learning.table import Cell
from onward.study.combinations import Combination

PAGE = """# What may be trained with what

Of each recipe: strategies down, tunings across, named as `onward study` names them. ✓ is trained
by a test; a number stands for the reason of a refusal, below the table. `onward combinations` shows
the part of a project's own recipe, and with `--markdown` prints this page.
"""


class Grid(NamedTuple):
    """One recipe's part of the table."""

    recipe: str
    strategies: list[str]
    lines: dict[str, list[int]]
    """Tuning -> for each strategy 0 where it is allowed, else the number of the reason."""
    reasons: list[str]
    """In the order of their numbers, from 1."""


def combinations(
    recipe: Annotated[str | None, typer.Option(help="Of this recipe; default: the project's.")] = (
        None
    ),
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the page of all recipes.")
    ] = False,
    as_json: Json = False,
) -> None:
    """What may be trained with what, and why not the rest."""
    if markdown:
        answer(False, {}, page())
        return
    grid = of_recipe(recipe or _projects())
    notes = [Text(f"{number}  {why}") for number, why in enumerate(grid.reasons, start=1)]
    answer(as_json, grid._asdict(), _shown(grid), *notes)


def _projects() -> str:
    try:
        project = here()
    except UsageError as error:
        raise UsageError(
            "There is no project here, and no recipe is named",
            where="onward combinations",
            fix=f"--recipe NAME, one of {', '.join(table.RECIPES)}",
        ) from error
    return config.read(project.params, config.Identity).recipe


def of_recipe(recipe: str) -> Grid:
    """The part of one recipe; strategies that no tuning allows are left out.

    Raises:
        UsageError: there is no such recipe.
    """
    if recipe not in table.RECIPES:
        raise UsageError(
            f"There is no recipe {recipe!r}",
            where="onward combinations --recipe",
            fix=f"one of {', '.join(table.RECIPES)}",
        )
    mine = {cell: why for cell, why in table.cells().items() if cell.recipe == recipe}
    columns = list(dict.fromkeys(cell[2:] for cell, why in mine.items() if why is None))
    lines: dict[str, list[int]] = {}
    reasons: list[str] = []
    for tuning in table.TUNINGS:
        found = [mine[Cell(recipe, tuning, *column)] for column in columns]
        if all(found):
            continue
        reasons += [why for why in dict.fromkeys(found) if why and why not in reasons]
        lines[tuning] = [reasons.index(why) + 1 if why else 0 for why in found]
    return Grid(recipe, [_named(*column) for column in columns], lines, reasons)


def _named(rows: str, term: str, structure: str) -> str:
    """The name that `onward study` knows the strategy by, without its tuning or policy."""
    plain = Combination(rows=rows if rows != "replay" else "naive", term=term, structure=structure)
    name = plain.name.removesuffix("+full")
    if rows != "replay":
        return name
    return "+".join(["replay", *(part for part in (term,) if part != "none")])


def _shown(grid: Grid) -> Table:
    made = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    made.add_column(grid.recipe, no_wrap=True)
    for tuning in grid.lines:
        made.add_column(tuning, justify="center", no_wrap=True)
    for name, marks in _down(grid):
        made.add_row(name, *marks)
    return made


def _down(grid: Grid) -> Iterator[tuple[str, list[str]]]:
    """Each strategy with the marks of the tunings in their order."""
    for at, name in enumerate(grid.strategies):
        yield name, [_mark(marks[at]) for marks in grid.lines.values()]


def _mark(number: int) -> str:
    return str(number) if number else "✓"


def page() -> str:
    """The page of all recipes, in Markdown."""
    parts = [PAGE]
    for recipe in table.RECIPES:
        grid = of_recipe(recipe)
        head = [["", *grid.lines], ["---", *[":-:"] * len(grid.lines)]]
        body = [[name, *marks] for name, marks in _down(grid)]
        lines = [f"| {' | '.join(cells)} |" for cells in [*head, *body]]
        notes = [f"{number}. {why}" for number, why in enumerate(grid.reasons, start=1)]
        parts += [
            f"## {recipe}\n",
            "\n".join(lines),
            *(["", "\n".join(notes)] if notes else []),
            "",
        ]
    return "\n".join(parts).rstrip()


COMMANDS = (combinations,)
