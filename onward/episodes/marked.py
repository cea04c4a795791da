"""A sentence with two marked entities and the relation between them.

>>> sentence = "The <e1>child</e1> was wrapped into the <e2>cradle</e2>."
>>> found, _ = read({"text": sentence, "label": "Entity-Destination(e1,e2)"}, 100)
>>> found["text"], found["head_start"], found["head_end"]
('The child was wrapped into the cradle.', 4, 9)

Either the markers <e1>, </e1>, <e2>, </e2> stand in the text, each once, or four columns say where
head and tail are: in characters, or in the tokens that came with them. Whether an entity of tokens
ends with the last of them (TACRED as published) or before the next (as others have it) no row can
say; all rows of a file can (`counting`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onward.episodes import labels, spanned
from onward.episodes.values import Fault, opened, readable, sound, text, whole
from onward.recipes import entity_marks, scripts

_ENTITIES = (("head_start", "head_end"), ("tail_start", "tail_end"))
PLACES = (*_ENTITIES[0], *_ENTITIES[1])


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
    fields = in_characters(fields, 1)
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


def in_characters(fields: Mapping[str, Any], last: int) -> Mapping[str, Any]:
    """The fields with a text, and places of its characters in place of those of tokens.

    Args:
        fields: canonical field -> value as it came; without tokens they are left as they are.
        last: 1 where an entity's end is its last token, 0 where it is the one after.

    Raises:
        Fault: a token is no text, or a place is none of the tokens'.
    """
    tokens = _tokens(fields)
    if tokens is None:
        return fields
    body = " ".join(tokens) if fields.get("text") is None else fields["text"]
    if not isinstance(body, str):
        raise Fault("wrong-type", f"text is {type(body).__name__}, not text")
    stand = spanned.places_of(tokens, body)
    found: dict[str, Any] = {}
    for start, end in _ENTITIES:
        first, final = (_whole(fields.get(name), name) for name in (start, end))
        final += last - 1
        if not 0 <= first <= final < len(tokens):
            raise Fault("bad-span", f"{start} {first} to {final} are none of {len(tokens)} tokens")
        found |= {start: stand[first][0], end: stand[final][1]}
    kept = {name: value for name, value in fields.items() if name != "tokens"}
    return {**kept, "text": body, **found}


def ends(fields: Mapping[str, Any]) -> tuple[bool, bool] | None:
    """Whether both entities can end before the token that is named, and with it.

    None where places do not count tokens, or are none.
    """
    try:
        tokens = _tokens(fields)
        if tokens is None:
            return None
        (a, b), (c, d) = [[_whole(fields.get(name), name) for name in pair] for pair in _ENTITIES]
    except Fault:
        return None
    apart = [b + last <= c or d + last <= a for last in (0, 1)]
    inside = [max(b, d) - 1 + last < len(tokens) for last in (0, 1)]
    before = [a < b + last and c < d + last for last in (0, 1)]
    after, within = (all(told) for told in zip(apart, inside, before, strict=True))
    return after, within


def breaks_words(fields: Mapping[str, Any]) -> bool | None:
    """Whether head or tail begins within a word of the text; None where no places are told."""
    body = fields.get("text")
    try:
        starts = [_whole(fields.get(name), name) for name, _ in _ENTITIES]
    except Fault:
        return None
    if not isinstance(body, str) or fields.get("tokens") is not None:
        return None
    around = [body[at - 1 : at + 1] for at in starts if 0 < at < len(body)]
    return any(two.isalnum() and not scripts.some(two) for two in around)


def _tokens(fields: Mapping[str, Any]) -> list[str] | None:
    """The tokens that places count; None where there are none. Raises Fault."""
    found = opened(fields.get("tokens"))
    if found is None or all(fields.get(name) is None for name in PLACES):
        return None
    if not isinstance(found, list | tuple):
        raise Fault("wrong-type", f"tokens is {type(found).__name__}, not a list")
    if not found or any(isinstance(token, str) and not token.strip() for token in found):
        raise Fault("blank", "a token holds nothing")
    return [sound(token, "token", len(str(token))) for token in found]


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
