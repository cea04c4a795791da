"""The turn: what it names after openings, promotions and withdrawals, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from onward import files
from onward.episodes import folders, standing
from onward.episodes import turn as turns
from onward.episodes.open import episodes, open_episode, withdraw
from onward.errors import IntegrityError, MissingFiles, SettingsError, UsageError
from onward.project import Project
from onward.registry import journal, versions
from onward.registry.finish import finish
from tests.episodes import deliveries
from tests.episodes.conftest import Opener

DATA = {"md5": "0" * 32 + ".dir", "size": 10, "nfiles": 2}


@pytest.fixture
def three(project: Project, opener: Opener, tmp_path: Path) -> Project:
    """A project with three open episodes and no champion."""
    for number in range(3):
        rows = deliveries.goods(80, 1_000 * number)
        opener(f"e{number}", deliveries.jsonl(tmp_path / f"{number}.jsonl", rows))
    return project


def promote(project: Project, version: str, learned: list[str]) -> str:
    """A champion that learned these episodes; returns the sha256 of its manifest."""
    folder = project.version(version)
    folder.mkdir(parents=True)
    manifests = {f: files.sha256(project.episode(f) / files.MANIFEST) for f in learned}
    card: dict[str, Any] = {
        "learned": [{"episode": f, "manifest": m} for f, m in manifests.items()]
    }
    card["parameters"] = {"project": {"recipe": "extractive", "encoder": "toy"}}
    files.write_json(folder / "card.json", {"candidate": "c", **card})
    manifest = files.seal(folder)
    seq = journal.next_seq(project)
    line = journal.entry(seq, "promoted", candidate="c", version=version, manifest=manifest)
    pointer = {"schema": 1, "version": version, "seq": seq, "manifest": manifest, "line": line}
    files.write_json(project.champion, pointer)
    journal.write(project, line)
    return manifest


def test_without_a_champion_all_is_to_be_learned(three: Project) -> None:
    turn = turns.compose(three, DATA)
    assert turn.base == turns.Base(kind="pretrained", name="toy", sha256="e" * 64)
    assert turn.known == () and turn.learning_episodes == ["0001-e0", "0002-e1", "0003-e2"]
    assert turn.data.model_dump() == DATA


def test_what_the_champion_learned_is_known_and_all_else_is_learned(three: Project) -> None:
    manifest = promote(three, "v3", ["0001-e0", "0003-e2"])
    turn = turns.compose(three, DATA)
    assert turn.base == turns.Base(kind="version", name="v3", sha256=manifest)
    assert turn.known_episodes == ["0001-e0", "0003-e2"]
    assert turn.learning_episodes == ["0002-e1"]


def test_fresh_starts_from_the_pretrained_encoder_over_all(three: Project) -> None:
    promote(three, "v1", ["0001-e0"])
    turn = turns.compose(three, DATA, fresh=True)
    assert turn.base.kind == "pretrained" and turn.known == () and len(turn.learning) == 3


def edit(project: Project, old: str, new: str) -> None:
    text = project.params.read_text()
    assert old in text
    project.params.write_text(text.replace(old, new))


def test_what_a_known_episode_corrected_stays_corrected(
    three: Project, opener: Opener, tmp_path: Path
) -> None:
    """Also in turns that only learn what came after both."""
    rows = [{**row, "question": f"{row['question']} Again?"} for row in deliveries.goods(40)]
    opener("mended", deliveries.jsonl(tmp_path / "mended.jsonl", rows), corrects="e0")
    sides = ("train", "heldout")
    before = [turns.rows(three, "0001-e0", side) for side in sides]
    assert sum(map(len, before)) == 40
    promote(three, "v1", ["0001-e0", "0004-mended"])
    turn = turns.compose(three, DATA)
    turn.write(three)
    assert turn.known_episodes == ["0001-e0", "0004-mended"]
    assert [turns.rows(three, "0001-e0", side) for side in sides] == before
    turns.check(three, turn)
    (three.episode("0004-mended") / "train.parquet").write_bytes(b"other")
    with pytest.raises(IntegrityError, match="0004-mended"):
        turns.check(three, turn)


@pytest.mark.parametrize("fresh", [False, True])
def test_a_recipe_that_was_changed_over_open_episodes_is_refused_by_name(
    three: Project, fresh: bool
) -> None:
    edit(three, "recipe: extractive", "recipe: chat")
    with pytest.raises(SettingsError, match="Episode 0001-e0 holds rows for 'extractive'") as one:
        turns.compose(three, DATA, fresh=fresh)
    with pytest.raises(SettingsError, match=r"is 'chat', and the open .* 'extractive'") as other:
        turns.require_settings(three, turns.Turn.read(three), fresh=fresh)
    for caught in (one, other):
        assert "project.recipe" in caught.value.where
        assert "`onward new DIR --recipe chat`" in caught.value.fix


@pytest.mark.parametrize("champion", [False, True])
def test_an_encoder_that_was_changed_is_taken_by_a_fresh_run_alone(
    three: Project, champion: bool
) -> None:
    if champion:
        promote(three, "v1", ["0001-e0"])
    turn = turns.compose(three, DATA)
    turns.require_settings(three, turn)
    edit(three, "encoder: toy", "encoder: other")
    with pytest.raises(SettingsError, match="is 'other', and the turn goes on from 'toy'") as told:
        turns.require_settings(three, turn)
    assert "project.encoder" in told.value.where and "onward run --fresh" in told.value.fix
    turns.require_settings(three, turn, fresh=True)
    fresh = turns.compose(three, DATA, fresh=True)
    assert fresh.base.name == "other"
    turns.require_settings(three, fresh)


def test_a_champion_that_learned_a_withdrawn_episode_is_no_base(three: Project) -> None:
    promote(three, "v1", ["0001-e0", "0002-e1"])
    withdraw(three, "e0", "wrong", "ana", deliveries.keep)
    turn = turns.Turn.read(three)
    assert turn.base.kind == "pretrained" and turn.known == ()
    assert turn.learning_episodes == ["0002-e1", "0003-e2"]
    assert [e.state for e in episodes(three)] == ["withdrawn", "learning", "learning"]


def test_a_withdrawn_episode_that_was_refused_leaves_the_base(three: Project) -> None:
    promote(three, "v1", ["0001-e0"])
    withdraw(three, "e1", "wrong", "ana", deliveries.keep)
    turn = turns.Turn.read(three)
    assert (turn.base.name, turn.known_episodes, turn.learning_episodes) == (
        "v1",
        ["0001-e0"],
        ["0003-e2"],
    )
    assert [e.state for e in episodes(three)] == ["known", "withdrawn", "learning"]


def test_i3_a_withdrawal_completes_a_killed_promotion_first(three: Project) -> None:
    """Its line took the promotion's number, and the next start removed the version that served."""
    promote(three, "v1", ["0001-e0"])
    three.journal.unlink()
    withdraw(three, "e1", "wrong labels", "ana", deliveries.keep)
    assert [(one["seq"], one["what"]) for one in journal.lines(three)] == [
        (1, "promoted"),
        (2, "withdrawn"),
    ]
    assert finish(three) == [] and versions.champion(three) is not None


