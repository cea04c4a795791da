"""Each start completes or undoes what a killed one began, so the same command again ends alike.

    under the run lock:  finish(project)

A promotion writes: verdict, version, pointer, journal line. After a death between them
- the pointer moved, the line is missing: the line, kept in the pointer, is appended;
- the pointer did not move: the unacknowledged version and verdict are removed, and their numbers
  are used again;
- temporary files and folders are swept, the trainer's only where no trainer lives;
- a turn whose base was withdrawn by a rollback is composed anew.

What it does not do: it never touches what the journal names. A journal that is shorter than the
pointer says is an error, not a reason to remove versions.
"""

from __future__ import annotations

from pathlib import Path

from onward import files, locks
from onward.errors import IntegrityError
from onward.project import Project
from onward.registry import journal, versions
from onward.registry.versions import Pointer


def finish(project: Project, *, judging: int | None = None, rebase: bool = True) -> list[str]:
    """Complete or undo what was begun, under the run lock. Returns what was done, in words.

    Args:
        project: whose registry.
        judging: the SEQ of a verdict that is being promoted right now, and so is kept.
        rebase: whether a turn whose base was withdrawn is composed anew, which reads the episodes.

    Raises:
        Busy: another process holds the run lock.
        IntegrityError: the journal or the pointer is damaged, or an episode of that turn.
        MissingFiles: an episode of that turn is not on this machine.
    """
    with locks.held(project.run_lock, "finishing what was begun"):
        done = _complete(project)
        done += _undo(project, judging)
        done += [f"swept {path.name}" for path in _sweep(project)]
        return done + (compose_anew(project) if rebase else [])


def _complete(project: Project) -> list[str]:
    at, following = versions.pointer(project), journal.next_seq(project)
    if at is None:
        return []
    if at.seq < following:
        _on_record(project, at)
        return []
    if at.seq > following or at.line.get("seq") != at.seq:
        raise IntegrityError(
            f"champion.json was written with SEQ {at.seq}, the journal ends at {following - 1}",
            where=str(project.journal),
            fix="`git checkout models/journal.jsonl models/champion.json` takes both of one state",
        )
    journal.write(project, at.line)
    return [f"journaled {at.seq}: {at.line['what']} {at.version}"]


def _on_record(project: Project, at: Pointer) -> None:
    """What serves must be what the journal says, or it would be removed as unfinished."""
    line = next(line for line in journal.lines(project) if line["seq"] == at.seq)
    if line.get("version") != at.version:
        raise IntegrityError(
            f"champion.json says {at.version} in {at.seq}, the journal has {line['what']!r} there",
            where=str(project.champion),
            fix="`git checkout models/journal.jsonl models/champion.json` takes both of one state",
        )


def _undo(project: Project, judging: int | None) -> list[str]:
    named = {line.get("version") for line in journal.lines(project)}
    left = [project.version(name) for name in versions.versions(project) if name not in named]
    following = journal.next_seq(project)
    left += [
        project.verdict(seq)
        for seq in _numbers(project.verdicts)
        if seq >= following and seq != judging
    ]
    for path in left:
        discard(path)
    return [f"removed unfinished {path.parent.name}/{path.name}" for path in left]


def discard(folder: Path) -> None:
    """Remove a folder and the .dvc file beside it."""
    files.remove(folder.with_name(f"{folder.name}.dvc"))
    files.remove(folder)


def compose_anew(project: Project) -> list[str]:
    """Write the turn anew where its base or an episode of it was withdrawn, once its episodes are
    on this machine. A withdrawal that was killed is in the journal, and may not be in the turn.

    Whoever calls holds the run lock. Returns what was done, in words.

    Raises:
        IntegrityError, MissingFiles: an episode of the turn is damaged or not here.
    """
    if not project.turn.exists() or not project.data.is_dir():
        return []
    from onward.episodes import turn as turns
    from onward.episodes.turn import Turn, compose

    turn = Turn.read(project)
    made = {line["version"]: line["candidate"] for line in journal.promotions(project)}
    base = made.get(turn.base.name) if turn.base.kind == "version" else None
    gone = sorted({*turn.known_episodes, *turn.learning_episodes} & {*turns.withdrawn(project)})
    if base in journal.withdrawn_candidates(project):
        gone = [turn.base.name, *gone]
    if not gone:
        return []
    composed = compose(project, turn.data.model_dump())
    if composed == turn:
        return []
    composed.write(project)
    were = "was" if len(gone) == 1 else "were"
    return [f"the turn starts from {composed.base.name} now: {', '.join(gone)} {were} withdrawn"]


def _numbers(folder: Path) -> list[int]:
    if not folder.is_dir():
        return []
    names = {path.name.removesuffix(".dvc") for path in folder.iterdir()}
    return sorted(int(name) for name in names if name.isdecimal())


def _sweep(project: Project) -> list[Path]:
    folders = [project.root, project.turn.parent, project.registry, project.verdicts, project.data]
    made = project.root / "turn"
    if made.is_dir() and not _stage_at_work(project):
        folders += [made, *(path for path in sorted(made.iterdir()) if path.is_dir())]
    return [path for folder in folders for path in files.sweep(folder)]


def _stage_at_work(project: Project) -> bool:
    """Whether a stage writes in turn/ now: of `dvc repro`, or of a run that was killed."""
    stages = sorted(project.stages_at_work.glob("*.lock"))
    ended = [path for path in stages if not locks.is_held(path)]
    for path in ended:
        path.unlink(missing_ok=True)
    return len(ended) < len(stages) or locks.is_held(project.train_lock)
