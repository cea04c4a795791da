"""What a version carries forward so that the next turn need not read the past again.

A memory is a folder: memory.json (which strategy, over which episodes) and, for replay,
rows.parquet (the recipe's columns and `episode`); a term adds what it needs, a structure too. It
lies beside its checkpoint and is read from the base in the next turn. naive and joint need no rows
and say so. Here it is described and read; remember.py fills it after training.

>>> import tempfile; folder = Path(tempfile.mkdtemp())
>>> joint = Strategy(rows="joint")
>>> write(folder, [], settings=joint, seed=0, covers=[], window={}, schema=pa.schema([]))
>>> read(folder)["holds"]
'no rows: joint reads those of known episodes again'

What this does not cover: who may see the rows. They are training rows, kept as they came.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from onward import files
from onward.config import Strategy
from onward.episodes import rows as parquet
from onward.errors import IntegrityError, SettingsError
from onward.learning import policies, table
from onward.learning.rows import Labelled

SCHEMA = 1
DESCRIPTION = "memory.json"
ROWS = "rows.parquet"

_ROWS = {
    "naive": "no rows: naive looks at new ones alone",
    "joint": "no rows: joint reads those of known episodes again",
    "replay": "training rows of all episodes it covers, chosen by the policy",
}
_TERMS = {
    "none": [],
    "ewc": ["the diagonal Fisher information of the weights that moved"],
    "distill": [],
    "der": ["the logits of its rows, as they were when each came in"],
}
_STRUCTURES = {
    "single": [],
    "adapters": ["all else: the adapters themselves lie in the model"],
    "analytic": ["sums over the training rows of all episodes it covers"],
    "adapted": ["sums over the training rows of all episodes it covers"],
}


def write(
    folder: Path,
    rows: Sequence[Labelled],
    *,
    settings: Strategy,
    seed: int,
    covers: Sequence[dict[str, str]],
    window: dict[str, int],
    schema: pa.Schema,
) -> None:
    """Write description and rows into a folder that the caller seals. Same inputs, same bytes.

    Args:
        folder: where to.
        rows: what is remembered; none for naive and joint.
        settings: the strategy that it serves.
        seed: the seed of the draw.
        covers: episode and manifest of every episode that the rows stand for.
        window: max_length and stride, with which rows were encoded.
        schema: the recipe's columns.
    """
    files.write_json(
        folder / DESCRIPTION,
        {
            "schema": SCHEMA,
            "strategy": settings.model_dump(),
            "holds": "; ".join(
                [
                    _ROWS[settings.rows],
                    *_TERMS[settings.term],
                    *_STRUCTURES[settings.structure],
                ]
            ),
            "seed": seed,
            "window": window,
            "covers": list(covers),
            "rows": len(rows),
            "episodes": dict(sorted(Counter(episode for episode, _ in rows).items())),
        },
    )
    if settings.rows == "replay":
        write_rows(folder / ROWS, rows, schema)


def write_rows(path: Path, rows: Iterable[Labelled], schema: pa.Schema) -> None:
    """Rows with their episodes as parquet: the recipe's columns and `episode`."""
    columns = schema.append(pa.field("episode", pa.string(), nullable=False))
    parquet.write(path, ({**row, "episode": episode} for episode, row in rows), columns)


def read_rows(path: Path) -> Iterator[Labelled]:
    """What `write_rows` wrote."""
    for row in parquet.read(path):
        yield row.pop("episode"), row


def read(folder: Path) -> dict[str, Any]:
    """The description of a memory.

    Raises:
        MissingFiles: there is none.
        IntegrityError: it is of a schema that this release does not know.
    """
    found: dict[str, Any] = files.read_json(folder / DESCRIPTION)
    if found.get("schema") != SCHEMA:
        raise IntegrityError(
            f"{DESCRIPTION} has schema {found.get('schema')!r}; this release knows {SCHEMA}",
            where=str(folder / DESCRIPTION),
            fix="use the release that wrote it, or start over with `onward run --fresh`",
        )
    return found


def rows(folder: Path) -> Iterator[Labelled]:
    """The rows a memory holds, with their episodes."""
    return read_rows(folder / ROWS)


