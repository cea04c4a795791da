"""The loop: validate, prepare, fine-tune, evaluate, accuracy gate, export, benchmark, final gate,
promote.

`onward run` calls it; so does a Prefect worker, by the deployment in prefect.yaml. Its final state
is named Promoted, Refused, Undecided or NothingToDo; it is Cancelled where the dashboard said so,
and Failed where a step raised. A refusal is an outcome and never a failure.
"""

from __future__ import annotations

from pathlib import Path

from prefect import flow
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, State

from onward import errors
from onward.episodes.turn import ALL_LEARNED, Turn, compose
from onward.locks import held
from onward.project import Project
from tasks import stage
from tasks.runs import recorded
from tasks.steps import (
    benchmark,
    evaluate,
    export,
    finetune,
    inputs,
    judge,
    prepare,
    promote,
    tell,
    validate,
)
from tasks.verdicts import Settled, begin, nothing_to_do


def _name() -> str:
    """improve FOLDER, also where a deployment names the folder `.`."""
    return f"improve {Path(flow_run.parameters['project']).resolve().name}"


@flow(name="improve", flow_run_name=_name, log_prints=False)
def improve(project: str = ".", fresh: bool = False, wait: float = 0.0) -> State[None]:
    """One turn of the loop.

    Args:
        project: the project's folder.
        fresh: start from the pretrained encoder, over all episodes.
        wait: seconds to wait for another run of this project to end.

    Raises:
        OnwardError: the typed error of the step that failed; Busy where another run goes on.
    """
    place = Project.find(Path(project))
    with recorded(place) as crashed, held(place.run_lock, "a run", wait=wait):
        for run in crashed:
            tell(f"Marked the flow run {run} Crashed: its process is gone")
        for line in begin(place):
            tell(line)
        if fresh:
            data = Turn.read(place).data.model_dump()
            compose(place, data, fresh=True).write(place)
        try:
            return _turn(place)
        except errors.Cancelled as cancelled:
            return Cancelled(message=cancelled.what)


def _turn(project: Project) -> State[None]:
    if not Turn.read(project).learning:
        return Completed(name="NothingToDo", message=ALL_LEARNED)
    stage.require(project)
    inputs(project)
    validate(project)
    prepare(project)
    finetune(project)
    evaluate(project)
    if reason := nothing_to_do(project):
        return Completed(name="NothingToDo", message=reason)
    accuracy = judge(project, "accuracy")
    if not accuracy.verdict.passes:
        return _stopped(accuracy)
    export(project)
    benchmark(project)
    final = judge(project, "final")
    if not final.verdict.passes:
        return _stopped(final)
    promoted = promote(project, final.verdict)
    return Completed(name="Promoted", message=f"{promoted.version} serves")


def _stopped(settled: Settled) -> State[None]:
    """Refused or Undecided; NothingToDo where just this was journaled before."""
    verdict = settled.verdict
    if settled.known:
        return Completed(name="NothingToDo", message=f"{verdict.outcome} before, as {settled.seq}")
    name = "Refused" if verdict.outcome == "refused" else "Undecided"
    return Completed(name=name, message="; ".join(verdict.reasons)[:500])
