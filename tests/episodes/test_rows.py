"""Rows and parquet: the same bytes, flat reading, F06."""

from __future__ import annotations

import random
import unicodedata
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from onward.episodes import columnar, rows
from onward.errors import DataError, MissingFiles
from onward.recipes.chat import SCHEMA as CHAT
from onward.recipes.extractive import SCHEMA
from tests.episodes.deliveries import goods


def test_what_is_written_is_read_in_order_and_the_bytes_are_the_same(tmp_path: Path) -> None:
    there = goods(2_500)
    assert rows.write(tmp_path / "a.parquet", there, SCHEMA) == 2_500
    rows.write(tmp_path / "b.parquet", iter(there), SCHEMA)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    assert rows.read_all(tmp_path / "a.parquet") == there
    assert rows.count(tmp_path / "a.parquet") == 2_500


def test_no_rows_still_make_a_file_with_columns(tmp_path: Path) -> None:
    assert rows.write(tmp_path / "a.parquet", [], SCHEMA) == 0
    assert rows.read_all(tmp_path / "a.parquet") == []
    assert pq.read_schema(tmp_path / "a.parquet").names == SCHEMA.names


def test_long_rows_close_a_group_early(tmp_path: Path) -> None:
    long = [{**row, "context": "x" * (rows.GROUP_CHARS // 2)} for row in goods(4)]
    rows.write(tmp_path / "a.parquet", long, SCHEMA)
    assert pq.ParquetFile(tmp_path / "a.parquet").num_row_groups == 2
    found = [row["id"] for row in rows.read(tmp_path / "a.parquet", ["id"])]
    assert found == [row["id"] for row in long]


def test_long_histories_close_a_group_early_and_are_read_a_group_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted as nothing, 2 GiB of them made a file that Arrow writes and does not read."""
    monkeypatch.setattr(rows, "GROUP_CHARS", 1_000)
    row = {"id": "1", "title": None, "context": None, "question": "?", "references": ["a"]}
    there = [{**row, "id": str(n), "history": ["x" * 200, "y" * 200]} for n in range(9)]
    rows.write(tmp_path / "a.parquet", there, CHAT)
    assert pq.ParquetFile(tmp_path / "a.parquet").num_row_groups == 3
    assert [batch.num_rows for batch in rows.batches(tmp_path / "a.parquet")] == [3, 3, 3]
    assert rows.read_all(tmp_path / "a.parquet") == there


def test_a_delivery_in_one_row_group_is_read_a_part_at_a_time(tmp_path: Path) -> None:
    chance = random.Random(0)
    texts = ["".join(chance.choices("abcdefgh ", k=2_000)) for _ in range(10_000)]
    pq.write_table(pa.table({"text": texts}), tmp_path / "a.parquet", row_group_size=10_000,
                   compression="none", use_dictionary=False)  # fmt: skip
    before, most = pa.total_allocated_bytes(), 0
    for number, row in enumerate(columnar.read(tmp_path / "a.parquet", ["text"])):
        assert row.values == {"text": texts[number]}
        most = max(most, pa.total_allocated_bytes() - before)
    assert number == 9_999 and most < 8_000_000, "of 20 MB"


def test_an_error_while_writing_is_not_hidden(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), rows.Writer(tmp_path / "a.parquet", SCHEMA) as out:
        out.write(goods(1)[0])
        _ = 1 / 0


def test_f06_a_missing_file_is_not_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(MissingFiles):
        rows.read_all(tmp_path / "none.parquet")


def test_f06_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").touch()
    for reading in (rows.read_all, rows.count):
        with pytest.raises(DataError, match="empty") as caught:
            reading(tmp_path / "a.parquet")
        assert str(tmp_path / "a.parquet") in caught.value.where


@pytest.mark.parametrize("kept", [1, 4, 100, 0.5, 0.9, 0.999])
def test_f06_a_truncated_file(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "a.parquet"
    rows.write(path, goods(500), SCHEMA)
    data = path.read_bytes()
    path.write_bytes(data[: int(kept if kept >= 1 else kept * len(data))])
    for reading in (rows.read_all, rows.count):
        with pytest.raises(DataError, match=r"a\.parquet is cut off or damaged"):
            reading(path)


@settings(max_examples=60)
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@example(where=0.5257909196057948, bit=2)
def test_f06_a_flipped_bit_is_an_error_or_changes_no_text(
    tmp_path_factory: pytest.TempPathFactory, where: float, bit: int
) -> None:
    path = tmp_path_factory.mktemp("flip") / "a.parquet"
    there = goods(50)
    rows.write(path, there, SCHEMA)
    data = bytearray(path.read_bytes())
    data[int(where * len(data))] ^= 1 << bit
    path.write_bytes(data)
    try:
        found = rows.read_all(path)
    except DataError:
        return
    # The footer has no checksum (manifests cover it); pages have, so no text changes unseen.
    assert {row.get("context") for row in found} <= {row["context"] for row in there} | {None}


def test_f06_a_flipped_page_byte_is_never_read(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    rows.write(path, goods(500), SCHEMA)
    data = bytearray(path.read_bytes())
    start = pq.read_metadata(path).row_group(0).column(2).data_page_offset
    data[start + 200] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="damaged"):
        rows.read_all(path)


@pytest.mark.parametrize("kind", [pa.binary(), pa.list_(pa.binary())])
def test_f06_a_text_that_is_no_text_any_more(tmp_path: Path, kind: pa.DataType) -> None:
    value = b"a" if kind == pa.binary() else [b"a"]
    table = pa.table({"context": pa.array([value], type=kind)})
    pq.write_table(table, tmp_path / "a.parquet", write_page_checksum=True)
    with pytest.raises(DataError, match=r"damaged: its column 'context' holds bytes"):
        rows.read_all(tmp_path / "a.parquet")


def test_f06_a_column_that_is_not_there(tmp_path: Path) -> None:
    rows.write(tmp_path / "a.parquet", [{"id": "a"}], pa.schema([("id", pa.string())]))
    with pytest.raises(DataError, match="no column 'context'"):
        rows.read_all(tmp_path / "a.parquet", ["context"])


def test_a_row_hash_depends_on_every_value() -> None:
    row = goods(1)[0]
    hashes = {rows.row_hash(row)} | {rows.row_hash({**row, key: None}) for key in row}
    assert len(hashes) == 1 + len(row)


@given(st.text())
def test_normalising_twice_is_normalising_once(text: str) -> None:
    once = rows.normalised(text)
    assert rows.normalised(once) == once


@given(st.text())
def test_d12_composed_and_decomposed_forms_are_one(text: str) -> None:
    composed, decomposed = (unicodedata.normalize(form, text) for form in ("NFC", "NFD"))
    assert rows.normalised(composed) == rows.normalised(decomposed)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Who wrote it?", "who  wrote IT"),
        ("Stra\u00dfe", "STRASSE"),
        ("caf\u00e9", "cafe\u0301"),
        ("\ufb01ne", "fine"),
        ("\U0001d400lba", "alba"),  # a letter that has case only after NFKC
        ("zero\u200bwidth", "zerowidth"),
        ("a\u202eb", "ab"),
        ("a,b\tc\u00a0d", "a b c d"),
    ],
)
def test_d09_texts_that_are_the_same_for_leakage(one: str, other: str) -> None:
    assert rows.normalised(one) == rows.normalised(other)


@pytest.mark.parametrize(("one", "other"), [("a1", "a2"), ("C+", "C"), ("कि", "क")])
def test_d09_texts_that_stay_apart(one: str, other: str) -> None:
    assert rows.normalised(one) != rows.normalised(other)


@pytest.mark.parametrize("text", ["", " ", "\u200b", "\t\n", "?!", "\u2026", "\ufeff", "\u0301"])
def test_d06_nothing_to_read(text: str) -> None:
    assert rows.is_blank(text)


@pytest.mark.parametrize("text", ["a", "7", "$", "\U0001f44d", "中", "null", "NaN"])
def test_d06_something_to_read(text: str) -> None:
    assert not rows.is_blank(text)
