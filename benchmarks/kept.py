"""Finished parts of a long benchmark, packed small: a table of days is measured in several parts.

    python -m benchmarks.kept pack FOLDER benchmarks/kept/NAME.tar.xz
    python -m benchmarks.kept unpack benchmarks/kept/NAME.tar.xz FOLDER

FOLDER is what the benchmark's --folder names. Packed is all in it that is finished, of a study also
which test rows were read and with how many threads it began; data, work and logs are made again.
What is finished is named by the digest of all that decides it, code included, so it counts only
for the revision that the archive names: check that one out, unpack, run the benchmark with
--folder FOLDER, and it goes on with what is missing.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import record
from onward import files
from onward.evaluation import ledger
from onward.study import trial

ABOUT = "about.json"
THREADS = "threads.json"


def main() -> int:
    """Pack or unpack."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("pack", "unpack"))
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--revision", help="that measured it; default: the one checked out")
    options = parser.parse_args()
    if options.what == "pack":
        count = pack(options.source, options.target, options.revision or record.revision())
    else:
        count = unpack(options.source, options.target)
    print(f"{count} files in {options.target}")
    return 0


def pack(folder: Path, archive: Path, revision: str) -> int:
    """Write what is finished in a benchmark's folder to an archive. Returns how many files.

    Each part of a ledger is written as text, in which the names of its rows repeat from turn to
    turn: the compression then has them once.
    """
    members = dict(_members(folder))
    if not members:
        raise SystemExit(f"Nothing is finished in {folder}")
    about = {"schema": 1, "revision": revision, "machine": record.machine()}
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, "w:xz", preset=9) as tar:
        for name, text in {ABOUT: json.dumps(about), **members}.items():
            data = text.encode()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return len(members)


def _members(folder: Path) -> Iterator[tuple[str, str]]:
    """Path in the folder -> text of all that is kept."""
    if (folder / THREADS).is_file():
        yield THREADS, (folder / THREADS).read_text(encoding="utf-8")
    for path in sorted(folder.glob("**/done/*")):
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".json":
            yield name, path.read_text(encoding="utf-8")
        elif (path / files.MANIFEST).is_file():
            yield f"{name}/{trial.RESULT}", (path / trial.RESULT).read_text(encoding="utf-8")
            yield f"{name}/{trial.ROWS}", json.dumps(_told(path / trial.ROWS))
    for path in sorted(folder.glob("test_read/*/*")):
        if (path / files.MANIFEST).is_file():
            for inside in sorted(path.glob("*.json")):
                if inside.name != files.MANIFEST:
                    yield inside.relative_to(folder).as_posix(), inside.read_text(encoding="utf-8")


def _told(path: Path) -> list[dict[str, Any]]:
    """The parts of a ledger without their predictions: those of a study have none."""
    told = []
    for part in ledger.read_parts(path):
        units = {}
        for unit in part.units():
            rows, values = part.statistics(unit)
            units[unit] = {"rows": rows, "values": values.tolist()}
        told.append({"names": [part.artifact, part.provider, part.scorer], "units": units})
    return told


def unpack(archive: Path, folder: Path) -> int:
    """Write an archive's files into a benchmark's folder, as they were. Returns how many."""
    with tarfile.open(archive, "r:xz") as tar:
        read = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    about = json.loads(read.pop(ABOUT))
    print(f"measured at {about['revision']} on {about['machine']}")
    sealed: dict[str, dict[str, bytes]] = {}
    for name, data in read.items():
        inside, _, last = name.rpartition("/")
        if Path(inside).name in ("", "done"):
            (folder / inside).mkdir(parents=True, exist_ok=True)
            files.write_bytes(folder / name, data)
        else:
            sealed.setdefault(inside, {})[last] = data
    for inside, held in sealed.items():
        with files.building(folder / inside, replace=True) as at:
            for last, data in held.items():
                if last == trial.ROWS:
                    ledger.write_parts(at / last, [_part(one) for one in json.loads(data)])
                else:
                    files.write_bytes(at / last, data)
    return len(read)


def _part(told: dict[str, Any]) -> ledger.LedgerPart:
    units = {
        unit: {
            row: ledger.Entry("", tuple(values))
            for row, values in zip(found["rows"], found["values"], strict=True)
        }
        for unit, found in told["units"].items()
    }
    artifact, provider, scorer = told["names"]
    return ledger.part(artifact, provider, scorer, units)


if __name__ == "__main__":
    sys.exit(main())
