"""What a turn takes from its base's memory: as it is, drawn anew, or refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from onward import recipes
from onward.config import Strategy
from onward.errors import SettingsError
from onward.learning import memory, policies, table
from onward.learning.memory import Asked
from onward.learning.rows import Labelled
from tests import toys

RECIPE = recipes.get("classification")
GROUP = policies.group_of(RECIPE)
KNOWN: list[Labelled] = [("0001-one", row) for row in toys.toy_texts(40, 1)]
COVERS = [{"episode": "0001-one", "manifest": "aa"}]
WINDOW = {"max_length": 64, "stride": 16}
SEED = 13


def strategy(**values: Any) -> Strategy:
    return Strategy(**{"rows": "replay", "replay_rows": 12, **values})


def kept(folder: Path, was: Strategy, rows: list[Labelled] | None = None) -> Path:
    """A memory of episode one by a strategy; of the first rows, where a model chose them."""
    if rows is None:
        rows = KNOWN[: was.replay_rows]
        if was.policy not in table.BY_MODEL:
            rows = policies.drawn(lambda: KNOWN, was.policy, was.replay_rows, SEED, GROUP)
    if was.rows != "replay":
        rows = []
    about = {"seed": SEED, "covers": COVERS, "window": WINDOW, "schema": RECIPE.SCHEMA}
    memory.write(folder, rows, settings=was, **about)  # type: ignore[arg-type]
    return folder


def asked(folder: Path | None, want: Strategy, **values: Any) -> Asked:
    about = {"seed": SEED, "covers": COVERS, "corrected": False, "window": WINDOW}
    return Asked(folder=folder, settings=want, **{**about, **values})


def never() -> list[Labelled]:
    raise AssertionError("rows of known episodes were read")


@pytest.mark.parametrize("policy", sorted(policies.POLICIES))
@pytest.mark.parametrize("size", [12, 5])
def test_what_serves_is_read_and_the_past_is_not(policy: str, size: int, tmp_path: Path) -> None:
    folder = kept(tmp_path, strategy(policy=policy))
    want = strategy(policy=policy, replay_rows=size)
    found = memory.recall(asked(folder, want), never, GROUP)
    held = list(memory.rows(folder))
    assert found == policies.cut(held, size, policy, GROUP) and len(found) == size


@pytest.mark.parametrize("policy", ["reservoir", "balanced"])
@pytest.mark.parametrize(
    "why",
    [
        {"was": {"rows": "joint"}},
        {"was": {"policy": "other"}},
        {"was": {"replay_rows": 5}},
        {"asked": {"seed": 14}},
        {"asked": {"corrected": True}},
        {"asked": {"covers": [{"episode": "0001-one", "manifest": "bb"}]}},
    ],
    ids=str,
)
def test_what_was_drawn_by_hash_is_drawn_anew_to_the_same_rows(
    policy: str, why: dict[str, Any], tmp_path: Path
) -> None:
    was = {"policy": policy, **why.get("was", {})}
    if was["policy"] == "other":
        was["policy"] = "balanced" if policy == "reservoir" else "reservoir"
    folder = kept(tmp_path, strategy(**was))
    one = asked(folder, strategy(policy=policy), **why.get("asked", {}))
    standing = KNOWN[::2]  # what is read anew may be less than what was there
    for rows in (KNOWN, standing):
        found = memory.recall(one, lambda rows=rows: rows, GROUP)  # type: ignore[misc]
        assert found == policies.drawn(lambda rows=rows: rows, policy, 12, one.seed, GROUP)  # type: ignore[misc]


def test_an_adopted_or_pretrained_base_has_nothing_to_recall() -> None:
    for term in ("none", "der", "ewc"):
        want = strategy(term=term, policy="herding")
        assert memory.recall(asked(None, want, covers=[]), never, GROUP) == []


@pytest.mark.parametrize(
    ("was", "want", "said"),
    [
        ({"rows": "naive"}, {"rows": "naive", "term": "ewc"}, "the Fisher information of what"),
        ({"rows": "joint"}, {"term": "der"}, "the logits of its rows"),
        ({}, {"term": "der"}, "the logits of its rows"),
        ({}, {"policy": "hardest"}, "rows chosen by hardest"),
        ({"policy": "hardest"}, {"policy": "herding"}, "rows chosen by herding"),
        ({"rows": "joint"}, {"policy": "herding"}, "rows chosen by herding"),
    ],
)
def test_what_cannot_be_made_anew_is_refused_by_name(
    was: dict[str, Any], want: dict[str, Any], said: str, tmp_path: Path
) -> None:
    folder = kept(tmp_path, strategy(**was))
    with pytest.raises(SettingsError) as caught:
        memory.recall(asked(folder, strategy(**want)), lambda: KNOWN, GROUP)
    told = " ".join(caught.value.lines())
    assert said in told and "onward run --fresh" in told
    named = next(key for key in ("term", "policy") if key in want and want[key] != was.get(key))
    assert f"strategy.{named}: {want[named]}" in told


def test_logits_of_other_windows_are_refused(tmp_path: Path) -> None:
    folder = kept(tmp_path, strategy(term="der"))
    one = asked(folder, strategy(term="der"), window={"max_length": 128, "stride": 16})
    with pytest.raises(SettingsError, match=r"64.*128"):
        memory.recall(one, lambda: KNOWN, GROUP)
    assert memory.recall(asked(folder, strategy(term="der")), never, GROUP)


@pytest.mark.parametrize("how", [{"policy": "hardest"}, {"term": "der"}], ids=str)
@pytest.mark.parametrize(
    "changed", [{"corrected": True}, {"covers": [{"episode": "0001-one", "manifest": "bb"}]}]
)
def test_a_memory_that_stays_loses_the_rows_that_no_longer_stand(
    how: dict[str, Any], changed: dict[str, Any], tmp_path: Path
) -> None:
    folder = kept(tmp_path, strategy(**how))
    held = list(memory.rows(folder))
    gone = [held[0], held[7]]
    found = memory.recall(
        asked(folder, strategy(**how), **changed),
        lambda: [each for each in KNOWN if each not in gone],
        GROUP,
    )
    order = policies.cut(held, 12, strategy(**how).policy, GROUP)
    assert found == [each for each in order if each not in gone] and len(found) == 10


@pytest.mark.parametrize("was", ["balanced", "hardest", "herding"])
def test_a_reservoir_of_a_memory_with_logits_is_a_draw_of_it(was: str, tmp_path: Path) -> None:
    """That memory lies label by label: its beginning would be the first labels alone."""
    order = sorted(KNOWN, key=lambda each: each[1]["label"])
    folder = kept(tmp_path, strategy(policy=was, term="der", replay_rows=40), order)
    found = memory.recall(asked(folder, strategy(term="der")), never, GROUP)
    assert found == policies.drawn(lambda: KNOWN, "reservoir", 12, SEED, GROUP)
    assert {row["label"] for _, row in found} == {row["label"] for _, row in KNOWN}


@pytest.mark.parametrize("rows", ["naive", "joint"])
def test_naive_and_joint_recall_nothing(rows: str, tmp_path: Path) -> None:
    folder = kept(tmp_path, strategy())
    assert memory.recall(asked(folder, Strategy(rows=rows)), never, GROUP) == []  # type: ignore[arg-type]
