"""One combination over the toy episodes, by the product's own stages; killed, and gone on with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from onward import files
from onward.errors import IntegrityError, NotFinite, UsageError
from onward.learning import finetune
from onward.study import planning, readings, sequence, trial
from tests import loop, toys
from tests.study import toy_study


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toys.toy_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, encoder: Path
) -> tuple[Path, dict[str, Any]]:
    """A folder in which naive, replay and joint are done, and their trials by name."""
    folder = tmp_path_factory.mktemp("study")
    names = ("naive", "replay-reservoir", "joint")
    found = toy_study.plan(folder, encoder, *names, strategy={"replay_rows": 20}).trials()
    for one in found.values():
        trial.run(folder, one)
    return folder, {name: one for (name, _), one in found.items()}


def results(folder: Path, one: trial.Trial) -> list[dict[str, Any]]:
    return [trial.read(folder, key) for key in one.keys()]


def test_each_turn_leaves_its_scores_and_nothing_else_stays(finished: Any) -> None:
    folder, trials = finished
    first, second = results(folder, trials["naive"])
    assert list(first["scores"]) == ["0001-toy1"]
    assert list(second["scores"]) == ["0001-toy1", "0002-toy2"]
    assert second["episode"] == "0002-toy2" and second["heldout"] == 16
    # The candidate on both episodes, its base on the new one; the base's old rows are cached.
    assert second["scored"] == 16 + 8
    for clock in ("seconds", "processor_seconds"):
        assert set(second[clock]) == {*trial.STAGES, "all"} and second[clock]["all"] > 0
    assert not trials["naive"].work(folder).exists()
    assert {path.name for path in (folder / "done" / trials["naive"].keys()[0]).iterdir()} == {
        "result.json",
        "rows.parquet",
        "manifest.json",
    }


def test_rows_from_memory_take_no_more_steps(finished: Any) -> None:
    folder, trials = finished
    steps = {name: [turn["steps"] for turn in results(folder, t)] for name, t in trials.items()}
    assert steps["replay-reservoir"] == steps["naive"]
    assert steps["joint"][0] == steps["naive"][0] and steps["joint"][1] == 2 * steps["naive"][1]
    recalled = results(folder, trials["replay-reservoir"])[1]
    assert 0 < recalled["recalled"] <= recalled["stored_rows"] == 20
    assert recalled["stored_bytes"] > 0 and results(folder, trials["naive"])[1]["stored_rows"] == 0


def test_held_to_joint_all_take_the_steps_of_joint(finished: Any, tmp_path: Path) -> None:
    """Also where it goes on after a kill: the windows of earlier turns are in what was sealed."""
    folder, trials = finished
    encoder = Path(trials["naive"].blocks["project"]["encoder"])
    names = ("naive", "replay-reservoir", "joint")
    made = toy_study.plan(tmp_path, encoder, *names, strategy={"replay_rows": 20})
    found = replace(made, steps="joint").trials()
    steps = {}
    for (name, _), one in found.items():
        if name != "joint":
            trial.run(tmp_path, one)
            steps[name] = [turn["steps"] for turn in results(tmp_path, one)]
    wanted = [turn["steps"] for turn in results(folder, trials["joint"])]
    assert steps == {"naive": wanted, "replay-reservoir": wanted}
    for one in found.values():
        readings.mark(tmp_path, one)
    with pytest.raises(UsageError, match="naive"):  # as long as naive: another configuration
        readings.check(tmp_path, [made.trials()["naive", 0]], again=False)
    # joint itself is the same trial, whoever is held to it.
    assert found["joint", 0].keys() == trials["joint"].keys()
    assert (
        results(tmp_path, found["naive", 0])[1]["rows"]
        < results(folder, trials["joint"])[1]["rows"]
    )


def test_held_to_joint_where_rows_were_corrected(tmp_path: Path, encoder: Path) -> None:
    """joint sees each corrected row once; the steps were those of both its forms."""
    project = loop.begun(tmp_path / "project", encoder, "classification")
    first = toys.toy_texts(48, 1)
    loop.opened(project, "first", toys.write_jsonl(tmp_path / "1.jsonl", first))
    again = [{**row, "label": "city"} for row in first[:30]]
    source = toys.write_jsonl(tmp_path / "2.jsonl", again)
    loop.opened(project, "again", source, corrects="first")
    folder = project.study("corrected")
    plan = planning.planned(project, folder, None, "naive,joint", "0", 1, 1, "joint")
    steps = {}
    for (name, _), one in plan.trials().items():
        trial.run(folder, one)
        steps[name] = [turn["steps"] for turn in results(folder, one)]
    assert steps["naive"] == steps["joint"]


def test_a_turn_sees_no_episode_that_comes_later(
    tmp_path: Path, encoder: Path, monkeypatch: Any
) -> None:
    """D09: what guards memories reads all of data/, and later test rows are not there yet."""
    from onward.learning import prepare

    seen = []

    def look(project: Any) -> None:
        seen.append(sorted(path.name for path in project.data.iterdir()))
        if len(seen) == 2:
            raise NotFinite("seen enough")
        real(project)

    real = prepare.run
    monkeypatch.setattr(prepare, "run", look)
    with pytest.raises(NotFinite):
        trial.run(tmp_path, toy_study.plan(tmp_path, encoder, "naive").trials()["naive", 0])
    assert seen == [["0001-toy1"], ["0001-toy1", "0002-toy2"]]


def test_a_study_in_other_processes_gives_the_same(finished: Any, tmp_path: Path) -> None:
    """I5: bit by bit what this process gave; a table and figures at the end."""
    from onward.study.study import study

    folder, trials = finished
    encoder = Path(trials["naive"].blocks["project"]["encoder"])
    plan = toy_study.plan(tmp_path, encoder, "naive", strategy={"replay_rows": 20})
    table = study(plan, jobs=2)
    assert table["missing"] == [] and [row["combination"] for row in table["rows"]] == ["naive"]
    assert {path.suffix for path in (tmp_path / "report").iterdir()} == {".md", ".json", ".png"}
    mine, theirs = ([plain(t) for t in results(at, trials["naive"])] for at in (folder, tmp_path))
    assert mine == theirs


def test_the_kept_statistics_give_the_scores(finished: Any) -> None:
    from onward.recipes import extractive

    folder, trials = finished
    for key in trials["joint"].keys():
        part = trial.statistics(folder, key)
        for unit, score in trial.read(folder, key)["scores"].items():
            assert float(extractive.metrics(part.total(unit))["f1"]) == pytest.approx(
                score, abs=1e-3
            )


def test_a_finished_trial_is_not_run_again(finished: Any, monkeypatch: Any) -> None:
    folder, trials = finished
    monkeypatch.setattr(trial, "_turn", lambda *_: pytest.fail("ran again"))
    trial.run(folder, trials["naive"])


def test_adapters_stand_beside_each_other(finished: Any, tmp_path: Path, encoder: Path) -> None:
    """The second turn has two, and takes naive's steps, not those of a first training."""
    one = toy_study.plan(tmp_path, encoder, "adapters").trials()["adapters", 0]
    trial.run(tmp_path, one)
    first, second = results(tmp_path, one)
    assert second["model_bytes"] > first["model_bytes"]
    folder, trials = finished
    naive = results(folder, trials["naive"])
    assert [turn["steps"] for turn in (first, second)] == [turn["steps"] for turn in naive]
    assert first["steps"] != second["steps"]


