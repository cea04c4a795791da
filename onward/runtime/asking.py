"""What a recipe is asked with, and the row that stands for such a question.

A row of a question has the recipe's columns like any other, but nothing to be scored by.

>>> from onward import recipes
>>> names(recipes.get("extractive"))
{'question': True, 'context': True}
>>> row(recipes.get("extractive"), {"question": "Who?", "context": "Ana."})["answers"]
[]
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import pyarrow as pa

from onward.errors import UsageError
from onward.recipes.shapes import Inputs, Row, each_text

_HALF = re.compile("[\ud800-\udfff]")
"""What a byte that is no UTF-8, or half of a pair of UTF-16, becomes: no tokenizer reads it."""


def names(recipe: ModuleType) -> dict[str, bool]:
    """The names of the recipe's inputs in their order, and whether each of them is needed."""
    whole = {field.name: _example(field) for field in recipe.SCHEMA}
    least = recipe.inputs({field.name: _blank(field) for field in recipe.SCHEMA})
    return {name: name in least for name in recipe.inputs(whole)}


def row(recipe: ModuleType, inputs: Mapping[str, str | list[str]]) -> Row:
    """A row of these texts, and lists of texts, without an answer.

    Args:
        recipe: whose columns it has.
        inputs: the texts by the recipe's names, those of them that are needed at least.

    Raises:
        UsageError: a name is none of the recipe's, one that is needed is not given, a text is no
            Unicode, or the recipe says why these texts cannot be answered.
    """
    known = names(recipe)
    wrong = sorted(set(inputs) - set(known))
    if wrong:
        raise _refused(recipe, f"A model of this kind reads no {wrong[0]}", wrong[0])
    for name, needed in known.items():
        told: Inputs = {name: inputs[name]} if inputs.get(name) is not None else {}
        if needed and not "".join(text for _, text in each_text(told)).strip():
            state = "empty" if name in inputs else "missing"
            raise _refused(recipe, f"The {name} is {state}", name)
        if any(_HALF.search(text) for _, text in each_text(told)):
            raise _refused(recipe, f"The {name} holds half of a character", name)
    # A second text or a context without a word is none, as in the rows that were learned.
    given = {name: inputs[name] for name in inputs if known[name] or not _empty(inputs[name])}
    made: Row = {**{field.name: _blank(field) for field in recipe.SCHEMA}, **given}
    if hasattr(recipe, "asked"):
        made |= recipe.asked(inputs)
    why = recipe.unanswerable(made) if hasattr(recipe, "unanswerable") else ""
    if why:
        raise _refused(recipe, why, ", ".join(inputs))
    return made


def usage(recipe: ModuleType) -> str:
    """How `onward ask` is called with this recipe's inputs."""
    first, *others = names(recipe).items()
    lists = {field.name for field in recipe.SCHEMA if not is_text(field)}
    words = {name: f"--{name} TEXT" for name, _ in others}
    words |= {
        name: f"--{name.removesuffix('s')} TEXT ..." if needed else f"--{name} FILE"
        for name, needed in others
        if name in lists
    }
    told = [words[name] if needed else f"[{words[name]}]" for name, needed in others]
    return " ".join(["onward ask", first[0].upper(), *told])


def _empty(value: Any) -> bool:
    return isinstance(value, str) and not value.strip()


def _refused(recipe: ModuleType, what: str, name: str) -> UsageError:
    kind = recipe.__name__.rpartition(".")[2]
    return UsageError(what, where=name, fix=f"{kind} is asked by `{usage(recipe)}`")


def is_text(field: pa.Field) -> bool:
    """Whether a column holds a text a row, and not a list or a number."""
    return bool(pa.types.is_string(field.type))


def _example(field: pa.Field) -> Any:
    if pa.types.is_list(field.type):
        return ["x", "x"]
    return "x" if is_text(field) else _blank(field)


def _blank(field: pa.Field) -> Any:
    if field.nullable:
        return None
    if is_text(field):
        return ""
    if pa.types.is_list(field.type):
        return []
    return 0 if pa.types.is_integer(field.type) else 0.0
