"""Which cells of recipe x tuning x strategy are allowed: the one table.

>>> check("extractive", "lora", Strategy(rows="replay"))
>>> check("tagging", "full", Strategy())
Traceback (most recent call last):
onward.errors.SettingsError: tagging cannot be trained with full x joint x none x single

A cell enters the table together with a test that trains it.
"""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

from onward.config import Strategy
from onward.errors import SettingsError


class Cell(NamedTuple):
    """One way to train: a recipe, a tuning and the three parts of a strategy."""

    recipe: str
    tuning: str
    rows: str
    term: str
    structure: str


RECIPES = ("extractive",)
TUNINGS = ("full", "last", "lora")
ROWS = ("naive", "replay", "joint")
TERMS = ("none",)
STRUCTURES = ("single",)

ALLOWED = frozenset(Cell(*cell) for cell in product(RECIPES, TUNINGS, ROWS, TERMS, STRUCTURES))

_KEYS: dict[str, tuple[str, ...]] = {
    "project.recipe": RECIPES,
    "finetune.tuning": TUNINGS,
    "strategy.rows": ROWS,
    "strategy.term": TERMS,
    "strategy.structure": STRUCTURES,
}


def check(recipe: str, tuning: str | None, strategy: Strategy) -> None:
    """Refuse a cell that is not in the table, naming it and the part that is unknown.

    Args:
        recipe: the project's.
        tuning: finetune.tuning; None where only some allowed tuning must exist.
        strategy: the block strategy.

    Raises:
        SettingsError: the cell is not allowed.
    """
    tunings = TUNINGS if tuning is None else (tuning,)
    rest = (strategy.rows, strategy.term, strategy.structure)
    cells = [Cell(recipe, each, *rest) for each in tunings]
    if any(cell in ALLOWED for cell in cells):
        return
    cell = cells[0]
    wrong = [
        f"{key} {value!r} (known: {', '.join(known)})"
        for value, (key, known) in zip(cell, _KEYS.items(), strict=True)
        if value not in known
    ]
    raise SettingsError(
        f"{recipe} cannot be trained with {' x '.join(cell[1 if tuning else 2 :])}",
        where="params.yaml: " + ("; ".join(wrong) or "project, finetune and strategy together"),
        fix="choose an allowed combination; onward/learning/table.py lists them",
    )
