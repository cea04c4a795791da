"""Tunings compared on the project's own turn, at equal data, without the rows of its gate."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from onward import config, files
from onward.config import Strategy
from onward.episodes import rows as parquet
from onward.episodes import turn as turns
from onward.episodes.turn import Turn
from onward.errors import OnwardError, SettingsError, UsageError
from onward.learning import encoder, finetune, prepare
from onward.project import Project
from onward.study import choosing, compare, compared, plan, schedule, trial
from onward.study.compare import Comparison, Entry
from onward.study.start import of_turn
from tests import toys


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Whose first episode is learned, and whose turn is to learn the second."""
    folder = tmp_path_factory.mktemp("compared")
    source = toys.toy_encoder(folder / "encoder")
    episodes = {"one": toys.toy_texts(40, 1), "two": toys.toy_texts(60, 2)}
    made: Project = toys.toy_project(
        folder / "project",
        source,
        episodes,
        recipe="classification",
        finetune={"first_epochs": 1, "epochs": 1, "learning_rate": 0.004, "lora_rank": 2},
    )
    toys.toy_turn(made, source, learning=["0001-one"], recipe="classification")
    prepare.run(made)
    finetune.run(made)
    toys.toy_version(made, "v1")
    two: Any = {"known": ["0001-one"], "version": "v1", "recipe": "classification"}
    toys.toy_turn(made, source, learning=["0002-two"], **two)
    return made


def comparison(project: Project, folder: Path, entries: list[Entry]) -> Comparison:
    start, episodes = of_turn(project, folder, percent=30.0, seed=0)
    identity = config.read(project.params, config.Identity)
    return Comparison(
        folder=folder,
        settings=config.load(project.params),
        entries=entries,
        start=start,
        episodes=episodes,
        seeds=[0],
        threads=1,
        encoder=encoder.fingerprint(Path(identity.encoder)),
        code=plan.code(identity.recipe),
    )


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Trials run in this process; their names."""
    ran: list[str] = []

    def run_all(
        folder: Path, trials: Any, *_: Any, spared: Any = (), **__: Any
    ) -> dict[str, OnwardError]:
        failed = {}
        for one in schedule.unfinished(folder, trials):
            ran.append(one.label)
            try:
                trial.run(folder, one)
            except spared as error:
                failed[one.keys()[-1]] = error
        return failed

    monkeypatch.setattr(schedule, "run_all", run_all)
    return ran


def test_the_turn_is_compared_without_the_rows_of_its_gate(
    project: Project, tmp_path: Path, here: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = compare.of_tunings(["full", "prompt"])
    entries += [Entry("small", {"finetune.tuning": "lora", "finetune.learning_rate": 0.01})]
    made = comparison(project, tmp_path, entries)
    before = Turn.read(project)
    read: list[str] = []
    look = turns.rows

    def rows(project: Project, unit: str, side: Any) -> Any:
        read.append(str(project.episode(unit).resolve() / side))
        return look(project, unit, side)

    monkeypatch.setattr(turns, "rows", rows)
    table = compare.compare(made, jobs=1)
    assert here == ["full seed 0", "prompt seed 0", "small seed 0"]
    scored = [Path(place) for place in read if place.endswith("heldout")]
    assert scored and all(tmp_path in place.parents for place in scored)
    assert Turn.read(project) == before

    (name,) = (one.episode for one in made.episodes.named)
    sides = {
        s: parquet.read_all(made.episodes.data / name / f"{s}.parquet")
        for s in ("train", "heldout")
    }
    ids = {side: {row["id"] for row in rows} for side, rows in sides.items()}
    whole = {row["id"] for row in parquet.read_all(project.episode(name) / "train.parquet")}
    assert ids["train"] | ids["heldout"] == whole and not ids["train"] & ids["heldout"]
    results = {row["name"]: row for row in table["rows"]}
    part = trial.statistics(tmp_path, made.trials()["full", 0].keys()[-1])
    assert list(part.units()) == [name] and len(part.statistics(name)[0]) == len(ids["heldout"])
    counts = {key: row["steps"] for key, row in results.items()}
    assert len(set(counts.values())) == 1, "equal rows, equal steps"

    assert {key: row["rate"] for key, row in results.items()} == {
        "full": 0.004,
        "prompt": 0.4,
        "small": 0.01,
    }
    assert results["full"]["trainable"] == results["full"]["parameters"]
    assert results["prompt"]["added_bytes"] == 4 * 16 * 32
    assert results["full"]["change"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    reached = {key: row["score"]["value"] for key, row in results.items()}
    assert len(set(reached.values())) > 1
    for key, row in results.items():
        assert row["change"]["value"] == pytest.approx(reached[key] - reached["full"], abs=1e-3)
    assert all(row["seconds"] > 0 and row["peak_mb"] > 100 for row in table["rows"])
    assert table["missing"] == [] and table["metric"] == "accuracy"

    place = compared.place(tmp_path)
    assert {path.name for path in place.parent.iterdir()} == {
        "table.json",
        "table.md",
        "score_and_weights.png",
        "score_and_time.png",
        files.MANIFEST,
    }
    assert "| prompt |" in place.read_text()
    for name, key in compared.PICTURES.items():
        drawn = compared._png(compared._figure(table, key))
        assert (place.parent / f"{name}.png").read_bytes() == drawn
    again = compare.compare(made, jobs=1)
    assert again == table and len(here) == 3, "what is sealed is not run again"


def test_a_tuning_that_the_model_cannot_have_is_left_out_where_nobody_named_it(
    project: Project, tmp_path: Path, here: list[str]
) -> None:
    """The toy has two layers; by default `last` keeps three of them still."""
    made = comparison(project, tmp_path, compare.of_tunings(["last", "bitfit"]))
    with pytest.raises(SettingsError, match="the model has 2 layers"):
        compare.compare(made, jobs=1)
    unasked = replace(made, spared=compare.UNASKED)
    for select in (False, True):
        table = compare.compare(unasked, jobs=1, select=select)
        assert [row["name"] for row in table["rows"]] == ["bitfit"]
        assert table["against"] == "bitfit" and table["missing"] == []
        assert table["left_out"] == {
            "last seed 0": "finetune.frozen_layers is 3, the model has 2 layers"
        }
        assert "Left out: last seed 0. finetune" in compared.place(tmp_path).read_text()
    with pytest.raises(SettingsError, match="the model has 2 layers"):
        compare.compare(unasked, jobs=1, only=["last"])


def test_no_rate_is_above_what_a_rate_may_be(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As SGD has them: a hundred times 0.5 is none, nor is three times."""
    made = comparison(project, tmp_path, compare.of_tunings(["full", "prompt"]))
    block = {**made.settings["finetune"], "optimizer": "sgd", "learning_rate": 0.5}
    made = replace(made, settings={**made.settings, "finetune": block})
    rates = {n: one.blocks["finetune"]["learning_rate"] for (n, _), one in made.trials().items()}
    assert rates == {"full": 0.5, "prompt": 1.0}
    monkeypatch.setattr(schedule, "run_all", lambda *_, **__: {})
    monkeypatch.setattr(choosing, "_score", lambda *_: 50.0)
    tried = [one["finetune.learning_rate"] for one in compare.choose(made, 1)["full"].tried]
    assert tried == [0.5, 0.167, 1.0]


