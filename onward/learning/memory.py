"""What a version carries forward so that the next turn need not read the past again.

A memory is a folder: memory.json (which strategy, over which episodes) and, for replay,
rows.parquet (the recipe's columns and `episode`). It lies beside its checkpoint and is read from
the base in the next turn. naive and joint need none and say so.

>>> import tempfile; folder = Path(tempfile.mkdtemp())
>>> write(folder, [], settings=Strategy(rows="joint"), seed=0, covers=[], schema=pa.schema([]))
>>> read(folder)["holds"]
'nothing: joint reads the rows of known episodes again'

What this does not cover: who may see the rows. They are training rows, kept as they came.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from onward import files
from onward.config import Strategy
from onward.episodes import rows as parquet
from onward.errors import IntegrityError
from onward.learning.rows import Labelled, sample

SCHEMA = 1
DESCRIPTION = "memory.json"
ROWS = "rows.parquet"

_HOLDS = {
    "naive": "nothing: naive looks at new rows alone",
    "joint": "nothing: joint reads the rows of known episodes again",
    "replay": "a uniform sample of the training rows of all episodes it covers",
}


def write(
    folder: Path,
    rows: Sequence[Labelled],
    *,
    settings: Strategy,
    seed: int,
    covers: Sequence[dict[str, str]],
    schema: pa.Schema,
) -> None:
    """Write a memory into an empty folder that the caller seals. Same inputs, same bytes.

    Args:
        folder: where to.
        rows: what `remember` gave; none for naive and joint.
        settings: the strategy that it serves.
        seed: the seed of the sample.
        covers: episode and manifest of every episode that it is a sample of.
        schema: the recipe's columns.
    """
    files.write_json(
        folder / DESCRIPTION,
        {
            "schema": SCHEMA,
            "strategy": settings.model_dump(),
            "holds": _HOLDS[settings.rows],
            "seed": seed,
            "covers": list(covers),
            "rows": len(rows),
            "episodes": dict(sorted(Counter(episode for episode, _ in rows).items())),
        },
    )
    if settings.rows == "replay":
        columns = schema.append(pa.field("episode", pa.string(), nullable=False))
        labelled = ({**row, "episode": episode} for episode, row in rows)
        parquet.write(folder / ROWS, labelled, columns)


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
    for row in parquet.read(folder / ROWS):
        yield row.pop("episode"), row


def recall(
    folder: Path | None,
    known: Callable[[], Iterable[Labelled]],
    *,
    settings: Strategy,
    seed: int,
    covers: Sequence[dict[str, str]],
) -> list[Labelled]:
    """What the base remembers of the episodes it knows, for replay; nothing for naive and joint.

    Read from the base's memory where that was drawn with this strategy, seed and at least this
    many rows from exactly these episodes. Else (another strategy, an episode withdrawn or
    corrected) drawn anew from `known`, which gives the same rows: the sample depends on the rows
    alone.
    """
    if settings.rows != "replay" or not covers:
        return []
    if folder is not None and _serves(read(folder), settings, seed, covers):
        found: Iterable[Labelled] = rows(folder)
    else:
        found = known()
    return sample(found, settings.replay_rows, seed)


def _serves(
    found: dict[str, Any], settings: Strategy, seed: int, covers: Sequence[dict[str, str]]
) -> bool:
    was = found["strategy"]
    return (
        was["rows"] == "replay"
        and was["replay_rows"] >= settings.replay_rows
        and found["seed"] == seed
        and found["covers"] == list(covers)
    )


def remember(
    old: Iterable[Labelled], learning: Iterable[Labelled], *, settings: Strategy, seed: int
) -> list[Labelled]:
    """What the candidate will carry forward: a sample of what its base remembers and of the new.

    Nothing for naive and joint.
    """
    if settings.rows != "replay":
        return []

    def both() -> Iterator[Labelled]:
        yield from old
        yield from learning

    return sample(both(), settings.replay_rows, seed)
