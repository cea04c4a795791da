"""What the benchmark times of a model that writes: answers of so many tokens, and the first one.

No token ends such an answer, so that every contender does the same work whatever it says.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from onward.config import Evaluate
from onward.recipes.shapes import Feature
from onward.runtime.generation import Generator, Rules, run

TIMED = "from token ids to the last of benchmark.new_tokens tokens of each answer of one batch"


class Answering:
    """A contender of `timing.measure`; `first_ms` keeps each run's time to the first token."""

    def __init__(
        self, runner: Generator, batches: Sequence[list[Feature]], new_tokens: int
    ) -> None:
        self.runner, self.batches = runner, batches
        self.settings = Evaluate.model_validate({"max_new_tokens": new_tokens})
        self.rules = Rules(new_tokens, end=frozenset(), text=lambda tokens: "")
        self.first_ms: list[float] = []

    def __call__(self, number: int) -> None:
        """Answer one batch."""
        batch = self.batches[number % len(self.batches)]
        started = time.perf_counter_ns()
        for at, _ in enumerate(run(self.runner.steps(self.settings), batch, self.rules)):
            if at == 0:
                self.first_ms.append((time.perf_counter_ns() - started) / 1e6)

    def told(self, runs: int) -> dict[str, float]:
        """Time to the first token over the last `runs` runs, in ms."""
        p50, p95 = np.percentile(self.first_ms[-runs:], [50, 95], method="inverted_cdf")
        return {
            "new_tokens": self.settings.max_new_tokens,
            "first_token_p50_ms": round(float(p50), 4),
            "first_token_p95_ms": round(float(p95), 4),
        }
