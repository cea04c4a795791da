"""Memory: under its budget, the same however it was built, never a held-out row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from onward import files
from onward.episodes import rows as parquet
from onward.errors import IntegrityError
from onward.learning import finetune, memory, prepare
from onward.project import Project
from tests import toys

REPLAY = {"rows": "replay", "replay_rows": 20, "replay_percent": 25}


def start(root: Path, encoder: Path, **strategy: Any) -> Project:
    """A project whose first turn learned episode one, kept as v1; the turn learns two on v1."""
    episodes = {"one": toys.toy_rows(64, 1), "two": toys.toy_rows(64, 2)}
    project = toys.toy_project(
        root, encoder, episodes, strategy=strategy, finetune={"first_epochs": 0.2}
    )
    toys.toy_turn(project, encoder, learning=["0001-one"])
    prepare.run(project)
    finetune.run(project)
    toys.toy_version(project, "v1")
    toys.toy_turn(project, encoder, learning=["0002-two"], known=["0001-one"], version="v1")
    return project


def change(project: Project, **strategy: Any) -> None:
    params = files.read_json(project.params)
    files.write_json(project.params, {**params, "strategy": strategy})


def remembered(project: Project) -> list[Any]:
    """What the candidate of the present turn would carry forward."""
    prepare.run(project)
    finetune.run(project)
    return list(memory.rows(project.made("finetune") / "memory"))


def trained_on(project: Project) -> list[str]:
    rows = parquet.read(project.made("prepare") / "train.parquet", ["episode"])
    return [row["episode"] for row in rows]


def test_a_candidate_carries_its_memory(toy_encoder: Path, tmp_path: Path) -> None:
    project = start(tmp_path, toy_encoder, **REPLAY)
    carried = project.version("v1") / "memory"
    about = memory.read(carried)
    assert about["rows"] == 20 and about["episodes"] == {"0001-one": 20}
    assert [named["episode"] for named in about["covers"]] == ["0001-one"]
    prepare.run(project)
    assert trained_on(project) == ["0002-two"] * 48 + ["0001-one"] * 16
    replayed = parquet.read_all(project.made("prepare") / "train.parquet")[48:]
    held = [{**row, "episode": episode} for episode, row in memory.rows(carried)]
    assert all(row in held for row in replayed)
    finetune.run(project)
    about = memory.read(project.made("finetune") / "memory")
    assert about["rows"] == 20 and set(about["episodes"]) == {"0001-one", "0002-two"}


def test_the_base_is_read_and_not_the_past(
    toy_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a memory that serves, no training row of a known episode is opened."""
    project = start(tmp_path, toy_encoder, **REPLAY)
    opened: list[tuple[str, str]] = []
    real = prepare.turns.stream

    def noted(project: Project, episode: str, side: Any) -> Any:
        opened.append((episode, side))
        return real(project, episode, side)

    monkeypatch.setattr(prepare.turns, "stream", noted)
    prepare.run(project)
    assert ("0001-one", "train") not in opened and ("0002-two", "train") in opened


def test_memory_grown_equals_memory_rebuilt(toy_encoder: Path, tmp_path: Path) -> None:
    project = start(tmp_path / "grown", toy_encoder, **REPLAY)
    grown = remembered(project)
    from_joint = start(tmp_path / "rebuilt", toy_encoder, rows="joint")
    change(from_joint, **REPLAY)
    assert remembered(from_joint) == grown
    assert trained_on(from_joint) == trained_on(project)


@pytest.mark.parametrize("rows", ["joint", "naive"])
def test_joint_and_naive_say_that_they_hold_nothing(
    rows: str, toy_encoder: Path, tmp_path: Path
) -> None:
    project = start(tmp_path, toy_encoder, rows=rows)
    folder = project.made("finetune") / "memory"
    assert [path.name for path in folder.iterdir()] == ["memory.json"]
    assert rows in memory.read(folder)["holds"] and memory.read(folder)["rows"] == 0
    prepare.run(project)
    old = trained_on(project).count("0001-one")
    assert old == (48 if rows == "joint" else 0)


@pytest.mark.parametrize("budget", [5, 40])
def test_another_budget_gives_the_sample_of_that_size(
    budget: int, toy_encoder: Path, tmp_path: Path
) -> None:
    """A smaller one is cut from memory, a larger one drawn anew: the same as from the start."""
    project = start(tmp_path / "changed", toy_encoder, **REPLAY)
    change(project, **{**REPLAY, "replay_rows": budget})
    always = start(tmp_path / "always", toy_encoder, **{**REPLAY, "replay_rows": budget})
    found = remembered(project)
    assert found == remembered(always) and len(found) == budget


