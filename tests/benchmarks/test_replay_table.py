"""The claim of replay in banking77_episodes, from tables made by hand."""

from __future__ import annotations

import argparse
from typing import Any

import pytest

from benchmarks import banking77_episodes

OPTIONS = argparse.Namespace(seeds=[0, 1, 2], smoke=False)
COST = {"seconds": 1.0}


def row(name: str, share: float, average: float, forgetting: float) -> dict[str, Any]:
    told = {"of_joint": share, "average": average, "forgetting": forgetting}
    measures = {
        key: {"value": value, "low": value - 1, "high": value + 1} for key, value in told.items()
    }
    return {
        "combination": name, "seeds": [0, 1, 2], "measures": measures, "cost": COST,
        "chosen": None, "test_read": 1,
    }  # fmt: skip


def table(*rows: dict[str, Any], missing: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"rows": list(rows), "missing": list(missing), "threads": 1}


JOINT = row("joint", 100.0, 92.0, 2.2)


@pytest.mark.parametrize(("share", "met"), [(97.0, True), (96.9, False)])
def test_the_best_way_of_replay_is_held_against_joint(share: float, met: bool) -> None:
    found = banking77_episodes._of_replay(
        table(JOINT, row("replay-hardest", 60.0, 55.0, 40.0), row("replay-herding", share, 90, 3)),
        OPTIONS,
    )
    assert (found["claim"], found["value"], found["met"]) == ("banking77_replay", share, met)
    assert found["best"] == "replay-herding" and found["missing"] == []
    assert found["table"][0]["combination"] == "joint"


def test_without_one_nothing_is_claimed() -> None:
    found = banking77_episodes._of_replay(table(JOINT, missing=("replay-hardest seed 0",)), OPTIONS)
    assert (found["value"], found["met"], found["best"]) == (0.0, False, None)
    assert found["missing"] == ["replay-hardest seed 0"]
