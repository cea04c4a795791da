"""Which side a row belongs to, train or held-out, for ever.

A row has two keys: its normalised title, where it has one, and its normalised context (or text,
in recipes that have no context: `rows.split_text`). Each key has one side, and both sides of a row
must be the same.

1. A key that an earlier episode holds keeps its side; withdrawn episodes count.
2. A corrected row keeps the side of the row it corrects.
3. A new title takes the side of its known contexts where they agree, else the one its hash draws.
4. A new context takes the side of its titles (held-out, where they differ); without a title, the
   one that its own hash draws.

A row whose keys disagree then is quarantined as `straddles`. Rows are looked at as a set, so their
order in the file does not matter. Because a normalised context has one side for ever, no training
row of any episode equals a held-out row of any episode, exactly or after normalisation.

A title that was guessed from a vague name (topic, source) is one only where it has so many values
that it can be split by: see `few`.

What this does not cover: a context that was changed a little, which `leaks` looks for, or
reworded.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa

from onward.config import Episode
from onward.episodes import rows as parquet
from onward.episodes.rows import normalised, short, title_key
from onward.episodes.sieve import Sieve
from onward.errors import DataError

SIDES = ("train", "heldout")

FEW, FEW_OF_A_SIDE = 10, 2
"""Fewer titles than these are too few to split by: one side would be of one kind of rows alone."""

SCHEMA = pa.schema([("kind", pa.string()), ("key", pa.string()), ("side", pa.string())])
"""sides.parquet: title or context, 16 bytes of the sha256 of its normalised text (hex), side."""

_CONTEXTS = """
CREATE TABLE contexts AS
SELECT rows.context AS key, COALESCE(known.side, MIN(original.side)) AS side
FROM rows
LEFT JOIN known ON known.kind = 'context' AND known.key = rows.context
LEFT JOIN original ON original.id = rows.id
WHERE rows.reason = '' GROUP BY rows.context;
CREATE UNIQUE INDEX contexts_key ON contexts (key);
"""  # 'heldout' < 'train', so MIN prefers held-out

_TITLES = """
CREATE TABLE titles AS
SELECT rows.title AS key, COALESCE(
    known.side,
    CASE WHEN MIN(contexts.side) = MAX(contexts.side) THEN MIN(contexts.side) END,
    drawn(rows.title)) AS side
FROM rows
JOIN contexts ON contexts.key = rows.context
LEFT JOIN known ON known.kind = 'title' AND known.key = rows.title
WHERE rows.reason = '' AND rows.title IS NOT NULL GROUP BY rows.title;
CREATE UNIQUE INDEX titles_key ON titles (key);
"""

_NEW_CONTEXTS = """
UPDATE contexts SET side = COALESCE(
    (SELECT MIN(titles.side) FROM rows JOIN titles ON titles.key = rows.title
     WHERE rows.reason = '' AND rows.context = contexts.key),
    drawn(key))
WHERE side IS NULL;
"""

_SIDES = """
UPDATE rows SET side = (SELECT side FROM contexts WHERE key = rows.context) WHERE reason = '';
UPDATE rows SET reason = 'straddles',
    detail = 'its {bound} is ' || CASE side WHEN 'train' THEN 'a training' ELSE 'a held-out' END
        || ' one, its title or the row it corrects is not'
WHERE reason = '' AND (
    side <> COALESCE((SELECT titles.side FROM titles WHERE titles.key = rows.title), side)
    OR side <> COALESCE((SELECT original.side FROM original WHERE original.id = rows.id), side));