def test_a_champion_of_another_episode_of_the_same_name_is_caught(three: Project) -> None:
    promote(three, "v1", ["0001-e0"])
    card = three.version("v1") / "card.json"
    card.write_text(card.read_text().replace('"manifest": "', '"manifest": "0'))
    with pytest.raises(IntegrityError):
        turns.compose(three, DATA)


def test_an_episode_that_the_champion_learned_must_be_here(three: Project) -> None:
    promote(three, "v1", ["0001-e0"])
    shutil.rmtree(three.episode("0001-e0"))
    with pytest.raises(MissingFiles):
        turns.compose(three, DATA)


def test_a_turn_is_read_as_it_was_written_and_its_id_depends_on_all(three: Project) -> None:
    turn = turns.compose(three, DATA)
    turn.write(three)
    assert turns.Turn.read(three) == turn
    others = [
        turns.compose(three, {**DATA, "size": 11}),
        turns.compose(three, DATA, without=("0002-e1",)),
    ]
    promote(three, "v1", ["0001-e0"])
    others.append(turns.compose(three, DATA))
    assert len({turn.id, *(other.id for other in others)}) == 4
    assert set(json.loads(three.turn.read_text())) == {
        "schema",
        "recipe",
        "base",
        "known",
        "learning",
        "data",
    }


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 2},
        {"known": None},
        {"learning": [{"episode": "0001-e0"}]},
        {"base": {"kind": "pickle", "name": "x", "sha256": "y"}},
        {"extra": 1},
        {"data": {"md5": "x", "size": "1", "nfiles": 1}},
    ],
)
def test_a_turn_of_another_form_is_refused(three: Project, change: dict[str, Any]) -> None:
    value = json.loads(three.turn.read_text())
    three.turn.write_text(json.dumps(value | change))
    with pytest.raises(IntegrityError, match="not a turn") as caught:
        turns.Turn.read(three)
    assert "git checkout" in caught.value.fix
    three.turn.write_text("[1]")
    with pytest.raises(IntegrityError):
        turns.Turn.read(three)


