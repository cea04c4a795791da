"""A study of toys: two-layer encoder, three episodes that each ask for another kind of word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from onward.study import sequence
from onward.study.combinations import parse
from onward.study.plan import Plan
from onward.study.sequence import Delivered, Episodes
from tests import toys


def settings(encoder: Path, **blocks: dict[str, Any]) -> dict[str, Any]:
    """Blocks of params.yaml with which a turn takes about a second."""
    made: dict[str, Any] = {
        name: {**toys.PARAMS.get(name, {}), **blocks.get(name, {})}
        for name in ("prepare", "finetune", "strategy", "evaluate")
    }
    made["prepare"].pop("early_stopping_percent", None)
    identity = {"name": "toy", "recipe": "extractive", "encoder": str(encoder)}
    return {**made, "project": identity}


def delivered(number: int, rows: int = 48) -> Delivered:
    found = toys.toy_rows(rows, seed=number, titles=6)
    held = [row for row in found if row["title"].endswith("5")]
    return Delivered(f"toy{number}", [row for row in found if row not in held], held)


def episodes(folder: Path, many: int = 2, rows: int = 48) -> Episodes:
    every = [delivered(number, rows) for number in range(1, many + 1)]
    return sequence.store(folder / "data", "extractive", every)


def plan(
    folder: Path, encoder: Path, *names: str, seeds: tuple[int, ...] = (0,), **blocks: Any
) -> Plan:
    found = episodes(folder)
    return Plan(
        folder=folder,
        settings=settings(encoder, **blocks),
        combinations=[parse(name) for name in names],
        sequences=dict.fromkeys(seeds, found),
        threads=1,
    )
