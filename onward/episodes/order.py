"""What a person asked to open, resolved against the file and the project; no row is read yet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from onward import config
from onward.episodes import (
    counting,
    exchanges,
    formats,
    labels,
    marked,
    naming,
    nested,
    options,
    spanned,
    split,
)
from onward.episodes.columns import LISTS, fields_of, resolve, sources, unread, vague
from onward.episodes.folders import Folder, folders, named, require_recipe
from onward.episodes.kinds import KINDS, PLAIN
from onward.episodes.values import given_id
from onward.errors import DataError, UsageError
from onward.project import Project, safe_name

_LEAST = 5
"""Rows that must have places before these may be taken for places of tokens."""


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
    if "title" not in (mapping or {}) and not _titled(project, source, found, settings):
        del found["title"]
    if "labels" in found:
        _refuse_multi_hot(source, found, separator)
    _refuse_numbered_tags(source, found)
    if separator is not None and not set(LISTS) & set(found):
        raise UsageError(
            f"The recipe {recipe} has no list of labels or options to separate",
            where="--separator",
            fix="leave it out; several labels a row are for a project of the recipe multilabel, "
            "options for one of choice",
        )
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
        instruction=_instruction(source, found),
        first=_first(source, found, separator),
        last=_last(source, found),
    )


def _instruction(source: formats.Source, mapping: dict[str, str]) -> str | None:
    """The system message that the first rows all have, where there are several."""
    if not {"messages", "system"} & set(mapping):
        return None
    rows = islice(formats.read(source), naming.TRIED)
    told = [exchanges.system(fields_of(row.values, mapping)) for row in rows if row.values]
    return told[0] if len(told) > 1 and len(set(told)) == 1 else None


def _titled(
    project: Project, source: formats.Source, mapping: dict[str, str], settings: config.Episode
) -> bool:
    """Whether rows are to be split by the guessed title, if there is one.

    A column such as `topic` must have enough values, which is found out by reading it, unless an
    episode was split by it before: its titles keep their side.
    """
    column = mapping.get("title")
    if column is None or source.format not in PLAIN or not vague(column):
        return True
    if any(each.manifest["source"]["mapping"].get("title") == column for each in folders(project)):
        return True
    values = (row.values or {} for row in formats.read(source, [column]))
    titles = (given_id(row.get(column)) for row in values)
    return not split.few((one for one in titles if isinstance(one, str)), settings)


def _refuse_multi_hot(
    source: formats.Source, mapping: dict[str, str], separator: str | None
) -> None:
    """Refuse lists that hold 0 or 1 for every label there is: they would be read as names."""
    rows = (row for row in islice(formats.read(source), naming.TRIED) if row.values)
    size = labels.multi_hot(
        fields_of(row.values or {}, mapping, separator, cells=source.cells) for row in rows
    )
    if size:
        raise DataError(
            f"The column {mapping['labels']} holds a 0 or 1 for each of {size} labels, and no "
            "label's name",
            where=str(source.path),
            fix="write the names of each row's labels, or the places of its ones: "
            '["1", "3"] for [0, 1, 0, 1], [] for none',
            details={"labels": size},
        )


def _first(source: formats.Source, mapping: dict[str, str], separator: str | None) -> int | None:
    """From where the answers count the options. Raises DataError: nothing tells, or both."""
    if "answer" not in mapping:
        return None
    return counting.first(_rows(source, mapping, separator), source.name, str(source.path))


def _last(source: formats.Source, mapping: dict[str, str]) -> int | None:
    """With which token entities end.

    Raises:
        DataError: nothing tells, or both; or places of a text break its words.
    """
    if "head_start" not in mapping:
        return None
    if "tokens" in mapping:
        return counting.last(_rows(source, mapping), source.name, str(source.path))
    tried = [marked.breaks_words(row) for _, row in islice(_rows(source, mapping), naming.TRIED)]
    told = [breaks for breaks in tried if breaks is not None]
    if len(told) >= _LEAST and sum(told) * 2 > len(told):
        raise DataError(
            f"Entities begin within a word in {sum(told)} of the first {len(told)} rows of "
            f"{source.name}: their places seem to count tokens, not characters",
            where=str(source.path),
            fix="give places in characters, or name the column of the tokens that they count: "
            "--map tokens=COLUMN",
        )
    return None


def _rows(
    source: formats.Source, mapping: dict[str, str], separator: str | None = None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line and canonical fields of each row that can be read."""
    for row in formats.read(source, sources(mapping, source.columns)):
        if row.values is not None:
            yield row.line, fields_of(row.values, mapping, separator, cells=source.cells)


def _refuse_numbered_tags(source: formats.Source, mapping: dict[str, str]) -> None:
    """Refuse tags of tokens that are numbers: nothing in the file says what they are called."""
    if not {"tokens", "tags"} <= set(mapping):
        return
    rows = (row for row in islice(formats.read(source), naming.TRIED) if row.values)
    found = [spanned.numbered(fields_of(row.values or {}, mapping)) for row in rows]
    if found and all(found):
        column = mapping["tags"]
        raise DataError(
            f"The column {column} holds numbers, and nothing says which tag each of them is",
            where=str(source.path),
            fix="write the tags' names in place of the numbers (O, B-PER, I-PER); a data set of "
            f"Hugging Face has them in order in `features[{column!r}].feature.names`",
        )


def _refuse_format(source: formats.Source, recipe: str, settings: config.Episode) -> None:
    """Refuse a format that the recipe does not read, naming those that do."""
    if source.format not in KINDS[recipe].formats:
        fits = naming.readings(source, settings.max_field_chars)
        names = [one.recipe for one in fits] or [
            name for name in naming.known() if source.format in KINDS[name].formats
        ]
        raise naming.refused(source, recipe, names)


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
    own = same_name(project, name)
    before = [each for each in folders(project) if own is None or each.number < own.number]
    others = [each.folder for each in before if earlier.folder in each.replaces]
    return [earlier.folder, *earlier.replaces, *others]


def same_name(project: Project, name: str) -> Folder | None:
    """The episode that was opened under this name."""
    return next((f for f in folders(project) if f.name == name), None)
