"""What only a look at a file's rows together tells of how each of them is read.

A system message that all share, a title that parts them, from where answers count, which token an
entity ends with; and what no row can be read by: numbers in the place of names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from onward import config
from onward.episodes import (
    counting,
    exchanges,
    formats,
    labels,
    marked,
    naming,
    spanned,
    split,
)
from onward.episodes.columns import fields_of, sources, vague
from onward.episodes.folders import Folder
from onward.episodes.kinds import PLAIN
from onward.episodes.values import given_id
from onward.errors import DataError

_LEAST = 5
"""Rows that must have places before these may be taken for places of tokens."""


def instruction(source: formats.Source, mapping: dict[str, str]) -> str | None:
    """The system message that the first rows all have, where there are several."""
    if not {"messages", "system"} & set(mapping):
        return None
    told = [exchanges.system(fields) for fields in _beginning(source, mapping)]
    return told[0] if len(told) > 1 and len(set(told)) == 1 else None


def titled(
    before: Sequence[Folder],
    source: formats.Source,
    mapping: dict[str, str],
    settings: config.Episode,
) -> bool:
    """Whether rows are to be split by the guessed title, if there is one.

    A column such as `topic` must have enough values, which is found out by reading it, unless one
    of the episodes before was split by it: its titles keep their side.
    """
    column = mapping.get("title")
    if column is None or source.format not in PLAIN or not vague(column):
        return True
    if any(each.manifest["source"]["mapping"].get("title") == column for each in before):
        return True
    values = (row.values or {} for row in formats.read(source, [column]))
    titles = (given_id(row.get(column)) for row in values)
    return not split.few((one for one in titles if isinstance(one, str)), settings)


def refuse_multi_hot(
    source: formats.Source, mapping: dict[str, str], separator: str | None
) -> None:
    """Raise DataError for lists that hold 0 or 1 for every label: they are no names."""
    if "labels" not in mapping:
        return
    size = labels.multi_hot(_beginning(source, mapping, separator))
    if size:
        raise DataError(
            f"The column {mapping['labels']} holds a 0 or 1 for each of {size} labels, and no "
            "label's name",
            where=str(source.path),
            fix="write the names of each row's labels, or the places of its ones: "
            '["1", "3"] for [0, 1, 0, 1], [] for none',
            details={"labels": size},
        )


def first(source: formats.Source, mapping: dict[str, str], separator: str | None) -> int | None:
    """From where the answers count the options. Raises DataError: nothing tells, or both."""
    if "answer" not in mapping:
        return None
    return counting.first(_rows(source, mapping, separator), source.name, str(source.path))


def last(source: formats.Source, mapping: dict[str, str]) -> int | None:
    """With which token entities end.

    Raises:
        DataError: nothing tells, or both; or places of a text break its words.
    """
    if "head_start" not in mapping:
        return None
    if "tokens" in mapping:
        return counting.last(_rows(source, mapping), source.name, str(source.path))
    tried = map(marked.breaks_words, _beginning(source, mapping))
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


def refuse_numbered_tags(source: formats.Source, mapping: dict[str, str]) -> None:
    """Raise DataError for tags that are numbers: nothing says what they are called."""
    if not {"tokens", "tags"} <= set(mapping):
        return
    found = [spanned.numbered(fields) for fields in _beginning(source, mapping)]
    if found and all(found):
        column = mapping["tags"]
        raise DataError(
            f"The column {column} holds numbers, and nothing says which tag each of them is",
            where=str(source.path),
            fix="write the tags' names in place of the numbers (O, B-PER, I-PER); a data set of "
            f"Hugging Face has them in order in `features[{column!r}].feature.names`",
        )


def _beginning(
    source: formats.Source, mapping: dict[str, str], separator: str | None = None
) -> Iterator[dict[str, Any]]:
    """Canonical fields of the first rows."""
    return (fields for _, fields in islice(_rows(source, mapping, separator), naming.TRIED))


def _rows(
    source: formats.Source, mapping: dict[str, str], separator: str | None = None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line and canonical fields of each row that can be read."""
    for row in formats.read(source, sources(mapping, source.columns)):
        if row.values is not None:
            yield row.line, fields_of(row.values, mapping, separator, cells=source.cells)
