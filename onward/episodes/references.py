"""A text and what it should become: a translation or a summary, or several that are right.

>>> read({"text": "Guten Tag", "references": "Hello"}, 100)
({'text': 'Guten Tag', 'references': ['Hello']}, '')
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onward.episodes.values import Fault, opened, readable, text


def read(fields: Mapping[str, Any], most: int) -> tuple[dict[str, Any], str]:
    """text and references, the first of which is the training target; no repair. Raises Fault."""
    return {"text": text(fields, "text", most), "references": listed(fields, most)}, ""


def listed(fields: Mapping[str, Any], most: int) -> list[str]:
    """The right answers of a row, each once: one text, or a list or the JSON of one.

    Raises:
        Fault: there is none, or one is not a text that says something.
    """
    value = opened(fields.get("references"))
    if isinstance(value, dict) and "text" in value:  # answers as SQuAD has them
        value = value["text"]
    found = list(value) if isinstance(value, list | tuple) else [value]
    found = [item["text"] if isinstance(item, dict) and "text" in item else item for item in found]
    if not found or any(item is None or item == "" for item in found):
        raise Fault("answer-missing", "a reference is missing or empty")
    return list(dict.fromkeys(readable(item, "reference", most) for item in found))