def plain(result: dict[str, Any]) -> dict[str, Any]:
    """Without what differs from run to run."""
    return {key: value for key, value in result.items() if not key.endswith(("seconds", "peak_mb"))}


@pytest.mark.parametrize("lost", [False, True], ids=["project kept", "project lost"])
def test_a_killed_trial_ends_where_an_undisturbed_one_does(
    finished: Any, tmp_path: Path, monkeypatch: Any, lost: bool
) -> None:
    """F01, I5: it dies in the second turn's training."""
    folder, trials = finished
    one = trials["replay-reservoir"]
    with monkeypatch.context() as patched:
        real = finetune.run

        def dying(project: Any) -> None:
            if (project.root / "models" / "registry" / "v1").exists():
                raise NotFinite("as if killed")
            real(project)

        patched.setattr(finetune, "run", dying)
        with pytest.raises(NotFinite):
            trial.run(tmp_path, one)
    assert [trial.sealed(tmp_path, key) for key in one.keys()] == [True, False]
    if lost:
        files.remove(one.work(tmp_path))
    told: list[str] = []
    trial.run(tmp_path, one, told.append)
    assert len(told) == (2 if lost else 1)
    assert [plain(turn) for turn in results(tmp_path, one)] == [
        plain(turn) for turn in results(folder, one)
    ]


