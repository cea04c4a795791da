"""The stage prepare: which rows, which windows, and the same bytes every time."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from onward import files
from onward.episodes import rows as parquet
from onward.errors import DataError, IntegrityError, MissingFiles, SettingsError, Withdrawn
from onward.learning import finetune, prepare
from onward.learning.features import Features
from onward.project import Project
from onward.recipes import extractive
from onward.registry import journal
from tests import toys


@pytest.fixture
def episodes() -> dict[str, list[dict[str, Any]]]:
    return {"one": toys.toy_rows(64, 1, no_answer=0.2), "two": toys.toy_rows(48, 2)}


@pytest.fixture
def project(toy_encoder: Path, tmp_path: Path, episodes: dict[str, Any]) -> Project:
    return toys.toy_project(tmp_path / "p", toy_encoder, episodes)


def made(project: Project) -> set[str]:
    folder = project.made("prepare")
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_writes_rows_windows_and_manifest(project: Project) -> None:
    prepare.run(project)
    assert made(project) == {
        "train.parquet",
        "stopping.parquet",
        "features.parquet",
        "counts.json",
        "labels.json",
        "barred.json",
        files.MANIFEST,
    }
    folder = project.made("prepare")
    rows = parquet.read_all(folder / "train.parquet")
    assert Counter(row["episode"] for row in rows) == {"0001-one": 48, "0002-two": 36}
    windows = Features.load(folder / "features.parquet")
    assert len(windows) == len(rows)
    counts = files.read_json(folder / "counts.json")
    assert counts["train"]["rows"] == len(rows) and counts["stopping"]["rows"] == 0
    assert counts["train"]["no_answer"] == sum(not row["answers"] for row in rows) > 0
    assert counts["train"]["longest"] == max(windows.lengths)


def test_windows_hold_what_the_recipe_encodes(project: Project, toy_encoder: Path) -> None:
    from onward.config import Prepare
    from onward.learning import encoder

    prepare.run(project)
    folder = project.made("prepare")
    rows = [
        {key: row[key] for key in extractive.SCHEMA.names}
        for row in parquet.read(folder / "train.parquet")
    ]
    settings = Prepare(max_length=64, stride=16)
    tokenizer = encoder.tokenizer(toy_encoder)
    expected = extractive.encode(rows, tokenizer, settings, labels=())
    found = Features.load(folder / "features.parquet")
    assert len(found) == len(expected)
    for at, window in enumerate(expected):
        one = found[at]
        assert one["input_ids"].tolist() == list(window["input_ids"])
        assert one["token_type_ids"].tolist() == list(window["token_type_ids"])
        for key in ("row", "start_position", "end_position"):
            assert one[key] == window[key]


def test_rows_number_on_over_parts(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Encoded in parts of five rows or all at once: the same bytes."""
    from onward.learning import features

    prepare.run(project)
    whole = files.read_json(project.made("prepare") / files.MANIFEST)
    monkeypatch.setattr(features, "ROWS_AT_ONCE", 5)
    prepare.run(project)
    assert files.read_json(project.made("prepare") / files.MANIFEST) == whole


def test_long_contexts_become_overlapping_windows(toy_encoder: Path, tmp_path: Path) -> None:
    rows = toys.toy_rows(16, 1)
    for row in rows:
        row["context"] += " then a box" * 60
    project = toys.toy_project(tmp_path, toy_encoder, {"long": rows})
    prepare.run(project)
    counts = files.read_json(project.made("prepare") / "counts.json")
    assert counts["train"]["windows"] > 2 * counts["train"]["rows"]
    assert counts["train"]["longest"] == 64


def test_I3_what_was_withdrawn_is_not_prepared(project: Project) -> None:
    """A withdrawal that died wrote its line and not the turn, and `dvc repro` knows no journal."""
    journal.append(project, "withdrawn", episode="0002-two", reason="wrong labels")
    with pytest.raises(Withdrawn, match="0002-two, which was withdrawn: wrong labels"):
        prepare.run(project)
    assert not project.made("prepare").exists()


def test_I5_same_inputs_same_bytes(project: Project) -> None:
    prepare.run(project)
    before = files.sha256(project.made("prepare") / files.MANIFEST)
    prepare.run(project)
    assert files.sha256(project.made("prepare") / files.MANIFEST) == before


