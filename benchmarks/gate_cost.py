"""Claim: a gate decides on 50 units of 10,000 rows, with 10,000 resamples, within 2 seconds.

    python -m benchmarks.gate_cost [--record] [--runs 5] [--smoke]

Times `decide`, the whole rule: harm of 49 known units, gain of one, and 12 slices over all known
rows under Holm. Twice: on rows with an F1 (`extractive`: five statistics, paired bootstrap and sign
flips) and on rows that are right or wrong (`classification`: Tango's bounds, exact McNemar). Half
of the rows answer as before; they come sorted by their hashes, as a ledger holds them. Beside it
the same paired bootstrap of the F1 in plain NumPy, of 5 of the units: indices drawn row by row, one
unit after the other, without slices or p values. Its bounds must agree with the rule's.

What counts is processor time, of all threads: the seconds on a machine that does nothing else. Wall
time is kept beside it.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmarks import record
from onward import files
from onward.config import Gate
from onward.evaluation.checks import Verdict
from onward.evaluation.evidence import Evidence, Side, Unit
from onward.evaluation.gate import score_of
from onward.evaluation.rule import decide
from onward.recipes import classification, extractive

TARGET = 2.0
"""Seconds."""
UNITS, ROWS, RESAMPLES = 50, 10_000, 10_000
PEER = 5
"""Units that the plain bootstrap is timed on."""
ALIKE = 0.1
"""Points by which two bootstraps' bounds may differ; one has an error of about 0.01."""
LEVEL = 0.05
Table = NDArray[np.float64]
Made = TypeVar("Made")


class Taken(NamedTuple):
    """Seconds of each run."""

    wall: list[float]
    cpu: list[float]
    """Of all threads: what it takes where other programs want the cores, too."""


def main() -> int:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--record", action="store_true", help="keep the run in results.jsonl")
    parser.add_argument("--smoke", action="store_true", help="a few units: whether it runs at all")
    options = parser.parse_args()
    units = 3 if options.smoke else UNITS
    given = {"extractive": f1_rows(units), "classification": right_rows(units)}
    settings = Gate.model_validate({"resamples": RESAMPLES})
    timed, verdicts = {}, {}
    for name, evidence in given.items():
        timed[name], verdicts[name] = _timed(
            lambda e=evidence: decide(fresh(e), settings, LEVEL, score_of(e.recipe)), options.runs
        )
    peer, bounds = _timed(lambda: plain(given["extractive"]), 1)
    apart = max(
        abs(check.low - bounds[check.unit])
        for check in verdicts["extractive"].checks
        if check.kind == "harm" and check.low is not None and check.unit in bounds
    )
    slowest = max(statistics.median(taken.cpu) for taken in timed.values())
    _tell(timed, verdicts, peer, apart)
    met = slowest <= TARGET and apart <= ALIKE and not options.smoke
    found = record.result(
        "gate_cost",
        round(slowest, 3),
        "s of processor time, the slower of two recipes",
        TARGET,
        met,
        seconds={name: taken._asdict() for name, taken in timed.items()},
        plain_numpy_seconds={**peer._asdict(), "units": min(PEER, units)},
        bounds_apart_at_most=round(apart, 4),
        settings={"units": units, "rows": ROWS, "resamples": RESAMPLES},
    )
    return record.finish(found, record=options.record)


def _timed(call: Callable[[], Made], runs: int) -> tuple[Taken, Made]:
    wall, cpu = [], []
    for _ in range(runs):
        started = time.perf_counter(), time.process_time()
        made = call()
        wall.append(round(time.perf_counter() - started[0], 3))
        cpu.append(round(time.process_time() - started[1], 3))
    return Taken(wall, cpu), made


def _tell(timed: dict[str, Taken], verdicts: dict[str, Verdict], peer: Taken, apart: float) -> None:
    for name, taken in timed.items():
        kinds = [check.kind for check in verdicts[name].checks]
        told = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
        print(f"{name:15} {_seconds(taken)}  {verdicts[name].outcome}: {told}")
    told = f"harm of {PEER} units; bounds at most {apart:.3f} points apart"
    print(f"{'plain NumPy':15} {_seconds(peer)}  {told}")


