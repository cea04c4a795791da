"""A text with tagged spans: the shapes in which it comes.

>>> read({"tokens": ["in", "New", "York"], "tags": ["O", "B-city", "I-city"]}, 100)[0]
{'text': 'in New York', 'starts': [3], 'ends': [11], 'tags': ['city']}
>>> read({"text": "in Oslo", "spans": [{"start": 3, "end": 7, "label": "city"}]}, 100)[0]["tags"]
['city']

Either a tag for each token, as BIO, BIOES or BILOU (Ramshaw and Marcus 1995; Ratinov and Roth
2009), or spans of characters: `spans`, or `starts`, `ends` and `tags`. Tokens without a text are
joined by spaces; with one they are looked for in it, one after the other. A span that comes with
its own `text` must stand there as it is.

A sequence of tags must be whole: I- follows B- or I- of the same tag. The older IOB1, in which I-
also begins a span, cannot be told from a fault and is quarantined.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from onward.episodes import labels
from onward.episodes.values import Fault, opened, readable, sound, text, whole

OUTSIDE = "O"
TAG = re.compile(r"(?:O|[BIESLU]-\S+)")
"""One token's tag."""

_BEGINS, _GOES_ON, _ENDS = "BSU", "IEL", "SUEL"
_START = ("start", "start_offset", "begin", "from")
_END = ("end", "end_offset", "stop", "to")
_NAME = ("tag", "label", "type", "entity", "entity_group")

Span = tuple[int, int, str]


def read(fields: Mapping[str, Any], most: int) -> tuple[dict[str, Any], str]:
    """text, starts, ends, tags (spans of characters, ascending, not overlapping), and the repair.

    Args:
        fields: canonical field -> value as it came.
        most: characters that a text may have.

    Raises:
        Fault: tags that are no sequence, spans that overlap or lie outside the text, or no tags.
    """
    tokens = opened(fields.get("tokens"))
    if tokens is None:
        body = text(fields, "text", most)
        found = _spans(fields, body)
    else:
        body, found = _of_tokens(tokens, fields, most)
    ordered = _checked(sorted(found), body, most)
    tags = [labels.tidied(tag) for _, _, tag in ordered]
    return {
        "text": body,
        "starts": [start for start, _, _ in ordered],
        "ends": [end for _, end, _ in ordered],
        "tags": [tag for tag, _ in tags],
    }, next((kind for _, kind in tags if kind), "")


def _of_tokens(value: Any, fields: Mapping[str, Any], most: int) -> tuple[str, list[Span]]:
    tokens = [sound(token, "token", most) for token in _listed(value, "tokens")]
    if not tokens or any(not token.strip() for token in tokens):
        raise Fault("blank", "a token holds nothing")
    if fields.get("text") is None:
        body = readable(" ".join(tokens), "text", most)
    else:
        body = text(fields, "text", most)
    tags = _listed(opened(fields.get("tags")), "tags")
    if len(tags) != len(tokens):
        raise Fault("uneven-tags", f"{len(tokens)} tokens and {len(tags)} tags")
    return body, _joined(places_of(tokens, body), tags)


def numbered(fields: Mapping[str, Any]) -> bool:
    """Whether the tags of tokens are numbers, whose names only whoever made them knows."""
    tags = opened(fields.get("tags"))
    tags = tags.split() if isinstance(tags, str) else tags
    known = isinstance(tags, list | tuple) and len(tags) > 0 and fields.get("tokens") is not None
    return known and all(str(tag).removeprefix("-").isdecimal() for tag in tags)


def places_of(tokens: Sequence[str], body: str) -> list[tuple[int, int]]:
    """Where each token stands in the text, looked for from the end of the one before."""
    at, found = 0, []
    for token in tokens:
        at = body.find(token, at)
        if at < 0:
            raise Fault("uneven-tags", f"the token {token[:60]!r} does not stand in the text")
        found.append((at, at + len(token)))
        at += len(token)
    return found


def _joined(places: Sequence[tuple[int, int]], tags: Sequence[Any]) -> list[Span]:
    """Spans from a tag for each token. Raises Fault where they are no sequence."""
    found: list[Span] = []
    going = ""
    for number, ((start, end), given) in enumerate(zip(places, tags, strict=True), 1):
        if not isinstance(given, str) or not TAG.fullmatch(given):
            raise Fault("bad-tags", f"tag {number} is {str(given)[:40]!r}, not O, B-NAME or I-NAME")
        scheme, _, name = given.partition("-")
        if given != OUTSIDE and scheme in _GOES_ON and going != name:
            raise Fault("bad-tags", f"tag {number}, {given[:40]}, goes on with nothing begun")
        if given != OUTSIDE and scheme in _BEGINS:
            found.append((start, end, name))
        elif given != OUTSIDE:
            found[-1] = (found[-1][0], end, name)
        going = "" if given == OUTSIDE or scheme in _ENDS else name
    return found


def _spans(fields: Mapping[str, Any], body: str) -> list[Span]:
    """The spans that came as characters."""
    if fields.get("spans") is not None:
        return [_standing(item, body) for item in _listed(opened(fields["spans"]), "spans")]
    columns = [_listed(opened(fields.get(name)), name) for name in ("starts", "ends", "tags")]
    if len({len(column) for column in columns}) > 1:
        told = ", ".join(
            f"{len(c)} {n}" for c, n in zip(columns, ("starts", "ends", "tags"), strict=True)
        )
        raise Fault("uneven-tags", told)
    return [_span(item) for item in zip(*columns, strict=True)]


def _standing(item: Any, body: str) -> Span:
    """A span that stands where it says. Raises Fault: its offsets count bytes, or are off."""
    start, end, tag = _span(item)
    said = item.get("text") if isinstance(item, Mapping) else None
    if isinstance(said, str) and body[start:end] != said:
        there = f"from {start} to {end} stands {body[start:end][:60]!r}"
        raise Fault("bad-span", f"{there}, not {said[:60]!r}: places count characters")
    return start, end, tag


def _span(item: Any) -> Span:
    if isinstance(item, Mapping):
        item = [
            next((item[name] for name in names if name in item), None)
            for names in (_START, _END, _NAME)
        ]
    if not isinstance(item, list | tuple) or len(item) != 3:
        raise Fault("wrong-type", "a span is start, end and tag")
    try:
        start, end, tag = whole(item[0]), whole(item[1]), item[2]
    except ValueError as error:
        raise Fault("wrong-type", f"a span's start or end {error}") from None
    if start is None or end is None:
        raise Fault("wrong-type", "a span's start and end are whole numbers")
    if not isinstance(tag, str):
        raise Fault("wrong-type", "a span's tag is text")
    return start, end, tag


def _checked(spans: list[Span], body: str, most: int) -> list[Span]:
    """Spans as they must lie. Raises Fault."""
    before = 0
    for start, end, tag in spans:
        readable(tag, "tag", most)
        if not 0 <= start < end <= len(body):
            raise Fault("bad-span", f"{start} to {end} is no part of {len(body):,} characters")
        if start < before:
            raise Fault("bad-span", f"the span from {start} to {end} overlaps the one before")
        if not body[start:end].strip():
            raise Fault("bad-span", f"the span from {start} to {end} holds nothing to read")
        before = end
    return spans


def _listed(value: Any, name: str) -> list[Any]:
    if value is None:
        raise Fault("missing-field", f"{name} is missing")
    if isinstance(value, str):
        value = value.split()
    if not isinstance(value, list | tuple):
        raise Fault("wrong-type", f"{name} is {type(value).__name__}, not a list")
    return list(value)