def test_a_trial_killed_after_its_evaluation_tells_what_that_had_to_score(
    finished: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    """F01, I5: what it scored before it died is cached, and would count for nothing."""
    folder, trials = finished
    one, real = trials["naive"], trial._keep

    def dying(project: Any, name: str) -> str:
        if name == "v2":
            raise NotFinite("as if killed")
        return real(project, name)

    with monkeypatch.context() as patched:
        patched.setattr(trial, "_keep", dying)
        with pytest.raises(NotFinite):
            trial.run(tmp_path, one)
    trial.run(tmp_path, one)
    assert [plain(turn) for turn in results(tmp_path, one)] == [
        plain(turn) for turn in results(folder, one)
    ]


def test_keys_tell_apart_all_that_decides_a_result(finished: Any) -> None:
    _, trials = finished
    one = trials["replay-reservoir"]
    assert len(set(one.keys())) == 2
    blocks = {**one.blocks, "finetune": {**one.blocks["finetune"], "learning_rate": 0.5}}
    shorter = replace(one.sequence, named=one.sequence.named[::-1])
    others = [
        replace(one, seed=1),
        replace(one, steps="joint"),
        replace(one, blocks=blocks),
        replace(one, encoder="0"),
        replace(one, code="0"),
        replace(one, sequence=shorter),
    ]
    assert len({key for other in (one, *others) for key in other.keys()}) == 2 * 7
    renamed = {**one.blocks, "project": {**one.blocks["project"], "name": "other"}}
    assert replace(one, blocks=renamed).keys() == one.keys()


@pytest.mark.parametrize(
    ("epochs", "new", "every", "batch"),
    [
        (1, 32, 45, 8),
        (2.5, 100, 1000, 16),
        (3, 7, 8, 8),
        (1, 1, 500, 8),
        (0.3, 40, 57, 8),
        (1, 900, 45, 8),
        (2.5, 57, 8, 16),
    ],
)
def test_held_epochs_take_the_steps_of_the_rows_they_are_held_to(
    epochs: float, new: int, every: int, batch: int
) -> None:
    import math

    held = trial.held_epochs(epochs, new, every, batch)
    wanted = math.ceil(epochs * math.ceil(new / batch))
    assert math.ceil(held * math.ceil(every / batch)) == wanted


def test_a_changed_episode_is_refused(tmp_path: Path, encoder: Path) -> None:
    one = toy_study.plan(tmp_path, encoder, "naive").trials()["naive", 0]
    named = one.sequence.named[0]
    path = one.sequence.data / named.episode / "train.parquet"
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(IntegrityError):
        trial.run(tmp_path, one)


def test_a_stored_sequence_leaves_out_training_rows_that_are_tested(tmp_path: Path) -> None:
    """D09: also where only case and punctuation differ."""
    first, second = toy_study.delivered(1), toy_study.delivered(2)
    row = first.heldout[0]
    leak = {**row, "id": "leak", "question": row["question"].upper() + "!"}
    leaking = replace(second, train=[*second.train, leak])
    found = sequence.store(tmp_path, "extractive", [first, leaking])
    manifest = files.read_json(found.data / "0002-toy2" / "manifest.json")
    assert manifest["leaked"] == 1
    assert sequence.store(tmp_path, "extractive", [first, leaking]) == found


@pytest.mark.parametrize(("lacks", "said"), [("train", "learn"), ("heldout", "score on")])
def test_an_episode_with_nothing_to_learn_or_to_score_on_is_refused(
    lacks: str, said: str, tmp_path: Path
) -> None:
    """Before anything is trained: the table ended in a traceback."""
    second = replace(toy_study.delivered(2), **{lacks: []})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=f"toy2 has no row to {said}"):
        sequence.store(tmp_path, "extractive", [toy_study.delivered(1), second])


