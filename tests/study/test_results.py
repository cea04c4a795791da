"""Measures of known matrices, and intervals that widen where they must."""

from __future__ import annotations

import math
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onward import files
from onward.errors import NotFinite, TrainingError, UsageError
from onward.evaluation import ledger
from onward.study import choosing, figures, readings, report, results, schedule, study, trial
from onward.study.choosing import GRID, Choice, choose, keys
from onward.study.combinations import parse
from tests.study import toy_study

NAN = math.nan
MATRIX = np.array([[90.0, NAN, NAN], [60.0, 80.0, NAN], [70.0, 50.0, 75.0]])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("average", 65.0),
        ("known", 60.0),
        ("learned", (90 + 80 + 75) / 3),
        ("forgetting", ((90 - 70) + (80 - 50)) / 2),
        ("backward", ((70 - 90) + (50 - 80)) / 2),
    ],
)
def test_measures_are_what_their_definitions_say(name: str, value: float) -> None:
    found = results.MEASURES[name](np.stack([MATRIX, MATRIX + 1]))
    shift = 1.0 if name in ("average", "known", "learned") else 0.0
    assert found == pytest.approx([value, value + shift])


def test_an_episode_that_got_better_later_is_forgotten_from_its_best() -> None:
    matrix = np.array([[50.0, NAN, NAN], [80.0, 90.0, NAN], [60.0, 90.0, 90.0]])
    assert results.forgetting(matrix) == pytest.approx((20 + 0) / 2)
    assert results.backward(matrix) == pytest.approx((10 + 0) / 2)
    best_at_last = np.array([[50.0, NAN], [80.0, 90.0]])
    assert results.forgetting(best_at_last) == pytest.approx(-30), "before the last turn"


def test_an_interval_is_over_rows_where_there_is_one_seed() -> None:
    drawn = np.linspace(40.0, 60.0, results.RESAMPLES)
    found = results.mean([np.concatenate([[50.0], drawn])], results.seeds_drawn(1))
    assert (found.value, found.low, found.high) == pytest.approx((50.0, 41.0, 59.0), abs=0.01)


def test_an_interval_is_over_seeds_that_are_drawn_again_and_again() -> None:
    """Two seeds that differ: now and then one of them is drawn alone."""
    sure = [np.full(1 + results.RESAMPLES, value) for value in (40.0, 60.0)]
    assert results.mean(sure, results.seeds_drawn(2)) == results.Value(50.0, 40.0, 60.0)


ENCODER = Path("toy")


def sealed(
    folder: Path, names: tuple[str, ...], right: dict[str, float], seeds: tuple[int, ...] = (0,)
) -> Any:
    """A plan whose trials are sealed with answers that are right for a share of the rows."""
    made = toy_study.plan(folder, ENCODER, *names, seeds=seeds)
    vars(made)["encoder"], vars(made)["code"] = "e", "c"
    for (name, seed), one in made.trials().items():
        draw = np.random.Generator(np.random.PCG64(seed))
        for number, key in enumerate(one.keys(), start=1):
            units = {}
            for named in one.sequence.named[:number]:
                hits = draw.random(60) < right[name]
                units[named.episode] = {
                    f"{named.episode} {at}": ledger.Entry("", statistics(hit))
                    for at, hit in enumerate(hits)
                }
            seal(folder, one, number, key, units)
    return made


def read(made: Any) -> None:
    """As if every trial had begun."""
    for one in made.trials().values():
        readings.mark(made.folder, one)


def statistics(hit: bool) -> tuple[float, ...]:
    from onward.recipes import extractive

    row = toy_study.delivered(1).heldout[0]
    said = row["answers"][0] if hit else "nothing of it"
    prediction = {"text": said, "start": 0, "end": 1, "probability": 1.0, "no_answer": False}
    return tuple(float(v) for v in extractive.statistics(row, {**prediction, "n_best": []}))


