"""Hash everything that the registry keeps against what is on record; report, change nothing.

    for problem in verify_all(project):
        print(problem.what)

What it does not cover: that the record itself is the true one. The journal, the pointer and the
.dvc files are in Git, and Git's history is the witness.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from onward import files
from onward.errors import IntegrityError, OnwardError
from onward.project import Project
from onward.registry import journal, versions


def verify_all(project: Project) -> list[OnwardError]:
    """Every finding about journal, pointer, versions, verdicts and models that were brought in.

    Empty: all is as recorded.

    A folder that is not on this machine is a MissingFiles (`dvc pull`), never an IntegrityError.
    Episodes are `onward.episodes.repair.problems`.
    """
    try:
        lines = journal.lines(project)
    except OnwardError as error:
        return [error]  # without the journal nothing is on record
    found = _pointer(project, lines)
    for line in lines:
        if line["what"] in journal.PROMOTING:
            found += _folder(project, f"registry/{line['version']}", line["manifest"])
        if line["what"] in journal.VERDICTS:
            found += _folder(project, f"verdicts/{line['seq']}", line["verdict"])
    for folder in brought(project):
        found += _folder(project, f"{folder.parent.name}/{folder.name}", None)
    return found + _unrecorded(project, lines)


def brought(project: Project) -> list[Path]:
    """Models that were adopted, and encoders that read on: the folders that their .dvc files name.

    No line of the journal names their manifests: a turn names them by the hash of their files.
    """
    places = [project.root / "models" / name for name in ("adopted", "pretrained")]
    return [path.with_suffix("") for place in places for path in sorted(place.glob("*.dvc"))]


def _pointer(project: Project, lines: list[dict[str, Any]]) -> list[OnwardError]:
    try:
        at = versions.pointer(project)
    except OnwardError as error:
        return [error]
    moves = [line for line in lines if line["what"] in (*journal.PROMOTING, "rollback")]
    if at is None and not moves:
        return []
    made = {line["version"]: line["manifest"] for line in moves if "manifest" in line}
    if at is not None and moves:
        last = moves[-1]
        if (at.version, at.seq, at.manifest) == (
            last["version"],
            last["seq"],
            made.get(last["version"]),
        ):
            return []
    said = f"{moves[-1]['version']} in {moves[-1]['seq']}" if moves else "none"
    points = f"{at.version} in {at.seq}" if at else "none"
    return [
        IntegrityError(
            f"champion.json says {points}, the journal says {said}",
            where=str(project.champion),
            fix="the next `onward run` completes a move that was begun; else `git checkout` both",
        )
    ]


def _folder(project: Project, name: str, manifest: str | None) -> list[OnwardError]:
    try:
        files.verify(project.root / "models" / name, manifest)
    except OnwardError as error:
        return [error]
    return []


def _unrecorded(project: Project, lines: list[dict[str, Any]]) -> list[OnwardError]:
    known = {line.get("version") for line in lines}
    return [
        IntegrityError(
            f"{name} is in the registry but not in the journal",
            where=str(project.version(name)),
            fix="the next `onward run` removes it: its promotion was never completed",
        )
        for name in versions.versions(project)
        if name not in known
    ]
