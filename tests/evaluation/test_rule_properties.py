"""What holds for any evidence: noise, what is missing, order, replay.

The verdicts are small ones of the whole rule: an episode that is learned, two old ones (in a group,
or not), two slices, and two challengers; rows right or wrong, or in parts of a point.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from statistics import NormalDist
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from onward.evaluation import gate
from onward.evaluation.checks import FAILED, Verdict
from onward.evaluation.evidence import Evidence, Side, Unit
from onward.evaluation.rule import decide
from onward.evaluation.verdicts import keep, read, replay
from onward.project import Project
from onward.recipes import classification, extractive
from tests.evaluation.cases import settings

few = effort(max_examples=40, derandomize=True, deadline=None, database=None)
CHALLENGERS = (0, 1)
RESAMPLES = 1_000


@dataclass(frozen=True)
class Made:
    """How evidence is drawn."""

    rows: int
    counted: bool
    gain: float
    loss: float
    grouped: bool
    seed: int


drawn = st.builds(
    Made,
    rows=st.integers(20, 150),
    counted=st.booleans(),
    gain=st.sampled_from([0.0, 0.05, 0.3]),
    loss=st.sampled_from([0.0, 0.02, 0.3]),
    grouped=st.booleans(),
    seed=st.integers(0, 10_000),
)


def table(points: Any, counted: bool) -> Any:
    """Statistics [n, k] of rows that made these points, 0 to 1."""
    values = np.asarray(points, dtype=np.float64)
    one, none = np.ones(len(values)), np.zeros(len(values))
    if counted:
        return np.column_stack([one, values])
    return np.column_stack([one, values, values == 1, none, none])


def evidence(made: Made) -> Evidence:
    """Evidence of the whole rule, as told."""
    chance = np.random.default_rng(made.seed)

    def answers(share: float, before: Any = 0.0, again: float = 1.0) -> Any:
        """Points of each row; a share of them, `again`, is answered anew."""
        right = chance.random(made.rows) < share
        points = right if made.counted else np.where(right, 1, chance.random(made.rows))
        return np.where(chance.random(made.rows) < again, points, before)

    def unit(name: str, change: float, known: bool) -> Unit:
        rows = tuple(f"{name}-{at:03}" for at in range(made.rows))
        before = answers(0.5)
        new, other, old = (
            Side(rows, table(points, made.counted), tuple(f'"{row}"' for row in rows))
            for points in (
                answers(0.5 + 2 * change, before, 0.5),
                answers(0.5 + 2 * change, before, 0.5),
                before,
            )
        )
        kinds = tuple(("short", "long", "")[at % 3] for at in range(made.rows))
        group = "small" if made.grouped and known else None
        seeds = (new, other)
        return Unit(name, known, not known, rows, new, old, None, group, seeds, {"length": kinds})

    return Evidence(
        "accuracy",
        "t",
        "c" * 64,
        "v1",
        (
            unit("0001-a", -made.loss, True),
            unit("0002-b", 0.0, True),
            unit("0003-new", made.gain, False),
        ),
        recipe="classification" if made.counted else "extractive",
        statistics=(classification if made.counted else extractive).STATISTICS,
        right_or_wrong=made.counted,
        challengers=CHALLENGERS,
    )


def judged(given_: Evidence, **changed: Any) -> Verdict:
    limits = settings(resamples=RESAMPLES, min_rows=20, margin=10, **changed)
    return decide(given_, limits, 0.05, gate.score_of(given_.recipe))


def test_these_verdicts_are_of_every_kind() -> None:
    """What holds for all of them would be little if all of them were refused."""
    rows = {"rows": 150, "counted": True, "seed": 1}
    clear = Made(gain=0.3, loss=0.0, grouped=False, **rows)  # type: ignore[arg-type]
    verdict = judged(evidence(clear))
    assert verdict.outcome == "passed"
    assert {c.kind for c in verdict.checks} == {"gain", "harm", "slice"}
    assert judged(evidence(replace(clear, loss=0.4))).outcome == "refused"
    assert judged(evidence(replace(clear, gain=0.02))).outcome == "undecided"


@few
@given(drawn, st.integers(0, 2**32 - 1))
def test_the_order_of_rows_and_episodes_changes_no_bit(made: Made, seed: int) -> None:
    chance = np.random.default_rng(seed)
    given_ = evidence(made)

    def turned(side: Side) -> Side:
        order = chance.permutation(len(side.rows))
        rows, told = (tuple(each[at] for at in order) for each in (side.rows, side.predictions))
        return Side(rows, side.statistics[order], told)

    units = []
    for one in given_.units:
        order = chance.permutation(len(one.rows))
        assert one.new is not None and one.old is not None
        units.append(
            replace(
                one,
                rows=tuple(one.rows[at] for at in order),
                slices={name: tuple(v[at] for at in order) for name, v in one.slices.items()},
                new=turned(one.new),
                old=turned(one.old),
                seeds=tuple(turned(s) for s in one.seeds if s is not None),
            )
        )
    again = replace(given_, units=tuple(units[at] for at in chance.permutation(len(units))))
    assert judged(again).to_json() == judged(given_).to_json()


@few
@given(drawn, st.data())
def test_whatever_is_missing_refuses(made: Made, data: Any) -> None:
    """A row, a side, a whole unit's scores, or a seed, of the new and of the old."""
    given_ = evidence(made)
    at = data.draw(st.integers(0, 2))
    one, which = given_.units[at], data.draw(st.sampled_from(["new", "old", "seed 0", "seed 1"]))
    side = one.seeds[int(which[-1])] if " " in which else getattr(one, which)
    lost = data.draw(st.integers(1, made.rows))
    short = None if lost == made.rows else Side(side.rows[lost:], side.statistics[lost:])
    if " " in which:
        seeds = list(one.seeds)
        seeds[int(which[-1])] = short
        changed = replace(one, seeds=tuple(seeds))
    else:
        changed = replace(one, **{which: short})
    units = [*given_.units[:at], changed, *given_.units[at + 1 :]]
    verdict = judged(replace(given_, units=tuple(units)))
    assert verdict.outcome == "refused"
    assert any(
        c.mark == FAILED and ("was not scored" in c.note or "were not scored" in c.note)
        for c in verdict.checks
    )


