"""`onward search`: settings searched on training rows; the winner is an ordinary change."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from cli.output import Json, answer, here, note, require_file
from onward.wording import counted


def search(
    stage: Annotated[
        str, typer.Argument(metavar="STAGE", help="Whose settings, where --space is left out.")
    ] = "finetune",
    space: Annotated[
        Path | None, typer.Option(help="YAML: key -> values, or {low, high, log}.")
    ] = None,
    trials: Annotated[int, typer.Option(min=1, help="Tries, those of earlier runs included.")] = 20,
    minutes: Annotated[float | None, typer.Option(help="Begin no further try after these.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the drawing and the training.")] = 0,
    threads: Annotated[int | None, typer.Option(min=1, help="Of each training.")] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Write the best settings into params.yaml.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Search settings on a part of the training rows.

    Tries that fall behind are given up early. Killed, it goes on where it stopped. The best
    settings are printed as a change of params.yaml; they are gated like any other.
    """
    from onward.study import change, planning
    from onward.study.search import search as run

    if space:
        require_file(space)
    project = here()
    asked = planning.searched(project, stage, space, seed, threads)
    settings, tries = counted(len(asked.space), "setting"), counted(trials, "try", "tries")
    note(f"{settings}, {tries}, {counted(asked.made.threads, 'thread')}")
    found = run(asked, trials=trials, minutes=math.inf if minutes is None else minutes)
    if apply and found["changed"]:
        change.apply(project.params, found["changed"])
    answer(as_json, {**found, "applied": apply}, shown(found), *lines(found, applied=apply))


def shown(found: dict[str, Any]) -> Table:
    """The tries as a table, the best one marked."""
    made = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for name in ("", "try", "score", "early", "s", *found["space"]):
        made.add_column(name, justify="right", overflow="fold")
    for one in found["tries"]:
        score = one["score"] if one["score"] is not None else one["state"]
        values = [f"{one['values'].get(key, '—')}" for key in found["space"]]
        mark = "●" if one["number"] == found["best"]["number"] else ""
        early = "—" if one["early"] is None else f"{one['early']:.1f}"
        told = f"{score:.1f}" if isinstance(score, float) else str(score)
        made.add_row(mark, str(one["number"]), told, early, f"{one['seconds']:.0f}", *values)
    return made


def lines(found: dict[str, Any], *, applied: bool) -> list[str]:
    """The best change of params.yaml, and what it cost."""
    cost, best, present = found["cost"], found["best"], found["present"]
    spent = (
        f"cost      {cost['seconds'] / 60:.1f} min, as much as {cost['trainings']:g} trainings; "
        f"{cost['given_up']} of {cost['tries']} tries given up early"
    )
    why = [one["refused"] for one in found["tries"] if one["refused"]]
    refused = [f"refused   {counted(len(why), 'try', 'tries')}, first: {why[0]}"] if why else []
    if not found["changed"]:
        told = f"best      {found['metric']} {best['score']:.1f}: the present settings"
        return [told, *refused, spent]
    before = "" if present["score"] is None else f"{present['score']:.1f} → "
    made = [f"best      {found['metric']} {before}{best['score']:.1f}, on training rows"]
    if not before:
        made.append("  the present settings lie outside of the space, and were not tried")
    for key, value in found["changed"].items():
        made.append(f"  {key}: {present['values'][key]} → {value}")
    after = "written to params.yaml" if applied else "`onward search --apply` writes them"
    return [
        *made,
        *refused,
        spent,
        f"now       {after}; `onward run` trains with them, and the gate judges",
    ]


COMMANDS = (search,)
