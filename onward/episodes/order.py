"""What a person asked to open, resolved against the file and the project; no row is taken yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onward import config
from onward.episodes import formats, marked, naming, nested, options, survey
from onward.episodes.columns import LISTS, resolve, unread
from onward.episodes.folders import Folder, folders, named, require_recipe
from onward.episodes.kinds import KINDS, PLAIN
from onward.errors import DataError, UsageError
from onward.project import Project, safe_name


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
    group: str | None
    """Small episodes that the gate judges together."""
    separator: str | None
    """Splits a text of several labels."""
    replaces: list[str]
    """The episode to be corrected first, then those that it corrects in turn."""
    others: tuple[str, ...] = ()
    """Recipes that could read the file as well."""
    instruction: str | None = None
    """The system message that all rows of the file share."""
    first: int | None = None
    """The number of the first option in the answers, where all of them together tell it."""
    last: int | None = None
    """Of places that count tokens: 1 where an end names an entity's last token, 0 the one after."""
    whole: bool = False
    """Whether all rows are to train on: which are held out was decided before."""

    @property
    def path(self) -> Path:
        """The file."""
        return self.source.path

    @property
    def notes(self) -> list[str]:
        """What the whole file says of how its rows are read."""
        found = []
        if self.first is not None:
            found.append(f"numbers of options count from {self.first}")
        if self.last is not None:
            ends = "the last token" if self.last else "the token after the last"
            found.append(f"places count tokens, and an entity's end is {ends} of it")
        if self.instruction:
            told = self.instruction[:60] + ("..." if len(self.instruction) > 60 else "")
            found.append(
                f"without the system message of all rows, {told!r}: it belongs into the template "
                "that asks, in prompts/, or into a column `context` of the source"
            )
        return found

    def told(self, fields: dict[str, Any]) -> Mapping[str, Any]:
        """The fields of a row with its numbers as a row alone is read.

        Raises:
            Fault: they are none of the row's.
        """
        if self.first is not None:
            return options.renumbered(fields, self.first)
        return fields if self.last is None else marked.in_characters(fields, self.last)

    @property
    def corrects(self) -> str | None:
        """The folder of the episode to be corrected."""
        return self.replaces[0] if self.replaces else None

    def described(self) -> dict[str, Any]:
        """What the manifest says of the source."""
        said = {} if self.separator is None else {"separator": self.separator}
        return {
            "name": self.source.name,
            "sha256": self.sha256,
            "bytes": self.source.bytes,
            "format": self.source.format,
            "mapping": self.mapping,
            **said,
        }

    @property
    def unread(self) -> list[str]:
        """The file's columns that no field is read from; none of a format with columns of its own.

        Those of SQuAD or CoNLL are the format's, and no person wrote them.
        """
        own = self.source.format not in PLAIN
        return [] if own else unread(self.mapping, self.source.columns)

    def differences(self, manifest: dict[str, Any]) -> list[str]:
        """In what an open episode of this name differs, in words."""
        there = manifest["source"]
        pairs = {
            "source": (there["sha256"], self.sha256),
            "columns": (there["mapping"], self.mapping),
            "format": (there["format"], self.source.format),
            "settings": (manifest["settings"], self.settings.model_dump(mode="json")),
            "episode to correct": (manifest["corrects"], self.corrects),
            "group": (manifest.get("group"), self.group),
            "separator": (there.get("separator"), self.separator),
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
    group: str | None,
    separator: str | None,
    target: Path | None = None,
    whole: bool = False,
) -> Order:
    """Resolve format, columns and the corrected episode.

    Raises:
        UsageError, FormatError, DataError, MissingFiles: as `open_episode` says.
    """
    settings = config.read(project.params, config.Episode)
    recipe = config.read(project.params, config.Identity).recipe
    require_recipe(project, recipe)
    source = formats.sniff(path, settings.max_field_chars, file_format, target=target)
    _refuse_format(source, recipe, settings)
    if group is not None:
        safe_name(group, "group")
    others = naming.others(source, recipe, settings.max_field_chars)
    mapping = nested.named(mapping, source.columns)
    try:
        found = resolve(source.columns, mapping, recipe, where=str(path))
    except DataError as error:
        if others:
            raise naming.refused(source, recipe, others) from error
        raise
    before = _before(project, name)
    if "title" not in (mapping or {}) and not survey.titled(before, source, found, settings):
        del found["title"]
    survey.refuse_multi_hot(source, found, separator)
    survey.refuse_numbered_tags(source, found)
    _refuse_separator(separator, found, recipe)
    return Order(
        name=name,
        source=source,
        mapping=found,
        guessed=source.format != "squad" and bool(set(found) - set(mapping or {})),
        sha256=source.sha256(),
        settings=settings,
        recipe=recipe,
        group=group,
        separator=separator,
        replaces=_replaced(project, name, corrects),
        others=tuple(others),
        instruction=survey.instruction(source, found),
        first=survey.first(source, found, separator),
        last=survey.last(source, found),
        whole=whole,
    )


def _refuse_format(source: formats.Source, recipe: str, settings: config.Episode) -> None:
    """Refuse a format that the recipe does not read, naming those that do."""
    if source.format not in KINDS[recipe].formats:
        fits = naming.readings(source, settings.max_field_chars)
        names = [one.recipe for one in fits] or [
            name for name in naming.known() if source.format in KINDS[name].formats
        ]
        raise naming.refused(source, recipe, names)


def _refuse_separator(separator: str | None, mapping: dict[str, str], recipe: str) -> None:
    """Refuse to split texts where no field is a list."""
    if separator is not None and not set(LISTS) & set(mapping):
        raise UsageError(
            f"The recipe {recipe} has no list of labels or options to separate",
            where="--separator",
            fix="leave it out; several labels a row are for a project of the recipe multilabel, "
            "options for one of choice",
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
    # Also what corrected the same rows before: of two corrections, the later one is right.
    others = [each.folder for each in _before(project, name) if earlier.folder in each.replaces]
    return [earlier.folder, *earlier.replaces, *others]


def _before(project: Project, name: str) -> list[Folder]:
    """The episodes that were there when this one was opened, or all: the same order says so."""
    own = same_name(project, name)
    return [each for each in folders(project) if own is None or each.number < own.number]


def same_name(project: Project, name: str) -> Folder | None:
    """The episode that was opened under this name."""
    return next((f for f in folders(project) if f.name == name), None)
