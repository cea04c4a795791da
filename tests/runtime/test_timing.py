"""Timings against a clock of the test's own: no sleeps, no real time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from onward.runtime import timing


class Clock:
    """Nanoseconds that move on only when a contender says so."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now

    def spend(self, ms: float) -> None:
        self.now += round(ms * 1e6)


def _steady(clock: Clock, ms: float, order: list[str] | None = None, name: str = "") -> object:
    def run(_: int) -> None:
        clock.spend(ms)
        if order is not None:
            order.append(name)

    return run


def test_samples_are_milliseconds_in_the_order_taken() -> None:
    clock = Clock()
    taken = iter([*[5.0] * 8, *map(float, range(1, 41))])
    samples, _ = timing.measure({"a": lambda _: clock.spend(next(taken))}, 0, 40, clock=clock)
    assert samples["a"] == [float(n) for n in range(1, 41)]


def test_rounds_are_interleaved_and_their_order_turns() -> None:
    clock, order = Clock(), []  # type: ignore[var-annotated]
    runs = {name: _steady(clock, 1, order, name) for name in "abc"}
    samples, _ = timing.measure(runs, 0, 20, clock=clock)  # type: ignore[arg-type]
    rounds = "".join(order)[-60:]
    assert rounds[:9] == "abcbcacab"
    assert {name: rounds.count(name) for name in "abc"} == {"a": 20, "b": 20, "c": 20}
    assert len(samples["a"]) == 20


def test_it_stops_when_narrow_however_much_time_is_left() -> None:
    clock = Clock()
    samples, why = timing.measure({"a": _steady(clock, 2)}, 1e6, 20, clock=clock)  # type: ignore[dict-item]
    assert (len(samples["a"]), why) == (60, "narrow"), "fewer bound no percentile"


def _noisy(clock: Clock) -> Iterator[None]:
    while True:
        for ms in (1, 1, 1, 1, 1, 1, 1, 1, 1, 30, 3, 7, 20, 2):
            clock.spend(ms)
            yield


def test_it_stops_when_the_time_is_used_up_and_says_so() -> None:
    clock = Clock()
    noisy = _noisy(clock)
    samples, why = timing.measure({"a": lambda _: next(noisy)}, 0.5, 20, clock=clock)
    assert why == "time" and sum(samples["a"]) >= 500


def test_the_least_number_of_rounds_is_run_whatever_they_take() -> None:
    clock = Clock()
    noisy = _noisy(clock)
    samples, _ = timing.measure({"a": lambda _: next(noisy)}, 0.0, 50, clock=clock)
    assert len(samples["a"]) == 50


def test_one_noisy_contender_keeps_all_going() -> None:
    clock = Clock()
    noisy = _noisy(clock)
    runs = {"steady": _steady(clock, 1), "noisy": lambda _: next(noisy)}
    samples, why = timing.measure(runs, 1.0, 20, clock=clock)  # type: ignore[arg-type]
    assert why == "time" and len(samples["steady"]) == len(samples["noisy"]) > 20


def test_warm_up_ends_when_two_medians_agree() -> None:
    clock = Clock()
    cooling = iter([90.0, 70, 50, 30, 20, 15, 12, 11, *[10.0] * 40])
    assert 10 < timing.warm_up(lambda _: clock.spend(next(cooling)), clock) < 20


def test_warm_up_gives_up_on_what_never_settles() -> None:
    clock = Clock()
    rising = iter(2.0**n for n in range(100))
    assert timing.warm_up(lambda _: clock.spend(next(rising) * 1e-6), clock) == timing.WARM_LIMIT


def test_summary_holds_percentiles_and_bounds() -> None:
    told = timing.summary([float(n) for n in range(1, 201)])
    assert (told.p50_ms, told.p95_ms, told.p99_ms, told.mean_ms) == (100.0, 190.0, 198.0, 100.5)
    assert told.p95_low_ms < 190 < told.p95_high_ms and told.flag == ""


def test_few_samples_are_flagged() -> None:
    assert timing.summary([1.0] * 10).flag
    assert not timing.is_narrow([1.0] * 10)


def test_garbage_collection_is_back_on_after_a_failure() -> None:
    import gc

    def fails(number: int) -> None:
        if number > 30:
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        timing.measure({"a": fails}, 1e9, 100, clock=Clock())
    assert gc.isenabled()
