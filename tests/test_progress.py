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