def test_an_episode_whose_test_rows_were_all_corrected_is_refused(
    tmp_path: Path, encoder: Path
) -> None:
    project = loop.begun(tmp_path / "project", encoder, "classification")
    source = toys.write_jsonl(tmp_path / "1.jsonl", toys.toy_texts(48, 1))
    folder = project.episode(loop.opened(project, "first", source).folder)
    again = sequence.parquet.read_all(folder / "heldout.parquet") + toys.toy_texts(24, 2)
    source = toys.write_jsonl(tmp_path / "2.jsonl", again)
    loop.opened(project, "again", source, corrects="first")
    with pytest.raises(UsageError, match="0001-first has no row to score on"):
        sequence.of_project(project)


def test_the_carved_part_never_reads_a_test_row(tmp_path: Path, monkeypatch: Any) -> None:
    found = toy_study.episodes(tmp_path)
    (found.data / "0001-toy1" / "heldout.parquet").rename(tmp_path / "away")
    monkeypatch.setattr(files, "verify", lambda *_: {})
    made = sequence.carved(found, tmp_path / "c", "extractive", percent=30, seed=0, first=1)
    read = sequence.parquet.read_all
    sides = {s: read(made.data / "0001-toy1" / f"{s}.parquet") for s in ("train", "heldout")}
    titles = {side: {row["title"] for row in rows} for side, rows in sides.items()}
    assert titles["train"] and titles["heldout"] and not titles["train"] & titles["heldout"]
    held = {row["id"] for row in toy_study.delivered(1).heldout}
    assert not held & {row["id"] for rows in sides.values() for row in rows}


def test_what_is_scored_of_one_episode_is_learned_in_none(tmp_path: Path) -> None:
    """Two episodes may share titles; each alone would keep other ones apart."""
    few, many = toy_study.delivered(1), toy_study.delivered(2)
    alone = sequence.store(tmp_path, "extractive", [few])
    part = sequence.carved(alone, tmp_path / "c", "extractive", percent=30, seed=0, first=1)
    rows = sequence.parquet.read_all(part.data / "0001-toy1" / "heldout.parquet")
    apart = rows[0]["title"]
    # So large a title in the second that it stays with what is learned there.
    large = [
        {**row, "title": apart if at % 2 else row["title"]} for at, row in enumerate(many.train)
    ]
    found = sequence.store(tmp_path, "extractive", [few, replace(many, train=large)])
    made = sequence.carved(found, tmp_path / "c", "extractive", percent=30, seed=0, first=2)
    titles: dict[str, set[str]] = {"train": set(), "heldout": set()}
    for named in made.named:
        for side, known in titles.items():
            rows = sequence.parquet.read_all(made.data / named.episode / f"{side}.parquet")
            assert rows
            known.update(row["title"] for row in rows)
    assert not titles["train"] & titles["heldout"]
    again = sequence.carved(found, tmp_path / "c", "extractive", percent=30, seed=0, first=2)
    assert again == made


def test_rows_that_share_one_title_cannot_be_parted(tmp_path: Path) -> None:
    alone = toy_study.delivered(1)
    same = [{**row, "title": "one"} for row in alone.train]
    found = sequence.store(tmp_path, "extractive", [replace(alone, train=same)])
    with pytest.raises(UsageError, match="no part of the training rows can be kept apart"):
        sequence.carved(found, tmp_path / "c", "extractive", percent=30, seed=0, first=1)