"""


def draw(key: bytes, settings: Episode) -> str:
    """The side of a key that nothing binds, by hash: about heldout_percent of keys are held out."""
    found = hashlib.sha256(f"{settings.seed}:{key.hex()}".encode()).digest()
    share = int.from_bytes(found[:8], "big") / 2**64
    return "heldout" if share * 100 < settings.heldout_percent else "train"


def few(titles: Iterable[str], settings: Episode) -> bool:
    """Whether the titles of a file, one a row, are fewer than FEW, or than FEW_OF_A_SIDE on a side.

    Reads no further than it must.
    """
    seen: set[bytes] = set()
    of_side = dict.fromkeys(SIDES, 0)
    for title in filter(None, map(normalised, titles)):
        key = title_key(title)
        if key not in seen:
            seen.add(key)
            of_side[draw(key, settings)] += 1
            if len(seen) >= FEW and min(of_side.values()) >= FEW_OF_A_SIDE:
                return False
    return True


def know(sieve: Sieve, sides: Iterable[Path]) -> None:
    """Load the keys of earlier episodes' sides.parquet.

    Raises:
        MissingFiles, DataError: a file is not there or damaged.
    """
    for path in sides:
        found = ((r["kind"], bytes.fromhex(r["key"]), r["side"]) for r in parquet.read(path))
        _insert(sieve.db, "INSERT OR IGNORE INTO known VALUES (?,?,?)", found)


def originals(sieve: Sieve, episode: Path) -> None:
    """Load the ids of an episode that is corrected, with their sides."""
    for side in SIDES:
        ids = parquet.read(episode / f"{side}.parquet", ["id"])
        found = ((short(row["id"]), side) for row in ids)
        _insert(sieve.db, "INSERT OR IGNORE INTO original VALUES (?,?)", found)


def _insert(db: sqlite3.Connection, query: str, values: Iterator[tuple[object, ...]]) -> None:
    db.execute("BEGIN")
    db.executemany(query, values)
    db.execute("COMMIT")


def assign(sieve: Sieve, settings: Episode, *, whole: bool = False) -> None:
    """Give every kept row its side; quarantine those that straddle.

    Args:
        sieve: the rows.
        settings: how many are held out.
        whole: none are.
    """

    def drawn(key: bytes) -> str:
        return SIDES[0] if whole else draw(key, settings)

    sieve.db.create_function("drawn", 1, drawn, deterministic=True)
    sides = _SIDES.format(bound=sieve.kind.bound)
    for script in (_CONTEXTS, _TITLES, _NEW_CONTEXTS, sides):
        sieve.db.executescript(script)


def refuse_one_sided(sieve: Sieve, settings: Episode, where: str) -> None:
    """Refuse an episode that would have no held-out or no training row.

    Raises:
        DataError: which side is empty, of how many titles, and what to do.
    """
    counts = sieve.counts()
    empty = [side for side in SIDES if counts[side] == 0]
    if not empty:
        return
    keys, titles = sieve.db.execute(
        "SELECT COUNT(DISTINCT COALESCE(title, context)), COUNT(title) FROM rows WHERE reason = ''"
    ).fetchone()
    bound = sieve.kind.bound
    ways = f"send rows of more {bound}s together, "
    if titles:
        ways = f"send rows of more titles together, split by {bound} instead (`--map title=`), "
    more = "raise" if empty == ["heldout"] else "lower"
    raise DataError(
        f"No row would be {'held out' if 'heldout' in empty else 'left to train on'}: "
        f"rows {counts['accepted'] + counts['repaired']:,}, "
        f"titles or {bound}s {keys:,}, "
        f"episode.heldout_percent {settings.heldout_percent:g}",
        where=where,
        fix=f"{ways}or {more} episode.heldout_percent in params.yaml; known titles keep their side",
        details=counts,
    )


def keys(sieve: Sieve) -> Iterator[dict[str, str]]:
    """The lines of sides.parquet: every title and context of a kept row, by kind and key."""
    for kind in ("context", "title"):
        for key, side in sieve.db.execute(
            f"SELECT DISTINCT {kind}, side FROM rows"  # noqa: S608 - one of two words
            f" WHERE reason = '' AND {kind} IS NOT NULL ORDER BY {kind}"
        ):
            yield {"kind": kind, "key": key.hex(), "side": side}


def repeated(sieve: Sieve, episode: Path) -> int:
    """How many kept rows an earlier episode has with the same texts and answers.

    The episode's rows are read only where it has a text of a kept row.
    """
    contexts = (
        bytes.fromhex(line["key"])
        for line in parquet.read(episode / "sides.parquet")
        if line["kind"] == "context"
    )
    if not any(sieve.holds("context", key) for key in contexts):
        return 0
    rows = (row for side in SIDES for row in parquet.read(episode / f"{side}.parquet"))
    return sum(sieve.holds("content", sieve.keys(row)[1]) for row in rows)


def replacing(sieve: Sieve) -> tuple[int, int]:
    """How many rows have the id of a row that they correct (`originals`): all, and those kept."""
    found = "SELECT COUNT(*), SUM(rows.reason = '') FROM rows JOIN original USING (id)"
    every, kept = sieve.db.execute(found).fetchone()
    return int(every), int(kept or 0)


def emptied(sieve: Sieve, episode: Path) -> bool:
    """Whether every row of an earlier episode is replaced by a kept row of the same id."""
    return all(
        sieve.db.execute(
            "SELECT 1 FROM rows WHERE reason = '' AND id = ? LIMIT 1", (short(row["id"]),)
        ).fetchone()
        for side in SIDES
        for row in parquet.read(episode / f"{side}.parquet", ["id"])
    )
