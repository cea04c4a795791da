"""The trivial baseline of a turn: what it answers rests on the turn's training rows alone."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from types import ModuleType
from typing import Any

from onward.episodes import turn as turns
from onward.project import Project
from onward.recipes.shapes import Row


def common(
    project: Project,
    recipe: ModuleType,
    episodes: Iterable[str],
    among: Collection[str] | None = None,
) -> Any:
    """What the recipe's baseline needs of the training rows of these episodes.

    Args:
        project: where they lie.
        recipe: its `common` takes the rows, streamed.
        episodes: folders in data/: those that the turn knows or learns.
        among: whose corrections count, where it is not the present turn's; see `turn.stream`.
    """

    def rows() -> Iterable[Row]:
        for episode in sorted(set(episodes)):
            yield from turns.stream(project, episode, "train", among)

    return recipe.common(rows())
