"""The episode folders in data/: their numbers, names and manifests.

>>> import tempfile; from pathlib import Path
>>> folders(Project(Path(tempfile.mkdtemp())))
[]
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from onward import files
from onward.errors import MissingFiles, SettingsError
from onward.project import Project

_FOLDER = re.compile(r"([0-9]{4,})-([a-z0-9][a-z0-9_-]{0,63})")


@dataclass(frozen=True)
class Folder:
    """One sealed episode: its folder's name, the sha256 of its manifest, and the manifest."""

    folder: str
    sha256: str
    manifest: dict[str, Any]

    @property
    def number(self) -> int:
        """1, 2, ... in the order of opening."""
        return int(self.manifest["number"])

    @property
    def name(self) -> str:
        """The name it was opened with."""
        return str(self.manifest["name"])

    @property
    def replaces(self) -> list[str]:
        """Earlier episodes whose rows of the same ids this one replaces."""
        return list(self.manifest.get("replaces", []))

    @property
    def emptied(self) -> list[str]:
        """Those of `replaces` of which no row is left."""
        return list(self.manifest.get("emptied", []))

    @property
    def carved(self) -> bool:
        """Whether its held-out rows are training rows of an episode, kept apart for a study."""
        return bool(self.manifest.get("carved", False))


def folders(project: Project) -> list[Folder]:
    """All sealed episodes in data/, by number, withdrawn ones included.

    Raises:
        MissingFiles: a folder has no manifest.
    """
    if not project.data.is_dir():
        return []
    names = [p.name for p in project.data.iterdir() if p.is_dir() and _FOLDER.fullmatch(p.name)]
    found = [read_folder(project, name) for name in names]
    return sorted(found, key=lambda f: (f.number, f.folder))


def read_folder(project: Project, name: str) -> Folder:
    """One episode's manifest and its hash. Raises MissingFiles where it is not there."""
    path = project.episode(name) / files.MANIFEST
    if not path.is_file():
        raise MissingFiles(
            f"Episode {name} is not on this machine, or is incomplete",
            where=str(path.parent),
            fix="`dvc pull` fetches it, `onward repair` mends it; nothing was changed",
        )
    return Folder(name, files.sha256(path), files.read_json(path))


def require_recipe(project: Project, recipe: str) -> None:
    """Refuse a recipe that is not the sealed episodes'. Raises SettingsError naming one of them."""
    other = [f for f in folders(project) if f.manifest["recipe"] != recipe]
    if other:
        held = other[0].manifest["recipe"]
        raise SettingsError(
            f"Episode {other[0].folder} holds rows for {held!r}, and this project's recipe is "
            f"{recipe!r}",
            where="params.yaml: project.recipe",
            fix=f"set it to {held}; for another kind of task make a project of its own with "
            f"`onward new DIR --recipe {recipe}`",
        )


def strangers(project: Project) -> list[str]:
    """What lies in data/ and is neither an episode nor the leftover of a killed writer."""
    if not project.data.is_dir():
        return []
    return sorted(
        path.name
        for path in project.data.iterdir()
        if not (path.is_dir() and _FOLDER.fullmatch(path.name)) and not files.is_leftover(path)
    )


def manifest_of(project: Project, name: str) -> dict[str, Any]:
    """The manifest of one episode."""
    return read_folder(project, name).manifest


def named(project: Project, episode: str) -> Folder | None:
    """The episode of this name, folder name or number; None where there is none."""
    for found in folders(project):
        if episode in (found.folder, found.name, str(found.number)):
            return found
    return None
