"""The signatures of an episode's texts: signatures.parquet, so that later openings read no rows.

One line per different text (`rows.split_text`) and kind of shingle: which side, the row's number
in that side's file, the signature. A file of another version, and an episode that was opened
before there were signatures, is sketched from its rows each time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from onward.episodes import near
from onward.episodes import rows as parquet
from onward.episodes.shingles import Kind
from onward.episodes.sketches import PERMUTATIONS, VERSION
from onward.recipes.shapes import Row

NAME = "signatures.parquet"

SIDES = {"train": "training", "heldout": "held-out"}
"""Side -> its name for people."""

SCHEMA = pa.schema(
    [
        pa.field("side", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        pa.field("signature", pa.binary(PERMUTATIONS), nullable=False),
    ],
    metadata={"version": VERSION},
)


def blocks(episode: Path, side: str) -> Iterator[near.Block]:
    """The signatures of one side of an episode.

    Args:
        episode: its folder.
        side: "train" or "heldout".

    Raises:
        MissingFiles, DataError: a file is not there or damaged.
    """
    lines = _kept(episode, side) if _usable(episode / NAME) else _sketched(episode, side)
    path = episode / f"{side}.parquet"
    where = f"the {SIDES[side]} row {{}} of {episode.name}"
    return near.blocks(lines, lambda numbers: texts_at(path, numbers), where)


def _usable(path: Path) -> bool:
    if not path.is_file():
        return False
    try:
        found = pq.read_schema(path).metadata or {}
    except (OSError, pa.ArrowException) as error:
        raise parquet.damaged(path, error) from error
    return found.get(b"version") == VERSION.encode()


def _kept(episode: Path, side: str) -> Iterator[tuple[int, Kind, bytes]]:
    for line in parquet.read(episode / NAME):
        if line["side"] == side:
            yield line["row"], line["kind"], line["signature"]


def _sketched(episode: Path, side: str) -> Iterator[tuple[int, Kind, bytes]]:
    before = ""
    for number, row in enumerate(parquet.read(episode / f"{side}.parquet")):
        text = parquet.split_text(row)
        if text != before:  # most texts that come again come in a row
            before = text
            for kind, signature in near.signed(text):
                yield number, kind, signature


def texts_at(path: Path, numbers: Sequence[int]) -> dict[int, near.Text]:
    """The texts of some rows of a side's file, by number; other row groups are not read."""
    wanted, found = set(numbers), {}
    columns = [
        name
        for name in ("id", "context", "text", "history", "question")
        if name in pq.read_schema(path).names
    ]
    with pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=False) as source:
        first = 0
        for group in range(source.num_row_groups):
            count = source.metadata.row_group(group).num_rows
            here = sorted(n for n in wanted if first <= n < first + count)
            if here:
                table = source.read_row_group(group, columns=columns)
                rows: list[Row] = table.take([n - first for n in here]).to_pylist()
                for number, row in zip(here, rows, strict=True):
                    found[number] = near.Text(parquet.split_text(row), row["id"])
            first += count
    return found
