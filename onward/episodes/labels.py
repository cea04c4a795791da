"""The right answer of a row that is not extractive: a label, several, or a number.

>>> one({"label": " spam "}, 100), several({"labels": '["a", "b"]'}, 100), number({"value": "1.5"})
(('spam', 'label-tidied'), (['a', 'b'], ''), 1.5)
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from onward.episodes.incoming import Unreadable, loads
from onward.episodes.values import Fault, opened, readable

_MARKS = frozenset(("0", "1", "0.0", "1.0", "False", "True"))
"""What says of a label whether a row has it, as text."""

_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)


def one(fields: Mapping[str, Any], max_chars: int) -> tuple[str, str]:
    """The label, and the kind of repair ("" for none).

    A whole number or a truth value is a label by its name.

    Raises:
        Fault: it is missing, blank, or of another type.
    """
    value = fields.get("label")
    if value is None:
        raise Fault("missing-field", "label is missing")
    return _label(value, max_chars)


def several(fields: Mapping[str, Any], max_chars: int) -> tuple[list[str], str]:
    """The labels, each once, and the kind of the first repair; an explicit empty list is none.

    Raises:
        Fault: there is no list, a label is missing, blank, or of another type, or a number stands
            there twice: it then says something of each label, and is no label's name.
    """
    value = fields.get("labels")
    if value is None or value == "":
        raise Fault("answer-missing", "mark a row without labels by an empty list: []")
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = loads(value)
        except Unreadable as error:
            raise Fault(error.reason, f"labels: {error}") from None
    if not isinstance(value, list | tuple):
        raise Fault("wrong-type", "labels is not a list; a separator splits a text (--separator)")
    if any(item is None for item in value):
        raise Fault("missing-field", "a label is null")
    numbers = [item for item in value if isinstance(item, int | float)]
    if len(set(numbers)) < len(numbers):
        raise Fault("wrong-type", "labels holds a number twice; write the labels' names or places")
    tidied = [_label(item, max_chars) for item in value]
    repair = next((kind for _, kind in tidied if kind), "")
    return list(dict.fromkeys(label for label, _ in tidied)), repair


def multi_hot(rows: Iterable[Mapping[str, Any]]) -> int:
    """How many labels each row says 0 or 1 for, instead of naming its own; 0 where they do not.

    Rows without labels say nothing of it.

    >>> multi_hot([{"labels": [0.0, 1.0, 0.0]}, {"labels": "[1, 1, 0]"}])
    3
    >>> multi_hot([{"labels": [0, 1]}, {"labels": [1]}])
    0
    """
    told = [opened(fields.get("labels")) for fields in rows]
    lists = [value for value in told if value is not None and value != ""]
    sizes = {len(value) if isinstance(value, list | tuple) else 0 for value in lists}
    if len(lists) < 2 or len(sizes) > 1 or min(sizes) < 2:
        return 0
    marks = {str(item).strip() for value in lists for item in value}
    return min(sizes) if marks <= _MARKS else 0


def _label(value: Any, max_chars: int) -> tuple[str, str]:
    if isinstance(value, bool):
        value = str(value).lower()
    elif isinstance(value, int):
        value = str(value)
    elif isinstance(value, float):
        if not value.is_integer():
            raise Fault(
                "wrong-type",
                f"the label is the number {value:g}; numbers to be told are for a project of the "
                "recipe regression",
            )
        value = str(int(value))
    elif isinstance(value, list | tuple):
        raise Fault(
            "wrong-type",
            "the label is a list; rows with several labels are for a project of the recipe "
            "multilabel",
        )
    return tidied(readable(value, "label", max_chars))


def tidied(name: str) -> tuple[str, str]:
    """A label's name without space around it and in one Unicode form, and the kind of repair.

    >>> tidied(" spam")
    ('spam', 'label-tidied')
    """
    tidy = unicodedata.normalize("NFC", name.strip())
    return tidy, "" if tidy == name else "label-tidied"


def number(fields: Mapping[str, Any]) -> float:
    """The value, finite, also where it came as text.

    Raises:
        Fault: it is missing, or not a finite number.
    """
    value = fields.get("value")
    if value is None or value == "":
        raise Fault("missing-field", "value is missing")
    plain = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    written = isinstance(value, str) and _NUMBER.fullmatch(value.strip())
    if not (plain or written):
        raise Fault("not-a-number", f"value is {str(value)[:40]!r}")
    try:
        found = float(value)
    except (OverflowError, ValueError):
        found = math.inf
    if not math.isfinite(found):
        raise Fault("not-a-number", f"value is {str(value)[:40]!r}, which is not finite")
    return found + 0.0  # -0.0 and 0.0 are one value
