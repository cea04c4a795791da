"""What is wrong with data/, and the way back to what the turn names.

DVC takes a changed file for a new version, and a plain `dvc repro` even writes its hash into
data.dvc. The turn remembers the true hash, so data.dvc can be written back and the files fetched.

What this does not cover: files that are in no cache and no remote any more.
"""

from __future__ import annotations

from collections.abc import Callable

from onward import files, locks
from onward.episodes import standing
from onward.episodes import turn as turns
from onward.episodes.folders import Folder, folders, strangers
from onward.errors import IntegrityError, OnwardError, UsageError
from onward.project import Project

Fetch = Callable[[Project], None]
"""Makes data/ what data.dvc names, whatever lies there and in the local cache."""


def data_pointer(turn: turns.Turn) -> str:
    """The text that data.dvc should have, as DVC writes it."""
    return (
        f"outs:\n- md5: {turn.data.md5}\n  size: {turn.data.size}\n"
        f"  nfiles: {turn.data.nfiles}\n  hash: md5\n  path: data\n"
    )


def problems(project: Project) -> list[OnwardError]:
    """Everything about data/ and data.dvc that differs from the turn; empty where all is well.

    Raises:
        UsageError: there is no turn yet.
        IntegrityError: the turn itself cannot be read.
    """
    turn = turns.Turn.read(project)
    found: list[OnwardError] = []
    if not project.data_pointer.exists() or project.data_pointer.read_text() != data_pointer(turn):
        found.append(
            IntegrityError(
                "data.dvc is not the one that the turn names",
                where=str(project.data_pointer),
                fix="`onward repair` writes it back",
                details={"expected": turn.data.model_dump()},
            )
        )
    for named in (*turn.known, *turn.learning):
        found += _problem(project, named.episode, named.manifest)
    for folder in sorted(set(turns.withdrawn(project))):
        found += _problem(project, folder, None)
    return found + _strange(project)


def _problem(project: Project, folder: str, manifest: str | None) -> list[OnwardError]:
    try:
        files.verify(project.episode(folder), manifest)
    except OnwardError as error:
        return [error]
    return []


def _strange(project: Project) -> list[OnwardError]:
    found: list[OnwardError] = [
        IntegrityError(
            f"data/ holds {name}, which is not an episode",
            where=str(project.data / name),
            fix="move it elsewhere",
        )
        for name in strangers(project)
    ]
    here = _readable(project)
    settled = standing.in_view(project, here)
    found += [
        UsageError(
            f"The opening of episode {folder.name} was not finished",
            where=str(project.episode(folder.folder)),
            fix="give the same `onward episode open` again before anything else",
        )
        for folder in here
        if folder.folder not in settled
    ]
    return found


def _readable(project: Project) -> list[Folder]:
    try:
        return folders(project)
    except OnwardError:  # reported above, by the folder's own name
        return []


def repair(project: Project, fetch: Fetch) -> list[OnwardError]:
    """Write data.dvc back and fetch the true files. Returns what was wrong; empty: nothing.

    Raises:
        UsageError: an opening is unfinished; fetching would lose it.
        IntegrityError, MissingFiles: something is still wrong after the fetch.
        Busy: another command holds the run's lock.
    """
    with locks.held(project.run_lock, "repairing data"):
        found = problems(project)
        for problem in found:
            if isinstance(problem, UsageError):
                raise problem
        if found:
            files.write_text(project.data_pointer, data_pointer(turns.Turn.read(project)))
            fetch(project)
            for problem in problems(project):
                raise problem
        return found
