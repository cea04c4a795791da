"""Progress in a log: a line every few seconds, also where nothing is finished yet."""

from __future__ import annotations

import pytest

from onward import progress


def test_a_line_says_what_is_going_on_before_anything_is_done(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "EVERY", 0.0)
    with progress.Progress("compare", total=2) as shown:
        shown.advance(0, note="(full seed 0)")
        assert capsys.readouterr().out == "compare 0% 0/2 (full seed 0)\n"
        shown.advance(1)
        assert capsys.readouterr().out == "compare 50% 1/2 00:00 left (full seed 0)\n"


def test_the_time_left_grows_less_while_one_unit_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    with progress.Progress("compare", total=2) as shown:
        now = 300.0
        shown.advance(1)
        for now, left in ((310.0, "04:50"), (500.0, "01:40"), (700.0, "00:00")):
            capsys.readouterr()
            shown.advance(0)
            assert capsys.readouterr().out == f"compare 50% 1/2 {left} left\n"


def test_what_ends_before_all_is_done_says_how_much_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with progress.Progress("study", total=3) as shown:
        shown.advance(1)
    assert capsys.readouterr().out.startswith("study 33% 1/3 done in ")
    with progress.Progress("search", total=0):
        pass
    assert capsys.readouterr().out.startswith("search 100% 1/1 done in ")
