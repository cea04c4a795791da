"""One incoming row: accepted, repaired, or quarantined with a reason.

What is decided here, row by row:

- Shapes. The answer may be a text, a list of texts, a list of {text, answer_start}, or the dict
  {text: [...], answer_start: [...]}; in CSV also the JSON of these. Offsets may be missing.
- No answer. An explicit empty list, or `is_impossible` that is true, is a question without an
  answer. A blank answer, a missing one, or SQuAD's empty list without `is_impossible`, is not:
  it is quarantined.
- Offsets. They count characters (code points). One that does not fit is repaired only where the
  text stands exactly once in the context, or where the number is the offset of the text in UTF-8
  bytes or UTF-16 units, both readings that fit agreeing. A missing offset is searched likewise.
- Ids. A missing one is derived from context and question, so a correction finds it again.
- Text is kept as it came, "null" and "NaN" included. Only spaces, punctuation, controls and
  characters that do not show count as empty. An empty title is no title.

>>> checked = check({"question": "Who?", "context": "Ana did.", "answers": "Ana"}, 1_000)
>>> checked.row["starts"], checked.repair
([0], 'offset-found')

What compares rows with one another (duplicates, conflicts, sides) is in `sieve` and `split`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onward import files
from onward.episodes.answers import Fault, Gold, golds, place
from onward.episodes.rows import is_blank
from onward.recipes.shapes import Row

REASONS = {
    "invalid-encoding": "its bytes are not valid UTF-8 or UTF-16",
    "line-too-long": "its line is longer than 16 times episode.max_field_chars bytes",
    "malformed": "it is not strict JSON, or not a record with as many columns as the header",
    "duplicate-keys": "a key stands twice in one object",
    "missing-field": "context or question is missing or null",
    "wrong-type": "a value is of another type than its column's",
    "lone-surrogate": "a text holds half of a UTF-16 pair",
    "nul-character": "a text holds U+0000",
    "field-too-long": "a text is longer than episode.max_field_chars",
    "blank": "a text holds nothing to read",
    "answer-missing": "it has no answer and does not say so with is_impossible",
    "contradictory": "it says is_impossible and has an answer",
    "uneven-answers": "it has more or fewer offsets than answers",
    "answer-not-in-context": "an answer does not stand in the context",
    "answer-ambiguous": "an answer stands in the context more than once, and no offset tells which",
    "duplicate": "the same question, context and answers stand in another row",
    "same-id": "another row has the same id and other content",
    "conflicting-answers": "another row has the same question and context and other answers",
    "straddles": "its title and its context belong to different sides, train and held-out",
}
"""Every reason a row can be quarantined for."""

REPAIRS = {
    "offset-found": "no offset was given; the answer stands in the context exactly once",
    "offset-moved": "the offset was wrong; the answer stands in the context exactly once",
    "offset-bytes": "the offset counted UTF-8 bytes",
    "offset-utf16": "the offset counted UTF-16 units",
}
"""Every kind of repair."""


@dataclass(frozen=True)
class Checked:
    """A canonical row, or the reason there is none. `given_id`: the id came with the row."""

    row: Row | None
    reason: str = ""
    detail: str = ""
    repair: str = ""
    given_id: bool = True


def check(fields: Mapping[str, Any], max_chars: int) -> Checked:
    """Judge one row by itself.

    Args:
        fields: canonical field -> value as it came; absent fields may be missing.
        max_chars: the longest text that is taken, in characters.
    """
    try:
        context = _text(fields, "context", max_chars)
        question = _text(fields, "question", max_chars)
        given = _id(fields.get("id"), max_chars)
        title = _title(fields.get("title"), max_chars)
        found, repair = _answers(fields, context, max_chars)
    except Fault as fault:
        return Checked(None, fault.reason, fault.detail)
    row = {
        "id": given or files.digest({"context": context, "question": question})[:32],
        "title": title,
        "context": context,
        "question": question,
        "answers": [gold.text for gold in found],
        "starts": [gold.start for gold in found],
    }
    return Checked(row, repair=repair, given_id=given is not None)


def _text(fields: Mapping[str, Any], name: str, max_chars: int) -> str:
    value = fields.get(name)
    if value is None:
        raise Fault("missing-field", f"{name} is missing")
    return _readable(value, name, max_chars)


def _readable(value: Any, name: str, max_chars: int) -> str:
    text = _sound(value, name, max_chars)
    if is_blank(text):
        raise Fault("blank", f"{name} holds nothing to read")
    return text


def _sound(value: Any, name: str, max_chars: int) -> str:
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


def _id(value: Any, max_chars: int) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if value is None or (isinstance(value, str) and is_blank(value)):
        return None
    return _sound(value, "id", max_chars)


def _title(value: Any, max_chars: int) -> str | None:
    if value is None:
        return None
    text = _sound(value, "title", max_chars)
    return None if is_blank(text) else text


def _answers(fields: Mapping[str, Any], context: str, most: int) -> tuple[list[Gold], str]:
    """The answers at their places, and the kind of the first repair."""
    found = golds(fields, context)
    placed, repair = [], ""
    for text, start in found:
        gold, kind = place(_readable(text, "answer", most), start, context)
        placed.append(gold)
        repair = repair or kind
    return placed, repair