def test_rates_are_chosen_on_training_rows_alone(
    project: Project, tmp_path: Path, here: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = comparison(project, tmp_path, compare.of_tunings(["bitfit"]))
    rates = [one.blocks["finetune"]["learning_rate"] for one in made.trials().values()]
    assert rates == [0.04]
    seen: list[Any] = []
    monkeypatch.setattr(trial, "run", lambda folder, one: seen.append(one))
    scores = iter([50.0, 70.0, 60.0])
    monkeypatch.setattr(choosing, "_score", lambda *_: next(scores))
    found = compare.choose(made, jobs=1)["bitfit"]
    assert found.values == {"finetune.learning_rate": 0.0133}
    assert [one["score"] for one in found.tried] == [50.0, 70.0, 60.0]
    (name,) = (one.episode for one in made.episodes.named)
    kept = {row["id"] for row in parquet.read_all(made.episodes.data / name / "heldout.parquet")}
    for one in seen:
        for side in ("train", "heldout"):
            rows = parquet.read_all(one.sequence.data / name / f"{side}.parquet")
            assert not kept & {row["id"] for row in rows}


def test_each_entry_has_the_rate_of_its_own_structure(
    project: Project, tmp_path: Path, here: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Adapters begin with pretrained weights in later turns, too."""
    own = {"finetune.tuning": "lora", "strategy.rows": "naive"}
    adapters = Entry("adapters", {**own, "strategy.structure": "adapters"})
    made = comparison(project, tmp_path, [adapters])
    (row,) = compare.compare(made, jobs=1)["rows"]
    assert row["rate"] == 0.05, "five times the rate of a first turn"
    monkeypatch.setattr(trial, "run", lambda *_: None)
    monkeypatch.setattr(choosing, "_score", lambda *_: 50.0)
    found = compare.choose(replace(made, entries=[adapters, Entry("single", own)]), jobs=1)
    assert {name: list(choice.values) for name, choice in found.items()} == {
        "adapters": ["finetune.first_learning_rate"],
        "single": ["finetune.learning_rate"],
    }


def test_no_rate_is_chosen_for_what_is_solved_for(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"finetune.tuning": "none"}
    solved = {"strategy.structure": "analytic", "strategy.rows": "naive"}
    entries = [Entry("asked", asked), Entry("analytic", solved), Entry("full", {})]
    made = comparison(project, tmp_path, entries)
    kinds = {**made.settings, "project": {**made.settings["project"], "recipe": "classification"}}
    monkeypatch.setattr(schedule, "run_all", lambda *_, **__: {})
    monkeypatch.setattr(choosing, "_score", lambda *_: 50.0)
    found = compare.choose(replace(made, settings=kinds), jobs=1)
    assert {name: len(choice.tried) for name, choice in found.items()} == {"full": 3}


def test_a_part_is_run_and_the_rest_is_named(
    project: Project, tmp_path: Path, here: list[str]
) -> None:
    made = replace(comparison(project, tmp_path, compare.of_tunings(["ia3", "full"])), seeds=[0, 1])
    table = compare.compare(made, jobs=1, only=["ia3:1"])
    assert here == ["ia3 seed 1"]
    assert table["missing"] == ["ia3 seed 0", "full seed 0", "full seed 1"]
    assert [row["seeds"] for row in table["rows"]] == [[1]]
    table = compare.compare(made, jobs=1, only=["full:0"])
    assert {row["name"]: row["seeds"] for row in table["rows"]} == {"ia3": [1], "full": [0]}
    changes = {row["name"]: row["change"] for row in table["rows"]}
    assert changes["ia3"] and changes["full"] is None, "no seed that both have"
    ran, elsewhere = len(here), tmp_path / "elsewhere"
    with pytest.raises(UsageError, match="'lora' is no trial"):
        compare.compare(replace(made, folder=elsewhere), jobs=1, select=True, only=["lora"])
    assert len(here) == ran and not elsewhere.exists(), "before hours of choosing"


@pytest.mark.parametrize(("tuning", "rate"), [("lora", 1e-3), ("full", 2e-4), ("prompt", 0.02)])
def test_a_rate_follows_from_that_of_the_projects_own_tuning(tuning: str, rate: float) -> None:
    """The project's 0.001 is for adapters: all weights want a fifth of it."""
    held = {"finetune": {"tuning": "lora", "first_learning_rate": 1e-3}}
    (one,) = compare.of_tunings([tuning])
    key = "finetune.first_learning_rate"
    assert compare._own(one, held, key)[key] == pytest.approx(rate)


def test_settings_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("wide: {finetune.tuning: lora, finetune.lora_rank: 32}\n")
    assert compare.of_file(path) == [
        Entry("wide", {"finetune.tuning": "lora", "finetune.lora_rank": 32})
    ]
    for text, why in (
        ("- full\n", "not a mapping"),
        ("a: {gate.margin: 1}\n", "'gate.margin' of a is no key"),
        ("a: {finetune: {tuning: lora}}\n", "'finetune' of a is no key"),
        ("a: !!python/object:x {}\n", "does not name settings"),
        ("a: {lora}: 2", "does not name settings"),
    ):
        path.write_text(text)
        with pytest.raises(SettingsError, match=why):
            compare.of_file(path)


def test_what_cannot_be_compared_is_refused(project: Project, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no tuning 'spell'"):
        compare.of_tunings(["full", "spell"])
    twice = comparison(project, tmp_path, [Entry("a", {}), Entry("a", {})])
    with pytest.raises(UsageError, match="have a name each"):
        compare.compare(twice, jobs=1)
    wrong = comparison(project, tmp_path, [Entry("a", {"finetune.lora_rnak": 1})])
    with pytest.raises(SettingsError, match="did you mean 'lora_rank'"):
        wrong.trials()
    refused = [Entry("a", {"finetune.tuning": "prompt", "strategy.term": "ewc"})]
    with pytest.raises(SettingsError, match="cannot be trained"):
        comparison(project, tmp_path, refused).trials()
    assert compare.of_recipe(
        "extractive", Strategy.model_validate({"rows": "naive", "term": "ewc"})
    ) == [
        "full",
        "last",
        "lora",
    ]


def test_biases_are_compared_by_default_where_models_have_them() -> None:
    naive = Strategy.model_validate({"rows": "naive"})
    assert "bitfit" in compare.of_recipe("classification", naive)
    written = compare.of_recipe("translation", naive)
    assert written == ["full", "last", "lora", "dora", "ia3"]
