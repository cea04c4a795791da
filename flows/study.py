"""Ways to learn compared over the project's episodes, where a dashboard looks on.

By the deployment `compare` in prefect.yaml; `onward study` is the same without a server. Its final
state is named Compared, or Unfinished where the minutes were not enough: the next run goes on. It
is Failed where a trial failed.
"""

from __future__ import annotations

from pathlib import Path

from prefect import flow
from prefect.runtime import flow_run
from prefect.states import Completed, State

from onward.project import Project
from onward.study.planning import DEFAULT
from tasks.runs import recorded
from tasks.steps import tell
from tasks.study import compare


def _name() -> str:
    return f"study {Path(flow_run.parameters['project']).resolve().name}"


@flow(name="study", flow_run_name=_name, log_prints=True)
def study(
    project: str = ".",
    name: str = "study",
    listing: str | None = None,
    combinations: str = DEFAULT,
    seeds: str = "0,1,2",
    jobs: int = 1,
    steps: str = "naive",
    select: bool = False,
    minutes: float | None = None,
) -> State[None]:
    """Run what is missing of a study and make its table.

    Args:
        project: the project's folder.
        name: of the folder studies/NAME.
        listing: a file that lists a sequence of episodes; else the project's own.
        combinations: names joined by commas, or `all`.
        seeds: joined by commas.
        jobs: trials at a time.
        steps: whose optimizer steps every turn takes, naive's or joint's.
        select: choose settings first, on a part of the training rows.
        minutes: begin no further trial after these.

    Raises:
        OnwardError: the typed error of the study, or of a trial.
    """
    place = Project.find(Path(project))
    with recorded(place) as crashed:
        for run in crashed:
            tell(f"Marked the flow run {run} Crashed: its process is gone")
        given = Path(listing) if listing else None
        table = compare(place, name, given, combinations, seeds, jobs, steps, select, minutes)
        told = ", ".join(row["combination"] for row in table["rows"]) or "nothing yet"
        if table["missing"]:
            left = len(table["missing"])
            message = f"{left} trial{' is' if left == 1 else 's are'} left; finished: {told}"
            return Completed(name="Unfinished", message=message[:500])
        return Completed(name="Compared", message=told[:500])
