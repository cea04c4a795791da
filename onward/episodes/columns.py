"""Which source column holds which field of a row: guessed, given, or both.

>>> resolve(["Frage", "context", "answer"], {"question": "Frage"}, "extractive")
{'context': 'context', 'question': 'Frage', 'answers': 'answer'}
>>> resolve(["text", "category"], None, "classification")
{'text': 'text', 'label': 'category'}
>>> resolve(["question", "A", "B", "answer"], None, "choice")
{'question': 'question', 'options': 'A+B', 'answer': 'answer'}
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from itertools import count, takewhile
from string import ascii_lowercase, ascii_uppercase
from typing import Any

from onward import recipes
from onward.episodes import references
from onward.episodes.kinds import KINDS
from onward.errors import DataError, UsageError
from onward.recipes.texts import bare

LISTS = ("labels", "options")
"""Fields that are lists of texts, which a separator may split."""

JOINED, JOIN = ("references", "options"), "+"
"""Fields that several columns together may fill, and what stands between the columns' names."""

_OPTION = frozenset(
    ("", "option", "opt", "op", "choice", "candidate", "ending", "alternative", "answer", "ans")
)
"""How columns of an option each are called, without their letter or number."""


def resolve(
    columns: Sequence[str], given: Mapping[str, str] | None, recipe: str, *, where: str = ""
) -> dict[str, str]:
    """Canonical field -> source column; what is not given is guessed by the recipe.

    Args:
        columns: the file's columns.
        given: field -> column, as a person said; "" for none, where a row may lack the field.
        recipe: the project's recipe.
        where: the file, for the error.

    Raises:
        UsageError: a given field or column does not exist, or a row needs the field.
        DataError: a needed column is missing; the message names what was found.
    """
    given, fields = dict(given or {}), KINDS[recipe].fields
    for field, column in given.items():
        _known(field, fields, "field of a row", where)
        if not column and field in _needed(recipe):
            raise UsageError(
                f"A row needs its {field}: it cannot be left out",
                where=where,
                fix=f"name its column (--map {field}=COLUMN); there are: {_listed(columns)}",
            )
        for part in [] if not column else _parts(field, column, columns):
            _known(part, columns, "column of the file", where)
    found = guessed(columns, given, recipe)
    if found is None:
        lacking = _lacking(columns, given, recipe)
        raise DataError(
            f"The columns do not tell {_listed(lacking)}: {_listed(columns)}",
            where=where,
            fix=f"name them ({' '.join(f'--map {f}=COLUMN' for f in lacking)}); data for "
            "another kind of task needs a project of its own: `onward new DIR --recipe NAME`",
            details={"columns": list(columns)},
        )
    return found


def guessed(columns: Sequence[str], given: Mapping[str, str], recipe: str) -> dict[str, str] | None:
    """Canonical field -> source column, as given and else by the recipe; None where one lacks.

    Columns that are numbered from 1 (summary1, summary2) stand together for one field where it is
    a list: "summary1+summary2". Any other field takes the first of them. Where no column holds all
    options, those of one option each (A, B; option1, option2; ending0, ending1) do together, and
    none of them is the answer. Options with the right one told are no references of a conversation.
    None of several columns is the title: a text has one.
    """
    fields = [field for field in KINDS[recipe].fields if given.get(field) != ""]
    given = {field: column for field, column in given.items() if column}
    renamed = {part: f for f, column in given.items() for part in _parts(f, column, columns)[:1]}
    numbered = _without(_numbered(columns), sources(given, columns))
    names = [*(renamed.get(column, column) for column in columns), *numbered]
    told = recipes.get(recipe).guess(names)
    each = _option_columns(columns) if "options" in fields else []
    if each and "options" not in (told or {}):
        numbered = _without(numbered, each)
        left = [renamed.get(column, column) for column in columns if column not in each]
        told = recipes.get(recipe).guess([*left, *numbered, "options"])
        numbered["options"] = each
    if told is None:
        return None
    found = dict(given)
    for field, column in told.items():
        run = [] if column in columns or field == "title" else numbered.get(column, [])
        whole = JOIN.join(run if field in JOINED else run[:1]) or column
        there = all(part in columns for part in _parts(field, whole, columns))
        if there and field not in given and whole not in given.values():
            found[field] = whole
    flag = [c for c in columns if bare(c) == "isimpossible"]
    if flag and "is_impossible" in fields and "is_impossible" not in found:
        found["is_impossible"] = flag[0]
    if "messages" in fields and _chosen(columns, found, given):
        return None
    return {field: found[field] for field in fields if field in found}


def _chosen(columns: Sequence[str], found: Mapping[str, str], given: Mapping[str, str]) -> bool:
    """Whether the references of a conversation are options, or say which of them is right."""
    if "messages" in found or "references" in given or "references" not in found:
        return False
    choice = guessed(columns, {}, "choice") or {}
    asked = {field: choice[field] for field in ("options", "answer") if "options" in choice}
    right = {"references": found["references"]}
    return not set(sources(asked, columns)).isdisjoint(sources(right, columns))


