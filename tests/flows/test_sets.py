"""A project of its own on some rows of each public set: from the file as published to an answer.

The models are toys: what is tried is that every step fits the next one, not what they learn.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from onward import files
from onward.project import Project
from onward.registry import journal
from tests import toys
from tests.data.test_sets import SETS
from tests.data.test_sets import pytestmark as there
from tests.flows import projects
from tests.learning.writing import toy_writer

pytestmark = [there, pytest.mark.slow, pytest.mark.timeout(1800)]

SETTINGS: dict[str, dict[str, Any]] = {
    **projects.SETTINGS,
    "validate": {"min_train_rows": 10, "min_heldout_rows": 5, "max_windowed_percent": 100},
    "evaluate": {"threads": 1, "max_answer_tokens": 8, "max_new_tokens": 8, "batch_size": 16},
    # Above every trivial baseline, and out of a toy's reach: what is refused is promoted by force.
    "gate": {**projects.SETTINGS["gate"], "min_rows": 5, "floor": 95.0},
}
SETTINGS["finetune"] = {**SETTINGS["finetune"], "first_epochs": 1}


def lines(count: int, every: int = 1) -> Callable[[Path, Path], None]:
    """So many lines of a text file, compressed or not: the first, or each n-th."""

    def cut(source: Path, into: Path) -> None:
        with (gzip.open if source.suffix == ".gz" else open)(source, "rb") as text:
            part = b"".join(islice(text, 0, count * every, every))
        into.write_bytes(gzip.compress(part, mtime=0) if source.suffix == ".gz" else part)

    return cut


def articles(source: Path, into: Path) -> None:
    """One short paragraph of each of the first articles of a SQuAD file."""
    found = json.loads(source.read_text(encoding="utf-8"))["data"][:40]
    data = [
        {
            **article,
            "paragraphs": sorted(article["paragraphs"], key=lambda p: len(p["context"]))[:1],
        }
        for article in found
    ]
    into.write_text(json.dumps({"data": data}, ensure_ascii=False), encoding="utf-8")


CASES = [
    ("extractive", "xquad/xquad.en.json", None, articles, {}),
    ("extractive", "drcd/dev.json", None, articles, {"max_unknown_percent": 10}),
    ("chat", "xquad/xquad.en.json", None, articles, {}),
    ("classification", "banking77/test.csv", None, lines(160), {}),
    ("choice", "commonsenseqa/dev.jsonl", None, lines(100), {}),
    ("tagging", "snips/test.txt", None, lines(100), {}),
    ("classification", "snips/valid.txt", None, lines(100, every=7), {}),
    ("relation", "semeval2010_task8/test.txt", None, lines(4 * 100), {}),
    ("translation", "multi30k/val.en.gz", "multi30k/val.de.gz", lines(80), {}),
    ("summarization", "dialogsum/dev.jsonl", None, lines(60), {}),
    ("chat", "dialogsum/dev.jsonl", None, lines(20), {}),
]


def encoder(recipe: str, folder: Path, text: str) -> Path:
    """A toy of the kind that the recipe takes; one that reads spans knows the text's letters."""
    if recipe == "extractive":
        return toys.toy_encoder(folder, text)
    if recipe == "chat":
        return toys.toy_causal(folder)
    return (
        toy_writer(folder)
        if recipe in ("translation", "summarization")
        else toys.toy_encoder(folder)
    )


@pytest.mark.parametrize(
    ("recipe", "file", "target", "cut", "limits"),
    CASES,
    ids=[f"{recipe}-{file.split('/')[0]}" for recipe, file, *_ in CASES],
)
def test_a_set_goes_through_the_whole_loop(
    tmp_path: Path,
    recipe: str,
    file: str,
    target: str | None,
    cut: Callable[[Path, Path], None],
    limits: dict[str, Any],
) -> None:
    project = Project(tmp_path / "toy")
    paths = [tmp_path / Path(name).name for name in (file, target) if name]
    for name, path in zip((file, target), paths, strict=False):
        cut(SETS / str(name), path)
    text = paths[0].read_text(encoding="utf-8") if recipe == "extractive" else ""
    named = ["--recipe", recipe, "--encoder", str(encoder(recipe, tmp_path / "encoder", text))]
    projects.onward(tmp_path, "new", str(project.root), *named)
    validate = {**SETTINGS["validate"], "max_unknown_percent": 60, **limits}
    # A chat's question is refused where it does not fit beside the answer.
    prepare = {"max_length": 512 if recipe == "chat" else 64, "stride": 16}
    projects.change(project.root, **{**SETTINGS, "validate": validate, "prepare": prepare})
    more = ["--target", str(paths[1])] if target else []
    projects.onward(project.root, "episode", "open", "set", str(paths[0]), *more)
    projects.dvc(project.root, "repro")
    assert projects.onward(project.root, "gate", code=None).returncode in (0, 2)
    projects.onward(project.root, "promote", "--force", "--reason", "a toy")
    assert journal.lines(project)[-1]["what"] == "forced"
    told = json.loads(projects.onward(project.root, "ask", "--demo", "--json").stdout)
    assert told["version"] == "v1" and isinstance(told["text"], str)
    report = files.read_json(project.made("validate") / "report.json")
    assert report["passed"]
