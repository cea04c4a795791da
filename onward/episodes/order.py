"""What a person asked to open, resolved against the file and the project; no row is read yet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onward import config, files, recipes
from onward.episodes import formats
from onward.episodes.columns import resolve
from onward.episodes.folders import Folder, folders, named
from onward.errors import UsageError
from onward.project import Project


@dataclass(frozen=True)
class Order:
    """One delivery: its file, columns and settings. Equal orders open the same episode."""

    name: str
    source: formats.Source
    mapping: dict[str, str]
    guessed: bool
    sha256: str
    settings: config.Episode
    recipe: str
    replaces: list[str]
    """The episode to be corrected first, then those that it corrects in turn."""

    @property
    def path(self) -> Path:
        """The file."""
        return self.source.path

    @property
    def corrects(self) -> str | None:
        """The folder of the episode to be corrected."""
        return self.replaces[0] if self.replaces else None

    def described(self) -> dict[str, Any]:
        """What the manifest says of the source."""
        return {
            "name": self.path.name,
            "sha256": self.sha256,
            "bytes": self.path.stat().st_size,
            "format": self.source.format,
            "mapping": self.mapping,
        }

    def differences(self, manifest: dict[str, Any]) -> list[str]:
        """In what an open episode of this name differs, in words."""
        there = manifest["source"]
        pairs = {
            "source": (there["sha256"], self.sha256),
            "columns": (there["mapping"], self.mapping),
            "format": (there["format"], self.source.format),
            "settings": (manifest["settings"], self.settings.model_dump(mode="json")),
            "episode to correct": (manifest["corrects"], self.corrects),
        }
        return [name for name, (before, now) in pairs.items() if before != now]


def order(
    project: Project,
    name: str,
    path: Path,
    *,
    mapping: dict[str, str] | None,
    file_format: str | None,
    corrects: str | None,
) -> Order:
    """Resolve format, columns and the corrected episode.

    Raises:
        UsageError, FormatError, DataError, MissingFiles: as `open_episode` says.
    """
    settings = config.read(project.params, config.Episode)
    recipe = config.read(project.params, config.Identity).recipe
    _same_recipe(project, recipe)
    source = formats.sniff(path, settings.max_field_chars, file_format)
    found = resolve(source.columns, mapping, recipes.get(recipe), where=str(path))
    return Order(
        name=name,
        source=source,
        mapping=found,
        guessed=source.format != "squad" and set(found) > set(mapping or {}),
        sha256=files.sha256(path),
        settings=settings,
        recipe=recipe,
        replaces=_replaced(project, name, corrects),
    )


def _replaced(project: Project, name: str, corrects: str | None) -> list[str]:
    if corrects is None:
        return []
    earlier = named(project, corrects)
    if earlier is None or earlier.name == name:
        raise UsageError(
            f"There is no other episode {corrects!r} to correct",
            where=str(project.data),
            fix="`onward episode list` names them",
        )
    return [earlier.folder, *earlier.replaces]


def _same_recipe(project: Project, recipe: str) -> None:
    other = [f for f in folders(project) if f.manifest["recipe"] != recipe]
    if other:
        raise UsageError(
            f"Episode {other[0].folder} holds rows for {other[0].manifest['recipe']!r}, "
            f"and this project's recipe is {recipe!r}",
            where="params.yaml: project.recipe",
            fix="a project has one recipe: make another with `onward new DIR`",
        )


def same_name(project: Project, name: str) -> Folder | None:
    """The episode that was opened under this name."""
    return next((f for f in folders(project) if f.name == name), None)
