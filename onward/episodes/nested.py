"""A column `translation` that holds a text in each of two languages, as OPUS and WMT come.

>>> rows = [{"translation": {"de": "Hallo", "en": "Hello"}}]
>>> columns(["translation"], rows)
['translation.de', 'translation.en']
>>> apart(rows[0])
{'translation.de': 'Hallo', 'translation.en': 'Hello'}

Each language becomes a column of its own, in the order in which the first row has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from onward.recipes.translation import NESTED

COLUMN = NESTED.rstrip(".")


def columns(names: Sequence[str], rows: Iterable[Mapping[str, Any] | None]) -> list[str]:
    """The columns of a file, with one for each language where `translation` holds two.

    Args:
        names: the file's own columns.
        rows: its first rows; None where one cannot be read.
    """
    if COLUMN not in names:
        return list(names)
    found = [row[COLUMN] for row in rows if row and row.get(COLUMN) is not None]
    objects = [one for one in found if isinstance(one, Mapping) and _texts(one)]
    keys = list(objects[0]) if objects else []
    same = all(set(one) == set(keys) for one in objects)
    if len(keys) != 2 or not same or 2 * len(objects) < len(found):
        return list(names)
    at = list(names).index(COLUMN)
    return [*names[:at], *(NESTED + key for key in keys), *names[at + 1 :]]


def some(names: Sequence[str]) -> bool:
    """Whether any of these columns is a language's."""
    return any(name.startswith(NESTED) for name in names)


def named(given: Mapping[str, str] | None, names: Sequence[str]) -> dict[str, str] | None:
    """What a person said, with the column of a language that was given by its name alone.

    >>> named({"text": "en"}, ["translation.de", "translation.en"])
    {'text': 'translation.en'}
    """
    if given is None or not some(names):
        return None if given is None else dict(given)
    whole = {name: name for name in names} | {name.removeprefix(NESTED): name for name in names}
    return {field: whole.get(column, column) for field, column in given.items()}


def _texts(told: Mapping[str, Any]) -> bool:
    return all(isinstance(text, str | None) for text in told.values())


def apart(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a row, each language under its column's name."""
    whole = values.get(COLUMN)
    rest = {name: value for name, value in values.items() if name != COLUMN}
    told = whole.items() if isinstance(whole, Mapping) else ()
    return {**{NESTED + str(key): text for key, text in told}, **rest}


def sources(wanted: Sequence[str]) -> list[str]:
    """The file's own columns that hold these."""
    return list(dict.fromkeys(COLUMN if one.startswith(NESTED) else one for one in wanted))
