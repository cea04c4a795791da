"""A few real held-out rows that a package must answer the same wherever it is loaded.

They show that a package loads and works, not that it is good: that is the gate's business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

from onward import files
from onward.recipes.shapes import Inputs, Row, each_text

if TYPE_CHECKING:
    from onward.runtime.session import Session

PROBES = 4
TRIED = 24
TEXTS = 48
MAX_CHARACTERS = 4_000
"""Of a row's texts together; a probe has to be quick. Where every row has more, the shortest do."""


def probes(
    recipe: ModuleType, rows: Mapping[str, Sequence[Row]], sessions: Mapping[str, Session]
) -> list[dict[str, Any]]:
    """The texts of a few rows and each variant's answer.

    Of a few rows of every unit the surest answers are taken: a near tie could turn on another
    machine's last bits, and a probe must fail for better reasons.

    Returns:
        [{unit, the recipe's inputs by their names, answers: {variant: text}}].
    """
    told = []
    tried = [(unit, recipe.inputs(row)) for unit, row in spread(recipe, rows, TRIED)]
    short = [one for one in tried if _characters(one[1]) <= MAX_CHARACTERS]
    for unit, asked in short or sorted(tried, key=lambda one: _characters(one[1]))[:PROBES]:
        found = {name: session.answer(asked) for name, session in sessions.items()}
        sure = min(answer["probability"] for answer in found.values())
        texts_found = {name: answer["text"] for name, answer in found.items()}
        told.append((sure, {"unit": unit, **asked, "answers": texts_found}))
    told.sort(key=lambda pair: (-pair[0], files.digest(pair[1])))
    return [item for _, item in told[:PROBES]]


def _characters(asked: Inputs) -> int:
    return sum(len(text) for _, text in each_text(asked))


def texts(recipe: ModuleType, rows: Mapping[str, Sequence[Row]]) -> list[list[str]]:
    """Each row's texts for the benchmark: what is timed is what is really asked."""
    found = spread(recipe, rows, TEXTS)
    return [[text for _, text in each_text(recipe.inputs(row))] for _, row in found]


def spread(
    recipe: ModuleType, rows: Mapping[str, Sequence[Row]], count: int
) -> list[tuple[str, Row]]:
    """About `count` (unit, row), each unit's first by hash in turn: the same in every run."""

    def key(row: Row) -> str:
        return files.digest([row["id"], *recipe.inputs(row).values()])

    ordered = {unit: sorted(found, key=key) for unit, found in sorted(rows.items())}
    taken: list[tuple[str, Row]] = []
    for at in range(max((len(found) for found in ordered.values()), default=0)):
        for unit, found in ordered.items():
            if at < len(found):
                taken.append((unit, found[at]))
        if len(taken) >= count:
            break
    return taken[:count]
