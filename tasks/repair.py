"""Bring episodes, versions and verdicts back to what is on record."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from onward import files
from onward.errors import IntegrityError, MissingFiles, OnwardError
from onward.locks import held
from onward.project import Project
from onward.registry import journal, verify
from tasks import versions
from tasks.versions import Restored


def repair(project: Project, tell: Callable[[str], None]) -> list[str]:
    """Repair what is damaged; returns what was done, a line each. Nothing else is touched.

    Raises:
        MissingFiles: what is on record is in no cache, no remote and no folder any more.
        IntegrityError: something is still wrong afterwards.
        Busy: another process changes the project.
    """
    with held(project.run_lock, "onward repair"):
        done = _data(project, tell)
        for folder, manifest in _recorded(project):
            if _damaged(folder, manifest):
                tell(f"Repairing {folder.parent.name}/{folder.name}")
                found = versions.repair_version(project, folder)
                done += _told(folder.relative_to(project.root).as_posix(), found)
        for problem in _left(project):
            raise problem
        return done


def _data(project: Project, tell: Callable[[str], None]) -> list[str]:
    from onward.episodes import repair as episodes

    if not project.turn.exists() or not episodes.problems(project):
        return []
    tell("Repairing data/")
    done: list[str] = ["data.dvc names what the turn names"]

    def fetch(where: Project) -> None:
        done.extend(_told("data", versions.repair_data(where)))

    episodes.repair(project, fetch)
    return done


def _recorded(project: Project) -> list[tuple[Path, str | None]]:
    """Folders of versions and verdicts with the manifest that the journal names, and the others."""
    lines = journal.lines(project)
    made: list[tuple[Path, str | None]] = [
        (project.version(line["version"]), line["manifest"])
        for line in lines
        if line["what"] in journal.PROMOTING
    ]
    judged = [
        (project.verdict(line["seq"]), line["verdict"])
        for line in lines
        if line["what"] in journal.VERDICTS
    ]
    return [*made, *judged, *((folder, None) for folder in verify.brought(project))]


def _damaged(folder: Path, manifest: str | None) -> bool:
    try:
        files.verify(folder, manifest)
    except (IntegrityError, MissingFiles):
        return True
    return False


def _told(name: str, found: Restored) -> list[str]:
    if found.missing:
        raise MissingFiles(
            f"{found.missing[0]} of {name} is in no cache and no remote",
            where=name,
            fix="`dvc pull` from a remote that has it, or bring back a copy of .dvc/cache",
            details={"missing": found.missing},
        )
    done = [f"restored {name}/{path}" for path in found.restored]
    done += [f"removed {name}/{path}, which is not on record" for path in found.removed]
    return done + [f"dropped a corrupt object of the cache, {md5}" for md5 in found.dropped]


def _left(project: Project) -> list[OnwardError]:
    return [p for p in verify.verify_all(project) if isinstance(p, IntegrityError | MissingFiles)]
