"""The ledger's file: what is written is read, twice the same bytes, and nothing damaged passes."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from onward import files
from onward.errors import IntegrityError, InternalError, MissingFiles
from onward.evaluation import ledger
from onward.evaluation.ledger import Entry, part, read_parts, row_hash, write_parts
from onward.recipes import extractive
from tests import toys


def entries(n: int, seed: int = 0) -> dict[str, Entry]:
    chance = random.Random(seed)
    return {
        files.digest([seed, number]): Entry(f'{{"text":"{number} é"}}', (1.0, chance.random()))
        for number in range(n)
    }


def test_a_part_is_sorted_and_sums(tmp_path: Path) -> None:
    given = {"0002-b": entries(3, 1), "0001-a": entries(5, 2)}
    made = part("artifact", "torch", "scorer", given)
    assert made.units() == ["0001-a", "0002-b"]
    hashes, values = made.statistics("0001-a")
    assert hashes == sorted(given["0001-a"]) and values.shape == (5, 2)
    assert values.tolist() == [list(given["0001-a"][h].statistics) for h in hashes]
    assert made.total("0001-a").tolist() == values.sum(axis=0).tolist()
    assert made.predictions("0002-b")[hashes_of(given["0002-b"])[0]]["text"].endswith(" é")
    assert made.statistics("0003-none")[0] == []


def hashes_of(found: dict[str, Entry]) -> list[str]:
    return sorted(found)


def test_parts_come_back_as_they_were_and_the_bytes_do_not_vary(tmp_path: Path) -> None:
    given = entries(40)
    parts = [
        part("b", "onnx-cpu", "s", {"0001-a": given}),
        part("a", "torch", "s", {"0001-a": given, "0002-b": entries(9, 3)}),
        part("a", "torch", "r", {"0002-b": entries(9, 4)}),
    ]
    write_parts(tmp_path / "one.parquet", parts)
    shuffled = {h: given[h] for h in random.Random(1).sample(list(given), len(given))}
    again = [parts[1], part("b", "onnx-cpu", "s", {"0001-a": shuffled}), parts[2]]
    write_parts(tmp_path / "other.parquet", again)
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "other.parquet").read_bytes()
    back = read_parts(tmp_path / "one.parquet")
    named = [(one.artifact, one.provider, one.scorer) for one in back]
    assert named == [("a", "torch", "r"), ("a", "torch", "s"), ("b", "onnx-cpu", "s")]
    assert back[1].table.equals(parts[1].table) and back[2].table.equals(parts[0].table)
    write_parts(tmp_path / "empty.parquet", [])
    assert read_parts(tmp_path / "empty.parquet") == []


def test_two_parts_of_one_name_are_refused(tmp_path: Path) -> None:
    parts = [part("a", "torch", "s", {"0001-a": entries(2, seed)}) for seed in (1, 2)]
    with pytest.raises(InternalError):
        write_parts(tmp_path / "x.parquet", parts)


def test_missing_rows_are_reported_by_name() -> None:
    given = entries(10)
    rows = sorted(given)
    made = part("artifact", "torch", "s", {"0001-a": {h: given[h] for h in rows[2:]}})
    made.require({"0001-a": rows[2:]})
    assert made.missing({"0001-a": rows, "0002-b": ["x"]}) == {
        "0001-a": rows[:2],
        "0002-b": ["x"],
    }
    with pytest.raises(MissingFiles) as caught:
        made.require({"0001-a": rows, "0002-b": ["x"]})
    assert "0001-a: 2 rows" in caught.value.where and rows[0] in caught.value.where
    assert "0002-b: 1 rows" in caught.value.where


def test_row_hash_is_over_the_canonical_columns_alone() -> None:
    row = toys.toy_rows(1, seed=1)[0]
    assert row_hash(extractive, row) == files.digest(row)
    assert row_hash(extractive, {**row, "episode": "0001-a"}) == files.digest(row)
    assert row_hash(extractive, {**row, "question": "?"}) != files.digest(row)


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "text"])
def test_f06_a_damaged_file_is_a_typed_error(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "ledger.parquet"
    write_parts(path, [part("a", "torch", "s", {"0001-a": entries(500)})])
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    bad = {"flip": bytes(data), "cut": data[:-9], "empty": b"", "text": b"PAR1 not really PAR1"}
    path.write_bytes(bad[damage])
    with pytest.raises(IntegrityError, match=r"ledger\.parquet is not a readable ledger"):
        read_parts(path)


def test_other_files_and_missing_ones_are_typed_errors(tmp_path: Path) -> None:
    with pytest.raises(MissingFiles):
        read_parts(tmp_path / "none.parquet")
    pq.write_table(pa.table({"x": [1]}), tmp_path / "x.parquet")
    with pytest.raises(IntegrityError, match=r"its columns are \['x'\]"):
        read_parts(tmp_path / "x.parquet")


def test_a_later_schema_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "SCHEMA", 2)
    write_parts(tmp_path / "x.parquet", [part("a", "torch", "s", {"u": entries(1)})])
    monkeypatch.undo()
    with pytest.raises(IntegrityError):
        read_parts(tmp_path / "x.parquet")


def test_entry_keeps_the_prediction_in_its_canonical_form() -> None:
    recipe = SimpleNamespace(statistics=lambda row, said: np.array([1, 0.5]))
    made = ledger.entry(recipe, {}, {"text": "é", "start": 1})
    assert made == Entry('{"start":1,"text":"é"}', (1.0, 0.5))
    with pytest.raises(ValueError, match="JSON"):
        ledger.entry(recipe, {}, {"probability": float("nan")})
