"""Two entities of a text: marked for people, marked for a model, and kept where a text is cut.

>>> unmarked("<e1>Smog</e1> causes <e2>asthma</e2>.")
('Smog causes asthma.', ((0, 4), (12, 18)))
>>> marked("Smog causes asthma.", ((0, 4), (12, 18)))
'<e1>Smog</e1> causes <e2>asthma</e2>.'
>>> spaced("Smog causes asthma.", ((0, 4), (12, 18)), ("@", "#"))
('@ Smog @ causes # asthma #.', 0, 26)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

Place = tuple[int, int]
"""Start and end of an entity, in characters."""

_MARK = re.compile(r"</?e[12]>")
_MARKS = ("<e1>", "</e1>", "<e2>", "</e2>")
_BETWEEN = " ... "


def unmarked(text: str) -> tuple[str, tuple[Place, Place]]:
    """A marked text without its marks, and where head (e1) and tail (e2) stand in it.

    Raises:
        ValueError: each entity is not marked once, apart from the other, and not empty.
    """
    names = _MARK.findall(text)
    for mark in _MARKS:
        if names.count(mark) != 1:
            much = "is missing" if mark not in names else "stands there more than once"
            raise ValueError(f"{mark} {much}")
    if any(names.index(f"<{e}>") + 1 != names.index(f"</{e}>") for e in ("e1", "e2")):
        raise ValueError("<e1> and <e2> end before they begin, or cross each other")
    at: dict[str, int] = {}
    for found in _MARK.finditer(text):
        at[found[0]] = found.start() - sum(map(len, at))
    plain = _MARK.sub("", text)
    head, tail = (at["<e1>"], at["</e1>"]), (at["<e2>"], at["</e2>"])
    for start, end in (head, tail):
        if not plain[start:end].strip():
            raise ValueError("An entity of the text is empty")
    return plain, (head, tail)


def has_marks(text: str) -> bool:
    """Whether a text holds anything that marks an entity."""
    return bool(_MARK.search(text))


def marked(text: str, places: Sequence[Place]) -> str:
    """A text with head and tail marked as people do."""
    head, tail = places
    marks = [(head, "<e1>", "</e1>"), (tail, "<e2>", "</e2>")]
    for (start, end), begin, close in sorted(marks, reverse=True):
        text = f"{text[:start]}{begin}{text[start:end]}{close}{text[end:]}"
    return text


def spaced(text: str, places: Sequence[Place], marks: Sequence[str]) -> tuple[str, int, int]:
    """A text with a mark on both sides of head and tail, apart by spaces.

    Returns:
        The text, and where the first mark begins and the last one ends.
    """
    for (start, end), mark in sorted(zip(places, marks, strict=True), reverse=True):
        text = f"{text[:start]}{mark} {text[start:end]} {mark}{text[end:]}"
    (first, _), (_, last) = sorted(places)
    return text, first, last + 8  # two marks of a character and a space each, twice


def cut(texts: Sequence[tuple[str, int, int]], tokenizer: Any, length: int) -> list[str]:
    """Texts of `spaced` that are longer than `length` tokens, cut around their entities.

    The tokens that are left go to both sides alike. Where the entities alone are too far apart,
    the middle between the first mark and the last is left out, too.
    """
    if not texts:
        return []
    room = length - tokenizer.num_special_tokens_to_add()
    made = tokenizer(
        [text for text, _, _ in texts], add_special_tokens=False, return_offsets_mapping=True
    )
    return [
        text if len(offsets) <= room else _fitting(text, offsets, (first, last), room, tokenizer)
        for (text, first, last), offsets in zip(texts, made["offset_mapping"], strict=True)
    ]


def _fitting(text: str, offsets: Sequence[Place], inside: Place, room: int, tokenizer: Any) -> str:
    """`_kept`, cut further where its ends, within words, make more tokens than they were."""
    dots = len(tokenizer.tokenize(_BETWEEN)) + 1
    for left in range(room, 0, -1):
        found = _kept(text, offsets, (left, dots), *inside)
        if len(tokenizer.tokenize(found)) <= room:
            break
    return found


def _kept(
    text: str, offsets: Sequence[Place], sizes: tuple[int, int], first: int, last: int
) -> str:
    room, dots = sizes
    inside = [n for n, (low, high) in enumerate(offsets) if low < last and high > first]
    low, high = inside[0], inside[-1] + 1
    spare = room - (high - low)
    if spare < 0:
        half = max((room - dots) // 2, 1)  # the cut is shown to the model
        begin = text[offsets[low][0] : offsets[low + half - 1][1]]
        return f"{begin}{_BETWEEN}{text[offsets[high - half][0] : offsets[high - 1][1]]}"
    before = min(low, max(spare // 2, spare - (len(offsets) - high)))
    after = spare - before
    end = min(high + after, len(offsets))
    return text[offsets[low - before][0] : offsets[end - 1][1]]
