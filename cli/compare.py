"""`onward compare`: tunings and named settings, trained on equal data from the turn's base."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from cli.output import Json, answer, here, note, require_file
from onward.wording import counted


def compare(
    listing: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            help="YAML of named settings to compare: name -> {block.key: value}.",
        ),
    ] = None,
    tunings: Annotated[
        str | None,
        typer.Option(help="Joined by commas; without these and FILE all that are allowed."),
    ] = None,
    name: Annotated[str, typer.Option(help="Of the folder studies/NAME.")] = "compare",
    seeds: Annotated[str, typer.Option(help="Joined by commas.")] = "0",
    jobs: Annotated[
        int, typer.Option(min=1, help="Trainings at a time; they share the cores.")
    ] = 1,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Of each training; other threads give other bits.")
    ] = None,
    select: Annotated[
        bool, typer.Option("--select", help="Choose each one's learning rate first.")
    ] = False,
    only: Annotated[
        str, typer.Option(help="Run these of them now: NAME or NAME:SEED, joined by commas.")
    ] = "",
    minutes: Annotated[
        float | None, typer.Option(help="Begin no further training after these.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare tunings: score against weights and time.

    It learns the project's own turn. A part of the new training rows is kept apart to score on; the
    rows of the gate are not read. Killed, it goes on where it stopped when it is called again.
    """
    from onward.study import compared, planning
    from onward.study.compare import compare as run

    if listing:
        require_file(listing)
    project = here()
    folder = project.study(name)
    made = planning.compared(project, folder, listing, tunings, seeds, jobs, threads)
    entries = counted(len(made.entries), "setting")
    seeded, cores = counted(len(made.seeds), "seed"), counted(made.threads, "thread")
    note(f"{entries} x {seeded}, {cores}; logs in {folder / 'logs'}")
    table = run(
        made,
        jobs=jobs,
        select=select,
        only=[one.strip() for one in only.split(",") if one.strip()],
        minutes=math.inf if minutes is None else minutes,
    )
    page = f"Page  {compared.place(made.folder)}"
    answer(as_json, table, shown(table), *compared.notes(table), page)


def shown(table: dict[str, Any]) -> Table:
    """The table for a terminal."""
    from onward.study.compared import cells, columns

    made = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for name, side in columns(table):
        made.add_column(name, justify="right" if side == "right" else "left", overflow="fold")
    for row in table["rows"]:
        made.add_row(*cells(row))
    return made


COMMANDS = (compare,)
