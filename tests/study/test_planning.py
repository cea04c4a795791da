"""What the words of `onward search` and `onward compare` come to, on a project with real rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from onward import recipes
from onward.episodes import rows as parquet
from onward.episodes import turn as turns
from onward.errors import SettingsError
from onward.evaluation import ledger
from onward.learning import finetune, prepare
from onward.project import Project
from onward.study import change, compare, planning, schedule, trial
from onward.study.search import search
from onward.study.sequence import Episodes
from onward.study.start import of_turn
from tests import loop, toys

RECIPE = "classification"


@pytest.fixture(scope="module")
def project(toy_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """One episode is learned, and the turn is to learn another together with it.

    Under replay a guard reads held-out rows, to keep what repeats them out of the memory.
    """
    episodes = {"one": toys.toy_texts(24, 1), "two": toys.toy_texts(40, 2)}
    made: Project = toys.toy_project(
        tmp_path_factory.mktemp("planned") / "p",
        toy_encoder,
        episodes,
        recipe=RECIPE,
        prepare={"early_stopping_percent": 20},
        strategy={"rows": "joint"},
    )
    toys.toy_turn(made, toy_encoder, learning=["0001-one"], recipe=RECIPE)
    prepare.run(made)
    finetune.run(made)
    toys.toy_version(made, "v1")
    known: Any = {"known": ["0001-one"], "version": "v1", "recipe": RECIPE}
    toys.toy_turn(made, toy_encoder, learning=["0002-two"], **known)
    return made


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Every text, ids too, of every row that is read, from whatever file."""
    found: set[str] = set()
    real = parquet.batches

    def batches(path: Path, columns: Sequence[str] | None = None) -> Iterator[Any]:
        for batch in real(path, columns):
            for row in batch.to_pylist():
                found.update(value for value in row.values() if isinstance(value, str))
            yield batch

    monkeypatch.setattr(parquet, "batches", batches)
    return found


def rows_of(project: Project, side: str) -> list[dict[str, Any]]:
    paths = sorted(project.data.glob(f"*/{side}.parquet"))
    assert len(paths) == 2
    return [row for path in paths for row in parquet.read_all(path)]


def searched(project: Project, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The hashes of the rows that a search of one try, early and whole, scored."""
    keys: list[str] = []
    real = trial.run

    def run(folder: Path, one: Any) -> None:
        keys.append(one.keys()[-1])
        real(folder, one)

    monkeypatch.setattr(trial, "run", run)
    asked = planning.searched(project, "finetune", None, 0, 1)
    assert len(search(asked, trials=1)["tries"]) == 1
    return hashes(asked.made.folder, keys)


def compared(project: Project, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The hashes of the rows that a comparison scored."""
    keys: list[str] = []

    def run_all(folder: Path, trials: Any, *_: Any, **__: Any) -> dict[str, Any]:
        for one in schedule.unfinished(folder, trials):
            keys.append(one.keys()[-1])
            trial.run(folder, one)
        return {}

    monkeypatch.setattr(schedule, "run_all", run_all)
    folder = project.study("compare")
    made = planning.compared(project, folder, None, "full", "0", 1, 1)
    assert len(compare.compare(made, jobs=1)["rows"]) == 1
    return hashes(folder, keys)


def hashes(folder: Path, keys: Sequence[str]) -> set[str]:
    parts = [trial.statistics(folder, key) for key in keys]
    return {one for part in parts for unit in part.units() for one in part.statistics(unit)[0]}


@pytest.mark.parametrize("run", [searched, compared])
def test_no_held_out_row_is_trained_on_or_scored(
    run: Any, project: Project, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    train, heldout = rows_of(project, "train"), rows_of(project, "heldout")
    recipe = recipes.get(RECIPE)
    read: set[str] = request.getfixturevalue("read")
    scored = run(project, monkeypatch)
    assert scored and scored <= {ledger.row_hash(recipe, row) for row in train}
    assert {row["text"] for row in train} <= read
    told = {row[key] for row in heldout for key in ("id", "text", "title")}
    assert told and told.isdisjoint(read)


@pytest.mark.parametrize(
    ("recipe", "last"), [("extractive", "replay-herding+der"), ("tagging", "replay-reservoir")]
)
def test_where_none_is_named_a_study_is_of_what_the_recipe_allows(
    recipe: str, last: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Project(tmp_path)
    place.params.write_text(f"project: {{recipe: {recipe}}}\n")
    monkeypatch.setattr(planning.sequence, "of_project", lambda _: Episodes(tmp_path, ()))
    asked: Any = (place, tmp_path / "study", None)
    plan = planning.planned(*asked, planning.DEFAULT, "0", 1, 1)
    assert [one.name for one in plan.combinations][:3] == ["naive", "joint", "replay-reservoir"]
    assert plan.combinations[-1].name == last
    named = planning.planned(*asked, "replay-herding+der", "0", 1, 1)
    assert [one.name for one in named.combinations] == ["replay-herding+der"], "refused by name"


@pytest.mark.parametrize(("key", "other"), [("encoder", "another"), ("recipe", "regression")])
def test_a_turn_of_another_encoder_or_recipe_is_not_compared(
    key: str, other: str, toy_encoder: Path, tmp_path: Path
) -> None:
    """Its numbers would pass for those of what params.yaml names."""
    rows = {"one": toys.toy_texts(24, 1)}
    made: Project = toys.toy_project(tmp_path / "p", toy_encoder, rows, recipe=RECIPE)
    change.apply(made.params, {f"project.{key}": other})
    with pytest.raises(SettingsError, match=f"project.{key} is '{other}'"):
        planning.compared(made, made.study("compare"), None, "full", "0", 1, 1)
    with pytest.raises(SettingsError, match=f"project.{key} is '{other}'"):
        planning.searched(made, "finetune", None, 0, 1)


def test_what_is_corrected_is_not_learned_beside_its_correction(
    toy_encoder: Path, tmp_path: Path
) -> None:
    """A run leaves the wrong rows out; a comparison of ways to run trained on both forms."""
    project = loop.begun(tmp_path / "project", toy_encoder, RECIPE)
    first = toys.toy_texts(48, 1)
    loop.opened(project, "first", toys.write_jsonl(tmp_path / "1.jsonl", first))
    again = [{**row, "label": "city"} for row in first[:30]]
    source = toys.write_jsonl(tmp_path / "2.jsonl", again)
    loop.opened(project, "again", source, corrects="first")
    start, episodes = of_turn(project, tmp_path / "compare", percent=20, seed=0)
    made = Project(tmp_path / "trial")
    start.compose(made, RECIPE, episodes).write(made)
    ids = [row["id"] for e in ("0001-first", "0002-again") for row in turns.rows(made, e, "train")]
    assert len(ids) == len(set(ids)) > 0