def seal(folder: Path, one: trial.Trial, number: int, key: str, units: Any) -> None:
    result = {
        "combination": one.combination,
        "seed": one.seed,
        "episode": one.sequence.named[number - 1].episode,
        "scores": dict.fromkeys(units, 50.0),
        "seconds": {
            "prepare": 1.0,
            "finetune": 2.0 * number,
            "evaluate": 1.0,
            "all": 2 + 2.0 * number,
        },
        "processor_seconds": {"all": 1.0 + number},
        "peak_mb": 100.0 * number,
        "steps": 10,
        "rows": 40,
        "recalled": 0,
        "stored_rows": number,
        "stored_bytes": 1000 * number,
        "model_bytes": 10**6,
        "heldout": 60 * number,
        "scored": 60,
        "version": "0",
    }
    with files.building(folder / "done" / key) as at:
        files.write_json(at / trial.RESULT, result)
        ledger.write_parts(at / trial.ROWS, [ledger.part("a", "torch", "s", units)])


@pytest.mark.parametrize("finished", [["naive"], []])
def test_a_table_without_joint_is_of_what_is_finished(tmp_path: Path, finished: list[str]) -> None:
    """As `--only naive` or `--minutes` leaves it: joint is of the plan and not yet trained."""
    made = sealed(tmp_path, ("naive", "joint"), {"naive": 0.5, "joint": 0.9})
    for (name, _), one in made.trials().items():
        for key in one.keys() if name not in finished else []:
            shutil.rmtree(tmp_path / "done" / key)
    table = report.make(made, {})
    assert [row["combination"] for row in table["rows"]] == finished
    assert "joint seed 0" in table["missing"] and table["metric"] == "F1"
    page = report.place(tmp_path).read_text()
    assert page.count("| — |") == 2 * len(finished)
    drawn = sorted(path.name for path in report.place(tmp_path).parent.glob("*.png"))
    assert drawn == sorted(f"{name}.png" for name in figures.NAMES if f"]({name}.png)" in page)


def test_one_seed_and_three_are_drawn_over_rows_and_seeds(tmp_path: Path) -> None:
    made = sealed(tmp_path, ("naive", "joint"), {"naive": 0.5, "joint": 0.9}, (0, 1, 2))
    naive, joint = results.collect(made)
    assert naive.seeds == (0, 1, 2) and len(naive.turns) == 6
    value = naive.measures["average"]
    assert value.low < value.value < value.high < joint.measures["average"].low
    assert joint.measures["of_joint"] == results.Value(100.0, 100.0, 100.0)
    share = naive.measures["of_joint"]
    assert share.low < share.value < share.high < 100
    assert naive.measures["known_against_joint"].high < 0
    lost = {one.name: one.measures["forgetting"].value for one in (naive, joint)}
    beyond = naive.measures["beyond_joint"].value
    assert beyond == pytest.approx(lost["naive"] - lost["joint"], abs=1e-3)
    assert joint.measures["beyond_joint"] == results.Value(0.0, 0.0, 0.0)
    assert naive.curve[1] == naive.measures["average"]
    assert naive.curve[0].value == pytest.approx(naive.matrix[0, 0], abs=1e-3)
    assert np.isnan(naive.matrix[0, 1])
    recipe, right = results.recipes.get(made.recipe), []
    for seed in (0, 1, 2):
        part = trial.statistics(tmp_path, made.trials()["naive", seed].keys()[1])
        right.append([recipe.metrics(part.total(unit))[recipe.PRIMARY] for unit in part.units()])
    assert naive.matrix[1] == pytest.approx(np.mean(right, axis=0)), "the rows as they are"
    spent = report.cost(naive.turns)
    # Two turns a seed, sealed with 4 and 6 seconds, 2 and 3 of the processor, 10 steps each.
    assert (spent["seconds"], spent["turn_seconds"]) == (10.0, 6.0)
    assert (spent["processor_seconds"], spent["turn_processor_seconds"]) == (5.0, 3.0)
    assert (spent["steps"], spent["rows"]) == (20, 80)


def test_there_is_no_share_of_a_joint_that_is_not_above_zero() -> None:
    """R2 may be negative: the worst way had the largest share."""
    drawn = results.seeds_drawn(1)
    mine, joint = (np.full(1 + results.RESAMPLES, value) for value in (-30.0, -15.0))
    assert results._share([(mine, joint)], drawn) is None
    assert results._share([(mine, np.zeros_like(mine))], drawn) is None
    some = joint.copy()
    some[0], some[1::2] = 15.0, 15.0  # half of the resamples
    assert results._share([(mine, some)], drawn) == results.Value(-200.0, -200.0, -200.0)


