"""A sequence from a small YAML or JSON file, its rows read as `onward episode open` reads them.

    episodes:
      - {name: support, file: support.csv}
      - {name: legal, file: legal.csv, test: legal-test.csv}
    columns: {text: utterance}   # canonical field -> column, where it should not be guessed

Paths are relative to the file. An episode without a test file is split as the project splits. With
one, its file is for training alone, whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from onward import files
from onward.episodes import rows as parquet
from onward.episodes.open import open_episode
from onward.errors import SettingsError, UsageError
from onward.project import Project, safe_name
from onward.recipes.shapes import Row
from onward.study.sequence import Delivered

SCHEMA = 2
_UNVERSIONED = {"md5": f"{'0' * 32}.dir", "size": 0, "nfiles": 0}
"""What stands for DVC's word on data/: the study's copies are sealed, not versioned."""


class _Listed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    file: str
    test: str | None = None


class _Listing(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    episodes: tuple[_Listed, ...]
    columns: dict[str, str] | None = None


def of_file(path: Path, folder: Path, settings: Mapping[str, Any]) -> list[Delivered]:
    """The rows of a listed sequence.

    Args:
        path: the listing.
        folder: where files are opened: FOLDER/opened.
        settings: blocks of params.yaml; project and episode are read.

    Raises:
        UsageError: there are fewer than two episodes, or a name twice.
        SettingsError: the listing is not one.
        DataError: as `onward.episodes.open.open_episode`.
    """
    listing = _read(path)
    names = [safe_name(one.name, "episode") for one in listing.episodes]
    if len(names) < 2 or len(set(names)) < len(names):
        raise UsageError(
            "A study needs two episodes or more, each with a name of its own",
            where=str(path),
            fix="list name and file of each under `episodes`",
        )
    found = [
        (path.parent / one.file, path.parent / one.test if one.test else None)
        for one in listing.episodes
    ]
    every = [one for pair in found for one in pair if one is not None]
    for one in every:
        if not one.is_file():
            raise UsageError("There is no such file", where=str(one), fix=f"mend {path.name}")
    named = [
        SCHEMA,
        names,
        [files.sha256(one) for one in every],
        listing.columns,
        settings.get("episode"),
    ]
    place = folder / "opened" / files.digest(named)[:16]
    opening = _Opening(place, settings, listing.columns)
    return [opening.episode(name, *pair) for name, pair in zip(names, found, strict=True)]


def _read(path: Path) -> _Listing:
    try:
        return _Listing.model_validate(YAML(typ="safe", pure=True).load(path.read_bytes()))
    except (OSError, YAMLError, ValidationError) as error:
        why = _wrong(error) if isinstance(error, ValidationError) else " ".join(str(error).split())
        raise SettingsError(
            f"{path.name} does not list a sequence: {why[:200]}",
            where=str(path),
            fix="see docs/study.md: `episodes` with name, file and, where there is one, test",
        ) from error


def _wrong(error: ValidationError) -> str:
    """The first of what is wrong, with its key."""
    first = error.errors()[0]
    key = ".".join(map(str, first["loc"])) or "the whole"
    return f"{key}: {'is no mapping' if first['type'] == 'model_type' else first['msg']}"


class _Opening:
    """Files opened in projects of their own: `split` for those that are split, two for others."""

    def __init__(
        self, place: Path, settings: Mapping[str, Any], columns: dict[str, str] | None
    ) -> None:
        self.place, self.settings, self.columns = place, settings, columns

    def episode(self, name: str, file: Path, test: Path | None) -> Delivered:
        """The rows of one episode."""
        if test is None:
            sides = self._opened("split", name, file)
            return Delivered(name, sides["train"], sides["heldout"])
        # A published split stands as it was published; `sequence.store` drops what leaks.
        train, heldout = (
            self._opened(f"{name}-{side}", name, one, whole=True)["train"]
            for side, one in (("train", file), ("heldout", test))
        )
        return Delivered(name, train, heldout)

    def _opened(
        self, inside: str, name: str, file: Path, *, whole: bool = False
    ) -> dict[str, list[Row]]:
        project = Project(self.place / inside)
        blocks = {key: dict(self.settings.get(key) or {}) for key in ("project", "episode")}
        files.write_json(project.params, blocks)
        files.write_text(project.pipeline, "stages: {}\n")
        opened = open_episode(
            project,
            name,
            file,
            mapping=self.columns,
            whole=whole,
            keep=lambda _: dict(_UNVERSIONED),
        )
        at = project.episode(opened.folder)
        return {side: parquet.read_all(at / f"{side}.parquet") for side in ("train", "heldout")}
