"""The second half of the page: matrix, quality against cost, turns, lineage; what is here of each.

A damaged file stands on the page as a sentence in the place of what it would have shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from onward.errors import OnwardError
from onward.evaluation import matrix
from onward.project import Project
from onward.report.heat import Heat, heat
from onward.report.lineage import Lineage, lineage
from onward.report.scatter import Scatter, scatter
from onward.report.turns import Spent, turns
from onward.report.words import Line


@dataclass(frozen=True)
class Record:
    """What the registry holds, ready to be drawn."""

    heat: Heat | None
    scatter: Scatter | None
    turns: tuple[Spent, ...]
    lineage: Lineage | None
    problem: OnwardError | None = None
    """Why there is no matrix although versions were made."""


def collect(project: Project, lines: Sequence[Line]) -> Record:
    """Everything of the page's second half.

    Args:
        project: which project.
        lines: its journal.

    Raises:
        IntegrityError: the journal or the pointer cannot be read.
    """
    spent, origin = tuple(turns(project, lines)), lineage(project)
    try:
        found = matrix.collect(project)
    except OnwardError as error:
        return Record(None, None, spent, origin, error)
    shown = heat(found) if found.scores else None
    return Record(shown, scatter(project, found), spent, origin)
