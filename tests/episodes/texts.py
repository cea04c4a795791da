"""Passages that share nothing, passages with small changes, and rows of labels and numbers."""

from __future__ import annotations

import random
from typing import Any

from onward.config import Episode
from onward.episodes.rows import normalised, short
from onward.episodes.split import draw

Row = dict[str, Any]
SETTINGS = Episode(heldout_percent=35, seed=13)
"""Those of deliveries.PARAMS."""


def passage(number: int, words: int = 60) -> str:
    """Words that no other passage has in this order."""
    chance = random.Random(number)
    return " ".join(
        "".join(chance.choices("abcdefghilmnoprstu", k=chance.randrange(3, 8)))
        for _ in range(words)
    )


def with_another_word(text: str, at: int = 20) -> str:
    """One word of sixty is another: 0.9 of the shingles are shared."""
    words = text.split()
    return " ".join([*words[:at], "otherwise", *words[at + 1 :]])


def side(title: str) -> str:
    """The side that a new title is drawn to."""
    return draw(short(f"title:{normalised(title)}"), SETTINGS)


def titled(wanted: str, count: int, lead: str = "T") -> list[str]:
    """New titles of one side."""
    found = (f"{lead}{n}" for n in range(10_000))
    return [title for title in found if side(title) == wanted][:count]


TARGETS: dict[str, Row] = {
    "extractive": {},
    "classification": {"label": "spam"},
    "multilabel": {"labels": ["spam", "advert"]},
    "regression": {"value": 2.5},
}


def row(recipe: str, name: str, title: str, text: str) -> Row:
    """A row of the recipe around a text; extractive rows ask for its third word."""
    if recipe == "extractive":
        answer = text.split()[2]
        answers = {"answers": [answer], "starts": [text.index(f" {answer} ") + 1]}
        return {"id": name, "title": title, "context": text, "question": "Third?", **answers}
    return {"id": name, "title": title, "text": text, **TARGETS[recipe]}


def plain(recipe: str, first: int, count: int = 12) -> list[Row]:
    """Rows of both sides, none like another: a third of them held out."""
    titles = [*titled("train", 2 * count // 3), *titled("heldout", count // 3)]
    return [
        row(recipe, f"r{first + n}", title, passage(first + n)) for n, title in enumerate(titles)
    ]
