"""Deliveries for tests: good rows, in each format, and what opening leaves."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from onward import files
from onward.project import Project

Row = dict[str, Any]

PARAMS = """\
project:
  name: toy
  recipe: extractive
  encoder: toy
episode:
  heldout_percent: 35
  seed: 13
"""


def project(root: Path, params: str = PARAMS) -> Project:
    """A project's two files."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "params.yaml").write_text(params)
    (root / "dvc.yaml").write_text("stages: {}\n")
    return Project(root)


def keep(project: Project) -> dict[str, Any]:
    """What versioning data/ returns, and a data.dvc as it leaves one."""
    listed = files.canonical({p.name: files.inventory(p) for p in sorted(project.data.iterdir())})
    found = [p for p in project.data.rglob("*") if p.is_file()]
    out = {
        "md5": f"{hashlib.md5(listed, usedforsecurity=False).hexdigest()}.dir",
        "size": sum(p.stat().st_size for p in found),
        "nfiles": len(found),
    }
    lines = [f"  {key}: {value}" for key, value in out.items()]
    text = "\n".join(["outs:", *lines, "  hash: md5", "  path: data", ""])
    files.operation("write", project.data_pointer)
    project.data_pointer.write_text(text.replace("  md5", "- md5"))
    return out


def good(number: int, titles: int = 40) -> Row:
    """The n-th good row: unique question, context and id; the answer stands once."""
    context = f"Note {number} says that the fox named Alba{number} was seen near Oslo."
    answer = f"Alba{number}"
    return {
        "id": f"q{number}",
        "title": f"Title {number % titles}",
        "context": context,
        "question": f"Which fox was seen in note {number}?",
        "answers": [answer],
        "starts": [context.index(answer)],
    }


def goods(count: int, first: int = 0) -> list[Row]:
    """`count` good rows."""
    return [good(number) for number in range(first, first + count)]


def jsonl(path: Path, rows: Iterable[Any]) -> Path:
    """One JSON object a line; a str or bytes stands as it is."""
    with path.open("wb") as out:
        for row in rows:
            line = row if isinstance(row, str | bytes) else json.dumps(row, ensure_ascii=False)
            out.write((line if isinstance(line, bytes) else line.encode()) + b"\n")
    return path


def squad(rows: Iterable[Row], **extra: Any) -> dict[str, Any]:
    """The SQuAD form of rows: one article a title, one paragraph a row; `more` is added to it."""
    articles: dict[str, list[Any]] = {}
    for row in rows:
        pairs = zip(row["answers"], row["starts"], strict=True)
        answers = [{"text": text, "answer_start": start} for text, start in pairs]
        question = {"id": row["id"], "question": row["question"], "answers": answers}
        paragraph = {"context": row["context"], "qas": [question | row.get("more", {})]}
        articles.setdefault(row["title"], []).append(paragraph)
    data = [{"title": title, "paragraphs": found} for title, found in articles.items()]
    return {"version": "1.1", "data": data, **extra}


def delimited(path: Path, rows: Iterable[Row], separator: str = ",") -> Path:
    """CSV or TSV with one answer and its start a row."""
    names = ["id", "title", "context", "question", "answer", "answer_start"]
    with path.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, names, delimiter=separator, extrasaction="ignore")
        writer.writeheader()
        for row in rows:
            writer.writerow({**row, "answer": row["answers"][0], "answer_start": row["starts"][0]})
    return path


def parquet(path: Path, rows: list[Row]) -> Path:
    """Parquet as the datasets library writes SQuAD: answers is {text, answer_start}."""
    columns = {key: [row[key] for row in rows] for key in ("id", "title", "context", "question")}
    answers = [{"text": row["answers"], "answer_start": row["starts"]} for row in rows]
    pq.write_table(pa.table({**columns, "answers": answers}), path)
    return path


def quarantined(project: Project, folder: str) -> list[Row]:
    """The lines of an episode's file of quarantined rows."""
    lines = (project.episode(folder) / "quarantined.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def snapshot(root: Path) -> dict[str, str]:
    """Path -> sha256 of everything durable in a project; .onward/ may change at any time."""
    return {
        path.relative_to(root).as_posix(): files.sha256(path)
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".onward" not in path.parts
    }
