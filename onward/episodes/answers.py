"""The answers of one row: their many shapes, and their places in the context.

>>> golds({"answers": {"text": ["Ana"], "answer_start": [0]}}, "Ana did.")
[('Ana', 0)]
>>> place("Ana", 7, "Ana did.")
(Gold(text='Ana', start=0), 'offset-moved')
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any, NamedTuple

from onward.episodes.incoming import Unreadable, loads
from onward.episodes.values import Fault, opened, readable, whole

_YES, _NO = ("true", "1", "yes"), ("false", "0", "no", "")


class Gold(NamedTuple):
    """An answer and its offset in the context, in characters."""

    text: str
    start: int


def targets(fields: Mapping[str, Any], context: str, max_chars: int) -> tuple[list[Gold], str]:
    """The answers at their places, and the kind of the first repair ("" for none).

    Raises:
        Fault: there is none and nothing says so, or one cannot be placed.
    """
    placed, repair = [], ""
    for text, start in golds(fields, context):
        gold, kind = place(readable(text, "answer", max_chars), start, context)
        placed.append(gold)
        repair = repair or kind
    return placed, repair


def golds(fields: Mapping[str, Any], context: str) -> list[tuple[Any, int | None]]:
    """Each answer as it came, with its offset where one was given. Empty: no answer.

    Raises:
        Fault: there is none and nothing says so, or the shapes do not fit.
    """
    answers = _opened(fields.get("answers"), context)
    starts = opened(fields.get("starts"))
    texts, inner = _split(answers)
    offsets = inner if inner is not None else _list(starts)
    impossible = _flag(fields.get("is_impossible"))
    if impossible and all(text is None or text == "" for text in texts):
        return []
    if impossible:
        raise Fault("contradictory", "is_impossible is true, and there is an answer")
    if not texts and isinstance(answers, list | dict) and impossible is None:
        return []
    if not texts or all(text is None or text == "" for text in texts):
        raise Fault("answer-missing", "mark a question without an answer by is_impossible: true")
    if not offsets:
        return [(text, None) for text in texts]
    if len(offsets) != len(texts):
        raise Fault("uneven-answers", f"{len(texts)} answers and {len(offsets)} offsets")
    return [(text, _offset(start)) for text, start in zip(texts, offsets, strict=True)]


def _opened(value: Any, context: str) -> Any:
    """The list or object that a text is the JSON of, where it is not itself in the context."""
    if not isinstance(value, str) or value[:1] not in ("[", "{") or value in context:
        return value
    try:
        return loads(value)
    except Unreadable:
        return value


def _split(answers: Any) -> tuple[list[Any], list[Any] | None]:
    """Texts, and the offsets that came with them."""
    if isinstance(answers, dict):
        if "text" not in answers:
            raise Fault("wrong-type", "answers is an object without `text`")
        return _list(answers["text"]), _list(answers.get("answer_start"))
    if isinstance(answers, list) and answers and all(isinstance(a, dict) for a in answers):
        starts = [a.get("answer_start") for a in answers]
        return [a.get("text") for a in answers], starts
    return _list(answers), None


def _list(value: Any) -> list[Any]:
    if value is None or value == "":
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _flag(value: Any) -> bool | None:
    if isinstance(value, float) and (value != value or value.is_integer()):
        # So a table has them as soon as one row of it has none.
        value = None if value != value else int(value)
    if value is None or isinstance(value, bool):
        return value
    word = str(value).strip().casefold()
    if word not in _YES + _NO:
        raise Fault("wrong-type", f"is_impossible is {str(value)[:40]!r}, not true or false")
    return None if word == "" else word in _YES


def _offset(value: Any) -> int | None:
    try:
        return whole(value)
    except ValueError as error:
        raise Fault("wrong-type", f"the offset {error}") from None


def place(text: str, start: int | None, context: str) -> tuple[Gold, str]:
    """The answer at its place, and the kind of repair that took ("" for none).

    Raises:
        Fault: the text is not in the context, or nothing tells which occurrence is meant.
    """
    if start is not None and start >= 0 and context.startswith(text, start):
        return Gold(text, start), ""
    first = context.find(text)
    if first < 0:
        raise Fault("answer-not-in-context", _hint(text, context))
    readings = {} if start is None else _readings(text, start, context)
    if context.find(text, first + 1) < 0:
        kind = "offset-found" if start is None else readings.get(first, "offset-moved")
        return Gold(text, first), kind
    if len(readings) == 1:
        return Gold(text, *readings), next(iter(readings.values()))
    given = "no offset" if start is None else f"offset {start} does not fit"
    raise Fault("answer-ambiguous", f"{text[:60]!r} stands there more than once; {given}")


def _readings(text: str, start: int, context: str) -> dict[int, str]:
    """Offset in characters -> kind, of the readings in other units that point at the text."""
    found: dict[int, str] = {}
    for kind, encoding, width in (
        ("offset-bytes", "utf-8", 1),
        ("offset-utf16", "utf-16-le", 2),
    ):
        data = context.encode(encoding)
        if not 0 <= start * width <= len(data):
            continue
        try:
            at = len(data[: start * width].decode(encoding))
        except UnicodeDecodeError:
            continue  # in the middle of a character: not an offset in this unit
        if context.startswith(text, at):
            found.setdefault(at, kind)
    return found


def _hint(text: str, context: str) -> str:
    """What a person may look for."""
    shown = repr(text[:60])
    if unicodedata.normalize("NFC", text) in unicodedata.normalize("NFC", context):
        return f"{shown} stands there in another Unicode form (NFC and NFD)"
    if text.strip() in context:
        return f"{shown} stands there without the space around it"
    if text.casefold() in context.casefold():
        return f"{shown} stands there in other case"
    if _visible(text) in _visible(context):
        return f"{shown} stands there in another width, or with invisible characters"
    return f"{shown} does not stand there"


def _visible(text: str) -> str:
    """One width of every character, without those that only steer how others are shown."""
    kept = "".join(c for c in text if unicodedata.category(c) != "Cf")
    return unicodedata.normalize("NFKC", kept)
