"""A project's own labelled sentences for the classifier of unsafe text."""

from __future__ import annotations

import json
from pathlib import Path

from onward.errors import DataError, MissingFiles
from onward.quality.unsafe import Examples

LABELS = ("safe", "unsafe")


def read(path: Path) -> Examples:
    """The sentences of a JSON Lines file, {"text": ..., "label": "safe" or "unsafe"} a line.

    Each is its own source, so that one of them is always left out alone.

    Raises:
        MissingFiles: there is no such file.
        DataError: a line has another form; named by its number.
    """
    fix = 'one JSON object a line: {"text": "...", "label": "safe"} or "unsafe"'
    if not path.is_file():
        raise MissingFiles(
            f"{path.name} is not there",
            where=f"{path}, named by quality.measure.examples",
            fix="write the path as it is from the project's root, or leave the key out",
        )
    found: Examples = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        where = f"{path}:{number}"
        try:
            row = json.loads(line)
            text, label = row["text"], row["label"]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError("A line holds no text and label", where=where, fix=fix) from error
        if label not in LABELS or not isinstance(text, str) or not text.strip():
            raise DataError(
                f"A line is labelled {label!r:.40}, or has no text", where=where, fix=fix
            )
        found.append((text, label == "unsafe", where))
    return found
