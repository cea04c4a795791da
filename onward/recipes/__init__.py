"""One module per kind of task. A recipe is a module with the functions of `Recipe`.

>>> get("extractive").PRIMARY
'f1'
"""

from __future__ import annotations

import importlib
from typing import Any

from onward.errors import UsageError

RECIPES = {"extractive": "onward.recipes.extractive"}


def get(name: str) -> Any:
    """The module of a recipe.

    Raises:
        UsageError: there is no recipe of that name.
    """
    if name not in RECIPES:
        raise UsageError(
            f"There is no recipe {name!r}",
            where="params.yaml: project.recipe",
            fix=f"recipes are {', '.join(RECIPES)}",
        )
    return importlib.import_module(RECIPES[name])
