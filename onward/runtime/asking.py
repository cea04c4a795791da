"""What a recipe is asked with, and the row that stands for such a question.

A row of a question has the recipe's columns like any other, but nothing to be scored by.

>>> from onward import recipes
>>> names(recipes.get("extractive"))
{'question': True, 'context': True}
>>> row(recipes.get("extractive"), {"question": "Who?", "context": "Ana."})["answers"]
[]
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import pyarrow as pa

from onward.errors import UsageError
from onward.recipes.shapes import Row


def names(recipe: ModuleType) -> dict[str, bool]:
    """The names of the recipe's inputs in their order, and whether each of them is needed."""
    whole = {field.name: "x" if _is_text(field) else _blank(field) for field in recipe.SCHEMA}
    least = recipe.inputs({field.name: _blank(field) for field in recipe.SCHEMA})
    return {name: name in least for name in recipe.inputs(whole)}


def row(recipe: ModuleType, inputs: Mapping[str, str]) -> Row:
    """A row of these texts without an answer.

    Args:
        recipe: whose columns it has.
        inputs: the texts by the recipe's names, those of them that are needed at least.

    Raises:
        UsageError: a name is none of the recipe's, or one that is needed is not given.
    """
    known = names(recipe)
    wrong = sorted(set(inputs) - set(known))
    if wrong:
        raise _refused(recipe, f"A model of this kind reads no {wrong[0]}", wrong[0])
    for name, needed in known.items():
        if needed and not inputs.get(name, "").strip():
            state = "empty" if name in inputs else "missing"
            raise _refused(recipe, f"The {name} is {state}", name)
    return {**{field.name: _blank(field) for field in recipe.SCHEMA}, **inputs}


def usage(recipe: ModuleType) -> str:
    """How `onward ask` is called with this recipe's inputs."""
    first, *others = names(recipe).items()
    told = [f"--{name} TEXT" if needed else f"[--{name} TEXT]" for name, needed in others]
    return " ".join(["onward ask", first[0].upper(), *told])


def _refused(recipe: ModuleType, what: str, name: str) -> UsageError:
    kind = recipe.__name__.rpartition(".")[2]
    return UsageError(what, where=name, fix=f"{kind} is asked by `{usage(recipe)}`")


def _is_text(field: pa.Field) -> bool:
    return bool(pa.types.is_string(field.type))


def _blank(field: pa.Field) -> Any:
    if field.nullable:
        return None
    if _is_text(field):
        return ""
    return [] if pa.types.is_list(field.type) else 0.0