def test_more_seeds_on_the_same_rows_do_not_pass_for_more_rows(tmp_path: Path) -> None:
    """Equal answers by every seed: the interval is that of one seed."""
    one = sealed(tmp_path / "one", ("naive",), {"naive": 0.5})
    width = {}
    for seeds, folder in (((0,), "one"), ((0, 1, 2), "three")):
        made = (
            sealed(tmp_path / folder, ("naive",), {"naive": 0.5}, seeds) if folder != "one" else one
        )
        for (_, seed), each in made.trials().items():
            if seed:
                copy_results(made, each)
        value = results.collect(made)[0].measures["average"]
        width[folder] = value.high - value.low
    assert width["three"] == pytest.approx(width["one"], rel=0.01)


def test_an_episode_of_which_no_row_was_drawn_is_not_scored_as_wrong(tmp_path: Path) -> None:
    """Two test rows beside sixty: every eighth resample has none of them."""
    made = toy_study.plan(tmp_path, ENCODER, "naive", "joint")
    vars(made)["encoder"], vars(made)["code"] = "e", "c"
    for one in made.trials().values():
        for number, key in enumerate(one.keys(), start=1):
            units = {
                named.episode: {
                    f"{named.episode} {at}": ledger.Entry("", statistics(True))
                    for at in range(rows)
                }
                for named, rows in zip(one.sequence.named[:number], (2, 60), strict=False)
            }
            seal(tmp_path, one, number, key, units)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (naive, _) = results.collect(made)
    assert naive.measures["average"] == results.Value(100.0, 100.0, 100.0)
    assert naive.measures["forgetting"] == results.Value(0.0, 0.0, 0.0)
    assert naive.measures["beyond_joint"] == results.Value(0.0, 0.0, 0.0)
    assert naive.curve == [results.Value(100.0, 100.0, 100.0)] * 2


def test_a_test_row_that_is_corrected_later_counts_in_no_turn(tmp_path: Path) -> None:
    """It was scored before its correction came: the table ended in a KeyError."""
    made = toy_study.plan(tmp_path, ENCODER, "naive")
    vars(made)["encoder"], vars(made)["code"] = "e", "c"
    (one,) = made.trials().values()
    first, second = (named.episode for named in one.sequence.named)
    wrong, right = (ledger.Entry("", statistics(hit)) for hit in (False, True))
    old = {str(at): right if at < 10 else wrong for at in range(30)}
    stays = {str(at): right for at in range(10)}
    seal(tmp_path, one, 1, one.keys()[0], {first: old})
    # Rows 10 to 29 are corrected; row 10 came with the correction as it was.
    seal(tmp_path, one, 2, one.keys()[1], {first: stays, second: {"10": right, "new": right}})
    (naive,) = results.collect(made)
    assert naive.matrix[0, 0] == naive.matrix[1, 0] == naive.matrix[1, 1] == 100.0
    assert naive.measures["forgetting"] == results.Value(0.0, 0.0, 0.0)


def copy_results(made: Any, each: trial.Trial) -> None:
    first = made.trials()[each.combination, 0]
    for key, source in zip(each.keys(), first.keys(), strict=True):
        files.write_bytes(
            made.folder / "done" / key / trial.ROWS,
            (made.folder / "done" / source / trial.ROWS).read_bytes(),
        )


def test_the_report_holds_table_and_figures_and_is_made_once(
    tmp_path: Path, monkeypatch: Any
) -> None:
    made = sealed(tmp_path, ("naive", "joint"), {"naive": 0.5, "joint": 0.9}, (0, 1))
    read(made)
    table = report.make(made, {})
    assert {path.name for path in (tmp_path / "report").iterdir()} == {
        "table.json",
        "table.md",
        "manifest.json",
        *(f"{name}.png" for name in figures.NAMES),
    }
    naive = table["rows"][0]
    assert naive["cost"]["turn_seconds"] == 6.0 and naive["cost"]["seconds"] == 10.0
    assert naive["cost"]["turn_processor_seconds"] == 3.0
    assert naive["cost"]["processor_seconds"] == 5.0
    assert naive["cost"]["stored_rows"] == 2 and naive["cost"]["steps"] == 20
    assert naive["matrix"][0][1] is None and table["missing"] == []
    page = report.place(tmp_path).read_text()
    assert "| naive | 2 |" in page and "| once |" in page
    monkeypatch.setattr(report, "collect", lambda _: pytest.fail("made again"))
    assert report.make(made, {}) == table


