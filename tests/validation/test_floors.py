"""Great Expectations passes vacuously; the floors do not."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pandas as pd
import pytest

from onward.errors import InternalError
from onward.validation.columns import Frames
from onward.validation.expectations import between
from onward.validation.floors import floors
from onward.validation.report import report
from onward.validation.suite import judge


def _frames(values: list[float | None]) -> Frames:
    rows = pd.DataFrame({"n": pd.Series(values, dtype="float64")})
    rows["episode"], rows["side"] = "0001-a", "train"
    rows["id"] = [str(n) for n in range(len(rows))]
    episodes = pd.DataFrame(
        {"episode": ["0001-a"], "learning": [1], "train_rows": [1], "heldout_rows": [1]}
    )
    return Frames(rows, episodes)


FEW = between("n is small", "rows", "n", high=5)


def test_all_null_passes_great_expectations_and_not_the_floor() -> None:
    frames = _frames([None, None, None])
    outcomes = judge([FEW], frames)
    assert outcomes[0].passed, "the vacuous pass that the floor is for"
    assert [f.expectation.name for f in floors(outcomes, frames) if not f.passed] == [
        "all lines checked: n is small"
    ]


def test_one_null_among_many() -> None:
    frames = _frames([1.0, None, 2.0])
    (floor,) = [f for f in floors(judge([FEW], frames), frames) if not f.passed]
    assert (floor.checked, floor.failed) == (2, 1)


def test_no_rows() -> None:
    frames = _frames([])
    failed = {f.expectation.name for f in floors(judge([FEW], frames), frames) if not f.passed}
    assert failed == {"there are rows", "all lines checked: n is small"}


def test_empty_suite() -> None:
    frames = _frames([1.0])
    failed = [f.expectation.name for f in floors(judge([], frames), frames) if not f.passed]
    assert failed == ["there are expectations"]
    assert not report([], floors([], frames), frames)["passed"]


def test_nothing_to_learn() -> None:
    frames = _frames([1.0])
    known = Frames(frames.rows, frames.episodes.assign(learning=0))
    failed = [f.expectation.name for f in floors(judge([FEW], known), known) if not f.passed]
    assert failed == ["there are episodes to learn"]


def test_a_column_that_is_missing_is_a_defect_and_not_a_pass() -> None:
    with pytest.raises(InternalError, match="n is small"):
        judge([FEW], Frames(_frames([1.0]).rows.drop(columns="n"), _frames([1.0]).episodes))


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S13: no folder for Data Docs, which would show values as raw HTML."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    judge([FEW], _frames([1.0, 9.0]))
    assert list(tmp_path.iterdir()) == []


def test_good_ones_pass() -> None:
    frames = _frames([1.0, 5.0])
    outcomes = judge([FEW], frames)
    assert report(outcomes, floors(outcomes, frames), frames)["passed"]
