"""Which variant is to serve: a pure function of what was measured.

Quality was settled at export, so here the faster wins, among those that fit into memory. Faster
means that the intervals of the 95th percentiles do not overlap: where they do, fp32 stays, because
it answers exactly as what was proved.

>>> fp32 = Measured("fp32", 40.0, 38.0, 42.0, 300.0)
>>> int8 = Measured("int8", 25.0, 24.0, 26.0, 150.0)
>>> choose([fp32, int8], p95_ms=500, memory_mb=2000).variant
'int8'
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from onward.errors import InternalError


@dataclass(frozen=True)
class Measured:
    """One kept variant at the serving shape: its 95th percentile with bounds, and memory."""

    variant: str
    p95_ms: float
    low_ms: float
    high_ms: float
    memory_mb: float

    def fits(self, memory_mb: float) -> bool:
        """Whether its numbers are finite and its memory is within the limit."""
        times = (self.p95_ms, self.low_ms, self.high_ms)
        return all(map(math.isfinite, times)) and self.memory_mb <= memory_mb


@dataclass(frozen=True)
class Choice:
    """The variant, why, and whether it keeps both limits."""

    variant: str
    why: str
    within_limits: bool


def choose(measured: Sequence[Measured], *, p95_ms: float, memory_mb: float) -> Choice:
    """The fastest variant that fits into memory; fp32 where that is not shown.

    Args:
        measured: the kept variants, fp32 among them.
        p95_ms, memory_mb: the limits of the gate, which decides on them; here they are told.
    """
    by_name = {one.variant: one for one in measured}
    if "fp32" not in by_name:
        raise InternalError(
            "The variants to choose from lack fp32",
            where=", ".join(by_name) or "nothing was measured",
            fix="run the benchmark again",
        )
    fitting = [one for one in measured if one.fits(memory_mb)]
    if not fitting:
        # What is not finite counts as endless.
        best = min(measured, key=lambda one: (_finite(one.memory_mb), one.variant))
        why = f"no variant fits into {memory_mb:g} MB; {best.variant} needs least"
        return Choice(best.variant, why, within_limits=False)
    fastest = min(fitting, key=lambda one: (one.p95_ms, one.variant))
    best, why = _prefer_exact(fastest, fitting)
    return Choice(best.variant, why, within_limits=best.p95_ms <= p95_ms)


def _prefer_exact(fastest: Measured, fitting: Sequence[Measured]) -> tuple[Measured, str]:
    fp32 = next((one for one in fitting if one.variant == "fp32"), None)
    if len(fitting) == 1:
        return fastest, f"{fastest.variant} is the only variant that was kept and fits into memory"
    told = ", ".join(f"{one.variant} {one.p95_ms:.1f} ms" for one in fitting)
    if fp32 is None or fastest is fp32 or fastest.high_ms < fp32.low_ms:
        return fastest, f"{fastest.variant} has the lowest p95: {told}"
    overlap = ", ".join(
        f"{one.variant} {one.p95_ms:.1f} [{one.low_ms:.1f}, {one.high_ms:.1f}] ms"
        for one in (fp32, fastest)
    )
    return fp32, f"{fastest.variant} is not shown to be faster than fp32, by p95: {overlap}"


def _finite(value: float) -> float:
    return value if math.isfinite(value) else math.inf
