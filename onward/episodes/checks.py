"""One incoming row: accepted, repaired, or quarantined with a reason.

What is decided here, row by row:

- Shapes of an answer to a question. It may be a text, a list of texts, a list of
  {text, answer_start}, or the dict {text: [...], answer_start: [...]}; in CSV also the JSON of
  these. Offsets may be missing.
- No answer. An explicit empty list, or `is_impossible` that is true, is a question without an
  answer. A blank answer, a missing one, or SQuAD's empty list without `is_impossible`, is not:
  it is quarantined.
- Offsets. They count characters (code points). One that does not fit is repaired only where the
  text stands exactly once in the context, or where the number is the offset of the text in UTF-8
  bytes or UTF-16 units, both readings that fit agreeing. A missing offset is searched likewise.
- Labels and tags. Space around one is cut and its Unicode form composed, so that none is there
  twice; case is kept. Several labels come as a list, as the JSON of one, or split by a stated
  separator; a row without labels says so with an empty list.
- Numbers are finite; a decimal comma is not read.
- Tags of tokens become spans of characters; markers of entities become places (`spanned`,
  `marked`). A conversation becomes a row an answer (`exchanges`).
- Options are at least two and all different; the answer is one of them (`options`).
- Ids. A missing one is derived from what is asked, so a correction finds it again.
- Text is kept as it came, "null" and "NaN" included. Only spaces, punctuation, controls and
  characters that do not show count as empty. An empty title is no title.

>>> fields = {"question": "Who?", "context": "Ana did.", "answers": "Ana"}
>>> checked = check(fields, 1_000, KINDS["extractive"])
>>> checked.row["starts"], checked.repair
([0], 'offset-found')

What compares rows with one another (duplicates, conflicts, sides) is in `sieve` and `split`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onward import files
from onward.episodes.kinds import KINDS, Kind
from onward.episodes.values import Fault, given_id, identity, optional
from onward.recipes.shapes import Row

REASONS = {
    "invalid-encoding": "its bytes are not valid UTF-8 or UTF-16",
    "line-too-long": "its line is longer than 16 times episode.max_field_chars bytes",
    "malformed": "it is not strict JSON, or not a record with as many columns as the header",
    "duplicate-keys": "a key stands twice in one object",
    "missing-field": "a text or label that every row has is missing or null",
    "wrong-type": "a value is of another type than its column's",
    "lone-surrogate": "a text holds half of a UTF-16 pair",
    "nul-character": "a text holds U+0000",
    "field-too-long": "a text is longer than episode.max_field_chars",
    "blank": "a text holds nothing to read",
    "answer-missing": "it has no answer or labels, and does not say so (is_impossible, or [])",
    "contradictory": "it says is_impossible and has an answer",
    "uneven-answers": "it has more or fewer offsets than answers",
    "answer-not-in-context": "an answer does not stand in the context",
    "answer-ambiguous": "an answer stands in the context more than once, and no offset tells which",
    "too-few-options": "it has fewer than two options",
    "equal-options": "two of its options are the same",
    "answer-not-an-option": "its answer is none of its options",
    "answer-two-options": "its answer may be two of its options: one by its text, one by its place",
    "uneven-tags": "its tags are not as many as its tokens, starts or ends; or a token is missing",
    "bad-tags": "its tags are no sequence: other than O, B-NAME and I-NAME, or I- without its B-",
    "bad-span": "a span lies outside the text, holds nothing or other text, or overlaps another",
    "markers-unclear": "<e1>, </e1>, <e2>, </e2> do not each stand once and in order in its text",
    "turns-unclear": "nothing tells who asks and who answers: roles do not alternate, or are odd",
    "not-a-number": "its value is not a finite number",
    "duplicate": "another row has the same texts and the same answers, label or value",
    "same-id": "another row has the same id and other content",
    "conflicting-answers": "another row has the same texts and other answers, label or value",
    "straddles": "its title and its text belong to different sides, train and held-out",
    "near-duplicate": "its text nearly repeats one that was learned or is held out elsewhere",
}
"""Every reason a row can be quarantined for."""

REPAIRS = {
    "offset-found": "no offset was given; the answer stands in the context exactly once",
    "offset-moved": "the offset was wrong; the answer stands in the context exactly once",
    "offset-bytes": "the offset counted UTF-8 bytes",
    "offset-utf16": "the offset counted UTF-16 units",
    "option-tidied": "space around an option was cut, or its Unicode form composed",
    "label-tidied": "space around a label was cut, or its Unicode form composed",
}
"""Every kind of repair."""


__all__ = ["KINDS", "REASONS", "REPAIRS", "Checked", "check"]


@dataclass(frozen=True)
class Checked:
    """A canonical row, or the reason there is none. `given_id`: the id came with the row."""

    row: Row | None
    reason: str = ""
    detail: str = ""
    repair: str = ""
    given_id: bool = True


def check(fields: Mapping[str, Any], max_chars: int, kind: Kind) -> Checked:
    """Judge one row by itself.

    Args:
        fields: canonical field -> value as it came; absent fields may be missing.
        max_chars: the longest text that is taken, in characters.
        kind: the recipe's rows.
    """
    try:
        columns, repair = kind.read(fields, max_chars)
        given = identity(fields.get("id"), max_chars)
        # A topic's number is as good a title as its name.
        title = optional({"title": given_id(fields.get("title"))}, "title", max_chars)
    except Fault as fault:
        return Checked(None, fault.reason, fault.detail)
    derived = {name: columns[name] for name in kind.asked}
    row = {"id": given or files.digest(derived)[:32], "title": title, **columns}
    return Checked(row, repair=repair, given_id=given is not None)
