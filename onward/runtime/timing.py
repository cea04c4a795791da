"""Fair timings: warmed up until stable, interleaved, every raw sample kept.

Each round runs every contender once, in an order that turns with the round, so a slow minute of
the machine hits all of them. Rounds stop when the 95th percentile of each is known narrowly
enough, or when the time is used up; never because of who is ahead.

>>> ticks = iter(range(0, 10**9, 1_000_000))
>>> rounds, why = measure({"a": lambda n: None}, 1.0, 20, clock=lambda: next(ticks))
>>> rounds["a"][0], len(rounds["a"]), why
(1.0, 60, 'narrow')
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from onward.evaluation.statistics import Draws, p95

NARROW = 0.10
"""A 90% interval of the 95th percentile at most this share of it wide is narrow enough."""

CHECKED = 10
"""Rounds between two looks at the widths."""

WARM, WARM_LIMIT = 4, 40
"""Runs whose medians are compared, and runs after which a contender counts as warm anyway."""

STABLE = 0.10
DRAWS = Draws(resamples=2_000)

Contender = Callable[[int], object]
"""Runs once; it is given the number of the round, to turn its inputs with."""


@dataclass(frozen=True)
class Summary:
    """Percentiles in ms; the bounds are those of the 90% interval of the 95th."""

    p50_ms: float
    p95_ms: float
    p99_ms: float
    p95_low_ms: float
    p95_high_ms: float
    mean_ms: float
    flag: str = ""


def measure(
    contenders: Mapping[str, Contender],
    seconds: float,
    min_rounds: int,
    *,
    clock: Callable[[], int] = time.perf_counter_ns,
) -> tuple[dict[str, list[float]], str]:
    """Warm up, then time in rounds.

    Args:
        contenders: name -> what to run.
        seconds: after which no further round starts, once there are `min_rounds`.
        min_rounds: samples that each has in any case.
        clock: nanoseconds.

    Returns:
        Samples in ms by name, in the order taken, and why it stopped: narrow or time.
    """
    for run in contenders.values():
        warm_up(run, clock)
    samples: dict[str, list[float]] = {name: [] for name in contenders}
    names = list(contenders)
    with _no_collection():
        started = clock()
        for number in range(1_000_000):
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                samples[name].append(_once(contenders[name], number, clock))
            if number + 1 < min_rounds or (number + 1) % CHECKED:
                continue
            if all(is_narrow(taken) for taken in samples.values()):
                return samples, "narrow"
            if clock() - started > seconds * 1e9:
                break
    return samples, "time"


def warm_up(run: Contender, clock: Callable[[], int] = time.perf_counter_ns) -> int:
    """Run until two medians in a row agree within 10%. Returns the number of runs."""
    taken: list[float] = []
    while len(taken) < WARM_LIMIT:
        taken.append(_once(run, len(taken), clock))
        if len(taken) >= 2 * WARM:
            before = statistics.median(taken[-2 * WARM : -WARM])
            now = statistics.median(taken[-WARM:])
            if abs(now - before) <= STABLE * before:
                break
    return len(taken)


def is_narrow(samples: Sequence[float]) -> bool:
    """Whether the 95th percentile's interval is at most 10% of it wide."""
    found = p95(samples, DRAWS)
    return not found.flag and found.high - found.low <= NARROW * found.value


def summary(samples: Sequence[float]) -> Summary:
    """Percentiles of samples in ms, the 95th with its bounds."""
    found = p95(samples, DRAWS)
    p50, p99 = np.percentile(samples, [50, 99], method="inverted_cdf")
    return Summary(
        p50_ms=round(float(p50), 4),
        p95_ms=round(found.value, 4),
        p99_ms=round(float(p99), 4),
        p95_low_ms=round(found.low, 4),
        p95_high_ms=round(found.high, 4),
        mean_ms=round(float(np.mean(samples)), 4),
        flag=found.flag,
    )


def _once(run: Contender, number: int, clock: Callable[[], int]) -> float:
    started = clock()
    run(number)
    return (clock() - started) / 1e6


@contextmanager
def _no_collection() -> Iterator[None]:
    """Without Python's garbage collector, whose pauses belong to no contender."""
    gc.collect()
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
