"""How data/, the journal and the turn stand to one another, and how the turn is moved on.

An opening ends with three steps: the folder's rename, DVC's pointer, the turn. `settled` tells
whether the last one was reached; `advance` does the last two, any number of times.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from onward import files
from onward.episodes.folders import Folder, folders, strangers
from onward.episodes.turn import Turn, check, compose, withdrawn
from onward.errors import IntegrityError, MissingFiles
from onward.project import Project

Keep = Callable[[Project], dict[str, Any]]
"""Versions data/ and returns the out entry of data.dvc: md5, size, nfiles."""


def sweep(project: Project) -> None:
    """Delete what killed writers left beside the episodes and the turn. The run lock is held."""
    for folder in (project.data, project.turn.parent):
        files.sweep(folder)


def advance(project: Project, keep: Keep) -> Turn:
    """Version data/ and write the turn that follows. The run lock must be held."""
    turn = compose(project, keep(project))
    turn.write(project)
    return turn


def versioned(project: Project, keep: Keep) -> dict[str, Any]:
    """The out entry of data/ as it is: the turn's, or a new one where the turn is behind."""
    here = folders(project)
    if project.turn.exists() and {f.folder for f in here} <= in_view(project, here):
        return Turn.read(project).data.model_dump()
    return keep(project)


def settled(project: Project, folder: Folder) -> bool:
    """Whether the turn was written with this episode in view: nothing of its opening is left."""
    return folder.folder in in_view(project, folders(project))


def in_view(project: Project, here: Sequence[Folder]) -> set[str]:
    """The settled episodes, by their folders; `here` are all that lie in data/."""
    if not project.turn.exists():
        return set()
    turn = Turn.read(project)
    named = {*turn.known_episodes, *turn.learning_episodes}
    emptied = {earlier for f in here if f.folder in named for earlier in f.emptied}
    return named | {*withdrawn(project)} | emptied


def lost(project: Project, name: str) -> str | None:
    """The episode of this name that is on record and not in data/, where all before it are there.

    So a fresh clone can make its episodes again from their sources, in order, where there is no
    remote to pull from.
    """
    if not project.turn.exists():
        return None
    missing = _missing(project, Turn.read(project))
    return missing[0] if missing and missing[0].partition("-")[2] == name else None


def rebuilt(project: Project, folder: str, keep: Keep) -> None:
    """Take an episode that was made again from its source: only if it is the recorded one.

    Raises:
        IntegrityError: other bytes came out; they are removed again.
    """
    turn = Turn.read(project)
    expected = {named.episode: named.manifest for named in (*turn.known, *turn.learning)}
    found = files.sha256(project.episode(folder) / files.MANIFEST)
    if expected.get(folder, found) != found:
        files.remove(project.episode(folder))
        raise IntegrityError(
            f"This source does not make the episode {folder} that the turn names",
            where=str(project.turn),
            fix="`dvc pull` fetches the true one; or give the source, columns and settings that "
            "it was opened with",
        )
    if not _missing(project, turn):
        keep(project)


def check_all(project: Project, rebuilding: str | None = None) -> None:
    """`check`, and every other episode in data/ against its own manifest.

    Before an episode is opened: what is here is about to be versioned, and sides are read of
    withdrawn and replaced episodes, too.

    Raises:
        MissingFiles, IntegrityError: as `check`; or something in data/ is not an episode.
    """
    if project.turn.exists():
        turn = Turn.read(project)
        if rebuilding is None:
            refuse_missing(project, turn)
            check(project, turn)
    here = folders(project)
    for folder in here:
        files.verify(project.episode(folder.folder), folder.sha256)
    strange = strangers(project)
    if strange:
        raise IntegrityError(
            f"data/ holds {strange[0]}, which is not an episode",
            where=str(project.data / strange[0]),
            fix="move it elsewhere; data/ is what `onward episode open` writes",
        )


def refuse_missing(project: Project, turn: Turn) -> None:
    """Raise MissingFiles where an episode that something names is not in data/."""
    missing = _missing(project, turn)
    if missing:
        raise MissingFiles(
            f"Episode {missing[0]} is not on this machine",
            where=str(project.episode(missing[0])),
            fix="`dvc pull` fetches it; nothing was changed",
        )


def _missing(project: Project, turn: Turn) -> list[str]:
    named = {*turn.known_episodes, *turn.learning_episodes, *withdrawn(project)}
    return sorted(name for name in named if not project.episode(name).is_dir())
