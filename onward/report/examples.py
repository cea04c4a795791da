"""Lost and won rows of the turn, with what changed in their answers.

>>> pieces("in 1066 at Hastings", "in 1067 at Hastings")
[('same', 'in'), ('gone', ' 1066'), ('come', ' 1067'), ('same', ' at Hastings')]
>>> pieces("in 1066", "at noon")
[('gone', 'in 1066'), ('come', 'at noon')]
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from onward import files, wording
from onward.errors import OnwardError
from onward.evaluation.checks import episode_name
from onward.evaluation.examples import SCHEMA
from onward.project import Project
from onward.recipes.scripts import WORD

SHOWN = 5
NO_ANSWER = "no answer"

Pieces = list[tuple[str, str]]
"""(same, gone or come; text), in order."""

_WORD = re.compile(rf"\s*(?:{WORD})")

_LONG = ("text", "context", "options")
"""Names of the input that stands below the answers, the likeliest first."""
_ABOVE = ("history", "question", "options", "pair")
"""Names of the others, in the order in which they are read: what is asked is above its answer."""


@dataclass(frozen=True)
class Example:
    """One row whose score changed.

    `text` is the input in which answers have a place, split around the right one, or else the text,
    context or options, where there are any; the other inputs are `heading`.
    """

    unit: str
    id: str
    heading: tuple[str, ...]
    text: tuple[str, str, str]
    right: tuple[str, ...]
    change: Pieces
    before: float
    after: float


@dataclass(frozen=True)
class Examples:
    """Of one turn: `before` names what the candidate is compared with."""

    before: str
    lost: tuple[Example, ...]
    won: tuple[Example, ...]
    placed: str | None = None
    """The input in which right answers are marked; None: they have no place."""
    nothing: str = NO_ANSWER
    """What an empty answer is called."""
    score: str = ""
    """What a row's score is; empty: an earlier release did not say."""
    read: tuple[str, ...] = ()
    """Sentences on what the candidate could not read of the rows."""


def read(project: Project, candidate: str) -> Examples | None:
    """The examples of turn/evaluate, if they are this candidate's; None where they are not there.

    Those of an older release are of another form and not shown either.

    What this does not cover: bytes changed by hand since; the gate verifies the folder, and here a
    page is drawn.
    """
    folder = project.made("evaluate")
    try:
        summary = files.read_json(folder / "summary.json")
        if summary.get("candidate") != candidate:
            return None
        found = files.read_json(folder / "examples.json")
    except OnwardError:
        return None
    if found.get("schema") != SCHEMA:
        return None
    placed, nothing = found["placed"], found.get("nothing", NO_ANSWER)
    lost, won = (
        tuple(_example(row, placed, nothing) for row in found[kind][:SHOWN])
        for kind in ("lost", "won")
    )
    score, before = found.get("score", ""), wording.before(found["before"])
    return Examples(before, lost, won, placed, nothing, score, read=tuple(_unread(summary)))


def _unread(summary: dict[str, Any]) -> Iterator[str]:
    """Texts that were cut, and solved examples that a prompt had no room for."""
    if cut := summary.get("inputs_cut"):
        yield f"{cut:,} held-out rows were too long for the window and lost a part."
    shots = summary.get("shots")
    if shots and shots["mean"] < shots["wanted"]:
        yield (
            f"Of {shots['wanted']} solved examples a prompt has {shots['mean']:.3g} on average; "
            f"{shots['none']:,} of {shots['rows']:,} rows have none."
        )


def _example(found: dict[str, Any], placed: str | None, nothing: str) -> Example:
    before, after = found["before"], found["after"]
    others = dict(found["inputs"])
    # By name: JSON files keep names sorted, not in order.
    text = next((others.pop(name) for name in (placed, *_LONG) if name in others), "")
    above = sorted(others, key=lambda name: _ABOVE.index(name) if name in _ABOVE else len(_ABOVE))
    return Example(
        unit=episode_name(found["unit"]),
        id=found["id"],
        heading=tuple(others[name] for name in above),
        text=_around(text, found["marked"]),
        right=tuple(dict.fromkeys(found["answers"])),
        change=_changed(before, after, nothing),
        before=before["score"],
        after=after["score"],
    )


def _changed(before: dict[str, Any], after: dict[str, Any], nothing: str) -> Pieces:
    """`pieces` of two answers; what stands for an empty one shares no words with another."""
    # A label that says that there is no relation is one all the same, and has a name.
    old, new = str(before["text"]), str(after["text"])
    if old and new:
        return pieces(old, new)
    return [("gone", old or nothing), ("come", new or nothing)]


def _around(text: str, marked: list[int] | None) -> tuple[str, str, str]:
    """A text before, in and after the right answer."""
    start, end = marked or (len(text), len(text))
    return text[:start], text[start:end], text[end:]


def pieces(before: str, after: str) -> Pieces:
    """What stayed, went and came, word by word; whole answers where they share less than half.

    In scripts without spaces a character is a word.
    """
    old, new = (_WORD.findall(text) for text in (before, after))
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    if matcher.ratio() < 0.5:
        return [(kind, text) for kind, text in (("gone", before), ("come", after)) if text]
    found: Pieces = []
    for kind, a, b, c, d in matcher.get_opcodes():
        if kind == "equal":
            found.append(("same", "".join(old[a:b])))
            continue
        found += [("gone", "".join(old[a:b]))] if b > a else []
        found += [("come", "".join(new[c:d]))] if d > c else []
    return found
