"""The one table of what may be combined: allowed cells train, refused ones say why."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from onward import files
from onward.config import Strategy
from onward.errors import SettingsError
from onward.learning import finetune, prepare, table
from tests import toys

RECIPES = "extractive choice classification tagging relation text-to-text chat".split()
TUNINGS = "full last lora adapter prompt bitfit".split()
ROWS = "naive replay joint generated".split()
TERMS = "none ewc distillation der".split()
STRUCTURES = "single adapters analytic".split()
EVERY = [table.Cell(*c) for c in itertools.product(RECIPES, TUNINGS, ROWS, TERMS, STRUCTURES)]


def test_the_table_is_made_of_known_words() -> None:
    assert table.ALLOWED <= set(EVERY) and len(table.ALLOWED) == 9


def test_each_cell_that_is_not_allowed_is_refused_by_name() -> None:
    for cell in EVERY:
        strategy = Strategy.model_construct(
            rows=cell.rows, term=cell.term, structure=cell.structure
        )
        if cell in table.ALLOWED:
            table.check(cell.recipe, cell.tuning, strategy)
            continue
        with pytest.raises(SettingsError) as caught:
            table.check(cell.recipe, cell.tuning, strategy)
        said = " ".join(caught.value.lines())
        assert all(word in said for word in cell)


def test_a_tuning_left_open_is_no_reason_to_refuse() -> None:
    table.check("extractive", None, Strategy())
    with pytest.raises(SettingsError, match="chat cannot be trained with joint"):
        table.check("chat", None, Strategy())


@pytest.mark.parametrize("cell", sorted(table.ALLOWED), ids=" ".join)
def test_each_allowed_cell_trains(cell: table.Cell, toy_encoder: Path, tmp_path: Path) -> None:
    tuned = {"tuning": cell.tuning, "frozen_layers": 1 if cell.tuning == "last" else 0}
    episodes = {"one": toys.toy_rows(64, 1), "two": toys.toy_rows(64, 2)}
    project = toys.toy_project(
        tmp_path,
        toy_encoder,
        episodes,
        strategy={"rows": cell.rows, "term": cell.term, "structure": cell.structure},
        finetune={**tuned, "first_epochs": 1},
    )
    toys.toy_turn(project, toy_encoder, learning=["0001-one"])
    prepare.run(project)
    finetune.run(project)
    toys.toy_version(project, "v1")
    toys.toy_turn(project, toy_encoder, learning=["0002-two"], known=["0001-one"], version="v1")
    prepare.run(project)
    finetune.run(project)

    made = project.made("finetune")
    assert {path.name for path in made.iterdir()} == {
        "model",
        "memory",
        "spec.json",
        files.MANIFEST,
    }
    spec = files.read_json(made / "spec.json")
    assert spec["tuning"] == cell.tuning and spec["strategy"]["rows"] == cell.rows
    assert [named["episode"] for named in spec["learned"]] == ["0001-one", "0002-two"]
    moved = made / "model" / "model.safetensors"
    before = project.version("v1") / "checkpoint" / "model.safetensors"
    assert files.sha256(moved) != files.sha256(before)
    assert _names(moved) == _names(before)


def _names(path: Path) -> list[str]:
    from safetensors import safe_open

    with safe_open(path, "pt") as opened:
        return sorted(opened.keys())
