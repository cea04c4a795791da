"""Phrases that terminal, page and watch share.

>>> counted(1, "row"), counted(2000, "row"), counted(2, "try", "tries")
('1 row', '2,000 rows', '2 tries')
>>> before("v3"), before("baseline")
('v3', 'the trivial baseline')
"""

from __future__ import annotations


def counted(number: float, one: str, many: str = "") -> str:
    """A number of things; `many` where it is not `one` and an s."""
    return f"{number:,.0f} {one if number == 1 else many or one + 's'}"


def before(name: str) -> str:
    """What a candidate was compared with, by the name that an evaluation's summary has for it."""
    return "the trivial baseline" if name == "baseline" else name
