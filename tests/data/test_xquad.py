"""A published set opens cleanly; broken copies of it are refused or quarantined by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onward.episodes import turn as turns
from onward.episodes.open import open_episode
from onward.errors import DataError, FormatError, OnwardError
from onward.learning import encoder
from onward.project import Project
from tests.episodes import deliveries

XQUAD = Path(__file__).parents[3] / "shared" / "datasets" / "xquad" / "xquad.en.json"

pytestmark = pytest.mark.skipif(not XQUAD.exists(), reason=f"the data set is not at {XQUAD}")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setattr(encoder, "locate", lambda name, root=None: Path(name))
    monkeypatch.setattr(encoder, "fingerprint", lambda path: "e" * 64)
    return deliveries.project(tmp_path / "project")


def test_it_opens_cleanly(project: Project) -> None:
    opened = open_episode(project, "xquad", XQUAD, keep=deliveries.keep)
    assert opened.counts["seen"] == 1_190 and opened.counts["repaired"] == 0
    # Two questions stand twice in a context, and one more has two different answers.
    assert opened.reasons == {"duplicate": 2, "conflicting-answers": 2}
    assert opened.counts["train"] > 600 and opened.counts["heldout"] > 200
    for side in ("train", "heldout"):
        for row in turns.rows(project, opened.folder, side):
            for text, start in zip(row["answers"], row["starts"], strict=True):
                assert row["context"][start : start + len(text)] == text


def _each_question(content: dict[str, Any], change: Callable[[Any, Any], None]) -> str:
    for article in content["data"]:
        for paragraph in article["paragraphs"]:
            for question in paragraph["qas"]:
                change(paragraph, question)
    return json.dumps(content, ensure_ascii=False)


def _bytes(paragraph: Any, question: Any) -> None:
    for answer in question["answers"]:
        answer["answer_start"] = len(paragraph["context"][: answer["answer_start"]].encode())


def _off_by_one(paragraph: Any, question: Any) -> None:
    for answer in question["answers"]:
        answer["answer_start"] += 1


def _no_answers(paragraph: Any, question: Any) -> None:
    question["answers"] = []


def _same_id(paragraph: Any, question: Any) -> None:
    question["id"] = "1"


def test_offsets_in_bytes_are_repaired_wherever_that_is_certain(
    project: Project, tmp_path: Path
) -> None:
    path = tmp_path / "bytes.json"
    path.write_text(_each_question(json.loads(XQUAD.read_text()), _bytes))
    opened = open_episode(project, "xquad", path, keep=deliveries.keep)
    assert opened.repairs["offset-bytes"] > 150
    good = open_episode(project, "good", XQUAD, dry_run=True, keep=deliveries.keep)
    assert opened.counts["quarantined"] - good.counts["quarantined"] < 5


def test_offsets_that_are_off_by_one_are_repaired_or_quarantined(
    project: Project, tmp_path: Path
) -> None:
    path = tmp_path / "off.json"
    path.write_text(_each_question(json.loads(XQUAD.read_text()), _off_by_one))
    opened = open_episode(project, "xquad", path, keep=deliveries.keep)
    assert opened.repairs["offset-moved"] > 900 and opened.reasons["answer-ambiguous"] > 100
    truth = open_episode(project, "good", XQUAD, dry_run=True, keep=deliveries.keep)
    assert opened.counts["accepted"] < 10 < truth.counts["accepted"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_no_answers, "answer-missing"),
        (_same_id, "same-id"),
    ],
)
def test_too_many_bad_rows_open_nothing(
    project: Project, tmp_path: Path, change: Callable[[Any, Any], None], reason: str
) -> None:
    path = tmp_path / "broken.json"
    path.write_text(_each_question(json.loads(XQUAD.read_text()), change))
    with pytest.raises(DataError, match="rows cannot be taken") as caught:
        open_episode(project, "xquad", path, keep=deliveries.keep)
    assert caught.value.details["reasons"][reason] > 200
    assert not project.turn.exists() and not project.data.exists()


@pytest.mark.parametrize(
    ("name", "change", "error"),
    [
        ("cut.json", lambda data: data[: len(data) // 2], FormatError),
        ("bytes.json", lambda data: data.replace(b"Panthers", b"Panth\xffrs", 1), FormatError),
        ("rows.csv", lambda data: data, FormatError),
        ("rows.parquet", lambda data: data, FormatError),
        ("comma.json", lambda data: data.replace(b'"qas": [', b'"qas": [,', 1), FormatError),
        ("data.json", lambda data: data.replace(b'"data"', b'"rows"', 1), OnwardError),
        ("empty.json", lambda data: b"", DataError),
        ("html.json", lambda data: b"<html>" + data, FormatError),
    ],
)
def test_a_broken_file_is_refused_whole(
    project: Project,
    tmp_path: Path,
    name: str,
    change: Callable[[bytes], bytes],
    error: type[OnwardError],
) -> None:
    path = tmp_path / name
    path.write_bytes(change(XQUAD.read_bytes()))
    with pytest.raises(error) as caught:
        open_episode(project, "xquad", path, keep=deliveries.keep)
    assert all(caught.value.lines()) and len(caught.value.lines()) == 3
    assert not project.turn.exists() and not project.data.exists()


def test_utf16_with_a_mark_is_the_same_set(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "wide.json"
    path.write_bytes(XQUAD.read_bytes().decode().encode("utf-16"))
    opened = open_episode(project, "wide", path, keep=deliveries.keep)
    assert opened.counts["seen"] == 1_190 and opened.counts["quarantined"] == 4


def test_one_question_that_asks_nothing_is_the_only_one_quarantined(
    project: Project, tmp_path: Path
) -> None:
    content = json.loads(XQUAD.read_text())
    content["data"][0]["paragraphs"][0]["qas"][0]["question"] = " \u200b?"
    path = tmp_path / "one.json"
    path.write_text(json.dumps(content))
    opened = open_episode(project, "one", path, keep=deliveries.keep)
    assert opened.reasons == {"duplicate": 2, "conflicting-answers": 2, "blank": 1}
