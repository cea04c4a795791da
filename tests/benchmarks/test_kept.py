"""What a long benchmark has finished can be packed, and unpacked as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import kept
from onward import files
from onward.evaluation import ledger


def finished(folder: Path) -> None:
    """A study's folder with two turns, and a benchmark of recipes beside it."""
    for key, right in (("a" * 64, 1.0), ("b" * 64, 0.0)):
        units = {"0001-x": {f"{n:064d}": ledger.Entry("", (right, 1.0)) for n in range(50)}}
        with files.building(folder / "done" / key) as at:
            files.write_json(at / "result.json", {"episode": "0001-x", "right": right})
            ledger.write_parts(at / "rows.parquet", [ledger.part("art", "torch", "s", units)])
    with files.building(folder / "test_read" / "naive" / "abc") as at:
        files.write_json(at / "configuration.json", {"seed": None})
    files.write_json(folder / "threads.json", {"threads": 1})
    (folder / "entry" / "done").mkdir(parents=True)
    files.write_json(folder / "entry" / "done" / "key.json", {"torch": 93.5})
    for unfinished in ("done/.c.tmp", "work/x", "data/y"):
        (folder / unfinished).mkdir(parents=True)
        (folder / unfinished / "result.json").write_text("{")


def tree(folder: Path) -> dict[str, bytes]:
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def test_what_is_finished_comes_back_byte_for_byte(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finished(tmp_path / "study")
    assert kept.pack(tmp_path / "study", tmp_path / "kept" / "one.tar.xz", "cafe") == 7
    assert kept.unpack(tmp_path / "kept" / "one.tar.xz", tmp_path / "again") == 7
    before, after = tree(tmp_path / "study"), tree(tmp_path / "again")
    assert after == {name: data for name, data in before.items() if data != b"{"}
    assert "measured at cafe" in capsys.readouterr().out
    for sealed in ("done/" + "a" * 64, "test_read/naive/abc"):
        files.verify(tmp_path / "again" / sealed)


def test_the_same_folder_gives_the_same_archive(tmp_path: Path) -> None:
    finished(tmp_path / "study")
    archives = [tmp_path / "1.tar.xz", tmp_path / "2.tar.xz"]
    for archive in archives:
        kept.pack(tmp_path / "study", archive, "cafe")
    first, second = (archive.read_bytes() for archive in archives)
    assert first == second


def test_a_folder_without_results_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="Nothing is finished"):
        kept.pack(tmp_path, tmp_path / "one.tar.xz", "cafe")