def test_the_stopping_part_shares_no_title_with_training(
    toy_encoder: Path, tmp_path: Path, episodes: dict[str, Any]
) -> None:
    project = toys.toy_project(
        tmp_path, toy_encoder, episodes, prepare={"early_stopping_percent": 25}
    )
    prepare.run(project)
    folder = project.made("prepare")
    train = {row["title"] for row in parquet.read(folder / "train.parquet")}
    aside = {row["title"] for row in parquet.read(folder / "stopping.parquet")}
    assert aside and train and not aside & train
    counts = files.read_json(folder / "counts.json")
    assert 0 < counts["stopping"]["rows"] <= 0.25 * 84
    assert counts["train"]["rows"] + counts["stopping"]["rows"] == 84
    assert len(Features.load(folder / "stopping_features.parquet")) == counts["stopping"]["rows"]


@pytest.mark.parametrize(
    ("keys", "percent", "most"),
    [
        ({"a": 5}, 20, 0),  # one title: nothing to carve
        ({"a": 5, "b": 5}, 0, 0),
        ({"a": 50, "b": 40}, 10, 40),  # none is small enough: the smallest
        ({"a": 10, "b": 10, "c": 10, "d": 10}, 49, 10),
    ],
)
def test_carving(keys: dict[str, int], percent: float, most: int) -> None:
    aside = prepare.carve(Counter(keys), percent, 13)
    assert aside < set(keys) and sum(keys[key] for key in aside) == most


def test_carving_does_not_depend_on_order() -> None:
    keys = {f"t{n}": n + 1 for n in range(30)}
    backwards = dict(reversed(keys.items()))
    assert prepare.carve(Counter(keys), 20, 1) == prepare.carve(Counter(backwards), 20, 1)
    assert prepare.carve(Counter(keys), 20, 1) != prepare.carve(Counter(keys), 20, 2)


def test_needs_a_validation_that_passed(project: Project) -> None:
    report = project.made("validate") / "report.json"
    for passed in (False, None, 1):
        files.write_json(report, {"schema": 1, "passed": passed})
        with pytest.raises(DataError, match="did not pass"):
            prepare.run(project)
    report.unlink()
    with pytest.raises(MissingFiles, match="not validated"):
        prepare.run(project)
    assert not project.made("prepare").exists()


def test_F05_a_changed_episode_is_caught(project: Project) -> None:
    path = project.episode("0001-one") / "train.parquet"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(IntegrityError, match=r"train\.parquet in 0001-one is changed"):
        prepare.run(project)


def test_an_exchanged_encoder_is_caught(project: Project, tmp_path: Path) -> None:
    import shutil

    named = files.read_json(project.turn)["base"]["name"]
    other = shutil.copytree(named, tmp_path / "other")
    (other / "vocab.txt").write_text("another\n")
    turn = files.read_json(project.turn)
    turn["base"]["name"] = str(other)
    files.write_json(project.turn, turn)
    with pytest.raises(IntegrityError, match="not the one that the turn names"):
        prepare.run(project)


def test_rows_that_cannot_be_found_are_said_so(toy_encoder: Path, tmp_path: Path) -> None:
    project = toys.toy_project(tmp_path, toy_encoder, {"bare": toys.toy_rows(4, 1, titles=2)})
    with pytest.raises(DataError, match="no row to learn"):
        prepare.run(project)


def test_a_strategy_that_is_not_in_the_table_is_refused_by_name(project: Project) -> None:
    params = files.read_json(project.params)
    files.write_json(project.params, {**params, "strategy": {"term": "ewc"}})
    with pytest.raises(SettingsError, match="cannot be trained with joint x ewc x single"):
        prepare.run(project)


def test_F06_a_damaged_preparation_is_refused(project: Project) -> None:
    prepare.run(project)
    path = project.made("prepare") / "features.parquet"
    data = bytearray(path.read_bytes())
    data[100] ^= 4
    path.write_bytes(bytes(data))
    with pytest.raises(IntegrityError, match=r"features\.parquet in prepare is changed"):
        finetune.run(project)


def test_a_preparation_for_another_turn_is_refused(project: Project, toy_encoder: Path) -> None:
    prepare.run(project)
    toys.toy_turn(project, toy_encoder, learning=["0001-one"])
    with pytest.raises(IntegrityError, match="another turn"):
        finetune.run(project)
