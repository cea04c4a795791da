"""One row as it came, before it is checked; and JSON read strictly.

>>> loads('{"a": 1, "a": 2}')
Traceback (most recent call last):
onward.episodes.incoming.Unreadable: the key 'a' stands twice
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

DEPTH = 32
"""Levels of nesting that a row may have."""


class Unreadable(ValueError):
    """Text is not the strict JSON that a row must be; `reason` is one of checks.REASONS."""

    def __init__(self, detail: str, reason: str = "malformed") -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True)
class Incoming:
    """One incoming row.

    `line` is the line (CSV, TSV, JSONL) or the number of the row (SQuAD, Parquet), from 1.
    `values` are by source column; None where the row could not be read: then `reason` and
    `detail` say why, and `text` shows it.
    """

    line: int
    values: dict[str, Any] | None
    reason: str = ""
    detail: str = ""
    text: str = ""


def loads(text: str) -> Any:
    """Strict JSON: no NaN, no doubled keys, no number beyond a double, no deep nesting.

    Raises:
        Unreadable: what is wrong, in words.
    """
    try:
        value = json.loads(
            text, parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=_once
        )
    except RecursionError:
        raise Unreadable(f"nested deeper than {DEPTH} levels") from None
    except Unreadable:
        raise
    except ValueError as error:
        raise Unreadable(str(error).split(";")[0][:200]) from None
    if text.count("[") + text.count("{") > DEPTH and too_deep(value):
        raise Unreadable(f"nested deeper than {DEPTH} levels")
    return value


def _no_constant(name: str) -> Any:
    raise Unreadable(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise Unreadable(f"the number {text[:20]} is too large")
    return number


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        double = next(key for key in keys if keys.count(key) > 1)
        raise Unreadable(f"the key {double[:40]!r} stands twice", "duplicate-keys")
    return found


def too_deep(value: Any) -> bool:
    """Whether lists and objects are nested more than DEPTH levels; never recurses."""
    level = [value]
    for _ in range(DEPTH + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, list | dict)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return bool(level)


def plain(value: Any) -> Any:
    """A value in a form that strict JSON can hold: for the file of quarantined rows."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return str(value)
