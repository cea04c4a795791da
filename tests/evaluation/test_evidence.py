"""What makes the rows of a side unusable, each in words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from onward.evaluation.evidence import Side, Unit
from tests.evaluation.cases import GAINED, evidence, learning, side, unit

GOOD = unit("0001-a", [1.0, 0.0, 1.0], [1.0, 1.0, 0.0])


def test_a_good_unit_has_no_problem() -> None:
    assert GOOD.problem("new", 2) == GOOD.problem("old", 2) == ""


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"rows": ()}, "has no test rows"),
        ({"new": None}, "was not scored"),
        ({"new": side([1.0])}, "2 of 3 rows were not scored"),
        ({"new": side([1.0] * 4)}, "doubled or not in its test set"),
        ({"rows": ("r0000", "r0001", "r0001")}, "doubled or not in its test set"),
        ({"new": Side(("r0000", "r0001", "r0002"), np.ones((2, 2)))}, "do not fit its rows"),
        ({"new": Side(("r0000", "r0001", "r0002"), np.ones((3, 5)))}, "do not fit its rows"),
        ({"new": Side(("r0000", "r0001", "r0002"), np.ones(3))}, "do not fit its rows"),
        ({"new": side([1.0, np.nan, np.inf])}, "2 of 3 rows are not finite"),
    ],
)
def test_what_makes_a_side_unusable(changed: dict[str, object], problem: str) -> None:
    assert problem in replace(GOOD, **changed).problem("new", 2)  # type: ignore[arg-type]
    assert replace(GOOD, **changed).problem("old", 2) == "" or "rows" in changed  # type: ignore[arg-type]


def test_doubled_scored_rows_are_unusable() -> None:
    doubled = Side(("r0000", "r0001", "r0002", "r0002"), np.ones((4, 2)))
    assert "doubled" in replace(GOOD, new=doubled).problem("new", 2)


def test_aligned_follows_the_row_hashes() -> None:
    given = Side(("c", "a", "b\0", "b"), np.array([[3.0], [1.0], [2.5], [2.0]]))
    assert given.aligned()[:, 0].tolist() == [1.0, 2.0, 2.5, 3.0]


def test_learning_names_are_sorted() -> None:
    later: Unit = learning([1.0], [0.0], "0010-z")
    assert evidence(later, GOOD, GAINED).learning == ("0009-new", "0010-z")
