"""Average, forgetting and transfer of a line of versions, against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from onward.evaluation import statistics, transfer
from onward.evaluation.statistics import Draws
from onward.evaluation.transfer import BASELINE, Cell, Line, measure, measures

RIGHT = {  # percent right of 200 rows
    ("v1", "a"): 80,
    ("v1", "b"): 20,
    ("v2", "a"): 85,
    ("v2", "b"): 70,
    ("v2", "c"): 30,
    ("v3", "a"): 75,
    ("v3", "b"): 72,
    ("v3", "c"): 90,
    (BASELINE, "a"): 5,
    (BASELINE, "b"): 5,
    (BASELINE, "c"): 10,
    ("joint", "a"): 85,
    ("joint", "b"): 74,
    ("joint", "c"): 90,
}
LEARNED = {"v1": ("a",), "v2": ("b",), "v3": ("c",)}


def cell(percent: float, rows: int = 200, seed: int = 0) -> Cell:
    """n and right of each row; which are right is drawn."""
    right = np.random.default_rng(seed).permutation(np.arange(rows) < percent / 100 * rows)
    names = tuple(f"{n:05}" for n in range(rows))
    return Cell(names, np.column_stack([np.ones(rows), right.astype(float)]))


def score(totals: statistics.Array) -> statistics.Array:
    return np.asarray(100 * totals[..., 1] / totals[..., 0])


def line(*versions: str, gone: str = "", **changed: Cell) -> Line:
    cells = {key: cell(percent, seed=n) for n, (key, percent) in enumerate(RIGHT.items())}
    cells |= {("v3", unit): made for unit, made in changed.items()}
    return Line(versions or ("v1", "v2", "v3"), LEARNED, cells, score, frozenset(gone))


@pytest.mark.parametrize(
    ("name", "value", "units"),
    [
        ("average", (75 + 72 + 90) / 3, 3),
        ("forgetting", ((85 - 75) + (70 - 72)) / 2, 2),
        ("backward", ((75 - 80) + (72 - 70)) / 2, 2),
        ("forward", ((20 - 5) + (30 - 10)) / 2, 2),
        ("gap", ((85 - 75) + (74 - 72) + (90 - 90)) / 3, 3),
    ],
)
def test_the_definitions(name: transfer.Name, value: float, units: int) -> None:
    made = line()
    joint = {unit: made.cells["joint", unit] for unit in "abc"}
    found = measure(made, name, joint=joint)
    assert found is not None
    assert found.value == pytest.approx(value)
    assert (found.units, found.rows) == (units, 200 * units)
    assert found.low < found.value < found.high


def test_a_first_version_has_an_average_and_nothing_to_forget() -> None:
    assert [one.name for one in measures(line("v1"))] == ["average"]
    assert measures(Line((), {}, {}, score)) == []


def test_a_withdrawn_unit_counts_nowhere() -> None:
    found = {one.name: one for one in measures(line(gone="b"))}
    assert found["average"].value == pytest.approx((75 + 90) / 2)
    assert found["forgetting"].units == found["forward"].units == 1


def test_a_missing_cell_is_left_out_and_never_zero() -> None:
    made = line()
    cells = {key: one for key, one in made.cells.items() if key not in (("v1", "b"), ("v3", "a"))}
    found = {one.name: one for one in measures(Line(made.versions, LEARNED, cells, score))}
    assert found["average"].value == pytest.approx((72 + 90) / 2)
    assert found["forward"].value == pytest.approx(30 - 10)
    assert found["forgetting"].units == 1


def test_only_rows_that_both_have_are_compared() -> None:
    """A later episode corrected half of a's rows: they are not v3's any more."""
    old = cell(80, seed=0)
    kept = Cell(old.rows[::2], old.statistics[::2])
    found = measure(line(a=kept), "backward")
    assert found is not None and found.rows == 100 + 200
    rest = measure(Line(("v1", "v3"), {"v1": ("a",)}, {("v1", "a"): old, ("v3", "a"): kept}, score),
                   "backward")  # fmt: skip
    assert rest is not None and rest.value == rest.low == rest.high == 0


def test_a_unit_of_which_two_versions_share_no_row_is_left_out_and_takes_no_other_with_it() -> None:
    made = line()
    other = Cell(tuple(f"{n:05}" for n in range(500, 700)), made.cells["v3", "b"].statistics)
    found = measure(line(b=other), "backward")
    assert found is not None
    assert (found.value, found.units, found.rows) == (-5.0, 1, 200)
    average = measure(line(b=other), "average")
    assert average is not None and average.units == 3


def test_the_interval_is_a_paired_one() -> None:
    """The same rows wrong on both sides: the change is known well, though the scores are not."""
    before, after = cell(60, seed=3), cell(60, seed=3)
    after.statistics[np.flatnonzero(after.statistics[:, 1])[:4], 1] = 0
    made = Line(("v1", "v3"), {"v1": ("a",)}, {("v1", "a"): before, ("v3", "a"): after}, score)
    change, average = measure(made, "backward"), measure(made, "average")
    assert change is not None and average is not None
    assert change.value == pytest.approx(-2)
    assert change.high - change.low < (average.high - average.low) / 2


def test_the_interval_narrows_with_units_as_independent_ones_do() -> None:
    """Eight equal units: the mean's error is that of one by the root of eight."""
    cells = {("v1", f"{n}"): cell(50, seed=n) for n in range(8)}
    one = measure(Line(("v1",), {}, {("v1", "0"): cells["v1", "0"]}, score), "average")
    eight = measure(Line(("v1",), {}, cells, score), "average")
    assert one is not None and eight is not None
    ratio = (one.high - one.low) / (eight.high - eight.low)
    assert ratio == pytest.approx(8**0.5, rel=0.1)


def test_the_level_is_kept() -> None:
    """The true average lies below the upper bound in about 95 of 100 samples, on both sides."""
    chance = np.random.default_rng(7)
    missed = [0, 0]
    for _ in range(200):
        cells = {
            ("v1", unit): cell(100 * float((chance.random(120) < 0.6).mean()), 120) for unit in "ab"
        }
        found = measure(Line(("v1",), {}, cells, score), "average", Draws(1_000))
        assert found is not None
        missed[0] += found.low > 60
        missed[1] += found.high < 60
    assert all(1 <= count <= 22 for count in missed), missed


def test_equal_rows_give_equal_bits_in_whatever_order() -> None:
    made = line()
    turned = dict(reversed(list(made.cells.items())))
    again = Line(made.versions, LEARNED, turned, score)
    assert measures(made) == measures(again)


def test_what_is_not_finite_has_no_measure() -> None:
    zero = Cell(("r",), np.zeros((1, 2)))  # no row of the asked kind: 0 / 0
    assert measure(Line(("v1",), {}, {("v1", "a"): zero}, score), "average") is None
    assert transfer.value(zero, score) is None
    assert transfer.value(None, score) is None
