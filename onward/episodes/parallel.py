"""Two files of which each line translates the other's: one row a line.

>>> import tempfile; folder = Path(tempfile.mkdtemp())
>>> _ = (folder / "a.de").write_text("Guten Tag\\n"), (folder / "a.en").write_text("Hello\\n")
>>> next(read(folder / "a.de", folder / "a.en", 1_000)).values
{'source': 'Guten Tag', 'target': 'Hello'}
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from onward.episodes import text
from onward.episodes.incoming import Incoming
from onward.errors import FormatError

COLUMNS = ("source", "target")
"""What a row of this format holds."""


def read(source: Path, target: Path, most_bytes: int) -> Iterator[Incoming]:
    """The lines of both files side by side.

    Args:
        source: what is to be translated.
        target: its translation.
        most_bytes: a longer line is unreadable.

    Raises:
        FormatError: one file has more lines than the other, so nothing tells which belong
            together; nothing was yielded yet.
    """
    counts = [sum(1 for _ in text.lines(path, most_bytes)) for path in (source, target)]
    if counts[0] != counts[1]:
        raise FormatError(
            f"{source.name} has {counts[0]:,} lines and {target.name} has {counts[1]:,}",
            where=f"{source} and {target}",
            fix="line N of one translates line N of the other: send two files of equal length",
            details={"lines": counts},
        )
    both = zip(text.lines(source, most_bytes), text.lines(target, most_bytes), strict=True)
    for left, right in both:
        reason = left.reason or right.reason
        if reason:
            shown = f"{left.text}\n{right.text}"[: text.SHOWN]
            yield Incoming(left.number, None, reason, "", shown)
        else:
            yield Incoming(left.number, {"source": left.text, "target": right.text})
