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
    """The right answers of a row, each once: one text or a list.

    A text is right as it stands, also one that is JSON: it may be what is asked for.

    Raises:
        Fault: there is none, or one is not a text that says something.
    """
    value = fields.get("references")
    if isinstance(value, dict) and "text" in value:  # answers as SQuAD has them
        value = value["text"]
    found = list(value) if isinstance(value, list | tuple) else [value]
    found = [item["text"] if isinstance(item, dict) and "text" in item else item for item in found]
    if not found or any(item is None or item == "" for item in found):
        raise Fault("answer-missing", "a reference is missing or empty")
    return list(dict.fromkeys(readable(item, "reference", most) for item in found))


def of_cell(value: Any) -> Any:
    """What a cell of a CSV holds: the list of texts that it is the JSON of, or its text.

    >>> of_cell('["a", "b"]'), of_cell("[2, 3]"), of_cell('{"name": "Ann"}')
    (['a', 'b'], '[2, 3]', '{"name": "Ann"}')
    """
    found = opened(value)
    texts = found.get("text") if isinstance(found, dict) else found
    if not isinstance(texts, list) or not texts:
        return value
    each = [one.get("text") if isinstance(one, dict) else one for one in texts]
    return found if all(isinstance(one, str) for one in each) else value
