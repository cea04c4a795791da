"""Which source column holds which field of a row: guessed, given, or both.

>>> resolve(["Frage", "context", "answer"], {"question": "Frage"}, recipes.get("extractive"))
{'context': 'context', 'question': 'Frage', 'answers': 'answer'}
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from onward import recipes
from onward.episodes.incoming import FIELDS
from onward.errors import DataError, UsageError

__all__ = ["fields_of", "recipes", "resolve"]


def resolve(
    columns: Sequence[str], given: Mapping[str, str] | None, recipe: Any, *, where: str = ""
) -> dict[str, str]:
    """Canonical field -> source column; what is not given is guessed by the recipe.

    Args:
        columns: the file's columns.
        given: field -> column, as a person said.
        recipe: the project's recipe module.
        where: the file, for the error.

    Raises:
        UsageError: a given field or column does not exist.
        DataError: a needed column is missing; the message names what was found.
    """
    given = dict(given or {})
    for field, column in given.items():
        _known(field, FIELDS, "field of a row", where)
        _known(column, columns, "column of the file", where)
    renamed = {column: field for field, column in given.items()}
    guessed = recipe.guess([renamed.get(column, column) for column in columns])
    if guessed is None:
        raise DataError(
            "The columns do not tell question, context and answer: " + _listed(columns),
            where=where,
            fix="name them (`--map question=COLUMN --map context=COLUMN --map answers=COLUMN`); "
            "data for another kind of task needs a project of its own: `onward new DIR`",
            details={"columns": list(columns)},
        )
    found = {f: c for f, c in guessed.items() if f not in given and c not in given.values()}
    found = {f: c for f, c in found.items() if c in columns} | given
    flag = [c for c in columns if re.sub(r"[\W_]", "", c).lower() == "isimpossible"]
    if flag and "is_impossible" not in found:
        found["is_impossible"] = flag[0]
    return {field: found[field] for field in FIELDS if field in found}


def fields_of(values: Mapping[str, Any], mapping: Mapping[str, str]) -> dict[str, Any]:
    """The values of a row under canonical names; a column the row lacks is left out."""
    return {field: values[column] for field, column in mapping.items() if column in values}


def _known(name: str, names: Sequence[str], kind: str, where: str) -> None:
    if name not in names:
        close = difflib.get_close_matches(name, names, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise UsageError(
            f"{name!r} is not a {kind}{hint}", where=where, fix=f"there are: {_listed(names)}"
        )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(str(name)[:60] for name in names[:30])
    return (shown or "none") + (" ..." if len(names) > 30 else "")
