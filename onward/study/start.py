"""What a comparison begins with: the project's own turn, without the rows that its gate reads.

A part of the new training rows is carved off to score on. The held-out rows, of new and of known
episodes, are the gate's: choosing by them would make the gate see what was chosen for it.

    start, episodes = of_turn(project, folder, percent=20, seed=0)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onward.episodes import turn as turns
from onward.episodes.turn import Base, Data, Named, Turn
from onward.errors import UsageError
from onward.learning import base
from onward.project import Project
from onward.study.sequence import Episodes, carved


@dataclass(frozen=True)
class Start:
    """A base, and the episodes that it knows; what is new is learned in one turn."""

    base: Base
    version: Path | None = None
    """The base's folder, where it is a version."""
    known: tuple[Named, ...] = ()
    data: Path | None = None
    """Where the known episodes lie."""
    encoder: Path | None = None
    """Where the base lies, if it is a pretrained encoder: its name may be the project's own."""

    @property
    def key(self) -> dict[str, Any]:
        """All of it that can change a result."""
        return {"base": self.base.model_dump(), "known": [one.model_dump() for one in self.known]}

    def compose(self, project: Project, recipe: str, new: Episodes) -> Turn:
        """The turn in a trial's project, with a link to each episode and to the base."""
        for data, named in ((self.data, self.known), (new.data, new.named)):
            for one in named:
                assert data is not None  # noqa: S101 - known ones lie somewhere
                _link(project.episode(one.episode), data / one.episode)
        if self.version is not None:
            _link(project.version(self.base.name), self.version)
        made = Data(md5=f"{new.id[:32]}.dir", size=0, nfiles=0)
        base = self.base
        if self.encoder is not None:
            base = base.model_copy(update={"name": str(self.encoder)})
        return Turn(recipe=recipe, base=base, known=self.known, learning=new.named, data=made)


def _link(link: Path, target: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        link.symlink_to(target.resolve(), target_is_directory=True)


def of_turn(project: Project, folder: Path, *, percent: float, seed: int) -> tuple[Start, Episodes]:
    """The start of a project's turn, and its new episodes, scored on carved training rows.

    Args:
        project: whose turn it is.
        folder: where the carved episodes are sealed: FOLDER/data.
        percent: of the new training rows, at most, to score on; whole titles or texts.
        seed: of the draw.

    Raises:
        UsageError: the turn learns nothing, or hands on an adopted model as it is.
        SettingsError: params.yaml names another recipe or encoder than the turn.
        IntegrityError, MissingFiles: its episodes or its base are not what it names.
    """
    turn = Turn.read(project)
    turns.require_settings(project, turn)
    turns.check(project, turn)
    if not turn.learning or turn.base.kind == "adopted":
        raise UsageError(
            "This turn trains nothing, so there is nothing to compare",
            where=str(project.turn),
            fix="open an episode first",
        )
    source = base.source(project, turn)
    encoder = source if turn.base.kind == "pretrained" else None
    version = project.version(turn.base.name) if turn.base.kind == "version" else None
    start = Start(turn.base, version, turn.known, project.data, encoder)
    new = Episodes(project.data, turn.learning)
    own = carved(
        new, folder / "data", turn.recipe, percent=percent, seed=seed, first=len(turn.learning)
    )
    return start, own
