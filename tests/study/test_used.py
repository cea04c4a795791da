"""Keys that no try of a search would read are refused, and the one to search is named."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from onward.errors import SettingsError
from onward.project import Project
from onward.study import planning
from onward.study.used import require_read
from tests import toys


def blocks(recipe: str = "classification", **words: str) -> dict[str, dict[str, Any]]:
    return {
        "project": {"recipe": recipe},
        "finetune": {"tuning": words.pop("tuning", "full")},
        "strategy": {"rows": "naive", "term": "none", "structure": "single", **words},
    }


ADAPTERS = blocks(tuning="lora", structure="adapters")
ANALYTIC = blocks(structure="analytic")
ASKED = blocks("chat", tuning="none")
EITHER: dict[str, tuple[Any, ...]] = {"strategy.structure": ("single", "adapters")}


@pytest.mark.parametrize(
    ("present", "base", "key", "fix"),
    [
        (blocks(), "pretrained", "finetune.learning_rate", "search finetune.first_learning_rate"),
        (blocks(), "pretrained", "finetune.epochs", "search finetune.first_epochs"),
        (blocks(), "version", "finetune.first_learning_rate", "search finetune.learning_rate"),
        (blocks(), "version", "finetune.first_epochs", "search finetune.epochs"),
        (ADAPTERS, "version", "finetune.epochs", "search finetune.first_epochs"),
        (blocks(), "version", "finetune.lora_rank", "search finetune.tuning: lora or dora"),
        (blocks(), "version", "finetune.virtual_tokens", "finetune.tuning: prompt or prefix"),
        (blocks(), "version", "strategy.replay_percent", "search strategy.rows: replay"),
        (blocks(), "version", "strategy.ewc_weight", "search strategy.term: ewc"),
        (blocks(term="ewc"), "version", "strategy.fisher_rows", "in the next turn"),
        (blocks(term="ewc"), "pretrained", "strategy.ewc_weight", "nothing old to keep"),
        (blocks(), "pretrained", "strategy.rows", "nothing old to keep"),
        (blocks(), "version", "strategy.analytic_ridge", "strategy.structure: analytic or"),
        (ANALYTIC, "version", "finetune.first_learning_rate", "nothing is trained here"),
        (ANALYTIC, "pretrained", "finetune.warmup_percent", "nothing is trained here"),
        (ANALYTIC, "version", "finetune.dropout", "nothing is trained here"),
        (ANALYTIC, "pretrained", "finetune.patience", "nothing is trained here"),
        (ASKED, "version", "finetune.save_every", "nothing is trained here"),
        (ASKED, "pretrained", "finetune.batch_size", "nothing is trained here"),
        (ASKED, "version", "finetune.micro_batch", "nothing is trained here"),
        (ASKED, "version", "finetune.packing", "nothing is trained here"),
        (blocks(), "version", "finetune.packing", "only a chat is packed, with finetune.tuning"),
        (
            blocks("chat", tuning="dora"),
            "pretrained",
            "finetune.packing",
            "only a chat is packed, with finetune.tuning full or last or lora",
        ),
        (
            blocks(structure="adapted", tuning="lora"),
            "version",
            "finetune.lora_rank",
            "nothing is trained here",
        ),
    ],
)
def test_a_key_that_is_not_read_is_refused_with_the_one_to_search(
    present: Any, base: str, key: str, fix: str
) -> None:
    values: tuple[Any, ...] = ("naive", "joint") if key == "strategy.rows" else (1, 2)
    with pytest.raises(SettingsError, match=f"No try would read {key}$") as caught:
        require_read({key: values}, present, base, where="space.yaml")
    assert fix in caught.value.fix and caught.value.where == "space.yaml"


@pytest.mark.parametrize(
    ("present", "base", "space"),
    [
        (blocks(), "version", {"finetune.learning_rate": (0.1, 0.2), "prepare.stride": (1, 2)}),
        (ADAPTERS, "version", {"finetune.first_epochs": (1, 2), "finetune.lora_rank": (1, 2)}),
        (blocks(tuning="lora"), "version", {"finetune.first_epochs": (1, 2), **EITHER}),
        (blocks(tuning="lora"), "version", {"finetune.epochs": (1, 2), **EITHER}),
        (
            blocks(),
            "version",
            {"finetune.tuning": ("full", "lora"), "finetune.lora_rank": (4, 8)},
        ),
        (blocks(), "version", {"strategy.rows": ("naive", "replay"), "strategy.policy": ("x",)}),
        (blocks(structure="adapted"), "pretrained", {"finetune.first_epochs": (1, 2)}),
        (ANALYTIC, "version", {"strategy.analytic_ridge": (1.0, 10.0)}),
        (blocks(), "version", {"finetune.dropout": (0.0, 0.1), "finetune.patience": (0, 2)}),
        (blocks("chat"), "version", {"finetune.packing": (True, False)}),
        (
            blocks("chat", tuning="none"),
            "version",
            {"finetune.packing": (True, False), "finetune.tuning": ("none", "lora")},
        ),
        (blocks("poetry"), "version", {"finetune.first_epochs": (1, 2)}),
    ],
)
def test_a_key_that_some_try_reads_may_be_searched(present: Any, base: str, space: Any) -> None:
    """So is any where the present settings are refused anyway, in words of their own."""
    require_read(space, present, base, where="space.yaml")


def test_a_space_and_the_guides_own_are_held_against_the_turn(
    toy_encoder: Path, tmp_path: Path
) -> None:
    episodes = {"one": toys.toy_rows(48, 1)}
    project: Project = toys.toy_project(tmp_path / "p", toy_encoder, episodes)
    listing = tmp_path / "space.yaml"
    listing.write_text("finetune.learning_rate: {low: 1e-5, high: 1e-3, log: true}\n")
    with pytest.raises(SettingsError, match=r"No try would read finetune\.learning_rate") as caught:
        planning.searched(project, "finetune", listing, 0, 1)
    assert caught.value.where == str(listing)
    guide = (Path(__file__).parents[2] / "docs" / "guide.md").read_text(encoding="utf-8")
    shown = re.findall(r"--space space\.yaml .*# (\S+: \{.*\})", guide)
    assert shown
    listing.write_text("\n".join(shown))
    assert list(planning.searched(project, "finetune", listing, 0, 1).space) == [
        line.partition(":")[0] for line in shown
    ]