@few
@given(st.integers(60, 150), st.integers(1, 12), st.integers(0, 10_000), st.booleans())
def test_more_noise_never_makes_promotion_easier(
    rows: int, more: int, seed: int, counted: bool
) -> None:
    """Pairs of rows that stood still are set apart, one up and one down by as much.

    The changes stay what they were, only their noise grows. Then every check that passes with the
    noise passes without it: exactly for counts, and for resamples but for their own error (four
    standard errors of the order statistic).
    """
    chance = np.random.default_rng(seed)
    old = np.full(rows, 0.0 if counted else 0.5)
    old[::2] = 1.0 if counted else 0.5
    new = old.copy()
    gained = chance.integers(0, rows // 2)
    moved = np.flatnonzero(old < 1)[:gained] if counted else np.arange(gained)
    new[moved] += 1.0 if counted else 0.4
    still = np.flatnonzero(new == old)
    pairs = min(more, int((old[still] < 1).sum()), int((old[still] > 0).sum()), len(still) // 2)
    up = still[old[still] < 1][:pairs]
    down = [at for at in still[::-1] if old[at] > 0 and at not in up][: len(up)]
    up = up[: len(down)]
    noisy = new.copy()
    noisy[up] += 1.0 if counted else 0.5
    noisy[down] -= 1.0 if counted else 0.5

    def verdict(points: Any) -> Verdict:
        made = evidence(Made(rows, counted, 0, 0, False, 0))
        one = replace(
            made.units[0],
            learning=True,
            new=Side(made.units[0].rows, table(points, counted)),
            old=Side(made.units[0].rows, table(old, counted)),
            slices={},
        )
        return judged(replace(made, units=(one,), challengers=()))

    z = NormalDist().inv_cdf(0.05)
    draw_error = 0.0 if counted else (0.05 * 0.95 / RESAMPLES) ** 0.5 / NormalDist().pdf(z)
    for calm, loud in zip(verdict(new).checks, verdict(noisy).checks, strict=True):
        assert loud.change == calm.change
        assert calm.low is not None and calm.high is not None and calm.change is not None
        assert loud.low is not None and loud.high is not None
        error = (loud.high - loud.low) / (2 * -z)
        assert loud.low <= calm.low + 4 * draw_error * error
        assert loud.high >= calm.high - 4 * draw_error * error


@effort(max_examples=12, derandomize=True, deadline=None)
@given(drawn)
def test_a_kept_verdict_replays_bit_by_bit(made: Made) -> None:
    with TemporaryDirectory() as folder:
        project = Project(Path(folder))
        verdict = judged(evidence(made))
        keep(project, 1, verdict)
        found = replay(project, 1)
        assert (found.differences, found.notes) == ((), ())
        assert found.again == read(project, 1) == verdict
