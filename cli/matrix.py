"""`onward matrix`: versions by episodes, with what was forgotten and what was transferred."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cli.output import Json, answer, here
from cli.tables import Fitting
from onward.evaluation.checks import episode_name, signed
from onward.wording import counted

if TYPE_CHECKING:
    from onward.evaluation.matrix import Matrix, Version
    from onward.evaluation.transfer import Measure

SAID = {
    "average": "{one}'s mean over its episodes",
    "forgetting": "lost since each one's best version",
    "backward": "change since each was learned",
    "forward": "before it was learned, over the trivial baseline",
    "gap": "by which {joint} is better",
}
"""What each measure is, in words."""

NAME = 14
"""Characters of an episode's name in a head."""


def matrix(
    joint: Annotated[
        str | None,
        typer.Option(
            metavar="VERSION", help="Measure the gap to this version, trained on all at once."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Every version's scores, with forgetting and transfer.

    Scores are those of the packages, on held-out rows, when each was judged. Brackets hold
    90% intervals from rows drawn together for all versions.
    """
    from onward.evaluation.matrix import collect

    found = collect(here(), joint)
    answer(as_json, found.to_json(), *parts(found))


def parts(found: Matrix, last: int | None = None) -> list[RenderableType | str]:
    """The table and the measures beneath it.

    Args:
        found: what to show.
        last: only so many versions, the newest; None: all.
    """
    if not found.scores:
        return ["No version has scores on this machine: `onward run` makes one, `dvc pull` fetches"]
    shown = found.versions[-last:] if last else found.versions
    counts = [len(found.units), 8, 5, 3, 2, 1]
    choices = [_table(found, shown, n) for n in counts if n <= len(found.units)]
    return [Group(Fitting(choices), _measures(found))]


def _table(found: Matrix, versions: tuple[Version, ...], columns: int) -> Table:
    """The newest episodes, and how many older ones were left out for want of width."""
    units = found.units[len(found.units) - columns :]
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    hidden = len(found.units) - columns
    table.add_column(Text(f"{found.metric} (+{hidden} older)" if hidden else found.metric))
    for unit in units:
        name = episode_name(unit)[:NAME]
        gone = unit in found.withdrawn
        table.add_column(Text(f"{name} –" if gone else name), justify="right", no_wrap=True)
    for one in versions:
        table.add_row(_name(one), *(_cell(found, one, unit) for unit in units))
    return table


def _name(one: Version) -> Text:
    marks = ["●" if one.serves else "", "!" if one.forced else "", "" if one.on_line else "↩"]
    return Text(" ".join([one.name, *filter(None, marks)]), style="" if one.on_line else "dim")


def _cell(found: Matrix, one: Version, unit: str) -> Text:
    score = found.scores.get((one.name, unit))
    if score is None:
        return Text("")
    pale = unit in found.withdrawn or not one.on_line
    known = found.knew(one, unit)
    return Text(
        f"{score:.1f}" if known else f"({score:.1f})",
        style="dim" if pale or not known else "bold" if unit in one.learned else "",
    )


def _measures(found: Matrix) -> Group:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True, justify="right")
    grid.add_column(overflow="fold")
    for one in found.measures:
        grid.add_row(one.name, value(one), Text(meaning(found, one)))
    marks = ["(…) before it was learned"] if _before(found) else []
    marks += ["! forced"] if any(one.forced for one in found.versions) else []
    marks += ["↩ rolled back from"] if any(not one.on_line for one in found.versions) else []
    marks += ["– withdrawn, not counted"] if found.withdrawn else []
    return Group("", grid, Text(" · ".join(marks), style="dim"))


def _before(found: Matrix) -> bool:
    return any(
        not found.knew(one, unit) for one in found.versions for unit in found.units
        if (one.name, unit) in found.scores
    )  # fmt: skip


def value(one: Measure) -> str:
    """70.1 [68.9, 71.3]; changes with their sign."""
    show = "{:.1f}".format if one.name == "average" else signed
    return f"{show(one.value)} [{show(one.low)}, {show(one.high)}]"


def meaning(found: Matrix, one: Measure) -> str:
    """What a measure says, with its numbers of episodes and rows."""
    units = counted(one.units, "episode")
    last = found.line.versions[-1]
    said = SAID[one.name].format(one=last, units=units, joint=found.joint)
    return f"{said} · {units}, {one.rows:,} rows"


COMMANDS = (matrix,)
