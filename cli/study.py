"""`onward study`: ways to learn compared over a sequence of episodes, at equal compute."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType

from cli.output import Json, answer, here, note, require_file
from onward.study.planning import DEFAULT
from onward.wording import counted

LEAVE_OUT = (
    "stored MB",
    "peak MB",
    "steps",
    "s a turn",
    "test read",
    "stored rows",
    "learned",
    "seeds",
    "% of joint",
    "beyond joint's",
    "CPU s",
)
"""Columns that a narrow terminal does without, the least needed first."""


def study(
    listing: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="A sequence as YAML or JSON; else this project's."),
    ] = None,
    name: Annotated[str, typer.Option(help="Of the folder studies/NAME.")] = "study",
    combinations: Annotated[
        str, typer.Option(help="Names joined by commas, as replay-herding+der; or `all`.")
    ] = DEFAULT,
    seeds: Annotated[str, typer.Option(help="Joined by commas.")] = "0,1,2",
    jobs: Annotated[
        int, typer.Option(min=1, help="Trials at a time; the cores are shared among them.")
    ] = 1,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Of each trial; other threads give other bits.")
    ] = None,
    steps: Annotated[
        str, typer.Option(help="Whose optimizer steps every turn takes: naive's or joint's.")
    ] = "naive",
    select: Annotated[
        bool, typer.Option("--select", help="Choose settings first, on a part of training rows.")
    ] = False,
    only: Annotated[
        str, typer.Option(help="Run these of them now: NAME or NAME:SEED, joined by commas.")
    ] = "",
    minutes: Annotated[
        float | None, typer.Option(help="Begin no further trial after these.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Read the test rows for other settings, too.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compare ways to learn: a table with intervals, and figures.

    Killed, it goes on where it stopped when it is called again; with nothing to do it shows the
    table.
    """
    from onward.study import planning, report
    from onward.study.study import study as run

    if listing:
        require_file(listing)
    project = here()
    folder = project.study(name)
    plan = planning.planned(project, folder, listing, combinations, seeds, jobs, threads, steps)
    ways = counted(len(plan.combinations), "combination")
    seeded, cores = counted(len(plan.seeds), "seed"), counted(plan.threads, "thread")
    note(f"{ways} x {seeded}, {cores}; logs in {folder / 'logs'}")
    table = run(
        plan,
        jobs=jobs,
        select=select,
        only=[one.strip() for one in only.split(",") if one.strip()],
        minutes=math.inf if minutes is None else minutes,
        again=again,
    )
    answer(as_json, table, shown(table), *report.notes(table), f"Page  {report.place(folder)}")


def shown(table: dict[str, Any]) -> RenderableType:
    """The table for a terminal; the page has what a narrow one leaves out."""
    from cli.tables import narrowing
    from onward.study.report import COLUMNS, cells

    return narrowing(COLUMNS, [cells(row) for row in table["rows"]], LEAVE_OUT)


COMMANDS = (study,)
