"""The one table of what may be combined: allowed cells train, refused ones say why."""

from __future__ import annotations

from collections import Counter
from math import prod
from pathlib import Path
from typing import Any

import pytest

from onward import files
from onward.config import Strategy
from onward.errors import SettingsError
from onward.learning import finetune, models, prepare, table
from onward.learning.table import Cell
from onward.project import Project
from tests import toys
from tests.learning import writing

QUICK = {
    *(cell for cell in table.ALLOWED if cell[:2] == ("classification", "full")),
    Cell("classification", "lora", "naive", "none", "adapters"),
    Cell("classification", "lora", "naive", "none", "adapted"),
    Cell("extractive", "lora", "naive", "ewc", "single"),
    Cell("extractive", "last", "replay", "der", "single"),
    Cell("multilabel", "full", "replay", "der", "single"),
    Cell("regression", "full", "naive", "distill", "single"),
    Cell("choice", "full", "replay", "der", "single"),
    Cell("classification", "bitfit", "naive", "none", "single"),
    Cell("classification", "dora", "naive", "none", "single"),
    Cell("extractive", "prompt", "replay", "none", "single"),
    Cell("extractive", "bottleneck", "naive", "none", "single"),
    Cell("multilabel", "prefix", "naive", "none", "single"),
    Cell("regression", "ia3", "joint", "none", "single"),
    Cell("relation", "full", "joint", "none", "single"),
    Cell("tagging", "lora", "naive", "distill", "single"),
    Cell("chat", "lora", "replay", "none", "single"),
    Cell("translation", "full", "replay", "none", "single"),
    Cell("translation", "bitfit", "naive", "none", "single"),
    Cell("chat", "none", "joint", "none", "single"),
    Cell("classification", "none", "naive", "none", "single"),
}
"""Cells that are trained by default; the rest take minutes together."""


SINGLE = {
    # 8 with each of three tunings, 3 with the six others.
    **dict.fromkeys(("extractive", "classification", "multilabel", "regression", "choice"), 42),
    "classification": 42 + 2,
    "chat": 6 * 3 + 2,
    "translation": 6 * 3,
    "summarization": 6 * 3,
    "relation": 9 * 3,
    "tagging": 3 * 7 + 6 * 3,
}
"""Recipe -> its allowed cells of the structure single."""


def test_the_table_holds_every_word_once_and_this_many_cells() -> None:
    words = (table.RECIPES, table.TUNINGS, table.ROWS, table.TERMS, table.STRUCTURES)
    assert len(table.cells()) == prod(map(len, words)) == prod(len({*each}) for each in words)
    found = Counter(cell.recipe for cell in table.ALLOWED if cell.structure == "single")
    assert {name: found[name] for name in SINGLE} == SINGLE
    others = Counter(cell.structure for cell in table.ALLOWED if cell.structure != "single")
    assert others == {"adapters": 2, "analytic": 1, "adapted": 3}


def test_the_words_are_those_that_the_settings_and_recipes_know() -> None:
    from typing import get_args

    from onward import config, recipes
    from onward.learning.structures.named import STRUCTURES
    from onward.learning.terms.named import TERMS

    def words(block: Any, key: str) -> set[str]:
        return set(get_args(block.model_fields[key].annotation))

    assert set(table.ROWS) == words(Strategy, "rows")
    assert set(table.TERMS) == words(Strategy, "term") == set(TERMS)
    assert set(table.STRUCTURES) == words(Strategy, "structure") == set(STRUCTURES)
    assert set(table.TUNINGS) == words(config.Finetune, "tuning")
    assert all(recipes.get(name) for name in table.RECIPES)


