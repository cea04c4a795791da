"""The versions in models/registry and the one pointer to the champion, models/champion.json.

>>> import pathlib, tempfile; project = Project(pathlib.Path(tempfile.mkdtemp()))
>>> champion(project) is None, versions(project)
(True, [])
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onward import files
from onward.errors import IntegrityError, MissingFiles
from onward.project import Project
from onward.registry import journal

SCHEMA = 1
_VERSION = re.compile(r"v[1-9][0-9]{0,5}")


@dataclass(frozen=True)
class Pointer:
    """What models/champion.json says: who serves, since which SEQ, and the journal's line of it.

    `line` is the journal line that belongs to this move of the pointer, so that a promotion that
    was killed after the move can be completed.
    """

    version: str
    seq: int
    manifest: str
    line: dict[str, Any] = field(default_factory=dict)

    @property
    def candidate(self) -> str:
        """The id of the candidate that serves, known also where its files are not here."""
        return str(self.line.get("candidate", ""))


@dataclass(frozen=True)
class Champion:
    """The version that serves, its files checked against its manifest."""

    version: str
    seq: int
    manifest: str
    folder: Path
    card: dict[str, Any]

    @property
    def candidate(self) -> str:
        """The id of the candidate that was promoted."""
        return str(self.card["candidate"])

    @property
    def package(self) -> Path:
        """What serves: ONNX variants, tokenizer, serving.json."""
        return self.folder / "package"


def pointer(project: Project) -> Pointer | None:
    """The pointer as it stands, without a look at the version's files; None: no champion.

    Raises:
        IntegrityError: the file is not a pointer this code knows.
    """
    if not project.champion.exists():
        return None
    value = files.read_json(project.champion)
    try:
        if value["schema"] != SCHEMA or not _VERSION.fullmatch(value["version"]):
            raise ValueError("schema or version")
        return Pointer(
            value["version"], int(value["seq"]), str(value["manifest"]), value.get("line", {})
        )
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError(
            f"champion.json is not a pointer to a version: {error}",
            where=str(project.champion),
            fix="`git checkout models/champion.json` brings the committed pointer back",
        ) from error


def champion(project: Project, *, check: bool = True) -> Champion | None:
    """The version that serves; None where nothing was promoted yet.

    Args:
        project: whose champion.
        check: hash every file of the version; without it only its card is read.

    Raises:
        MissingFiles: the version is not on this machine (`dvc pull`).
        IntegrityError: a file differs from what the manifest or the pointer names.
    """
    at = pointer(project)
    if at is None:
        return None
    folder = project.version(at.version)
    if check:
        files.verify(folder, at.manifest)
    return Champion(at.version, at.seq, at.manifest, folder, card(project, at.version))


def versions(project: Project) -> list[str]:
    """v1, v2, ...: all that are on this machine or that a .dvc file names, by number."""
    if not project.registry.is_dir():
        return []
    names = {path.name.removesuffix(".dvc") for path in project.registry.iterdir()}
    return sorted((n for n in names if _VERSION.fullmatch(n)), key=lambda n: int(n[1:]))


def card(project: Project, version: str) -> dict[str, Any]:
    """The lineage of a version: what it was made of and why it was promoted.

    Raises:
        UsageError: not a version's name.
        MissingFiles: the version is not on this machine.
    """
    path = project.version(version) / "card.json"
    if not path.exists():
        raise MissingFiles(
            f"{version} is not on this machine",
            where=str(path.parent),
            fix=f"`dvc pull models/registry/{version}` fetches it; nothing was changed",
        )
    found: dict[str, Any] = files.read_json(path)
    return found


def verify(project: Project, version: str) -> str:
    """Check every file of a version against its manifest. Returns the manifest's sha256.

    Where the journal names the version, the manifest must be the one that the journal names.

    Raises:
        MissingFiles: the version is not on this machine.
        IntegrityError: a file is missing, extra or changed.
    """
    made = {line.get("version"): line.get("manifest") for line in journal.promotions(project)}
    folder = project.version(version)
    files.verify(folder, made.get(version))
    return files.sha256(folder / files.MANIFEST)
