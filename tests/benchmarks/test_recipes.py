"""The benchmark of recipes: settings chosen on training rows, finished seeds kept."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from benchmarks import tunings
from benchmarks.recipe_entries import ENTRIES, Entry
from benchmarks.recipes import Bench, asked, finished
from onward import recipes
from tests import toys

CHOICES = [{"finetune.first_epochs": 1}, {"finetune.first_epochs": 2}]


class Counted(Bench):
    """Trains nothing: a score by the choice, and a note of what was asked for."""

    def __init__(self, *about: Any) -> None:
        super().__init__(*about)
        self.trained: list[tuple[str, int, int]] = []
        self.apart = 0.1

    def _trained(
        self, data: Any, choice: Mapping[str, Any], seed: int, key: str, *, served: bool
    ) -> dict[str, Any]:
        epochs = choice["finetune.first_epochs"]
        self.trained.append(("test" if served else "aside", epochs, seed))
        score = 90.0 + epochs + seed
        found = {"torch": score, "seconds": 60.0, "choice": dict(choice), "seed": seed}
        return {**found, "onnx": score - self.apart} if served else found


@pytest.fixture
def bench(toy_encoder: Path, tmp_path: Path) -> Counted:
    def sides(_: Path) -> Any:
        return toys.toy_tagged(60, 1), toys.toy_tagged(20, 2)

    settings = ENTRIES[1].settings
    entry = Entry("toy", "tagging", "F1", 92.5, sides, settings, CHOICES, encoder=str(toy_encoder))
    options = argparse.Namespace(seeds=[0, 1], threads=1, smoke=False, datasets=tmp_path)
    return Counted(entry, tmp_path / "toy", options)


def test_settings_are_chosen_once_on_training_rows_and_seeds_are_kept(bench: Counted) -> None:
    bench.run(0)
    chosen_on = [("aside", 1, 0), ("aside", 2, 0)]
    assert bench.trained == [*chosen_on, ("test", 2, 0)]
    part = bench.part()
    assert not part["met"] and part["seeds"] == {"0": 92.0}, "a seed is still to come"
    bench.run(0)
    bench.run(1)
    assert bench.trained == [*chosen_on, ("test", 2, 0), ("test", 2, 1)]
    part = bench.part()
    assert (part["value"], part["met"], part["onnx_apart"]) == (92.5, True, 0.1)
    assert part["chosen"] == CHOICES[1] and part["minutes"] == 2.0


def test_a_graph_that_scores_otherwise_misses(bench: Counted) -> None:
    bench.apart = 0.4
    for seed in (0, 1):
        bench.run(seed)
    assert bench.part()["value"] == 92.5 and not bench.part()["met"]


def test_what_was_not_measured_is_missing_and_has_no_number(bench: Counted) -> None:
    before = bench.part()
    bench.run(0)
    after = bench.part()
    assert finished({"one": before, "two": after}) == {"two": after, "missing": ["one"]}
    full = {"name": "full", "trainable_percent": 100.0, "change": None, "score": {"value": 90.0}}
    small = {"name": "lora", "trainable_percent": 1.0, "change": None, "score": {"value": 89.5}}
    assert tunings.part({"metric": "accuracy", "rows": [full, small]}) == {}
    against = [full, {**small, "change": {"value": -0.5}}]
    found = tunings.part({"metric": "accuracy", "rows": against})
    assert (found["value"], found["met"]) == (0.5, True)


def test_entries_name_recipes_and_measures_that_exist() -> None:
    assert len({entry.name for entry in ENTRIES}) == len(ENTRIES)
    for entry in ENTRIES:
        assert recipes.get(entry.recipe).PRIMARY
        assert entry.target > 0 and entry.name.replace("_", "").isalnum()


def test_only_names_entries_and_seeds_that_exist() -> None:
    def named(*only: str) -> set[tuple[str, int]]:
        return set(asked(argparse.Namespace(seeds=[0, 1], only=only), ENTRIES[:2]))

    first, second = (entry.name for entry in ENTRIES[:2])
    assert named(first, f"{second}:1") == {(first, 0), (first, 1), (second, 1)}
    assert len(named()) == 4
    for wrong in ("bankng77", f"{first}:7"):
        with pytest.raises(SystemExit, match=f"{wrong!r} is no trial; --only; .*{second}"):
            named(wrong)
