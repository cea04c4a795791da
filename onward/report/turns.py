"""What each turn took in and what it cost: rows, minutes, memory and disk.

Rows are those of the episodes that it was to learn, as their manifests count them. Minutes and
memory were measured on this machine by `onward.costs`. Disk is what the registry keeps of it: the
version's folder and those of its verdicts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from onward import costs, files
from onward.costs import Cost
from onward.errors import OnwardError
from onward.evaluation.checks import listed
from onward.project import Project
from onward.registry import journal
from onward.report.words import Line

MOST = 40
"""Turns that are shown: the latest."""


@dataclass(frozen=True)
class Counts:
    """Rows that came in."""

    accepted: int
    repaired: int
    quarantined: int


@dataclass(frozen=True)
class Spent:
    """One turn; None: not known on this machine."""

    seqs: tuple[int, ...]
    what: str
    """What made a version of it, else the last verdict."""
    episodes: str
    rows: Counts | None
    cost: Cost | None
    bytes: int | None

    @property
    def size(self) -> str:
        """90.2 MB."""
        return f"{self.bytes / 1e6:,.1f} MB" if self.bytes is not None else ""


def turns(project: Project, lines: Sequence[Line]) -> list[Spent]:
    """The latest turns that were judged, newest first."""
    judged: dict[Any, list[Line]] = {}
    for line in lines:
        if line["what"] in journal.VERDICTS:
            judged.setdefault(line.get("turn") or line["seq"], []).append(line)
    known = _costs(project)
    newest = sorted(judged.items(), key=lambda item: -int(item[1][-1]["seq"]))[:MOST]
    return [_spent(project, tries, known.get(turn)) for turn, tries in newest]


def _spent(project: Project, tries: Sequence[Line], cost: Cost | None) -> Spent:
    last = tries[-1]
    made = next((line for line in tries if line["what"] in journal.PROMOTING), last)
    episodes = tuple(last.get("episodes") or ())
    kept = [project.verdict(line["seq"]) for line in tries]
    kept += [project.version(line["version"]) for line in tries if line.get("version")]
    sizes = [size for size in map(_size, kept) if size is not None]
    return Spent(
        seqs=tuple(line["seq"] for line in tries),
        what=made["what"],
        episodes=listed(episodes),
        rows=_rows(project, episodes),
        cost=cost,
        bytes=sum(sizes) if sizes else None,
    )


def _rows(project: Project, episodes: Sequence[str]) -> Counts | None:
    found = []
    for episode in episodes:
        path = project.episode(episode) / files.MANIFEST
        if not path.exists():
            return None
        found.append(files.read_json(path).get("counts", {}))
    names = ("accepted", "repaired", "quarantined")
    return Counts(*(sum(int(c.get(n, 0)) for c in found) for n in names)) if found else None


def _size(folder: Path) -> int | None:
    """Bytes of a folder under DVC: what its .dvc file says, else what lies there."""
    pointer = folder.with_name(f"{folder.name}.dvc")
    if pointer.exists():
        try:
            (out,) = YAML(typ="safe", pure=True).load(pointer.read_text(encoding="utf-8"))["outs"]
            return int(out["size"])
        except (YAMLError, KeyError, TypeError, ValueError):
            pass  # the folder itself tells as well
    if not folder.is_dir():
        return None
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _costs(project: Project) -> dict[str, Cost]:
    try:
        return costs.by_turn(project)
    except OnwardError:
        return {}  # a damaged file of measurements is none; the page is drawn without minutes
