"""The one step of the watch: look, decide, record, and show it on the dashboard."""

from __future__ import annotations

from prefect.artifacts import create_table_artifact

from onward import locks
from onward.project import Project
from onward.watch import record
from onward.watch.record import Seen
from tasks.steps import HOUR, step, tell


@step(name="look", timeout_seconds=6 * HOUR)
def look(project: Project) -> Seen:
    """Decide whether a turn is worth its cost."""
    seen = record.look(project)
    create_table_artifact(
        [
            {"what": check.name, "found": check.found, "limit": check.limit, "says": check.says}
            for check in seen.decision.checks
        ],
        key="watch",
        description=f"{seen.decision.outcome}: {'; '.join(seen.decision.reasons)}",
    )
    tell(f"watch: {seen.decision.outcome}: {'; '.join(seen.decision.reasons)}")
    return seen


def running(project: Project) -> str:
    """Who runs a turn of this project, or trains, now; empty: nobody.

    A trainer may outlive its run, as where a worker is ended; then its stage is whole at its end.
    """
    for lock in (project.run_lock, project.train_lock):
        if locks.is_held(lock):
            who = locks.holder(lock)
            return f"{who['purpose']} is going on, process {who['pid']} since {who['since']}"
    return ""