@pytest.mark.parametrize("cell", sorted(set(table.cells()) - table.ALLOWED)[::7], ids=" ".join)
def test_a_refused_cell_says_which_it_is_and_why(cell: Cell) -> None:
    strategy = Strategy.model_construct(rows=cell.rows, term=cell.term, structure=cell.structure)
    with pytest.raises(SettingsError) as caught:
        table.check(cell.recipe, cell.tuning, strategy)
    said = " ".join(caught.value.lines())
    assert all(word in said for word in cell)
    why = table.cells()[cell]
    assert why is not None and why in said


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        (Cell("extractive", "full", "naive", "der", "single"), "needs strategy.rows replay"),
        (Cell("extractive", "full", "joint", "ewc", "single"), "leaves ewc nothing to keep"),
        (Cell("extractive", "full", "joint", "distill", "single"), "leaves distill nothing"),
        (Cell("multilabel", "lora", "naive", "none", "adapters"), "several multilabel heads"),
        (Cell("tagging", "full", "replay", "der", "single"), "for each token and label"),
        (Cell("relation", "full", "naive", "ewc", "single"), "needs strategy.term none"),
        (Cell("chat", "full", "naive", "distill", "single"), "says a word at a time"),
        (Cell("chat", "prefix", "naive", "none", "single"), "begin the cache"),
        (Cell("chat", "none", "replay", "none", "single"), "it needs rows naive or joint"),
        (Cell("extractive", "none", "naive", "none", "single"), "needs another finetune.tuning"),
        (Cell("extractive", "full", "naive", "none", "adapters"), "needs finetune.tuning lora"),
        (Cell("extractive", "lora", "replay", "none", "adapters"), "needs strategy.rows naive"),
        (Cell("extractive", "lora", "naive", "ewc", "adapters"), "needs strategy.term none"),
        (Cell("regression", "full", "naive", "none", "analytic"), "the recipe classification"),
        (Cell("classification", "lora", "naive", "none", "analytic"), "finetune.tuning at full"),
        (Cell("classification", "full", "joint", "none", "analytic"), "needs strategy.rows naive"),
        (Cell("classification", "full", "naive", "ewc", "analytic"), "needs strategy.term none"),
        (Cell("poetry", "full", "naive", "none", "single"), "project.recipe 'poetry' (known: ex"),
        (Cell("extractive", "spell", "naive", "none", "single"), "finetune.tuning 'spell'"),
        (Cell("extractive", "prefix", "naive", "ewc", "single"), "with full, last and lora alone"),
        (Cell("classification", "ia3", "naive", "none", "adapted"), "tuned by full, last or lora"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, Cell) else "",
)
def test_the_reasons(cell: Cell, why: str) -> None:
    assert why in (table.reason(cell) or "")


def test_a_tuning_left_open_is_no_reason_to_refuse() -> None:
    table.check("extractive", None, Strategy())
    table.check("extractive", None, Strategy(rows="naive", structure="adapters"))
    with pytest.raises(SettingsError, match="poetry cannot be trained with joint"):
        table.check("poetry", None, Strategy())


@pytest.mark.parametrize(
    ("recipe", "values", "why"),
    [
        ("extractive", {"rows": "naive", "term": "der"}, "needs strategy.rows replay"),
        ("classification", {"rows": "joint", "term": "ewc"}, "leaves ewc nothing to keep"),
        ("classification", {"rows": "joint", "structure": "adapters"}, "needs strategy.rows naive"),
        ("classification", {"rows": "replay", "structure": "analytic"}, "sums over all old rows"),
        ("regression", {"rows": "naive", "structure": "analytic"}, "the recipe classification"),
        ("chat", {"rows": "naive", "term": "ewc"}, "says a word at a time"),
    ],
    ids=str,
)
def test_with_the_tuning_left_open_the_reason_is_none_of_a_tuning(
    recipe: str, values: dict[str, Any], why: str
) -> None:
    """What prepare says, which runs before the tuning is looked at."""
    with pytest.raises(SettingsError) as caught:
        table.check(recipe, None, Strategy(**values))
    assert why in " ".join(caught.value.lines())


@pytest.mark.parametrize("policy", ["hardest", "herding"])
def test_what_is_written_is_not_remembered_by_what_a_model_says_of_it(policy: Any) -> None:
    table.check("translation", "full", Strategy(rows="naive", policy=policy))
    with pytest.raises(SettingsError, match=f"translation cannot remember by {policy}"):
        table.check("translation", "full", Strategy(rows="replay", policy=policy))


def test_a_refused_cell_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    """By the stages themselves: of a cell that the tuning alone refuses, by finetune."""
    project = toys.toy_project(
        tmp_path,
        toys.toy_encoder(tmp_path / "encoder"),
        {"one": toys.toy_texts(40, 1)},
        recipe="classification",
        strategy={"rows": "naive", "structure": "adapters"},
    )
    prepare.run(project)
    with pytest.raises(SettingsError, match="classification cannot be trained with full x naive"):
        finetune.run(project)