@dataclass(frozen=True)
class Asked:
    """What a turn asks of its base's memory."""

    folder: Path | None
    """The base's memory; None where the base is not a version."""
    settings: Strategy
    seed: int
    covers: list[dict[str, str]]
    """Episode and manifest of every episode that the base knows."""
    corrected: bool
    """Whether an episode of the turn replaces rows of a known one."""
    window: dict[str, int]


def recall(
    asked: Asked, known: Callable[[], Iterable[Labelled]], group: Callable[[Labelled], str]
) -> list[Labelled]:
    """What the base remembers of the episodes it knows, for replay; nothing for naive and joint.

    Rows that were drawn by hash come from the base's memory where that was drawn with this policy,
    seed and at least this many rows from exactly these episodes. Else (another strategy, an
    episode withdrawn or corrected) they are drawn anew from `known`, which gives the same rows:
    the draw depends on the rows alone. What a model chose, and logits, cannot be made anew: such
    a memory loses the rows that no longer stand, and another strategy's is refused.

    Args:
        asked: the base's memory and what it is to serve.
        known: the training rows of the known episodes; read only where memory does not serve.
        group: what the policy groups rows by.

    Raises:
        SettingsError: the base's memory lacks what the strategy keeps, by name.
    """
    settings = asked.settings
    about = read(asked.folder) if asked.folder is not None else None
    if asked.covers:
        _refuse_lacking(asked, about)
    if settings.rows != "replay" or not asked.covers:
        return []
    if settings.policy in table.BY_MODEL or settings.term == "der":
        assert asked.folder is not None and about is not None  # noqa: S101 - else refused above
        found: Iterable[Labelled] = rows(asked.folder)
        if asked.corrected or about["covers"] != asked.covers:
            standing = {parquet.row_hash(row) for _, row in known()}
            found = [each for each in found if parquet.row_hash(each[1]) in standing]
        held = list(found)
        if settings.policy in table.BY_MODEL:
            return policies.cut(held, settings.replay_rows, settings.policy, group)
        # Logits keep a memory that another policy may have chosen: its order says nothing.
        return policies.drawn(
            lambda: held, settings.policy, settings.replay_rows, asked.seed, group
        )
    if asked.folder is not None and about is not None and _serves(about, asked):
        held = list(rows(asked.folder))
        return policies.cut(held, settings.replay_rows, settings.policy, group)
    return policies.drawn(known, settings.policy, settings.replay_rows, asked.seed, group)


def _serves(about: dict[str, Any], asked: Asked) -> bool:
    """Whether a memory holds what drawing by hash from these episodes would give."""
    was = Strategy.model_validate(about["strategy"])
    return (
        (was.rows, was.policy) == ("replay", asked.settings.policy)
        and was.replay_rows >= asked.settings.replay_rows
        and about["seed"] == asked.seed
        and about["covers"] == asked.covers
        and not asked.corrected
        and asked.folder is not None
        and (asked.folder / ROWS).is_file()  # a structure may keep none
    )


def _refuse_lacking(asked: Asked, about: dict[str, Any] | None) -> None:
    """Raise SettingsError where the base kept not what the strategy works on."""
    want = asked.settings
    was = Strategy.model_validate(about["strategy"]) if about is not None else None
    if want.term == "ewc" and (was is None or was.term != "ewc"):
        raise _lacks("strategy.term: ewc", "the Fisher information of what it learned")
    if want.rows != "replay":
        return
    if want.term == "der" and (was is None or was.term != "der"):
        raise _lacks("strategy.term: der", "the logits of its rows")
    if want.policy in table.BY_MODEL and (
        was is None or (was.rows, was.policy) != ("replay", want.policy)
    ):
        raise _lacks(f"strategy.policy: {want.policy}", f"rows chosen by {want.policy}")
    if want.term == "der" and about is not None and about.get("window") != asked.window:
        raise SettingsError(
            f"The logits in the base's memory are of windows of {about.get('window')}, "
            f"the turn's are of {asked.window}",
            where="params.yaml, prepare.max_length and prepare.stride",
            fix="set them back, or start over with `onward run --fresh`",
        )


def _lacks(where: str, what: str) -> SettingsError:
    return SettingsError(
        f"The base's memory lacks {what}: another strategy made it, and they cannot be made anew",
        where=f"params.yaml, {where}",
        fix="go on with the strategy that made the base, or start this one over all episodes with "
        "`onward run --fresh`",
    )
