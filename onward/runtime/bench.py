"""The stage `benchmark`: how fast each variant answers on this machine, and which is to serve.

    turn/benchmark/report.json   see below
    turn/benchmark/*.png         latency, samples
    turn/latency.json            flat numbers for `dvc metrics`

report.json:
    schema, turn
    variant, provider, why       the choice: fp32 or int8, cpu or cuda, and the reason in words
    within_limits                whether the chosen one keeps gate.p95_ms and gate.memory_mb
    threads, serving_shape [batch, length], limits {p95_ms, memory_mb}
    champion                     the base version whose package was timed alongside, or null
    machine                      processor, GPUs, versions
    timings                      [{variant: torch|fp32|int8|champion, batch, length, tokens (real
                                 ones in a batch), p50_ms, p95_ms, p99_ms, p95_low_ms, p95_high_ms,
                                 tokens_per_s, stopped: narrow|time, samples_ms: [...]}]
    memory                       {variant: {mb: resident growth of a fresh process that loads the
                                 variant and answers at the serving shape, how: in words}}
"""

from __future__ import annotations

from onward.project import Project


def run(project: Project) -> None:
    """Time the variants of turn/export/package and choose the one that is to serve."""
    raise NotImplementedError
