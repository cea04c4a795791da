"""Memory stays flat on files larger than it should hold (D10)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.episodes import deliveries

CHILD = """
import resource, sys
from pathlib import Path
from onward.episodes.open import open_episode
from onward.errors import OnwardError
from onward.learning import encoder
from onward.project import Project
from tests.episodes import deliveries

encoder.locate = lambda name, *_: Path(name)
encoder.fingerprint = lambda *_: "e" * 64
project = deliveries.project(Path(sys.argv[1]))
small = deliveries.jsonl(Path(sys.argv[1]) / "small.jsonl", deliveries.goods(2_000, 10**7))
open_episode(project, "small", small, keep=deliveries.keep)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    print(open_episode(project, "big", Path(sys.argv[2]), keep=deliveries.keep).counts)
except OnwardError as error:
    print(type(error).__name__, error.what)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def grown(tmp_path: Path, source: Path) -> tuple[str, int]:
    """What opening said, and by how many MiB the process grew."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path / "project"), str(source)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    said, size = done.stdout.splitlines()[-2:]
    return said, int(size)


def rows(count: int, padding: int) -> Iterator[dict[str, Any]]:
    for number in range(count):
        row = deliveries.good(number, titles=1_000)
        yield {**row, "context": row["context"] + f" {number} blah" * (padding // 12)}


@pytest.mark.slow
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize(("kind", "count"), [("jsonl", 70_000), ("csv", 25_000), ("squad", 25_000)])
def test_d10_200_mb_of_rows(tmp_path: Path, kind: str, count: int) -> None:
    source = tmp_path / ("big.json" if kind == "squad" else f"big.{kind}")
    if kind == "csv":
        deliveries.delimited(source, rows(count, 2_800))
    elif kind == "jsonl":
        deliveries.jsonl(source, rows(count, 2_800))
    else:
        with source.open("w") as out:
            out.write('{"data": [')
            for number, row in enumerate(rows(count, 2_800)):
                article = deliveries.squad([row])["data"][0]
                out.write(("," if number else "") + json.dumps(article))
            out.write('], "version": "1.1"}')
    assert source.stat().st_size > 2_500 * count
    said, size = grown(tmp_path, source)
    assert f"'seen': {count}, 'accepted': {count}" in said
    # SQLite's cache, a row group and the libraries' own pools; the rows would be 400 MiB and more.
    assert size < 150


@pytest.mark.slow
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize(
    ("name", "lead", "tail", "said"),
    [
        ("a.jsonl", b'{"question": "', b'"}\n', "'seen': 1001"),
        ("a.csv", b"question,context,answer\n", b"\n", "cannot be taken"),
        ("a.csv", b'question,context,answer\nq,"', b"\n", "cannot be taken"),
        ("a.json", b'{"data": [], "version": "', b'"}', "longer than"),
        ("a.json", b'{"data": [{"title": ', b"1}]}", "longer than"),
    ],
    ids=["jsonl", "csv", "csv quote", "squad text", "squad number"],
)
def test_d10_one_line_of_400_mb(
    tmp_path: Path, name: str, lead: bytes, tail: bytes, said: str
) -> None:
    source = tmp_path / name
    filler = (b"1" if b"title" in lead else b"x") * 1_000_000
    with source.open("wb") as out:
        out.write(lead)
        for _ in range(400):
            out.write(filler)
        out.write(tail)
        if name == "a.jsonl":
            for row in rows(1_000, 0):
                out.write(json.dumps(row).encode() + b"\n")
    found, size = grown(tmp_path, source)
    assert said in found
    assert size < 200
