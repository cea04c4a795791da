"""One Prefect task a step: timeout, retries, log, and what it shows on the dashboard.

Stages first, in the order of dvc.yaml, then the steps with side effects. What a step does is in
onward/; whether a stage has to run is DVC's to say, so Prefect's cache is off everywhere.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable
from typing import Any, Literal

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run

from onward.errors import OnwardError, ServerError, ValidationFailed
from onward.evaluation import gate
from onward.evaluation.checks import Verdict
from onward.project import Project
from tasks import artifacts, stage, verdicts
from tasks.runs import refuse_cancelled
from tasks.verdicts import Settled

HOUR = 3600
LOOK = 10.0
"""Seconds between two looks, while a stage says something, at whether the run was cancelled."""
TRANSIENT: tuple[type[Exception], ...] = (ConnectionError, ServerError)
"""What may pass by itself: a network that came and went. Busy and every data error are not."""


def passes_by_itself(_task: Any, _run: Any, state: Any) -> bool:
    """Whether a failed step is worth another try."""
    return isinstance(state.data, TRANSIENT)


step = functools.partial(
    task,
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=2,
    retry_delay_seconds=10,
    retry_condition_fn=passes_by_itself,
)


@step(name="inputs", timeout_seconds=HOUR)
def inputs(project: Project) -> str:
    """Fingerprint the machine and the code, so that the stages see what changed."""
    return _run(project, "inputs")


@step(name="validate", timeout_seconds=HOUR)
def validate(project: Project) -> str:
    """Hold the episodes of the turn against what is expected of them, and the floor against them.

    The gate asks for the floor again: a stage that `dvc repro` runs knows of no champion.
    """
    try:
        outcome = _run(project, "validate", artifacts.show_validation)
    except ValidationFailed as error:
        artifacts.show_failed(error)
        raise
    gate.check_floor(project)
    return outcome


@step(name="prepare", timeout_seconds=6 * HOUR)
def prepare(project: Project) -> str:
    """Choose the rows and encode them."""
    return _run(project, "prepare")


@step(name="finetune", timeout_seconds=7 * 24 * HOUR)
def finetune(project: Project) -> str:
    """Train the candidate."""
    return _run(project, "finetune")


@step(name="evaluate", timeout_seconds=24 * HOUR)
def evaluate(project: Project) -> str:
    """Score the candidate and its base on everything they were ever taught."""
    return _run(project, "evaluate", artifacts.show_scores)


@step(name="export", timeout_seconds=6 * HOUR)
def export(project: Project) -> str:
    """Export to ONNX and hold the graph against torch."""
    return _run(project, "export")


@step(name="benchmark", timeout_seconds=6 * HOUR)
def benchmark(project: Project) -> str:
    """Time the package on this machine."""
    return _run(project, "benchmark", artifacts.show_latency)


@step(name="judge", timeout_seconds=6 * HOUR)
def judge(project: Project, kind: Literal["accuracy", "final"]) -> Settled:
    """Decide by the gate's rule; keep and journal a refusal."""
    refuse_cancelled()
    settled = verdicts.settle(project, gate.judge(project, kind))
    artifacts.show_verdict(settled.verdict)
    tell(f"{kind} gate: {settled.verdict.outcome}")
    return settled


@step(name="promote", timeout_seconds=HOUR)
def promote(project: Project, verdict: Verdict) -> Settled:
    """Make the candidate a version and move the pointer to it."""
    refuse_cancelled()
    settled = verdicts.serve(project, verdict)
    tell(f"{settled.version} serves")
    return settled


def tell(line: str) -> None:
    """One line in the run's log, marked as ours for whoever prints it."""
    get_run_logger().info(line, extra={"onward": True})


def _run(
    project: Project, name: str, show: Callable[[Project], None] | None = None
) -> stage.Outcome:
    bar, looked = artifacts.ProgressBar(name), time.monotonic()

    def on_line(line: str) -> None:
        nonlocal looked
        tell(line)
        bar.follow(line)
        if time.monotonic() - looked >= LOOK:
            looked = time.monotonic()
            refuse_cancelled()

    try:
        refuse_cancelled()
        outcome = stage.run_stage(project, name, on_line, run=str(flow_run.id or os.getpid()))
    except OnwardError as error:
        # Not marked as ours: whoever started the run prints what it raises.
        get_run_logger().error("\n".join(error.lines()))
        raise
    if outcome == "kept":
        if name != "inputs":  # what it is for: the stages after it say whether they changed
            tell(f"{name} is up to date")
    elif show is not None:
        show(project)
    return outcome