def test_no_turn_says_how_to_make_one(project: Project) -> None:
    with pytest.raises(UsageError) as caught:
        turns.Turn.read(project)
    assert "onward episode open" in caught.value.fix


@pytest.mark.parametrize("name", ["train.parquet", "heldout.parquet", "manifest.json"])
def test_f05_check_finds_a_changed_byte_of_the_same_size_and_time(
    three: Project, name: str
) -> None:
    import os

    turn = turns.Turn.read(three)
    turns.check(three, turn)
    path = three.episode("0002-e1") / name
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(IntegrityError) as caught:
        turns.check(three, turn)
    assert "onward repair" in caught.value.fix and "0002-e1" in caught.value.where


def test_check_finds_missing_and_extra_files(three: Project) -> None:
    turn = turns.Turn.read(three)
    (three.episode("0001-e0") / "extra").touch()
    with pytest.raises(IntegrityError, match="extra"):
        turns.check(three, turn)
    shutil.rmtree(three.episode("0001-e0"))
    with pytest.raises(MissingFiles, match="not on this machine"):
        turns.check(three, turn)


def test_a_manifest_that_is_sealed_anew_is_not_the_one_the_turn_names(three: Project) -> None:
    turn = turns.Turn.read(three)
    folder = three.episode("0001-e0")
    (folder / "quarantined.jsonl").write_text("{}\n")
    files.seal(folder)
    with pytest.raises(IntegrityError, match="not the one that was recorded"):
        turns.check(three, turn)


def test_a_manifest_is_read_once_however_many_episodes_there_are(
    three: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of them was read for each: with hundreds, most of what a start did."""
    correction = [{**row, "question": "mended?"} for row in deliveries.goods(40)]
    source = deliveries.jsonl(three.root / "mended.jsonl", correction)
    open_episode(three, "mended", source, corrects="e0", keep=deliveries.keep)
    turn = turns.Turn.read(three)
    read: list[str] = []
    real = folders.read_folder

    def counted(project: Project, name: str) -> folders.Folder:
        read.append(name)
        return real(project, name)

    monkeypatch.setattr(folders, "read_folder", counted)
    every = (*turn.known_episodes, *turn.learning_episodes)
    left = {one: len(turns.rows(three, one, "train")) for one in every}
    assert sorted(read) == sorted(every)
    assert turns.replacing(three) == {"0001-e0": ("0004-mended",)}
    assert left["0004-mended"] > 0 and left["0001-e0"] < left["0002-e1"]
    standing.versioned(three, deliveries.keep)
    assert len(read) <= 2 * len(every)
