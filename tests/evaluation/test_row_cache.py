"""The cache: rows come back, damaged files are dropped and never trusted."""

from __future__ import annotations

from pathlib import Path

import pytest

from onward import files
from onward.evaluation.row_cache import RowCache
from tests.evaluation.test_ledger import entries


def test_what_was_added_is_read_from_any_number_of_files(tmp_path: Path) -> None:
    cache = RowCache(tmp_path / "key")
    assert cache.read() == {}
    cache.add(entries(4, 1))
    cache.add(entries(4, 2))
    cache.add(entries(4, 2))
    assert RowCache(tmp_path / "key").read() == {**entries(4, 1), **entries(4, 2)}
    assert len(list((tmp_path / "key").iterdir())) == 2, "equal rows are one file"


@pytest.mark.parametrize("damage", ["flip", "tail", "empty", "foreign"])
def test_a_damaged_file_is_dropped(tmp_path: Path, damage: str) -> None:
    cache = RowCache(tmp_path)
    cache.add(entries(4, 1))
    (path,) = tmp_path.iterdir()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    bad = {"flip": bytes(data), "tail": path.read_bytes() + b"x", "empty": b"", "foreign": b"{}"}
    path.write_bytes(bad[damage])
    cache.add(entries(4, 2))
    assert cache.read() == entries(4, 2)
    assert not path.exists()


def test_a_file_under_its_own_hash_that_is_no_ledger_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"not parquet")
    path = path.rename(tmp_path / f"{files.sha256(path)}.parquet")
    assert RowCache(tmp_path).read() == {} and not path.exists()


def test_f02_a_write_that_dies_leaves_nothing_that_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = RowCache(tmp_path)
    for fatal in ("open", "write", "fsync", "rename"):

        def fail(kind: str, path: Path, fatal: str = fatal) -> None:
            if kind == fatal:
                raise OSError("died")

        monkeypatch.setattr(files, "operation", fail)
        with pytest.raises(OSError, match="died"):
            cache.add(entries(3))
        assert cache.read() == {}
    monkeypatch.undo()
    cache.add(entries(3))
    assert cache.read() == entries(3)
