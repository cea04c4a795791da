"""Judging before there is anything to judge."""

from __future__ import annotations

from pathlib import Path

import pytest

from onward.episodes.turn import Turn
from onward.errors import UsageError
from tasks import stage, verdicts
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
