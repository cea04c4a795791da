"""Which source column holds which field of a row: guessed, given, or both.

>>> resolve(["Frage", "context", "answer"], {"question": "Frage"}, "extractive")
{'context': 'context', 'question': 'Frage', 'answers': 'answer'}
>>> resolve(["text", "category"], None, "classification")
{'text': 'text', 'label': 'category'}
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from onward import recipes
from onward.episodes.kinds import KINDS
from onward.errors import DataError, UsageError

LISTS = ("labels", "options")
"""Fields that are lists of texts, which a separator may split."""


def resolve(
    columns: Sequence[str], given: Mapping[str, str] | None, recipe: str, *, where: str = ""
) -> dict[str, str]:
    """Canonical field -> source column; what is not given is guessed by the recipe.

    Args:
        columns: the file's columns.
        given: field -> column, as a person said.
        recipe: the project's recipe.
        where: the file, for the error.

    Raises:
        UsageError: a given field or column does not exist.
        DataError: a needed column is missing; the message names what was found.
    """
    given, fields = dict(given or {}), KINDS[recipe].fields
    for field, column in given.items():
        _known(field, fields, "field of a row", where)
        _known(column, columns, "column of the file", where)
    renamed = {column: field for field, column in given.items()}
    guessed = recipes.get(recipe).guess([renamed.get(column, column) for column in columns])
    if guessed is None:
        raise DataError(
            f"The columns do not tell {_listed(_needed(recipe))}: {_listed(columns)}",
            where=where,
            fix=_other_recipe(columns, recipe)
            or f"name them ({' '.join(f'--map {f}=COLUMN' for f in _needed(recipe))}); data for "
            "another kind of task needs a project of its own: `onward new DIR --recipe NAME`",
            details={"columns": list(columns)},
        )
    found = {f: c for f, c in guessed.items() if f not in given and c not in given.values()}
    found = {f: c for f, c in found.items() if c in columns} | given
    flag = [c for c in columns if re.sub(r"[\W_]", "", c).lower() == "isimpossible"]
    if flag and "is_impossible" in fields and "is_impossible" not in found:
        found["is_impossible"] = flag[0]
    return {field: found[field] for field in fields if field in found}


def _needed(recipe: str) -> list[str]:
    """The fields that every source of this recipe holds."""
    kind = KINDS[recipe]
    targets = ("answers", "answer", "label", "labels", "references", "tags", "value")
    return [*kind.needed, next(field for field in targets if field in kind.fields)]


def _other_recipe(columns: Sequence[str], recipe: str) -> str:
    """What to do where the columns are those of another recipe; "" where they are of none."""
    others = [name for name in recipes.NAMES if name != recipe]
    fits = [name for name in others if recipes.get(name).guess(columns) is not None]
    if not fits:
        return ""
    return (
        f"they look like data for {' or '.join(fits)}, and this project's recipe is {recipe}: make "
        f"a project for them with `onward new DIR --recipe {fits[0]}`"
    )


def fields_of(
    values: Mapping[str, Any], mapping: Mapping[str, str], separator: str | None = None
) -> dict[str, Any]:
    """The values of a row under canonical names; a column the row lacks is left out.

    `separator` splits a text of LISTS that is not the JSON of a list.
    """
    found = {field: values[column] for field, column in mapping.items() if column in values}
    for field in LISTS:
        text = found.get(field)
        if separator and isinstance(text, str) and text and not text.startswith("["):
            found[field] = [part for part in text.split(separator) if part.strip()]
    return found


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