def test_what_is_not_finished_is_named(tmp_path: Path) -> None:
    made = sealed(tmp_path, ("naive", "joint"), {"naive": 0.5, "joint": 0.9}, (0, 1))
    files.remove(tmp_path / "done" / made.trials()["joint", 1].keys()[1])
    table = report.make(made, {})
    assert table["missing"] == ["joint seed 1"]
    assert [len(row["seeds"]) for row in table["rows"]] == [2, 1]
    assert "of_joint" not in table["rows"][0]["measures"], "joint lacks a seed"


def test_test_rows_are_read_for_one_configuration_and_a_second_is_said_so(tmp_path: Path) -> None:
    made = sealed(tmp_path, ("naive",), {"naive": 0.5}, (0, 1))
    for _ in range(2):
        readings.check(tmp_path, made.trials().values(), again=False)
        read(made)
    assert readings.times(tmp_path, "naive") == 1
    vars(made)["chosen"] = {"naive": {"finetune.learning_rate": 0.123}}
    with pytest.raises(UsageError, match="naive"):
        readings.check(tmp_path, made.trials().values(), again=False)
    assert readings.times(tmp_path, "naive") == 1
    readings.check(tmp_path, made.trials().values(), again=True)
    assert readings.times(tmp_path, "naive") == 1, "nothing was read yet"
    read(made)
    assert readings.times(tmp_path, "naive") == 2 and readings.times(tmp_path, "joint") == 0
    vars(made)["chosen"] = {}
    table = report.make(made, {})
    assert table["rows"][0]["test_read"] == 2
    assert "2 settings" in report.markdown(table) and "more than one" in report.markdown(table)


def test_an_encoder_is_told_by_its_bytes_and_a_project_by_nothing(tmp_path: Path) -> None:
    """Other weights under the same name are a second try; a project that was moved is none."""
    made = toy_study.plan(tmp_path, ENCODER, "naive")
    vars(made)["encoder"], vars(made)["code"] = "e", "c"
    read(made)
    moved = toy_study.plan(tmp_path, Path("elsewhere"), "naive")
    moved.settings["project"]["name"] = "renamed"
    vars(moved)["encoder"], vars(moved)["code"] = "e", "c"
    assert moved.trials()["naive", 0].keys() == made.trials()["naive", 0].keys()
    readings.check(tmp_path, moved.trials().values(), again=False)
    vars(made)["encoder"] = "other"
    with pytest.raises(UsageError, match="naive"):
        readings.check(tmp_path, made.trials().values(), again=False)


def test_a_study_refuses_before_it_trains(tmp_path: Path, monkeypatch: Any) -> None:
    made = toy_study.plan(tmp_path, ENCODER, "naive")
    vars(made)["encoder"], vars(made)["code"] = "e", "c"
    read(made)
    vars(made)["code"] = "other"
    monkeypatch.setattr(schedule, "run_all", lambda *_, **__: pytest.fail("trained"))
    with pytest.raises(UsageError):
        study.study(made, jobs=1)


def test_parts_of_a_plan_are_run_and_the_table_is_of_all(tmp_path: Path, monkeypatch: Any) -> None:
    made = sealed(tmp_path, ("naive", "joint"), {"naive": 0.5, "joint": 0.9}, (0, 1))
    ran: list[str] = []

    def run_all(folder: Path, trials: Any, jobs: int, *, begins: Any, **_: Any) -> None:
        ran.extend(one.label for one in trials)
        begins(trials[-1])

    monkeypatch.setattr(schedule, "run_all", run_all)
    table = study.study(made, jobs=1, only=["joint:1", "naive"])
    assert ran == ["naive seed 0", "naive seed 1", "joint seed 1"]
    assert [row["combination"] for row in table["rows"]] == ["naive", "joint"]
    assert readings.times(tmp_path, "joint") == 1
    assert readings.times(tmp_path, "naive") == 0, "of these none was begun"


