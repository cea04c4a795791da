"""Open, list and withdraw episodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onward.project import Project

Keep = Callable[[Project], dict[str, Any]]
"""Versions data/ and returns the out entry of data.dvc: md5, size, nfiles."""


@dataclass(frozen=True)
class Opened:
    """What opening did, or (dry_run) would do."""

    folder: str
    number: int
    name: str
    source: dict[str, Any]
    """name, sha256, bytes, format, mapping (canonical field -> column)."""
    counts: dict[str, int]
    """seen, accepted, repaired, quarantined, train, heldout."""
    reasons: dict[str, int]
    """Reason -> number of quarantined rows."""
    repairs: dict[str, int]
    """Kind of repair -> number of rows."""
    guessed: bool = False
    """Whether the mapping was guessed, not given."""
    already_open: bool = False
    dry_run: bool = False
    corrects: str | None = None
    samples: list[dict[str, Any]] = field(default_factory=list)
    """The first quarantined rows: line, reason, detail, row."""


@dataclass(frozen=True)
class EpisodeInfo:
    """One line of `onward episode list`."""

    folder: str
    number: int
    name: str
    state: str
    """learning, known, withdrawn, replaced or unfinished."""
    counts: dict[str, int]
    reasons: dict[str, int]
    source: dict[str, Any]
    manifest: str
    corrects: str | None
    withdrawn: str | None
    """Why it was withdrawn."""


def open_episode(
    project: Project,
    name: str,
    source: Path,
    *,
    mapping: dict[str, str] | None = None,
    file_format: str | None = None,
    corrects: str | None = None,
    dry_run: bool = False,
    keep: Keep,
) -> Opened:
    """Open an episode."""
    raise NotImplementedError


def withdraw(project: Project, episode: str, reason: str, by: str, keep: Keep) -> EpisodeInfo:
    """Withdraw an episode."""
    raise NotImplementedError


def episodes(project: Project) -> list[EpisodeInfo]:
    """All episodes."""
    raise NotImplementedError
