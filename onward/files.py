"""The only module that writes durable files.

A file is written to a temporary name in the same folder, flushed to disk and renamed. A folder is
built under a temporary name, every file in it is flushed, its manifest (the sha256 of each file)
is written last, and then the folder is renamed: a manifest's existence means that all is there.

>>> import tempfile; root = Path(tempfile.mkdtemp())
>>> with building(root / "v1") as folder:
...     _ = (folder / "weights").write_bytes(b"123")
>>> sorted(verify(root / "v1"))
['weights']

What this does not cover: bytes that rot after `verify` read them, and file systems that lie about
fsync. Every operation passes through `operation`, where a test makes the Nth one fail.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from onward.errors import DiskFull, IntegrityError, MissingFiles

MANIFEST = "manifest.json"
SCHEMA = 1
_LEFTOVER = re.compile(r"\..+\.[a-z0-9_]{8}\.(tmp|old)")
"""A name that `tempfile` made for a writer here, or for `remove`: .NAME.RANDOM.tmp or .old."""


def _untouched(_kind: str, _path: Path) -> None:
    return None


operation: Callable[[str, Path], None] = _untouched
"""Called before each durable operation with its kind (open, write, fsync, rename, remove)."""


def canonical(value: Any) -> bytes:
    """The one byte form of a JSON value: sorted keys, no spaces, UTF-8, no NaN."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def digest(value: Any) -> str:
    """sha256 of the canonical form of a JSON value."""
    return hashlib.sha256(canonical(value)).hexdigest()


def sha256(path: Path) -> str:
    """sha256 of a file's bytes, read in 1 MiB pieces."""
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def ensure_space(folder: Path, needed: int) -> None:
    """Refuse before starting what cannot fit.

    Raises:
        DiskFull: fewer than `needed` bytes are free where `folder` lies.
    """
    at = folder
    while not at.exists():
        at = at.parent
    free = shutil.disk_usage(at).free
    if free < needed:
        raise DiskFull(
            f"Not enough disk space: {needed:,} bytes needed, {free:,} free",
            where=str(folder),
            fix="free some space (`dvc gc --workspace` drops unused objects), then run again",
            details={"needed": needed, "free": free},
        )