def test_a_trial_that_is_none_is_told_before_hours_of_choosing(
    tmp_path: Path, monkeypatch: Any
) -> None:
    made = toy_study.plan(tmp_path / "study", ENCODER, "naive")
    vars(made)["encoder"], vars(made)["code"] = "e", "c"
    monkeypatch.setattr(choosing, "choose", lambda *_, **__: pytest.fail("chose"))
    with pytest.raises(UsageError, match="naive:7"):
        study.study(made, jobs=1, select=True, only=["naive:7"])
    assert not (made.folder / "study.lock").exists()


def test_settings_are_chosen_key_by_key_on_the_carved_part(
    tmp_path: Path, monkeypatch: Any
) -> None:
    made = toy_study.plan(tmp_path, ENCODER, "naive", "replay-reservoir")
    vars(made)["encoder"], vars(made)["code"] = "e", "c"
    seen = []

    def run_all(folder: Path, trials: Any, *_: Any, **__: Any) -> dict[str, Any]:
        for one in trials:
            rate = one.blocks["finetune"]["learning_rate"]
            share = one.blocks["strategy"]["replay_percent"]
            seen.append((one.combination, rate, share))
            assert one.sequence.id != made.sequences[0].id
            score = 90.0 if (rate, share) == (0.2, 50) else 80.0 if rate == 0.2 else 70.0
            for number, key in enumerate(one.keys(), start=1):
                if not trial.sealed(folder, key):
                    seal(folder, one, number, key, {})
                    files.write_json(folder / "done" / key / trial.RESULT, {"scores": {"u": score}})
        return {}

    monkeypatch.setattr(schedule, "run_all", run_all)
    grid = {"finetune.learning_rate": (0.1, 0.2), "strategy.replay_percent": (30, 50)}
    found = choose(made, 1, grid)
    assert found["naive"] == Choice(
        {"finetune.learning_rate": 0.2},
        [
            {"finetune.learning_rate": 0.1, "score": 70.0},
            {"finetune.learning_rate": 0.2, "score": 80.0},
        ],
    )
    assert found["replay-reservoir"].values == {**grid_best()}
    assert ("replay-reservoir", 0.2, 50) in seen and ("replay-reservoir", 0.1, 50) not in seen


def test_a_value_that_diverges_is_not_chosen(tmp_path: Path, monkeypatch: Any) -> None:
    made = toy_study.plan(tmp_path, ENCODER, "naive")
    vars(made)["encoder"], vars(made)["code"] = "e", "c"
    away = NotFinite("The loss is NaN", where="", fix="")
    most = 0.15

    def run_all(folder: Path, trials: Any, *_: Any, spared: Any = (), **__: Any) -> dict[str, Any]:
        assert NotFinite in spared and TrainingError not in spared
        fine = [one for one in trials if one.blocks["finetune"]["learning_rate"] < most]
        for one in fine:
            for number, key in enumerate(one.keys(), start=1):
                seal(folder, one, number, key, {})
                files.write_json(folder / "done" / key / trial.RESULT, {"scores": {"u": 70.0}})
        return {one.keys()[-1]: away for one in trials if one not in fine}

    monkeypatch.setattr(schedule, "run_all", run_all)
    rate = "finetune.learning_rate"
    found = choose(made, 1, {rate: (0.2, 0.1)})["naive"]
    assert found.values == {rate: 0.1}
    assert found.tried == [
        {rate: 0.2, "score": None, "failed": "The loss is NaN"},
        {rate: 0.1, "score": 70.0},
    ]
    most = 0.0
    with pytest.raises(NotFinite):
        choose(made, 1, {rate: (0.2, 0.3)})


def grid_best() -> dict[str, float]:
    return {"finetune.learning_rate": 0.2, "strategy.replay_percent": 50}


def test_analytic_has_no_learning_rate_to_choose() -> None:
    assert keys(parse("analytic")) == ["strategy.analytic_ridge"]
    assert keys(parse("naive+ewc"))[-1] == "strategy.ewc_weight"


def test_the_rate_that_is_chosen_is_the_one_that_is_used() -> None:
    """Adapters begin with the pretrained encoder in every turn; what is not trained has none."""
    assert keys(parse("adapters")) == ["finetune.first_learning_rate"]
    assert keys(parse("joint+none")) == []
    assert all(key in GRID for name in ("adapters", "replay+der") for key in keys(parse(name)))