def test_a_withdrawn_episode_leaves_memory(toy_encoder: Path, tmp_path: Path) -> None:
    project = start(tmp_path, toy_encoder, **REPLAY)
    toys.toy_turn(project, toy_encoder, learning=["0002-two"], version="v1")
    assert {episode for episode, _ in remembered(project)} == {"0002-two"}
    assert set(trained_on(project)) == {"0002-two"}


def test_a_corrected_row_leaves_memory(toy_encoder: Path, tmp_path: Path) -> None:
    """An episode that replaces rows of a known one: what memory held of them is not replayed."""
    project = start(tmp_path, toy_encoder, **{**REPLAY, "replay_rows": 200})
    wrong = parquet.read_all(project.episode("0001-one") / "train.parquet")
    mended = [{**row, "question": row["question"] + " really ?"} for row in wrong]
    about = {"number": 3, "name": "mended", "recipe": "extractive", "replaces": ["0001-one"]}
    from onward.recipes import extractive

    with files.building(project.episode("0003-mended"), **about) as at:
        parquet.write(at / "train.parquet", mended[:30], extractive.SCHEMA)
        parquet.write(at / "heldout.parquet", [], extractive.SCHEMA)
    turn = {"learning": ["0003-mended"], "known": ["0001-one"], "version": "v1"}
    toys.toy_turn(project, toy_encoder, **turn)  # type: ignore[arg-type]
    held = [row for _, row in remembered(project)]
    assert len(held) == 48 and not [row for row in held if row in wrong[:30]]


def test_D09_memory_never_holds_a_held_out_question(toy_encoder: Path, tmp_path: Path) -> None:
    """A later episode holds out, in other spelling, what memory has: it is not remembered."""
    project = start(tmp_path, toy_encoder, **REPLAY)
    carried = [row for _, row in memory.rows(project.version("v1") / "memory")]
    same = {**carried[0], "id": "again", "question": carried[0]["question"].upper() + "  ?"}
    about = {"number": 3, "name": "three", "recipe": "extractive"}
    from onward.recipes import extractive

    with files.building(project.episode("0003-three"), **about) as at:
        parquet.write(at / "train.parquet", toys.toy_rows(30, 9), extractive.SCHEMA)
        parquet.write(at / "heldout.parquet", [same], extractive.SCHEMA)
    turn = {"learning": ["0003-three"], "known": ["0001-one"], "version": "v1"}
    toys.toy_turn(project, toy_encoder, **turn)  # type: ignore[arg-type]
    assert carried[0] not in [row for _, row in remembered(project)]
    trained = parquet.read_all(project.made("prepare") / "train.parquet")
    assert carried[0]["id"] not in [row["id"] for row in trained]


def test_an_unknown_schema_is_refused(toy_encoder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "memory"
    files.write_json(folder / "memory.json", {"schema": 99})
    with pytest.raises(IntegrityError, match="schema 99"):
        memory.read(folder)


def test_F05_a_changed_version_is_caught(toy_encoder: Path, tmp_path: Path) -> None:
    project = start(tmp_path, toy_encoder, **REPLAY)
    path = project.version("v1") / "memory" / "rows.parquet"
    data = bytearray(path.read_bytes())
    data[50] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(IntegrityError, match=r"memory/rows\.parquet in v1 is changed"):
        prepare.run(project)


def test_a_reader_that_learned_to_give_no_answer_keeps_the_word(
    toy_encoder: Path, tmp_path: Path
) -> None:
    """Naive: the second turn has answers alone, but its base has seen rows without."""
    episodes = {"one": toys.toy_rows(64, 1, no_answer=0.5), "two": toys.toy_rows(64, 2)}
    project = toys.toy_project(
        tmp_path, toy_encoder, episodes, strategy={"rows": "naive"}, finetune={"first_epochs": 0.2}
    )
    for number, (learning, known) in enumerate([("0001-one", []), ("0002-two", ["0001-one"])], 1):
        version = "v1" if known else ""
        toys.toy_turn(project, toy_encoder, learning=[learning], known=known, version=version)
        prepare.run(project)
        finetune.run(project)
        toys.toy_version(project, f"v{number}")
        assert files.read_json(project.version(f"v{number}") / "spec.json")["no_answer"] is True
    assert files.read_json(project.made("prepare") / "counts.json")["train"]["no_answer"] == 0
