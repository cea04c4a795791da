"""Single values of an incoming row, of any recipe: texts, ids, titles.

>>> text({"text": " \u200b"}, "text", 100)
Traceback (most recent call last):
onward.episodes.values.Fault: text holds nothing to read
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onward.episodes.incoming import Unreadable, loads
from onward.episodes.rows import is_blank


class Fault(Exception):
    """Why a row cannot be taken: one of checks.REASONS, and a detail."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


def text(fields: Mapping[str, Any], name: str, max_chars: int) -> str:
    """The text of a field that every row has. Raises Fault where there is none to read."""
    value = fields.get(name)
    if value is None:
        raise Fault("missing-field", f"{name} is missing")
    return readable(value, name, max_chars)


def readable(value: Any, name: str, max_chars: int) -> str:
    """A text that says something. Raises Fault."""
    found = sound(value, name, max_chars)
    if is_blank(found):
        raise Fault("blank", f"{name} holds nothing to read")
    return found


def sound(value: Any, name: str, max_chars: int) -> str:
    """A text that can be stored and is not too long. Raises Fault."""
    if not isinstance(value, str):
        raise Fault("wrong-type", f"{name} is {type(value).__name__}, not text")
    if "\0" in value:
        raise Fault("nul-character", f"{name} holds U+0000 at {value.index(chr(0))}")
    if len(value) > max_chars:
        raise Fault("field-too-long", f"{name} has {len(value):,} characters of {max_chars:,}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise Fault("lone-surrogate", f"{name} at {error.start}") from None
    return value


def identity(value: Any, max_chars: int) -> str | None:
    """An id, also one that came as a whole number; None where there is none. Raises Fault."""
    found = given_id(value)
    return None if found is None else sound(found, "id", max_chars)


def given_id(value: Any) -> Any:
    """An id as text; None where there is none, and as it came where it can be no id."""
    if isinstance(value, float) and (value != value or value.is_integer()):
        # So a table has them as soon as one row of it has none.
        value = None if value != value else int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return None if isinstance(value, str) and is_blank(value) else value


def whole(value: Any) -> int | None:
    """A whole number, also one that came as text or as a float; None where there is none.

    Raises:
        ValueError: it is something else.
    """
    if value is None or value == "" or (isinstance(value, float) and value != value):
        return None
    try:
        if isinstance(value, bool) or len(str(value)) > 20 or float(value) != int(float(value)):
            raise ValueError
        return int(float(value))
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{str(value)[:40]!r} is not a whole number") from None


def optional(fields: Mapping[str, Any], name: str, max_chars: int) -> str | None:
    """A text that may be missing; a blank one is. Raises Fault."""
    value = fields.get(name)
    if value is None:
        return None
    found = sound(value, name, max_chars)
    return None if is_blank(found) else found


def opened(value: Any) -> Any:
    """The list or object that a text is the JSON of; everything else as it is."""
    if not isinstance(value, str) or value.lstrip()[:1] not in ("[", "{"):
        return value
    try:
        return loads(value)
    except Unreadable:
        return value
