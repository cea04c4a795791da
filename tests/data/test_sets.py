"""Each public set is opened as it is published: the right recipe is named, and what would happen.

Their folder is not part of the product; where it is missing, these tests skip.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from cli import main
from onward import recipes
from onward.episodes import open as opening
from onward.episodes.naming import LIKELIEST
from onward.errors import DataError
from onward.evaluation import gate
from onward.project import Project
from tests.episodes import deliveries

SETS = Path(__file__).parents[3] / "shared" / "datasets"

pytestmark = pytest.mark.skipif(
    not SETS.is_dir(), reason=f"the public sets are not in {SETS}; they are no part of the product"
)


@dataclass(frozen=True)
class Set:
    """A file, what it is for, and what opening it would do."""

    file: str
    recipe: str
    others: tuple[str, ...]
    format: str
    mapping: dict[str, str]
    seen: int
    reasons: dict[str, int]
    target: str | None = None

    @property
    def paths(self) -> tuple[Path, Path | None]:
        return SETS / self.file, SETS / self.target if self.target else None


_SQUAD = {name: name for name in ("id", "title", "context", "question", "answers", "is_impossible")}
_SPOKEN = {"id": "fname", "title": "topic", "messages": "dialogue"}
KNOWN = (
    Set("xquad/xquad.en.json", "extractive", ("chat",), "squad", _SQUAD, 1_190,
        {"duplicate": 2, "conflicting-answers": 2}),
    Set("drcd/dev.json", "extractive", ("chat",), "squad", _SQUAD, 3_524, {}),
    Set("banking77/test.csv", "classification", (), "csv",
        {"text": "text", "label": "category"}, 3_080, {}),
    Set("commonsenseqa/dev.jsonl", "choice", (), "jsonl",
        {"id": "id", "question": "question", "answer": "answerKey"}, 1_221, {"equal-options": 24}),
    Set("snips/test.txt", "tagging", ("classification",), "tagged",
        {"text": "text", "tokens": "tokens", "tags": "tags"}, 700, {"malformed": 1}),
    Set("semeval2010_task8/test.txt", "relation", (), "semeval",
        {"id": "id", "text": "text", "label": "label"}, 2_717, {}),
    Set("multi30k/val.en.gz", "translation", (), "parallel",
        {"text": "source", "references": "target"}, 1_014, {}, "multi30k/val.de.gz"),
    Set("dialogsum/dev.jsonl", "summarization", ("chat",), "jsonl",
        {"id": "fname", "title": "topic", "text": "dialogue", "references": "summary"}, 500, {}),
    Set("dialogsum/test.jsonl", "summarization", ("chat",), "jsonl",
        {"id": "fname", "text": "dialogue",
         "references": "summary1+summary2+summary3"}, 500, {}),
)  # fmt: skip
OTHERWISE = (
    Set("snips/test.txt", "classification", ("tagging",), "tagged",
        {"text": "text", "label": "intent"}, 700, {"malformed": 1}),
    Set("dialogsum/dev.jsonl", "chat", ("summarization",), "jsonl", _SPOKEN, 2_235,
        {"turns-unclear": 5}),
    Set("drcd/dev.json", "chat", ("extractive",), "squad",
        {"id": "id", "title": "title", "context": "context", "question": "question",
         "references": "answers"}, 3_524, {}),
)  # fmt: skip
"""What sets can be, too, in a project of that recipe."""


def name(one: Set) -> str:
    return f"{one.file}:{one.recipe}"


def opened(root: Path, recipe: str, one: Set) -> opening.Opened:
    params = deliveries.PARAMS.replace("recipe: extractive", f"recipe: {recipe}")
    project = deliveries.project(root / recipe, params)
    path, target = one.paths
    return opening.open_episode(
        project, "set", path, target=target, dry_run=True, keep=deliveries.keep
    )


@pytest.mark.parametrize("one", [*KNOWN, *OTHERWISE], ids=name)
def test_a_dry_run_names_recipe_format_columns_and_what_would_happen(
    tmp_path: Path, one: Set
) -> None:
    found = opened(tmp_path, one.recipe, one)
    assert (found.recipe, tuple(found.others)) == (one.recipe, one.others)
    assert (found.source["format"], found.source["mapping"]) == (one.format, one.mapping)
    assert found.counts["seen"] == one.seen
    leaks = {"near-duplicate", "straddles", "duplicate", "conflicting-answers"}
    assert {k: n for k, n in found.reasons.items() if k not in leaks or k in one.reasons} == (
        one.reasons
    )
    kept = found.counts["accepted"] + found.counts["repaired"]
    assert kept == found.counts["train"] + found.counts["heldout"] > 0.95 * found.counts["seen"]
    assert min(found.counts["train"], found.counts["heldout"]) > 0.2 * kept


@pytest.mark.parametrize("one", KNOWN, ids=name)
def test_a_project_of_another_recipe_names_the_right_one(tmp_path: Path, one: Set) -> None:
    for recipe in {"regression", "multilabel", "extractive", "relation"} - {one.recipe}:
        with pytest.raises(DataError) as caught:
            opened(tmp_path, recipe, one)
        assert f"this project's recipe is {recipe}" in caught.value.what
        assert re.search(rf"`onward new DIR --recipe {one.recipe}`", caught.value.fix)


@pytest.mark.parametrize("one", KNOWN, ids=name)
def test_a_new_projects_floor_lies_above_the_trivial_baseline(tmp_path: Path, one: Set) -> None:
    assert main.start(["new", str(tmp_path / "p"), "--recipe", one.recipe]) == 0
    project = Project(tmp_path / "p")
    path, target = one.paths
    opening.open_episode(project, "set", path, target=target, keep=deliveries.keep)
    gate.check_floor(project)


def test_every_recipe_has_its_place_among_the_likeliest() -> None:
    assert set(recipes.NAMES) <= set(LIKELIEST)
