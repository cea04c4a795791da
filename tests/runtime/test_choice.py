"""The choice of the serving variant, case by case."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward.errors import InternalError
from onward.runtime.choice import Measured, choose


def _one(variant: str, p95: float, memory: float = 300.0, spread: float = 1.0) -> Measured:
    return Measured(variant, p95, p95 - spread, p95 + spread, memory)


@pytest.mark.parametrize(
    ("fp32", "int8", "chosen", "within", "why"),
    [
        (_one("fp32", 40), _one("int8", 25), "int8", True, "lowest p95"),
        (_one("fp32", 25), _one("int8", 40), "fp32", True, "lowest p95"),
        (_one("fp32", 40), _one("int8", 39), "fp32", True, "not shown to be faster"),
        (_one("fp32", 40, spread=5), _one("int8", 30, spread=5), "fp32", True, "not shown"),
        (_one("fp32", 40, spread=5), _one("int8", 30, spread=4.9), "int8", True, "lowest p95"),
        (_one("fp32", 40, spread=20), _one("int8", 30), "fp32", True, "int8 is not shown"),
        (_one("fp32", 40, 900), _one("int8", 45), "int8", True, "only variant"),
        (_one("fp32", 40), _one("int8", 25, 900), "fp32", True, "only variant"),
        (_one("fp32", 40, 900), _one("int8", 45, 600), "int8", False, "int8 needs least"),
        (_one("fp32", 400), _one("int8", 250), "int8", False, "lowest p95"),
        (_one("fp32", 40), _one("int8", math.nan), "fp32", True, "only variant"),
        (_one("fp32", 40, math.nan), _one("int8", 99), "int8", True, "only variant"),
    ],
)
def test_case(fp32: Measured, int8: Measured, chosen: str, within: bool, why: str) -> None:
    for measured in ([fp32, int8], [int8, fp32]):
        found = choose(measured, p95_ms=100, memory_mb=500)
        assert (found.variant, found.within_limits) == (chosen, within)
        assert why in found.why


def test_what_is_not_shown_is_told_with_its_bounds() -> None:
    """`int8 is not shown to be faster than fp32: fp32 0.4 ms, int8 0.2 ms` told half of it."""
    why = choose([_one("fp32", 40), _one("int8", 39)], p95_ms=100, memory_mb=500).why
    assert why.endswith("by p95: fp32 40.0 [39.0, 41.0] ms, int8 39.0 [38.0, 40.0] ms")


def test_fp32_alone_serves_where_int8_was_not_kept() -> None:
    assert choose([_one("fp32", 40)], p95_ms=100, memory_mb=500).variant == "fp32"


def test_without_fp32_nothing_is_chosen() -> None:
    with pytest.raises(InternalError):
        choose([_one("int8", 40)], p95_ms=100, memory_mb=500)


any_number = st.floats(allow_nan=True, allow_infinity=True)


@given(st.lists(st.tuples(any_number, any_number, any_number, any_number), min_size=2, max_size=2))
def test_it_is_total_and_never_promises_what_is_not_finite(
    numbers: list[tuple[float, float, float, float]],
) -> None:
    measured = [Measured(v, *n) for v, n in zip(("fp32", "int8"), numbers, strict=True)]
    found = choose(measured, p95_ms=100, memory_mb=500)
    one = next(m for m in measured if m.variant == found.variant)
    if found.within_limits:
        assert math.isfinite(one.p95_ms) and one.p95_ms <= 100 and one.memory_mb <= 500
