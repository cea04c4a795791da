"""The one step of a study: run what is missing, and show the table and its pictures."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from prefect.artifacts import create_markdown_artifact

from onward.project import Project
from onward.study import planning, report
from onward.study.study import study
from tasks.artifacts import picture
from tasks.steps import HOUR, step, tell


@step(name="compare", timeout_seconds=7 * 24 * HOUR)
def compare(
    project: Project,
    name: str,
    listing: Path | None,
    combinations: str,
    seeds: str,
    jobs: int,
    steps: str,
    select: bool,
    minutes: float | None,
) -> dict[str, Any]:
    """The table of a study, after what is missing of it was run."""
    folder = project.study(name)
    plan = planning.planned(project, folder, listing, combinations, seeds, jobs, None, steps)
    tell(f"{len(plan.combinations)} combinations, seeds {seeds}; logs in {folder}/logs")
    limit = math.inf if minutes is None else minutes
    table = study(plan, jobs=jobs, select=select, minutes=limit)
    create_markdown_artifact(
        with_pictures(report.markdown(table), report.place(folder).parent),
        key="study",
        description=f"Ways to learn compared: {name}",
    )
    return table


def with_pictures(page: str, folder: Path) -> str:
    """The page with each picture as a part of it: the dashboard has no folder to look into."""
    for path in sorted(folder.glob("*.png")):
        page = page.replace(f"![{path.stem}]({path.name})", picture(path))
    return page
