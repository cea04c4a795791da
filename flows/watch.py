"""Is there anything to learn: look, and start the loop where a turn is worth its cost.

By the deployment `watch` in prefect.yaml. Its final state is named Learn (and says what the turn
came to), Wait or NothingToDo, with the reasons; it is Failed where looking or the turn failed. The
turn is the flow `improve` as a subflow: it takes the run's lock, so two never train at once.
"""

from __future__ import annotations

from pathlib import Path

from prefect import flow
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, State

from flows.improve import improve
from onward.errors import Busy
from onward.project import Project
from tasks.runs import recorded
from tasks.steps import tell
from tasks.watch import look, running

NAMES = {"wait": "Wait", "nothing": "NothingToDo"}


def _name() -> str:
    return f"watch {Path(flow_run.parameters['project']).resolve().name}"


@flow(name="watch", flow_run_name=_name, log_prints=False)
def watch(project: str = ".", wait: float = 0.0) -> State[None]:
    """Decide on evidence, then run `improve` or say why not.

    Args:
        project: the project's folder.
        wait: seconds that `improve` waits for another run, should one begin in between.

    Raises:
        OnwardError: the typed error of the look, or of the turn that was started.
    """
    place = Project.find(Path(project))
    with recorded(place) as crashed:
        for run in crashed:
            tell(f"Marked the flow run {run} Crashed: its process is gone")
        if busy := running(place):
            return Completed(name="Wait", message=busy)
        try:
            decision = look(place).decision
        except Busy as busy:  # another watch looks, and starts what is worth it
            return Completed(name="Wait", message=busy.what)
        why = "; ".join(decision.reasons)
        if decision.outcome != "learn":
            return Completed(name=NAMES[decision.outcome], message=why)
        if busy := running(place):  # it began during the look
            return Completed(name="Wait", message=busy)
        turn = improve(str(place.root), wait=wait, return_state=True)
        if turn.is_cancelled():
            return Cancelled(message=turn.message)
        if not turn.is_completed():
            turn.result()  # raises what the turn failed with
        return Completed(name="Learn", message=f"{turn.name}: {turn.message or ''} · {why}"[:500])