def _seconds(taken: Taken) -> str:
    wall, cpu = statistics.median(taken.wall), statistics.median(taken.cpu)
    return f"{wall:7.2f} s, {cpu:.2f} of a processor"


def f1_rows(units: int) -> Evidence:
    """Rows of which 30% are exact, 20% wrong, the rest in between; half answer as before."""
    chance = np.random.default_rng(0)

    def table(f1: Table) -> Table:
        none = np.zeros(len(f1))
        return np.column_stack([none + 1, f1, f1 == 1, none, none])

    def pair(gain: float) -> tuple[Table, Table]:
        old = np.clip(chance.normal(0.6, 0.6, ROWS), 0, 1)
        moved = np.clip(old + chance.normal(gain, 0.3, ROWS), 0, 1)
        return table(np.where(chance.random(ROWS) < 0.5, old, moved)), table(old)

    return _evidence("extractive", extractive.STATISTICS, units, pair, chance)


def right_rows(units: int) -> Evidence:
    """Rows of which 80% are right; one in ten changes."""
    chance = np.random.default_rng(1)

    def table(right: NDArray[np.bool_]) -> Table:
        made = np.zeros((ROWS, len(classification.STATISTICS)))
        made[:, 0], made[:, 1] = 1, right
        return made

    def pair(gain: float) -> tuple[Table, Table]:
        old = chance.random(ROWS) < 0.8
        moves = chance.random(ROWS) < 0.1
        new = np.where(moves, chance.random(ROWS) < 0.8 + gain, old)
        return table(new), table(old)

    return _evidence("classification", classification.STATISTICS, units, pair, chance)


def _evidence(
    recipe: str,
    names: tuple[str, ...],
    units: int,
    pair: Callable[[float], tuple[Table, Table]],
    chance: np.random.Generator,
) -> Evidence:
    made = []
    for number in range(units):
        learning = number == units - 1
        hashes = tuple(sorted(files.digest([number, row]) for row in range(ROWS)))
        new, old = pair(0.15 if learning else 0.0)
        kind = chance.integers(12, size=ROWS).astype(str)
        made.append(
            Unit(
                f"{number:04}-unit",
                known=not learning,
                learning=learning,
                rows=hashes,
                new=Side(hashes, new),
                old=Side(hashes, old),
                slices={"kind": tuple(kind.tolist())},
            )
        )
    return Evidence(
        "accuracy",
        "t",
        "c",
        "v1",
        tuple(made),
        recipe=recipe,
        statistics=names,
        right_or_wrong=recipe == "classification",
    )


def fresh(evidence: Evidence) -> Evidence:
    """The same evidence without anything computed once and kept."""
    plain: dict[str, Any] = vars(evidence)
    units = tuple(
        Unit(**{**_fields(u), "new": _side(u.new), "old": _side(u.old)}) for u in evidence.units
    )
    return Evidence(**{**plain, "units": units})


def _fields(unit: Unit) -> dict[str, Any]:
    return {name: getattr(unit, name) for name in Unit.__dataclass_fields__}


def _side(side: Side | None) -> Side:
    assert side is not None
    return Side(side.rows, side.statistics)


def plain(evidence: Evidence) -> dict[str, float]:
    """Unit -> lower bound of its change, by a paired bootstrap as one would write it down."""
    chance = np.random.default_rng(2)
    bounds = {}
    for unit in evidence.units[:PEER]:
        assert unit.new is not None and unit.old is not None
        change = 100 * (unit.new.statistics[:, 1] - unit.old.statistics[:, 1])
        means = np.concatenate(
            [change[chance.integers(len(change), size=(100, len(change)))].mean(axis=1)
             for _ in range(RESAMPLES // 100)]
        )  # fmt: skip
        bounds[unit.name] = float(np.quantile(means, LEVEL))
    return bounds


if __name__ == "__main__":
    sys.exit(main())