@contextmanager
def disk_errors(path: Path, needed: int) -> Iterator[None]:
    """Turn the system's error of a full disk (or quota) into DiskFull; others pass.

    `needed` is 0 where nobody knows.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        free = shutil.disk_usage(path.parent if path.parent.exists() else Path("/")).free
        known = f"{needed:,} bytes needed, {free:,} free" if needed else f"{free:,} bytes free"
        raise DiskFull(
            f"The disk is full: {known}",
            where=str(path),
            fix="free some space, then run the same command again",
            details={"needed": needed, "free": free},
        ) from error


def _sync(path: Path) -> None:
    operation("fsync", path)
    descriptor = os.open(path, os.O_RDONLY | (os.O_DIRECTORY if path.is_dir() else 0))
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _rename(source: Path, target: Path) -> None:
    operation("rename", target)
    source.rename(target)
    _sync(target.parent)


def write_bytes(path: Path, data: bytes) -> None:
    """Replace a file atomically and durably: the old bytes or the new, never a part.

    Raises:
        DiskFull: the device is full; the old file is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with disk_errors(path, len(data)):
        operation("open", path)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as out:
                operation("write", path)
                out.write(data)
                out.flush()
                operation("fsync", path)
                os.fsync(out.fileno())
                os.fchmod(out.fileno(), 0o644)
            _rename(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def write_text(path: Path, text: str) -> None:
    """`write_bytes` of UTF-8 text."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """`write_bytes` of JSON for people: sorted, indented, one final newline."""
    text = json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    write_bytes(path, (text + "\n").encode())


def read_json(path: Path) -> Any:
    """The JSON value in a file.

    Raises:
        MissingFiles: there is no such file.
        IntegrityError: the file is not JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise MissingFiles(
            f"{path.name} is not there",
            where=str(path),
            fix="`dvc pull` fetches what Git names; `onward doctor` says what is missing",
        ) from None
    except ValueError as error:
        raise _both_sides(path) or IntegrityError(
            f"{path.name} is not readable JSON: {error}",
            where=str(path),
            fix="`git checkout` the file, or `onward doctor`",
        ) from error


def _both_sides(path: Path) -> IntegrityError | None:
    """What to say of a file in which Git left both sides of a merge; None: it did not."""
    if b"\n<<<<<<< " not in b"\n" + path.read_bytes():
        return None
    return IntegrityError(
        f"{path.name} holds both sides of a merge",
        where=str(path),
        fix="two lines of versions are never mixed: `git checkout --ours -- models data.dvc "
        "dvc.lock` (or `--theirs`), `git add` them, `dvc pull`; then open the other side's "
        "episodes again",
    )


def append_line(path: Path, value: Any) -> None:
    """Append one JSON line durably. A torn last line of a killed writer is dropped first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    line = canonical(value) + b"\n"
    with disk_errors(path, len(line)):
        operation("open", path)
        # Without a buffer, which would write the rest of a line that did not fit as it is closed.
        with path.open("ab+", buffering=0) as out:
            _drop_torn_line(out)
            start = out.seek(0, os.SEEK_END)
            try:
                operation("write", path)
                rest = line
                while rest:
                    rest = rest[out.write(rest) :]
                operation("fsync", path)
                os.fsync(out.fileno())
            except BaseException:
                # Not acknowledged, so it must not be found later either.
                os.ftruncate(out.fileno(), start)
                raise
        _sync(path.parent)


def _drop_torn_line(out: Any) -> None:
    out.seek(0)
    data = out.read()
    if not data.endswith(b"\n"):
        os.ftruncate(out.fileno(), data.rfind(b"\n") + 1)


def read_lines(path: Path, *, notes: bool = False) -> list[Any]:
    """The JSON lines of an append-only file; a torn last line counts as not written.

    Args:
        path: the file.
        notes: it may be deleted at any time, and Git does not have it.

    Raises:
        IntegrityError: a line before the last is not JSON.
    """
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")
    values = []
    for number, line in enumerate(lines[:-1], start=1):
        try:
            values.append(json.loads(line))
        except ValueError as error:
            raise _both_sides(path) or IntegrityError(
                f"Line {number} of {path.name} is not readable: {error}",
                where=f"{path}:{number}",
                fix=f"`rm {path}`: it holds no more than notes"
                if notes
                else f"`git checkout {path}` brings the committed one back",
            ) from error
    return values


def inventory(folder: Path) -> dict[str, dict[str, Any]]:
    """Relative path -> {sha256, bytes} of every file in a folder but its own manifest."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            raise IntegrityError(
                f"{name} is a link; only plain files are allowed here",
                where=str(path),
                fix="replace the link by the file it points to",
            )
        if path.is_file() and name != MANIFEST:
            found[name] = {"sha256": sha256(path), "bytes": path.stat().st_size}
    return found


def seal(folder: Path, **extra: Any) -> str:
    """Flush every file of a folder and write its manifest last. Returns the manifest's sha256.

    `extra` is kept in the manifest beside `files`. A manifest holds no dates, so equal contents
    give equal manifests.
    """
    files = inventory(folder)
    for name in files:
        _sync(folder / name)
    for inner in sorted(path for path in folder.rglob("*") if path.is_dir()):
        _sync(inner)  # a file's own flush does not promise that its name is kept
    write_json(folder / MANIFEST, {"schema": SCHEMA, **extra, "files": files})
    return sha256(folder / MANIFEST)


