"""`onward study`: ways to learn compared over a sequence of episodes, at equal compute."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from cli.output import Json, answer, here, note
from onward import config
from onward.errors import UsageError
from onward.project import Project

DEFAULT = "naive,joint,replay-reservoir,replay-herding+der"


def study(
    listing: Annotated[
        Path | None,
        typer.Argument(help="YAML or JSON that lists a sequence; else this project's episodes."),
    ] = None,
    name: Annotated[str, typer.Option(help="Of the folder studies/NAME.")] = "study",
    combinations: Annotated[
        str, typer.Option(help="Names joined by commas, as replay-herding+der; or `all`.")
    ] = DEFAULT,
    seeds: Annotated[str, typer.Option(help="Joined by commas.")] = "0,1,2",
    jobs: Annotated[
        int, typer.Option(help="Trials at a time; the cores are shared among them.")
    ] = 1,
    threads: Annotated[
        int | None, typer.Option(help="Of each trial; other threads give other bits.")
    ] = None,
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
    from onward.study import report
    from onward.study.study import study as run

    project = here()
    folder = project.study(name)
    plan = planned(project, folder, listing, combinations, seeds, jobs, threads)
    note(f"{len(plan.combinations)} combinations x {len(plan.seeds)} seeds, {plan.threads} threads")
    table = run(
        plan,
        jobs=jobs,
        select=select,
        only=[one.strip() for one in only.split(",") if one.strip()],
        minutes=math.inf if minutes is None else minutes,
        again=again,
    )
    answer(as_json, table, shown(table), *report.notes(table), f"Page  {report.place(folder)}")


def planned(
    project: Project,
    folder: Path,
    listing: Path | None,
    combinations: str,
    seeds: str,
    jobs: int,
    threads: int | None,
) -> Any:
    """The plan that the words of the command line make."""
    from onward.study import sequence
    from onward.study.combinations import every, parse
    from onward.study.opening import of_file
    from onward.study.plan import Plan
    from onward.study.study import threads as of_trial

    settings = config.load(project.params)
    recipe = config.read(project.params, config.Identity).recipe
    if listing is None:
        episodes = sequence.of_project(project)
    else:
        delivered = of_file(listing, folder, settings)
        episodes = sequence.store(folder / "data", recipe, delivered)
    named = combinations.split(",")
    chosen = every(recipe) if named == ["all"] else [parse(one.strip()) for one in named]
    return Plan(
        folder=folder,
        settings=settings,
        combinations=list(dict.fromkeys(chosen)),
        sequences={seed: episodes for seed in _numbers(seeds)},
        threads=of_trial(folder, jobs, threads),
    )


def _numbers(seeds: str) -> list[int]:
    try:
        return [int(seed) for seed in seeds.split(",")]
    except ValueError:
        raise UsageError(
            f"{seeds!r} does not list seeds", where="onward study --seeds", fix="as in 0,1,2"
        ) from None


def shown(table: dict[str, Any]) -> Table:
    """The table for a terminal."""
    from onward.study.report import COLUMNS, cells

    made = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for name, side in COLUMNS:
        made.add_column(name, justify="right" if side == "right" else "left", no_wrap=True)
    for row in table["rows"]:
        made.add_row(*cells(row))
    return made


COMMANDS = (study,)
