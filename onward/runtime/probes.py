"""A few real held-out questions that a package must answer the same wherever it is loaded.

They show that a package loads and works, not that it is good: that is the gate's business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

from onward import files
from onward.recipes.shapes import Row

if TYPE_CHECKING:
    from onward.runtime.session import Session

PROBES = 4
TRIED = 24
TEXTS = 48
MAX_CONTEXT = 4_000
"""Characters; a probe has to be quick."""


def probes(
    recipe: ModuleType, rows: Mapping[str, Sequence[Row]], sessions: Mapping[str, Session]
) -> list[dict[str, Any]]:
    """Questions, contexts and each variant's answer.

    Of a few rows of every unit the surest answers are taken: a near tie could turn on another
    machine's last bits, and a probe must fail for better reasons.

    Returns:
        [{unit, question, context, answers: {variant: text}}].
    """
    told = []
    for unit, row in spread(rows, TRIED):
        if len(row["context"]) > MAX_CONTEXT:
            continue
        found = {
            name: session.answer(row["question"], row["context"])
            for name, session in sessions.items()
        }
        sure = min(answer["probability"] for answer in found.values())
        texts_found = {name: answer["text"] for name, answer in found.items()}
        asked = {"question": row["question"], "context": row["context"]}
        told.append((sure, {"unit": unit, **asked, "answers": texts_found}))
    told.sort(key=lambda pair: (-pair[0], files.digest(pair[1])))
    return [item for _, item in told[:PROBES]]


def texts(rows: Mapping[str, Sequence[Row]]) -> list[dict[str, str]]:
    """Questions and contexts for the benchmark: what is timed is what is really asked."""
    return [
        {"question": row["question"], "context": row["context"]} for _, row in spread(rows, TEXTS)
    ]


def spread(rows: Mapping[str, Sequence[Row]], count: int) -> list[tuple[str, Row]]:
    """About `count` (unit, row), each unit's first by hash in turn: the same in every run."""
    ordered = {
        unit: sorted(found, key=lambda row: files.digest([row["id"], row["question"]]))
        for unit, found in sorted(rows.items())
    }
    taken: list[tuple[str, Row]] = []
    for at in range(max((len(found) for found in ordered.values()), default=0)):
        for unit, found in ordered.items():
            if at < len(found):
                taken.append((unit, found[at]))
        if len(taken) >= count:
            break
    return taken[:count]
