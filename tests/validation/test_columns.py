"""What is measured of rows, against a plain reading of the same rows; memory at scale."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from onward.episodes.rows import is_blank
from onward.recipes.extractive import SCHEMA
from onward.validation import columns, extractive
from onward.validation.words import Words
from tests.toys import toy_rows
from tests.validation.episodes import NULLABLE, deliver, project, sides

TEXTS = ["", " ", "\u200b", "?!", "\u0301", "a", "é", "中文", "😀", "$", "٣", "\u00ad", "ａ", "-1"]


def _measure(rows: list[dict[str, object]]) -> dict[str, list[object]]:
    table = pa.Table.from_pylist(rows, schema=NULLABLE)
    measured = extractive.measure(table, Words())
    return {name: list(values.tolist()) for name, values in measured.items()}


def test_blank_is_what_the_door_calls_blank() -> None:
    rows = [{**toy_rows(1, 1)[0], "question": text} for text in TEXTS]
    assert _measure(rows)["question_blank"] == [int(is_blank(text)) for text in TEXTS]


def test_lengths_count_characters() -> None:
    rows = [{**toy_rows(1, 1)[0], "question": text} for text in TEXTS]
    assert _measure(rows)["question_chars"] == [len(text) for text in TEXTS]


def test_rows_without_an_answer() -> None:
    rows = toy_rows(40, 3, no_answer=0.5)
    measured = _measure(rows)
    assert measured["answers"] == [len(row["answers"]) for row in rows]
    assert measured["unanswered"] == [int(not row["answers"]) for row in rows]
    assert set(measured["misplaced"] + measured["blank_answers"] + measured["unpaired"]) == {0}


def test_several_answers_are_counted_in_their_own_row() -> None:
    first, second, third = toy_rows(3, 3)
    first.update(context="red and red", answers=["red", "red"], starts=[0, 8])
    second.update(answers=["nope", "!", ""], starts=[0, 0, 0])
    third.update(answers=[], starts=[])
    measured = _measure([first, second, third])
    assert measured["misplaced"] == [0, 2, 0]  # an empty text stands anywhere
    assert measured["blank_answers"] == [0, 2, 0]
    assert measured["answer_words"] == [1, 1, 0]


def test_a_slice_of_a_table_is_measured_by_itself() -> None:
    """Arrow's slices keep their parent's list values; offsets must not leak through."""
    rows = toy_rows(9, 3)
    whole = pa.Table.from_pylist(rows, schema=SCHEMA)
    part = extractive.measure(whole.slice(4, 3), Words())
    for name, values in extractive.measure(
        pa.Table.from_pylist(rows[4:7], schema=SCHEMA), Words()
    ).items():
        assert part[name].tolist() == values.tolist(), name


@pytest.mark.parametrize("same", [True, False])
def test_keys_are_equal_for_texts_that_are_read_alike(same: bool) -> None:
    row = toy_rows(1, 1)[0]
    other = {**row, "question": row["question"].upper() + ("  ?" if same else " not")}
    first, second = _measure([row, other])["key"]
    assert (first == second) is same


def test_every_column_is_whole_and_of_a_type_that_is_compared_at_once(tmp_path: Path) -> None:
    """Great Expectations compares int64 and float64 as arrays, all else value by value."""
    at = project(tmp_path)
    deliver(at, learning={"new": sides(7)})
    delivery = columns.Delivery(at.episode("0001-new"), learning=True)
    frames = columns.measure([delivery], "extractive", 320)
    numeric = frames.rows.drop(columns=["id", "episode", "side"])
    assert {str(kind) for kind in numeric.dtypes} <= {"int64", "float64"}
    assert not frames.rows.isna().any().any()
    assert len(frames.rows) == 54


_PEAK = r"""
import re, sys
from pathlib import Path
from onward.validation import columns
columns.measure([columns.Delivery(Path(sys.argv[1]), True)], "extractive", 320)
# Not getrusage: its peak counts the parent's memory before exec, too.
print(int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) // 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's peak memory")
def test_d10_memory_does_not_grow_with_the_texts(tmp_path: Path) -> None:
    """100,000 rows with contexts of 200 and of 8,000 characters: 780 MB more text."""
    peaks = []
    for chars in (200, 8_000):
        (tmp_path / str(chars)).mkdir()
        at = project(tmp_path / str(chars))
        row = toy_rows(1, 1)[0]
        rows = [
            {**row, "id": str(n), "context": f"{row['context']} {n:08} ".ljust(chars, "x")}
            for n in range(100_000)
        ]
        deliver(at, learning={"new": {"train": rows, "heldout": rows[:1]}})
        command = [sys.executable, "-c", _PEAK, str(at.episode("0001-new"))]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout))
    assert peaks[1] - peaks[0] < 100