def rows_of(recipe: str) -> dict[str, list[dict[str, Any]]]:
    """Two small episodes; a second label set grows by one where there are labels."""
    if recipe == "extractive":
        return {"one": toys.toy_rows(40, 1), "two": toys.toy_rows(40, 2)}
    if recipe == "chat":
        return {"one": toys.toy_talks(40, 1), "two": toys.toy_talks(40, 2)}
    if recipe in ("translation", "summarization"):
        return {"one": writing.translated(40, 1), "two": writing.translated(40, 2)}
    if recipe == "choice":
        return {"one": toys.toy_choices(40, 1), "two": toys.toy_choices(40, 2)}
    kinds: Any = (("colour", "animal"), ("city", "animal"))
    make = {"relation": toys.toy_related, "tagging": toys.toy_tagged}.get(recipe)
    if make is not None:
        return {"one": make(40, 1, kinds=kinds[0]), "two": make(40, 2, kinds=kinds[1])}
    return {
        "one": toys.toy_texts(40, 1, recipe, kinds=kinds[0]),
        "two": toys.toy_texts(40, 2, recipe, kinds=kinds[1]),
    }


def turn(project: Project, encoder: Path, recipe: str, number: int) -> Path:
    """Learn an episode on the one before, and keep the candidate."""
    names = ["0001-one", "0002-two"]
    about: dict[str, Any] = {"learning": names[number - 1 : number], "recipe": recipe}
    if number > 1:
        about |= {"known": names[: number - 1], "version": f"v{number - 1}"}
    toys.toy_turn(project, encoder, **about)
    prepare.run(project)
    finetune.run(project)
    return toys.toy_version(project, f"v{number}")


def _folder(cell: Cell) -> str:
    """What a single model's folder holds: three tunings leave parts beside the weights.

    Labels told by their names are a closed-form head.
    """
    if cell[:2] == ("classification", "none"):
        return "analytic"
    return "parts" if cell.tuning in ("bottleneck", "prompt", "prefix") else "single"


def cells() -> list[Any]:
    return [
        pytest.param(cell, id=" ".join(cell), marks=() if cell in QUICK else pytest.mark.slow)
        for cell in sorted(table.ALLOWED)
    ]


@pytest.mark.parametrize("cell", cells())
def test_each_allowed_cell_trains(
    cell: Cell, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Two turns: the second begins with what the first kept, and moves the model."""
    named = {"chat": "toy_causal", "translation": "toy_writer", "summarization": "toy_writer"}
    base = request.getfixturevalue(named.get(cell.recipe, "toy_encoder"))
    if cell[:2] == ("chat", "bitfit"):
        base = toys.toy_causal(tmp_path / "biased", biases=True)
    strategy = {"rows": cell.rows, "term": cell.term, "structure": cell.structure}
    project = toys.toy_project(
        tmp_path,
        base,
        rows_of(cell.recipe),
        recipe=cell.recipe,
        strategy={**strategy, "analytic_features": 32, "replay_rows": 8, "fisher_rows": 4},
        finetune={
            "tuning": cell.tuning,
            "frozen_layers": 1 if cell.tuning == "last" else 0,
            "first_epochs": 0.5,
            "epochs": 0.5,
            "lora_rank": 2,
            "virtual_tokens": 3,
            "bottleneck_size": 4,
        },
    )
    first = turn(project, base, cell.recipe, 1)
    second = turn(project, base, cell.recipe, 2)
    made = project.made("finetune")
    assert {path.name for path in made.iterdir()} == {
        "model",
        "memory",
        "spec.json",
        files.MANIFEST,
    }
    spec = files.read_json(second / "spec.json")
    told = (spec["recipe"], spec["tuning"], *(spec["strategy"][key] for key in strategy))
    assert told == tuple(cell) and spec["term"] == cell.term
    assert [named["episode"] for named in spec["learned"]] == ["0001-one", "0002-two"]
    kept = {"adapted": "analytic", "single": _folder(cell)}.get(cell.structure)
    assert models.kind(second / "checkpoint") == (kept or cell.structure)
    before, after = (files.inventory(version / "checkpoint") for version in (first, second))
    # Asked without examples, a model is what it was.
    assert (before != after) == (cell[:2] != ("chat", "none"))
    if cell.recipe in ("classification", "multilabel"):
        assert spec["labels"] == ["animal", "colour", "city"]
    if cell.recipe == "tagging":
        tags = [f"{bio}-{tag}" for tag in ("animal", "colour", "city") for bio in "BI"]
        assert spec["labels"] == ["O", *tags]
