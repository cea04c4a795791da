"""The word lists that quality rests on: ours, short and explained in each file, and the project's.

>>> sorted(load("language"))[:2], load("swaps")["names"][0]
(['auxiliaries', 'conjunctions'], ['Emily', 'Lakisha'])

A project's file is YAML with any of the lists' names as keys (`rules`, `prompts`, `names`...); its
entries come after ours. No list is ever taken away by a file: `allowed` names expressions that are
fine where this project's subject is, say, the history of war.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from onward.errors import SettingsError

NAMES = ("language", "leaks", "swaps", "unsafe")
ALLOWED = "allowed"
"""A list that only a project has: expressions whose findings do not count."""

_EXPRESSIONS = (ALLOWED, "markers", "prompts", "rules")
"""Lists of regular expressions."""

Lists = dict[str, Any]


def load(name: str, extra: Iterable[Path] = ()) -> Lists:
    """One of our lists by its sections, with what the project's files add to them.

    Args:
        name: one of NAMES.
        extra: the project's files, in their order.

    Raises:
        SettingsError: a file is not there, is not plain YAML, has a section of no list or an entry
            of another form than ours.
    """
    found = _ours(name)
    known = _sections()
    for path in extra:
        for section, entries in _read(path).items():
            if section not in known:
                raise _refused(path, f"has a section {section!r} that no list has", known)
            if section in found:
                found[section] = _joined(found[section], entries, path, section)
            elif section == ALLOWED:
                found[section] = _joined(found.get(section, []), entries, path, section)
        if name == "unsafe":
            _need_slots(found, path)
    return found


def _sections() -> list[str]:
    every: set[str] = {ALLOWED}
    return sorted(every.union(*(_ours(name) for name in NAMES)))


def _ours(name: str) -> Lists:
    at = resources.files("onward.quality").joinpath("vocabulary", f"{name}.yaml")
    found: Lists = YAML(typ="safe", pure=True).load(at.read_text("utf-8"))
    return found


def _joined(ours: Any, theirs: Any, path: Path, section: str) -> Any:
    """Lists one after the other; of sections with parts, part by part."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        parts = {part: _joined(ours.get(part, []), theirs[part], path, section) for part in theirs}
        return {**ours, **parts}
    if isinstance(ours, list) and isinstance(theirs, list) and [*ours, *theirs]:
        pairs = bool(ours) and isinstance(ours[0], list)
        for one in theirs:
            _need_form(one, pairs, path, section)
        return [*ours, *theirs]
    raise _refused(path, f"gives {section} in another form than ours", [section])


def _need_form(entry: Any, pair: bool, path: Path, section: str) -> None:
    """Raises SettingsError: an entry is no text, no pair of texts, or no regular expression."""
    texts = entry if pair else [entry]
    right = isinstance(texts, list) and len(texts) == 1 + pair
    if not right or not all(isinstance(one, str) and one.strip() for one in texts):
        form = "pair of words" if pair else "text"
        raise _refused(path, f"has {entry!r:.60} among {section}, which is no {form}", [section])
    if section in _EXPRESSIONS:
        try:
            re.compile(entry)
        except re.error as error:
            why = f"has {entry!r:.60} among {section}, which is no regular expression: {error}"
            raise _refused(path, why, [section]) from error


def _need_slots(found: Lists, path: Path) -> None:
    """Raises SettingsError: a template has a field that no slot fills."""
    for template in (*found["unsafe"], *found["safe"]):
        try:
            fields = {name for _, name, _, _ in string.Formatter().parse(template)} - {None}
        except ValueError:
            fields = {"{"}
        if not fields <= found["slots"].keys():
            why = f"has a template {template!r:.60} with a field that no slot fills"
            raise _refused(path, why, ["slots"])


def _read(path: Path) -> Lists:
    try:
        found = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise _refused(path, "is not there", []) from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise _refused(
            path, f"is not plain YAML: {' '.join(str(error).split())[:200]}", []
        ) from error
    if not isinstance(found, dict):
        raise _refused(path, "holds no lists", [])
    return found


def _refused(path: Path, why: str, known: list[str]) -> SettingsError:
    named = f"lists are {', '.join(known)}" if known else "their form: onward/quality/vocabulary"
    return SettingsError(
        f"The list {path.name} {why}", where=f"{path}, named by quality.measure.lists", fix=named
    )
