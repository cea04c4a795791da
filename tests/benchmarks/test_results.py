"""results.md is what results.jsonl says: the latest run of each claim, never the best."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import record
from onward import files


def line(claim: str, value: float, met: bool, **more: Any) -> dict[str, Any]:
    return {**record.result(claim, value, "s", 1.5, met), **more}


def test_the_page_is_in_step_with_the_lines() -> None:
    assert record.PAGE.read_text() == record.render(files.read_lines(record.RESULTS))


def test_each_line_holds_what_it_must() -> None:
    for found in files.read_lines(record.RESULTS):
        assert set(record.NEEDED) <= set(found)
        assert isinstance(found["met"], bool) and found["revision"] and found["machine"]


def test_the_latest_is_shown_and_not_the_best() -> None:
    page = record.render(
        [line("quick", 1.0, True), line("other", 2, True), line("quick", 9, False)]
    )
    row = next(row for row in page.splitlines() if row.startswith("| quick"))
    assert "9 s" in row and "**no**" in row and "| 2 |" in row
    assert page.count("| quick") == 1


def test_no_runs_are_said_so() -> None:
    assert "No run of record yet" in record.render([])


def test_a_run_of_record_is_kept_whatever_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(record, "RESULTS", tmp_path / "results.jsonl")
    monkeypatch.setattr(record, "PAGE", tmp_path / "results.md")
    assert record.finish(line("quick", 9, False), record=True) == 1
    assert record.finish(line("quick", 1, True), record=True) == 0
    assert record.finish(line("quick", 5, False), record=False) == 1
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["value"] == 5
    assert [kept["value"] for kept in files.read_lines(record.RESULTS)] == [9, 1]
    assert record.PAGE.read_text() == record.render(files.read_lines(record.RESULTS))


def test_rows_of_one_form_are_a_table_and_what_is_not_there_is_blank() -> None:
    rows = [{"name": "naive", "average": [61.0, 60.2]}, {"name": "joint", "average": None, "n": 3}]
    page = record.render([line("study", 1.0, True, table=rows, settings={"seeds": [0]})])
    assert "| name | average | n |" in page
    assert "| naive | [61.0, 60.2] |  |" in page and "| joint |  | 3 |" in page
    assert '- settings: {"seeds": [0]}' in page
