"""Bring a folder under DVC back to the bytes that are on record.

DVC takes a changed file for a new version, and believes a read-only object of its cache without
looking at it. So this hashes everything itself: objects of the cache that are not what their name
says are dropped and fetched again; files that are not what the record says are replaced.

What it does not do: invent bytes. What neither the cache, the remote nor the folder itself holds
in its true form is named in `Restored.missing`.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from onward import files
from onward.errors import MissingFiles
from onward.project import Project


@dataclass
class Restored:
    """What a repair did, by path inside the folder."""

    restored: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    """Corrupt objects of the cache, now gone."""
    removed: list[str] = field(default_factory=list)
    """Files that are not on record."""
    missing: list[str] = field(default_factory=list)
    """On record, and nowhere to be had."""


def write_data_pointer(project: Project, entry: dict[str, Any]) -> None:
    """Write data.dvc as DVC would, for an entry {md5, size, nfiles}."""
    keys = ("md5", "size", "nfiles")
    first, *rest = [f"{key}: {entry[key]}" for key in keys if key in entry]
    lines = [f"- {first}", *(f"  {line}" for line in [*rest, "hash: md5", "path: data"])]
    files.write_text(project.data_pointer, "\n".join(["outs:", *lines, ""]))


def recorded(folder: Path) -> str:
    """The hash (`….dir`) of a folder in the .dvc file beside it.

    Raises:
        MissingFiles: there is no .dvc file.
    """
    pointer = folder.with_name(f"{folder.name}.dvc")
    if not pointer.exists():
        raise MissingFiles(
            f"Nothing is on record for {folder.name}",
            where=str(pointer),
            fix=f"`git checkout {pointer.name}` in {pointer.parent} brings the record back",
        )
    (out,) = YAML(typ="safe", pure=True).load(pointer.read_text())["outs"]
    return str(out["md5"])


def restore(
    folder: Path, md5: str, path_of: Callable[[str], str], fetch: Callable[[], None]
) -> Restored:
    """Make a folder what its recorded hash says, as far as its bytes can be had.

    Args:
        folder: the folder.
        md5: its recorded hash, `….dir`.
        path_of: where DVC's cache keeps the object of a hash.
        fetch: brings missing objects from the remote, where there is one.
    """
    done = Restored()
    objects = _Objects(folder, done, path_of, fetch)
    listing = objects.listing(md5)
    if listing is None:
        done.missing.append(f"{folder.name}/ (its list of files, {md5})")
        return done
    objects.have(listing)
    _unlink_links(folder, done)
    for name, wanted in listing.items():
        _place(folder / name, objects.path(wanted), wanted, name, done)
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in listing:
            path.unlink()
            done.removed.append(name)
    return done


def _unlink_links(folder: Path, done: Restored) -> None:
    """Remove the links of a folder, and nothing that they lead to: none is ever on record.

    Files are put in their place afterwards; through a linked folder they would be written, and
    others replaced, wherever it leads.
    """
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            path.unlink()
            done.removed.append(path.relative_to(folder).as_posix())


class _Objects:
    """DVC's cache, where only what hashes to its name counts."""

    def __init__(
        self,
        folder: Path,
        done: Restored,
        path_of: Callable[[str], str],
        fetch: Callable[[], None],
    ) -> None:
        self.folder, self.done, self.path_of, self.fetch = folder, done, path_of, fetch

    def path(self, md5: str) -> Path:
        return Path(self.path_of(md5))

    def true(self, md5: str) -> bool:
        """Whether the object is there and is what it says; a corrupt one is dropped."""
        path = self.path(md5)
        if not path.exists():
            return False
        if _md5(path) == md5.removesuffix(".dir"):
            return True
        path.chmod(0o644)
        path.unlink()
        self.done.dropped.append(md5)
        return False

    def listing(self, recorded: str) -> dict[str, str] | None:
        """Relative path -> md5 of the recorded folder; None where the list itself is lost."""
        if not self.true(recorded):
            self.fetch()
        if not self.true(recorded) and self.folder.is_dir():
            self._rebuild(recorded)
        if not self.true(recorded):
            return None
        found = json.loads(self.path(recorded).read_bytes())
        return {item["relpath"]: item["md5"] for item in found}

    def have(self, listing: dict[str, str]) -> None:
        """Get every object: from the cache, the remote, or the folder's own files."""
        wanted = {md5: name for name, md5 in listing.items()}
        if not all([self.true(md5) for md5 in wanted]):
            self.fetch()
        for md5, name in wanted.items():
            if not self.true(md5):
                self._take(self.folder / name, md5)

    def _take(self, source: Path, md5: str) -> None:
        if source.is_file() and _md5(source) == md5:
            target = self.path(md5)
            _copy(source, target)
            target.chmod(0o444)

    def _rebuild(self, recorded: str) -> None:
        """The list of an undamaged folder can be made again from the folder itself."""
        found = [
            {"md5": _md5(path), "relpath": path.relative_to(self.folder).as_posix()}
            for path in sorted(self.folder.rglob("*"))
            if path.is_file()
        ]
        data = json.dumps(sorted(found, key=lambda item: item["relpath"]), sort_keys=True).encode()
        if hashlib.md5(data, usedforsecurity=False).hexdigest() + ".dir" == recorded:
            self.path(recorded).parent.mkdir(parents=True, exist_ok=True)
            files.write_bytes(self.path(recorded), data)
            self.path(recorded).chmod(0o444)


def _place(target: Path, source: Path, md5: str, name: str, done: Restored) -> None:
    if target.is_file() and _md5(target) == md5:
        return
    if not source.exists():
        done.missing.append(name)
        return
    _copy(source, target)
    done.restored.append(name)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.restore.tmp")
    shutil.copyfile(source, temporary)
    temporary.replace(target)


def _md5(path: Path) -> str:
    with path.open("rb") as source:
        return hashlib.file_digest(source, _md5_engine).hexdigest()


def _md5_engine() -> Any:
    return hashlib.md5(usedforsecurity=False)
