"""The episodes of a project and what has become of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from onward.episodes import standing
from onward.episodes import turn as turns
from onward.episodes.folders import Folder, folders
from onward.project import Project


@dataclass(frozen=True)
class EpisodeInfo:
    """One line of `onward episode list`."""

    folder: str
    number: int
    name: str
    state: str
    """learning, known (also by what this turn was promoted to), withdrawn, replaced (by
    corrections) or unfinished (open it again)."""
    counts: dict[str, int]
    """seen, accepted, repaired, quarantined, train, heldout."""
    reasons: dict[str, int]
    """Reason -> number of quarantined rows."""
    source: dict[str, Any]
    """name, sha256, bytes, format, mapping."""
    manifest: str
    """sha256 of its manifest.json."""
    corrects: str | None
    """The folder of the episode whose rows it replaces."""
    withdrawn: str | None
    """Why it was withdrawn."""
    group: str | None
    """Small episodes that the gate judges together."""


def episodes(project: Project) -> list[EpisodeInfo]:
    """All episodes on this machine, by number, withdrawn ones included.

    Raises:
        MissingFiles: an episode that the turn names is not here.
    """
    withdrawn = turns.withdrawn(project)
    turn = turns.Turn.read(project) if project.turn.exists() else None
    found = folders(project)
    promoted = turn is not None and _promoted(project, turn)
    if turn is not None:
        standing.refuse_missing(project, turn)
    settled = standing.in_view(project, found)
    return [_info(f, withdrawn.get(f.folder), turn, promoted, f.folder in settled) for f in found]


def _promoted(project: Project, turn: turns.Turn) -> bool:
    """Whether what serves was trained in this turn; the next opening writes the next one."""
    from onward.registry import versions

    at = versions.pointer(project)
    return at is not None and at.line.get("turn") == turn.id and turn.base.kind != "adopted"


def _info(
    folder: Folder,
    withdrawn: str | None,
    turn: turns.Turn | None,
    promoted: bool,
    settled: bool,
) -> EpisodeInfo:
    manifest = folder.manifest
    if withdrawn is not None:
        state = "withdrawn"
    elif turn is not None and folder.folder in turn.known_episodes:
        state = "known"
    elif turn is not None and folder.folder in turn.learning_episodes:
        state = "known" if promoted else "learning"
    else:
        state = "replaced" if settled else "unfinished"
    return EpisodeInfo(
        folder=folder.folder,
        number=folder.number,
        name=folder.name,
        state=state,
        counts=manifest["counts"],
        reasons=manifest["reasons"],
        source=manifest["source"],
        manifest=folder.sha256,
        corrects=manifest["corrects"],
        withdrawn=withdrawn,
        group=manifest.get("group"),
    )
