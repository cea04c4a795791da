"""Names of combinations, and the settings that they stand for."""

from __future__ import annotations

import pytest

from onward.errors import SettingsError, UsageError
from onward.learning import table
from onward.study.combinations import Combination, every, parse

NAMES = (
    "naive",
    "joint",
    "replay-reservoir",
    "replay-herding+der",
    "naive+ewc+lora",
    "joint+distill+last",
    "analytic",
    "adapted",
    "adapters",
    "replay-hardest+adapters",
    "naive+none",
)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_what_its_combination_is_called(name: str) -> None:
    assert parse(name).name == name


def test_parts_come_in_any_order_and_replay_has_a_policy() -> None:
    assert parse("der+replay") == Combination("replay", "reservoir", "der")
    assert parse("adapters").tuning == "lora"
    assert parse("naive") == parse("full") == Combination()


@pytest.mark.parametrize(
    "name", ["", "replya", "joint+replay", "naive-herding", "replay-hard", "herding", "nothing"]
)
def test_an_unknown_or_doubled_part_is_refused_by_name(name: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse(name)
    assert raised.value.exit_code == 3 and "policy: reservoir" in raised.value.where


def test_every_allowed_combination_is_there_once_and_parses() -> None:
    found = every("extractive", ("full", "lora"))
    assert len(set(found)) == len(found)
    assert {"naive", "joint", "replay-reservoir", "naive+lora"} <= {one.name for one in found}
    assert all(parse(one.name) == one for one in found)
    assert "analytic" not in {one.name for one in found}


@pytest.mark.parametrize("recipe", table.RECIPES)
def test_all_of_a_recipe_may_be_trained(recipe: str) -> None:
    """Policies, too: a model that writes remembers by none that asks it."""
    found = every(recipe)
    assert found
    for one in found:
        base = {"project": {"recipe": recipe}}
        assert one.blocks(base, seed=0, threads=1, chosen={})["strategy"]["rows"] == one.rows


def test_the_blocks_hold_every_key_and_what_was_chosen_last() -> None:
    base = {"finetune": {"learning_rate": 1e-3, "patience": 2}, "strategy": {"replay_rows": 7}}
    chosen = {"finetune.learning_rate": 2e-3}
    blocks = parse("replay-reservoir").blocks(base, seed=5, threads=1, chosen=chosen)
    assert blocks["finetune"]["learning_rate"] == 2e-3
    assert blocks["finetune"]["patience"] == 0 and blocks["finetune"]["challengers"] == 1
    assert blocks["finetune"]["seed"] == blocks["prepare"]["seed"] == 5
    assert blocks["strategy"]["rows"] == "replay" and blocks["strategy"]["replay_rows"] == 7
    assert blocks["prepare"]["early_stopping_percent"] == 0


def test_layers_are_frozen_for_the_tuning_that_freezes_some() -> None:
    assert parse("naive").blocks({}, seed=0, threads=1, chosen={})["finetune"]["frozen_layers"] == 0
    last = parse("last").blocks({"finetune": {"frozen_layers": 2}}, seed=0, threads=1, chosen={})
    assert last["finetune"]["frozen_layers"] == 2


def test_what_the_table_refuses_is_refused_by_name() -> None:
    with pytest.raises(SettingsError, match="extractive"):
        parse("analytic").blocks({}, seed=0, threads=1, chosen={})
