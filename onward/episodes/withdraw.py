"""Withdraw an episode: journaled with its reason, and the turn is written anew without it.

Its rows stay in data/, and its titles and contexts keep their sides.
"""

from __future__ import annotations

from onward import locks
from onward.episodes import standing
from onward.episodes import turn as turns
from onward.episodes.folders import Folder, named
from onward.episodes.listing import EpisodeInfo, episodes
from onward.errors import UsageError
from onward.project import Project


def withdraw(
    project: Project, episode: str, reason: str, by: str, keep: standing.Keep
) -> EpisodeInfo:
    """Withdraw an episode. Once more is the same as once.

    Args:
        project: where.
        episode: its folder, name or number.
        reason: why; kept in the journal.
        by: who.
        keep: versions data/, where an opening was killed before it did.

    Raises:
        UsageError: no such episode, no reason, or nothing would be left to learn.
        IntegrityError: the journal or the pointer is damaged.
        Busy: another command holds the run's lock.
    """
    if not reason.strip():
        raise UsageError(
            "A withdrawal needs a reason", where=episode, fix="say why: `--reason TEXT`"
        )
    from onward.registry.finish import finish

    with locks.held(project.run_lock, f"withdrawing episode {episode}"):
        # First, or this line would take the number of a promotion that was killed before its own.
        finish(project, rebase=False)
        standing.sweep(project)
        found = named(project, episode)
        if found is None:
            raise UsageError(
                f"There is no episode {episode!r}",
                where=str(project.data),
                fix="`onward episode list` names them",
            )
        _withdraw(project, found, reason, by, keep)
        return next(e for e in episodes(project) if e.folder == found.folder)


def _withdraw(project: Project, found: Folder, reason: str, by: str, keep: standing.Keep) -> None:
    from onward.registry import journal

    data = standing.versioned(project, keep)
    # Composed first: what is refused must not be in the journal.
    turn = turns.compose(project, data, without=(found.folder,))
    if found.folder not in turns.withdrawn(project):
        journal.append(project, "withdrawn", by=by, reason=reason, episode=found.folder)
    if not project.turn.exists() or turns.Turn.read(project) != turn:
        turn.write(project)