def _numbered(columns: Sequence[str]) -> dict[str, list[str]]:
    """Name without its number -> columns of that name that are numbered from 1."""
    found: dict[str, list[str]] = {}
    for stem in (column[:-1] for column in columns if column.endswith("1")):
        run = [f"{stem}{n}" for n in range(1, 100) if f"{stem}{n}" in columns]
        name = stem.rstrip("_- ")
        if name and name not in columns and len(run) > 1:
            found[name] = run
    return found


def _without(numbered: Mapping[str, list[str]], taken: Sequence[str]) -> dict[str, list[str]]:
    """Numbered columns none of which is taken."""
    return {name: run for name, run in numbered.items() if set(run).isdisjoint(taken)}


def _option_columns(columns: Sequence[str]) -> list[str]:
    """The longest run of columns that hold an option each; none where there are not two."""
    found = []
    for column in columns:
        stem, first = column[:-1], column[-1:]
        if first not in ("0", "1", "a", "A") or bare(stem) not in _OPTION:
            continue
        marks = map(str, count(int(first))) if first.isdigit() else _letters(first)
        found.append(list(takewhile(columns.__contains__, (f"{stem}{mark}" for mark in marks))))
    longest = max(found, key=len, default=[])
    return longest if len(longest) > 1 else []


def _letters(first: str) -> str:
    return ascii_uppercase if first == "A" else ascii_lowercase


def option_labels(columns: Sequence[str]) -> list[str]:
    """What an answer may call the options of columns that hold one each.

    >>> option_labels(["choice_a", "choice_b"]), option_labels(["ending0", "ending1"])
    (['A', 'B'], ['0', '1'])
    >>> option_labels(["right", "wrong"])
    ['right', 'wrong']
    """
    ends = [re.fullmatch(r"(.*?)([0-9]+|[A-Za-z])", column) for column in columns]
    stems = {end and end[1] for end in ends}
    labels = [end[2].upper() for end in ends if end]
    runs = [list(ascii_uppercase[: len(columns)])]
    runs += [[str(n + first) for n in range(len(columns))] for first in (0, 1)]
    return labels if len(stems) == 1 and labels in runs else list(columns)


def vague(column: str) -> bool:
    """Whether a guessed title's column may as well name a few kinds of rows: topics, sources.

    >>> vague("Topic"), vague("document_title")
    (True, False)
    """
    return bare(column) in ("group", "source", "topic", "subject", "category")


def _parts(field: str, column: str, columns: Sequence[str]) -> list[str]:
    """The columns that a field is made of: one, or several joined by a plus sign."""
    joined = field in JOINED and column not in columns and JOIN in column
    return column.split(JOIN) if joined else [column]


def sources(mapping: Mapping[str, str], columns: Sequence[str]) -> list[str]:
    """All columns that a mapping reads."""
    found = (part for field, column in mapping.items() for part in _parts(field, column, columns))
    return list(dict.fromkeys(found))


def unread(mapping: Mapping[str, str], columns: Sequence[str]) -> list[str]:
    """The columns that a mapping does not read, in their order.

    >>> unread({"text": "sentence", "label": "label"}, ["question", "sentence", "label"])
    ['question']
    """
    read = sources(mapping, columns)
    return [column for column in columns if column not in read]


def _lacking(columns: Sequence[str], given: Mapping[str, str], recipe: str) -> list[str]:
    """The needed fields that neither a person nor the names of the columns tell."""
    needed = [field for field in _needed(recipe) if field not in given]
    others = {field: [one for one in needed if one not in (field, *columns)] for field in needed}
    found = [f for f in needed if guessed([*columns, *others[f]], given, recipe) is None]
    return found or _needed(recipe)


def _needed(recipe: str) -> list[str]:
    """The fields that every source of this recipe holds."""
    kind = KINDS[recipe]
    targets = ("answers", "answer", "label", "labels", "references", "tags", "value")
    return [*kind.needed, next(field for field in targets if field in kind.fields)]


def fields_of(
    values: Mapping[str, Any],
    mapping: Mapping[str, str],
    separator: str | None = None,
    *,
    cells: bool = False,
) -> dict[str, Any]:
    """The values of a row under canonical names; a column the row lacks is left out.

    Args:
        values: by source column.
        mapping: canonical field -> source column.
        separator: splits a text of LISTS that is not the JSON of a list.
        cells: the values are cells of a table of texts, in which a list can only be JSON.
    """
    found = {field: values[column] for field, column in mapping.items() if column in values}
    if cells and "references" in found:
        found["references"] = references.of_cell(found["references"])
    for field in (f for f in JOINED if f in mapping and f not in found):
        parts = _parts(field, mapping[field], list(values))
        each = [None if values.get(part) == "" else values.get(part) for part in parts]
        if field != "options":
            found[field] = [part for part in each if part is not None]
        elif len(parts) > 1:
            found[field] = dict(zip(option_labels(parts), each, strict=True))
    for field in LISTS:
        text = found.get(field)
        if separator and isinstance(text, str) and text and not text.lstrip().startswith("["):
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
