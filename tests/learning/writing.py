"""A small encoder-decoder and rows that it can learn: words translated one by one.

>>> translated(1, seed=1)[0]["references"] == [" ".join(OTHER[w] for w in _words(1))]
True
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from onward.learning import scratch
from tests import toys

WORDS = [word for kind in toys.KINDS.values() for word in kind]
OTHER = {word: word[::-1].upper() for word in WORDS}
"""What a word is in the other language."""

SIZE = scratch.Size(width=48, inner=96, layers=1, heads=2, tokens=400)


def toy_writer(folder: Path) -> Path:
    """Write an encoder-decoder of one layer each; always the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    scratch.write(folder, SIZE, _texts())
    return folder


def translated(n: int, seed: int, titles: int = 8) -> list[dict[str, Any]]:
    """Canonical rows of translation and summarization: two to four words and what they become."""
    chance = random.Random(seed)
    rows = []
    for number in range(n):
        words = chance.sample(WORDS, k=chance.randrange(2, 5))
        rows.append(
            {
                "id": f"pair-{seed}-{number}",
                "title": f"Pair {seed} {number % titles}",
                "text": " ".join(words),
                "references": [" ".join(OTHER[word] for word in words)],
            }
        )
    return rows


def _texts() -> Iterator[str]:
    for row in translated(200, seed=0):
        yield row["text"]
        yield row["references"][0]


def _words(seed: int) -> list[str]:
    return str(translated(1, seed=seed)[0]["text"]).split()
