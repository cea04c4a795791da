"""A sentence with two marked entities and the relation between them.

>>> sentence = "The <e1>child</e1> was wrapped into the <e2>cradle</e2>."
>>> found, _ = read({"text": sentence, "label": "Entity-Destination(e1,e2)"}, 100)
>>> found["text"], found["head_start"], found["head_end"]
('The child was wrapped into the cradle.', 4, 9)

Either the markers <e1>, </e1>, <e2>, </e2> stand in the text, each once, or four columns say where
head and tail are, in characters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onward.episodes import labels
from onward.episodes.values import Fault, readable, text, whole
from onward.recipes import entity_marks

PLACES = ("head_start", "head_end", "tail_start", "tail_end")


def read(fields: Mapping[str, Any], most: int) -> tuple[dict[str, Any], str]:
    """text without markers, the places of head (e1) and tail (e2), label; and the repair.

    Args:
        fields: canonical field -> value as it came.
        most: characters that a text may have.

    Raises:
        Fault: a marker is missing or stands twice, or an entity is empty, crosses the other or
            lies outside the text.
    """
    label, repair = labels.one(fields, most)
    body = text(fields, "text", most)
    if all(fields.get(name) is None for name in PLACES):
        body, places = _unmarked(body)
        readable(body, "text", most)
    elif entity_marks.has_marks(body):
        raise Fault("markers-unclear", "both marks and columns tell the entities")
    else:
        places = [_whole(fields.get(name), name) for name in PLACES]
    _check(body, places)
    return {"text": body, **dict(zip(PLACES, places, strict=True)), "label": label}, repair


def _unmarked(body: str) -> tuple[str, list[int]]:
    try:
        plain, (head, tail) = entity_marks.unmarked(body)
    except ValueError as error:
        raise Fault("markers-unclear", str(error)) from None
    return plain, [*head, *tail]


def _whole(value: Any, name: str) -> int:
    try:
        found = whole(value)
    except ValueError as error:
        raise Fault("wrong-type", f"{name}: {error}") from None
    if found is None:
        raise Fault("missing-field", f"{name} is missing")
    return found


def _check(body: str, places: list[int]) -> None:
    head, tail = places[:2], places[2:]
    for name, (start, end) in (("head", head), ("tail", tail)):
        if not 0 <= start < end <= len(body) or not body[start:end].strip():
            raise Fault("bad-span", f"the {name} from {start} to {end} holds nothing of the text")
    if head[0] < tail[1] and tail[0] < head[1]:
        raise Fault("bad-span", "head and tail overlap")
