"""One module per kind of task. A recipe is a module with the functions of `extractive.py`.

>>> get("extractive").PRIMARY
'f1'
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

from onward.errors import DataError

NAMES = (
    "chat",
    "choice",
    "classification",
    "extractive",
    "multilabel",
    "regression",
    "relation",
    "summarization",
    "tagging",
    "translation",
)

_WORDS = frozenset({"accuracy"})
"""Metrics whose names are words; all others' are abbreviations."""


def get(name: str) -> ModuleType:
    """The recipe's module, imported when it is first asked for.

    Raises:
        DataError: there is no such recipe, or not in this release.
    """
    if name not in NAMES:
        raise DataError(
            f"There is no recipe {name!r}",
            where=f"recipes are {', '.join(NAMES)}",
            fix="a project holds one recipe; `onward new DIR --recipe NAME` makes another project",
        )
    return importlib.import_module(f"onward.recipes.{name}")


def shown(metric: str) -> str:
    """A metric's name as people read it.

    >>> shown("rouge_l"), shown("f1"), shown("accuracy")
    ('ROUGE-L', 'F1', 'accuracy')
    """
    return metric if metric in _WORDS else metric.upper().replace("_", "-")


def row_score(recipe: ModuleType) -> str:
    """What a recipe's `row_scores` are, as people read it: its ROW_SCORE, or else its metric.

    >>> row_score(get("translation")), row_score(get("summarization"))
    ('chrF', 'ROUGE-L')
    """
    return getattr(recipe, "ROW_SCORE", shown(recipe.PRIMARY))


def sizes(recipe: ModuleType) -> Callable[[Any], Any] | None:
    """Its function `sizes`: statistics [n, k] -> how much of the metric hangs on each row [n].

    None: the metric is a mean over rows, of which each is worth as much as the next, or r², of
    which one row can be worth any part.
    """
    return getattr(recipe, "sizes", None)


def nothing(recipe: ModuleType) -> str:
    """What an empty answer of a recipe is called.

    >>> nothing(get("multilabel")), nothing(get("extractive"))
    ('no label', 'no answer')
    """
    kinds = {target.kind for target in recipe.TARGETS.values()}
    return "no label" if kinds & {"class", "classes", "tags"} else "no answer"


def generates(recipe: ModuleType) -> bool:
    """Whether a recipe's models write their answers token by token: its constant GENERATES."""
    return bool(getattr(recipe, "GENERATES", False))
