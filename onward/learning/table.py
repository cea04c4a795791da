"""Which cells of recipe x tuning x strategy are allowed, and why the others are not: the one table.

>>> check("extractive", "lora", Strategy(rows="replay", term="ewc"))
>>> reason(Cell("extractive", "full", "naive", "der", "single"))
'der compares replayed rows with their stored logits: it needs strategy.rows replay'
>>> check("poetry", "full", Strategy())
Traceback (most recent call last):
onward.errors.SettingsError: poetry cannot be trained with full x joint x none x single

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


RECIPES = (
    "extractive",
    "classification",
    "multilabel",
    "regression",
    "choice",
    "chat",
    "relation",
    "tagging",
    "translation",
    "summarization",
)
GENERATED = ("chat", "translation", "summarization")
"""Recipes whose answers are written token by token."""

BY_MODEL = frozenset({"hardest", "herding"})
"""Policies that ask the model which learned the rows; their choice cannot be made anew later."""

TUNINGS = (
    *("full", "last", "lora", "bitfit", "dora", "ia3", "bottleneck", "prompt", "prefix"),
    "none",
)
ROWS = ("naive", "replay", "joint")
TERMS = ("none", "ewc", "distill", "der")
STRUCTURES = ("single", "adapters", "analytic", "adapted")

_KEYS: dict[str, tuple[str, ...]] = {
    "project.recipe": RECIPES,
    "finetune.tuning": TUNINGS,
    "strategy.rows": ROWS,
    "strategy.term": TERMS,
    "strategy.structure": STRUCTURES,
}


def reason(cell: Cell) -> str | None:
    """Why a cell is refused; None where it is allowed."""
    for value, (key, known) in zip(cell, _KEYS.items(), strict=True):
        if value not in known:
            return f"{key} {value!r} (known: {', '.join(known)})"
    if cell.tuning == "none":
        return _untrained(cell)
    if cell.structure == "adapters":
        return _adapters(cell)
    if cell.structure in ("analytic", "adapted"):
        return _closed_form(cell)
    if cell.recipe in GENERATED:
        return _generated(cell)
    if cell.term != "none" and cell.tuning not in ("full", "last", "lora"):
        return f"{cell.term} is tried with full, last and lora alone: it needs one of these"
    if cell.term == "der" and cell.recipe == "tagging":
        return "der would store a number for each token and label of each row: tagging has too many"
    if cell.term != "none" and cell.recipe == "relation":
        return f"{cell.term} is not tried with relation: it needs strategy.term none"
    if cell.term == "der" and cell.rows != "replay":
        return "der compares replayed rows with their stored logits: it needs strategy.rows replay"
    if cell.term != "none" and cell.rows == "joint":
        return f"joint trains on all rows again, which leaves {cell.term} nothing to keep"
    return None


_READING = {
    "bottleneck": "is put into one stack of layers, and its norms are an encoder's",
    "prompt": "would have to be read once, before a text that is read in steps",
    "prefix": "would have to begin the cache that a text is written with",
}
"""Tunings for models that read a text at once, and why."""


def _generated(cell: Cell) -> str | None:
    if cell.term != "none":
        return (
            f"{cell.term} compares what a model says of a whole row, and {cell.recipe} says a word "
            "at a time: it needs strategy.term none"
        )
    if cell.tuning in _READING:
        return (
            f"{cell.tuning} {_READING[cell.tuning]}: it needs full, last, lora, bitfit, dora, ia3"
        )
    return None


def _untrained(cell: Cell) -> str | None:
    if cell.recipe not in ("chat", "classification"):
        return (
            f"without training a model can be asked (chat) or labels told by their names "
            f"(classification): {cell.recipe} needs another finetune.tuning"
        )
    if (cell.rows, cell.term, cell.structure) not in (
        ("naive", "none", "single"),
        ("joint", "none", "single"),
    ):
        return "tuning none learns nothing to keep: it needs rows naive or joint, no term, single"
    return None


def _adapters(cell: Cell) -> str | None:
    if cell.recipe not in ("extractive", "classification"):
        return f"structure adapters cannot join the outputs of several {cell.recipe} heads"
    if cell.tuning != "lora":
        return "structure adapters trains low-rank adapters: it needs finetune.tuning lora"
    if cell.rows != "naive":
        return "structure adapters trains each episode by itself: it needs strategy.rows naive"
    if cell.term != "none":
        return "structure adapters changes no old weight: it needs strategy.term none"
    return None


def _closed_form(cell: Cell) -> str | None:
    named = f"structure {cell.structure}"
    if cell.recipe != "classification":
        return f"{named} solves for one label a row: it needs the recipe classification"
    if cell.structure == "analytic" and cell.tuning != "full":
        return "structure analytic tunes nothing: leave finetune.tuning at full"
    if cell.tuning not in ("full", "last", "lora"):
        return f"{named} takes its encoder tuned by full, last or lora"
    if cell.rows != "naive":
        return f"{named} keeps sums over all old rows: it needs strategy.rows naive"
    if cell.term != "none":
        return f"{named} has no old weights to keep: it needs strategy.term none"
    return None


def cells() -> dict[Cell, str | None]:
    """Every cell of known words, with the reason where it is refused."""
    every = (Cell(*words) for words in product(*_KEYS.values()))
    return {cell: reason(cell) for cell in every}


ALLOWED = frozenset(cell for cell, why in cells().items() if why is None)


def check(recipe: str, tuning: str | None, strategy: Strategy) -> None:
    """Refuse a cell that is not in the table, naming it and the reason.

    Args:
        recipe: the project's.
        tuning: finetune.tuning; None where only some allowed tuning must exist.
        strategy: the block strategy.

    Raises:
        SettingsError: the cell is not allowed.
    """
    if recipe in GENERATED and strategy.rows == "replay" and strategy.policy in BY_MODEL:
        raise SettingsError(
            f"{recipe} cannot remember by {strategy.policy}",
            where="params.yaml, strategy.policy: it asks for one loss or embedding of a row, and "
            "an answer is written a word at a time",
            fix="choose reservoir or balanced",
        )
    tunings = TUNINGS if tuning is None else (tuning,)
    rest = (strategy.rows, strategy.term, strategy.structure)
    every = [Cell(recipe, each, *rest) for each in tunings]
    if any(cell in ALLOWED for cell in every):
        return
    # With the tuning left open, the reason under the one that such a structure takes.
    usual = "full" if strategy.structure == "analytic" else "lora"
    why = reason(Cell(recipe, tuning or usual, *rest))
    raise SettingsError(
        f"{recipe} cannot be trained with {' x '.join(every[0][1 if tuning else 2 :])}",
        where=f"params.yaml: {why}",
        fix="`onward combinations` shows what is allowed, and why not the rest",
    )
