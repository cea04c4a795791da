"""Judging before there is anything to judge."""

from __future__ import annotations

from pathlib import Path

import pytest

from onward import files
from onward.episodes.turn import Turn
from onward.errors import SettingsError, UsageError
from onward.evaluation.checks import Verdict
from onward.project import Project
from onward.registry import journal
from tasks import new, stage, verdicts
from tests import loop, toys
from tests.evaluation import toy_turn


def test_what_is_not_made_yet_is_not_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And where nothing is left to learn, no command is named that says so in turn."""
    at = toy_turn.project(tmp_path)
    monkeypatch.setattr(stage, "stale", lambda _: ["prepare", "finetune"])
    with pytest.raises(UsageError, match="prepare, finetune to be made") as raised:
        verdicts.whole(at)
    assert "dvc repro" in raised.value.fix
    Turn.read(at).model_copy(update={"learning": ()}).write(at)
    with pytest.raises(UsageError) as raised:
        verdicts.whole(at)
    assert raised.value.fix == "open an episode: every open one is learned already"


@pytest.mark.parametrize("before", ["forced", "promoted", "refused", "undecided"])
def test_a_refusal_is_known_by_a_refusal_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    """Forced, rolled back from and reinstated, the same key was refused and nowhere written."""
    project = Project(tmp_path)
    same = {"key": "k", "candidate": "c", "turn": "t", "champion": None}
    journal.append(project, before, **same, version="v1")
    verdict = Verdict("refused", "final", (), ("0001-a",), 0.05, "c", None, "t", key="k")
    monkeypatch.setattr(verdicts.verdicts, "keep", lambda *_: None)
    monkeypatch.setattr(verdicts.promote, "record", lambda *_, **__: None)
    found = verdicts.settle(project, verdict)
    assert found.known == (before in ("refused", "undecided"))
    assert found.seq == (1 if found.known else 2)


def test_git_that_cannot_commit_is_told_before_anything_is_trained(tmp_path: Path) -> None:
    """It was told after hours, with the champion moved and the run failed."""
    at = toy_turn.project(tmp_path)
    stage.require(at)
    files.write_text(at.params, at.params.read_text() + "git:\n  commit: true\n")
    with pytest.raises(UsageError, match="not a Git repository"):
        stage.require(at)


def test_an_answer_without_room_is_told_before_anything_is_trained(
    tmp_path: Path, toy_causal: Path
) -> None:
    """It was told when the trained candidate was scored."""
    talks = toys.toy_talks(40, 1)
    settings = {"prepare": {"max_length": 400}, "evaluate": {"max_new_tokens": 212}}
    project = loop.begun(tmp_path / "talk", toy_causal, "chat", **settings)
    new.begin(project)
    loop.opened(project, "first", toys.write_jsonl(tmp_path / "first.jsonl", talks))
    stage.require(project)
    written = project.params.read_text(encoding="utf-8")
    files.write_text(project.params, written.replace(": 212", ": 213"))
    with pytest.raises(SettingsError, match="A prompt of 300 tokens and an answer of 213"):
        stage.require(project)


def test_timed_answers_without_room_are_told_before_anything_is_trained(
    tmp_path: Path, toy_causal: Path
) -> None:
    """They were told after the export, by the names of settings that had nothing to do with it."""
    timed = {"shapes": [[1, 16], [1, 500]], "new_tokens": 12}
    project = loop.begun(tmp_path / "talk", toy_causal, "chat", benchmark=timed)
    new.begin(project)
    talks = toys.write_jsonl(tmp_path / "first.jsonl", toys.toy_talks(40, 1))
    loop.opened(project, "first", talks)
    stage.require(project)
    written = project.params.read_text(encoding="utf-8")
    files.write_text(project.params, written.replace('"new_tokens": 12', '"new_tokens": 13'))
    with pytest.raises(SettingsError, match="A prompt of 500 tokens and an answer of 13") as told:
        stage.require(project)
    assert told.value.where == "params.yaml, benchmark.shapes and benchmark.new_tokens"
