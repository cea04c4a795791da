"""Memory: under its budget, the same however it was built, never a held-out row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from onward import files
from onward.episodes import rows as parquet
from onward.episodes import split
from onward.errors import IntegrityError
from onward.learning import finetune, memory, prepare
from onward.project import Project
from onward.recipes import extractive
from tests import toys

REPLAY = {"rows": "replay", "replay_rows": 20, "replay_percent": 25}


def start(
    root: Path, encoder: Path, episodes: dict[str, Any] | None = None, **strategy: Any
) -> Project:
    """A project whose first turn learned episode one, kept as v1; the turn learns two on v1."""
    episodes = episodes or {"one": toys.toy_rows(64, 1), "two": toys.toy_rows(64, 2)}
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


def test_rows_that_said_when_to_stop_are_remembered_too(toy_encoder: Path, tmp_path: Path) -> None:
    strategy = {**REPLAY, "replay_rows": 200}
    project = toys.toy_project(
        tmp_path,
        toy_encoder,
        {"one": toys.toy_rows(64, 1)},
        strategy=strategy,
        prepare={"early_stopping_percent": 20},
        finetune={"first_epochs": 0.2},
    )
    held = remembered(project)
    counts = files.read_json(project.made("prepare") / "counts.json")
    assert counts["stopping"]["rows"] > 0 and len(held) == 48
    assert len({row["title"] for _, row in held}) == 6


def test_another_turn_replays_other_rows_of_the_same_memory(
    toy_encoder: Path, tmp_path: Path
) -> None:
    """Else the same few would be replayed for ever, and most of memory never."""
    strategy = {**REPLAY, "policy": "hardest", "replay_rows": 40, "replay_percent": 10}
    project = start(tmp_path, toy_encoder, **strategy)
    toys.toy_episode(project, 3, "more", toys.toy_rows(24, 3))
    replayed = []
    for known in (["0001-one"], ["0001-one", "0003-more"]):
        toys.toy_turn(project, toy_encoder, learning=["0002-two"], known=known, version="v1")
        prepare.run(project)
        assert parquet.count(project.made("prepare") / "recalled.parquet") == 40
        rows = parquet.read(project.made("prepare") / "train.parquet", ["id", "episode"])
        replayed.append({row["id"] for row in rows if row["episode"] == "0001-one"})
    assert len(replayed[0]) == len(replayed[1]) == 5 and replayed[0] != replayed[1]


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


def sealed(
    project: Project, folder: str, train: list[Any], heldout: list[Any], **about: Any
) -> dict[str, Any]:
    """Seal episode three; the turn that learns it on v1, which knows episode one."""
    number = int(folder[:4])
    with files.building(project.episode(folder), number=number, recipe="extractive", **about) as at:
        parquet.write(at / "train.parquet", train, extractive.SCHEMA)
        parquet.write(at / "heldout.parquet", heldout, extractive.SCHEMA)
        lines = (
            {"kind": "context", "key": parquet.side_key(row["context"]).hex(), "side": side}
            for side, rows in (("train", train), ("heldout", heldout))
            for row in rows
        )
        parquet.write(at / "sides.parquet", lines, split.SCHEMA)
    return {"learning": [folder], "known": ["0001-one"], "version": "v1"}


def test_a_corrected_row_leaves_memory(toy_encoder: Path, tmp_path: Path) -> None:
    """An episode that replaces rows of a known one: what memory held of them is not replayed."""
    project = start(tmp_path, toy_encoder, **{**REPLAY, "replay_rows": 200})
    wrong = parquet.read_all(project.episode("0001-one") / "train.parquet")
    mended = [{**row, "question": row["question"] + " really ?"} for row in wrong[:30]]
    turn = sealed(project, "0003-mended", mended, [], name="mended", replaces=["0001-one"])
    toys.toy_turn(project, toy_encoder, **turn)
    held = [row for _, row in remembered(project)]
    assert len(held) == 48 and not [row for row in held if row in wrong[:30]]


def spelled(how: str, text: str) -> str:
    """A context as a held-out row of another episode might have it."""
    if how == "normalised":
        return f"  {text.upper()} "
    return text.replace(" box", " vase", 1) if how == "near" else text


@pytest.mark.parametrize("how", ["exact", "normalised", "near"])
def test_D09_memory_never_holds_a_held_out_text(
    how: str, toy_encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither what a later episode holds out, nor a new row that repeats an old held-out one."""
    long = " ".join(f"a{n} box then b{n}" for n in range(12))
    episodes = {}
    for number, name in enumerate(["one", "two"], start=1):
        episodes[name] = toys.toy_rows(64, number, contexts=1)
        for row in episodes[name]:
            row["context"] += f" {row['id']} {long} {row['id']}"
    project = start(tmp_path, toy_encoder, episodes, **REPLAY)
    carried = [row for _, row in memory.rows(project.version("v1") / "memory")]
    kept_out = parquet.read_all(project.episode("0001-one") / "heldout.parquet")
    same = {**carried[0], "id": "again", "context": spelled(how, carried[0]["context"])}
    leaking = {**kept_out[0], "id": "leaks", "context": spelled(how, kept_out[0]["context"])}
    assert (same["context"] == carried[0]["context"]) == (how == "exact")
    params = files.read_json(project.params)
    files.write_json(project.params, {**params, "episode": {"near_duplicate": 0.8}})
    train = [leaking, *toys.toy_rows(12, 9, contexts=1)]
    turn = sealed(project, "0003-three", train, [same], name="three")
    toys.toy_turn(project, toy_encoder, **turn)
    held = [row["id"] for _, row in remembered(project)]
    assert carried[0]["id"] not in held and "leaks" not in held
    assert len(held) == 20 and set(held) & {row["id"] for row in carried}
    trained = parquet.read_all(project.made("prepare") / "train.parquet")
    assert carried[0]["id"] not in [row["id"] for row in trained]
    assert files.read_json(project.made("prepare") / "counts.json")["replay"]["barred"] == 2
    assert "memory: 2 rows repeat a held-out row and are not remembered" in capsys.readouterr().out


def test_a_memory_made_anew_gives_no_place_to_rows_that_leak(
    toy_encoder: Path, tmp_path: Path
) -> None:
    """Another strategy's turn draws as many rows as there is room for, all of them sound."""
    project = start(tmp_path, toy_encoder, rows="joint")
    known = parquet.read_all(project.episode("0001-one") / "train.parquet")
    held_out = [{**row, "id": f"again {row['id']}"} for row in known[:16]]
    turn = sealed(project, "0003-three", toys.toy_rows(20, 9), held_out, name="three")
    toys.toy_turn(project, toy_encoder, **turn)
    change(project, **REPLAY)
    prepare.run(project)
    drawn = [row for _, row in memory.read_rows(project.made("prepare") / "recalled.parquet")]
    contexts = {row["context"] for row in held_out}
    assert len(drawn) == 20 and not [row for row in drawn if row["context"] in contexts]


def test_a_shortfall_is_said_and_written(
    toy_encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = start(tmp_path, toy_encoder, **{**REPLAY, "replay_rows": 5})
    prepare.run(project)
    replay = files.read_json(project.made("prepare") / "counts.json")["replay"]
    assert replay == {"wanted": 16, "rows": 5, "memory": 5, "barred": 0}
    said = "replay: 5 of 16 rows that would be 25% of the mix; memory holds no more"
    assert said in capsys.readouterr().out


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
