"""A line of the journal in words.

>>> outcome({"seq": 9, "what": "refused", "worst_unit": "0001-faq", "worst_change": -1.94})
'turn 9 was refused (faq −1.9)'
"""

from __future__ import annotations

from typing import Any

from onward.evaluation.checks import episode_name, signed
from onward.registry import journal

_OLD = ("forgot", "looks worse", "")
"""Reasons that the change of an old episode says better; others have nothing to do with it."""

Line = dict[str, Any]
"""A line of the journal."""


def outcome(line: Line) -> str:
    """What the line came to, in words that can follow a semicolon."""
    turn, what = f"turn {line['seq']}", line["what"]
    if what == "rollback":
        return f"rolled back from {line.get('champion')} because of: {line.get('reason', '')}"
    if what == "adopted":
        return f"{line.get('source', 'a model')} was adopted and is to be judged"
    if what in journal.PROMOTING:
        forced = f", forced because of: {line.get('reason', '')}" if what == "forced" else ""
        return f"{turn} made {line.get('version')} the champion{forced}"
    if what in journal.VERDICTS:
        return f"{turn} was {what}{because(line)}"
    return f"{line.get('episode') or line.get('candidate', '')[:12]} was {what}"


def because(line: Line) -> str:
    """Why it was not promoted, in brackets after a space; empty where nothing is told."""
    told = why(line)
    return f" ({told})" if told else ""


def why(line: Line) -> str:
    """Why it was not promoted: the rows it needs, the old episode that lost, or a word or two."""
    asked = line.get("rows_needed") if line["what"] == "undecided" else None
    needed = f"about {asked:,} rows would do" if asked else ""
    reason = str(line.get("because") or "")
    lost = worst(line) if reason in _OLD and (line.get("worst_change") or 0.0) < 0 else ""
    return needed or lost or reason


def worst(line: Line) -> str:
    """The old episode that changed worst: "encyclopedia −1.9"; empty where none did."""
    if line.get("worst_unit") is None or line.get("worst_change") is None:
        return ""
    return f"{episode_name(line['worst_unit'])} {signed(line['worst_change'])}"