@contextmanager
def building(final: Path, *, replace: bool = False, **extra: Any) -> Iterator[Path]:
    """Build a folder under a temporary name; seal and rename it when the block ends well.

    A reader sees the whole folder or none. With `replace` an existing one is moved away first.

    Raises:
        IntegrityError: the folder exists and `replace` is not set, or what was written is gone.
        DiskFull: the device is full; `final` is untouched.
    """
    if final.exists() and not replace:
        raise IntegrityError(
            f"{final.name} is already there and is immutable",
            where=str(final),
            fix="choose another name, or remove the folder if it is a leftover",
        )
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=final.parent, prefix=f".{final.name}.", suffix=".tmp"))
    temporary.chmod(0o755)
    opened = os.open(temporary, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with disk_errors(final, 0):
            yield temporary
            _require_same(temporary, opened, final)
            seal(temporary, **extra)
            if final.exists():
                remove(final)
            _rename(temporary, final)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    finally:
        os.close(opened)


def _require_same(temporary: Path, opened: int, final: Path) -> None:
    """Refuse to seal a folder that was made anew: held open, its number is given to no other."""
    if not temporary.is_dir() or temporary.stat().st_ino != os.fstat(opened).st_ino:
        what = f"What was being written for {final.name} was removed meanwhile"
        raise IntegrityError(what, where=str(temporary), fix="run the same command again")


def copy_folder(source: Path, target: Path) -> None:
    """Copy a folder's plain files into one that is being built.

    Unlike `shutil.copytree` it stops at the first error and leaves it what it is: a full disk.
    """
    target.mkdir(parents=True)
    for path in sorted(source.rglob("*")):
        copy = target / path.relative_to(source)
        if path.is_dir():
            copy.mkdir()
        else:
            operation("write", copy)
            shutil.copyfile(path, copy)


def remove(path: Path) -> None:
    """Remove a folder or file so that no reader finds half of it: rename away, then delete."""
    if not path.exists():
        return
    away = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".old"))
    operation("remove", path)
    path.rename(away / path.name)
    shutil.rmtree(away, ignore_errors=True)


def is_leftover(path: Path) -> bool:
    """Whether a killed writer left this: by its name, which a person's .env.old is not."""
    return _LEFTOVER.fullmatch(path.name) is not None


def sweep(folder: Path) -> list[Path]:
    """Delete what killed writers left in a folder (`is_leftover`). Returns what it found."""
    if not folder.is_dir():
        return []
    left = [path for path in sorted(folder.iterdir()) if is_leftover(path)]
    for path in left:
        operation("remove", path)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    return left


def verify(folder: Path, manifest_sha256: str | None = None) -> dict[str, dict[str, Any]]:
    """Check every file of a sealed folder against its manifest. Returns the manifest's files.

    Raises:
        MissingFiles: the folder or its manifest is not there.
        IntegrityError: the manifest is not the expected one; a file is missing, extra or changed.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise MissingFiles(
            f"{folder.name} is not on this machine, or is incomplete",
            where=str(folder),
            fix="`dvc pull` fetches it; nothing was changed",
        )
    if manifest_sha256 is not None and sha256(path) != manifest_sha256:
        what = f"The manifest of {folder.name} is not the one that was recorded"
        raise _damaged(what, path, expected=manifest_sha256, found=sha256(path))
    manifest = read_json(path)
    named = manifest.get("files") if isinstance(manifest, dict) else None
    if not isinstance(named, dict):
        raise _damaged(f"The manifest of {folder.name} names no files", path)
    found = inventory(folder)
    for name in sorted(set(named) | set(found)):
        if named.get(name) != found.get(name):
            state = "missing" if name not in found else "extra" if name not in named else "changed"
            both = {"expected": named.get(name), "found": found.get(name)}
            raise _damaged(f"{name} in {folder.name} is {state}", folder / name, **both)
    return named


def _damaged(what: str, where: Path, **details: Any) -> IntegrityError:
    fix = "`onward repair` brings the recorded files back"
    return IntegrityError(what, where=str(where), fix=fix, details=details)
