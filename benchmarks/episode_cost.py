"""Claim: the twentieth turn costs at most 1.2 times what the second did.

    python -m benchmarks.episode_cost [--record] [--seeds 0 1 2] [--smoke]

20 equal episodes drawn from banking77's training rows (../shared/datasets): 300 rows to train on
and 15 to test in each, of all 77 classes, learned with replay by the product's own stages. Compared
are the processor seconds of prepare, fine-tune and evaluate, the median over the seeds: other work
on the machine changes them less than it does the clock, which is shown, too. A candidate is scored
on every episode so far, since it may have lost any of them; what its base answered comes from the
cache, so each turn scores exactly the candidate's rows and the base's on the new episode.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
from pathlib import Path
from typing import Any

from benchmarks import banking77_episodes, record, studies
from onward.study import sequence, trial
from onward.study.plan import Plan
from onward.study.sequence import Delivered, Episodes

TARGET = 1.2
EPISODES, TRAIN, TEST = 20, 300, 15
SETTINGS: dict[str, Any] = {
    **banking77_episodes.SETTINGS,
    "finetune": {
        **banking77_episodes.SETTINGS["finetune"],
        "first_epochs": 2,
        "epochs": 2,
        "batch_size": 32,
        "micro_batch": 32,
    },
    "strategy": {"replay_rows": 500, "replay_percent": 30},
}
CLOCKS = ("seconds", "processor_seconds")
SHOWN = ("number", *CLOCKS, "rows", "heldout", "scored", "stored_rows", "stored_bytes", "peak_mb")


def main() -> int:
    """Measure, print, record."""
    options = _options()
    with studies.folder(options, "episode_cost") as place:
        found = episodes(place, options)
        sequences = dict.fromkeys(options.seeds, found)
        studies.run(options, place, SETTINGS, sequences)
        turns = measured(place, options, found)
    last = max(turn["number"] for turn in turns)
    second, latest = (of_turn(turns, number) for number in (2, last))
    busy, clock = (latest[kind]["all"] / second[kind]["all"] for kind in CLOCKS[::-1])
    only_lacking = all(scores_what_lacks(turn) for turn in turns)
    result = record.result(
        "episode_cost",
        round(busy, 3),
        f"times the processor seconds of turn 2, in turn {last}",
        TARGET,
        met=busy <= TARGET and only_lacking and not options.smoke,
        by_the_clock=round(clock, 3),
        only_what_the_cache_lacks=only_lacking,
        processor_seconds=[
            of_turn(turns, number)["processor_seconds"]["all"] for number in range(1, last + 1)
        ],
        second=second,
        last=latest,
        settings={"seeds": options.seeds, "smoke": options.smoke, "test_rows": TEST},
    )
    return record.finish(result, record=options.record)


def _options() -> argparse.Namespace:
    parser = studies.parser(__doc__, "replay-reservoir")
    parser.add_argument("--datasets", type=Path, default=studies.SHARED)
    options = parser.parse_args()
    if options.smoke:
        options.seeds = [0]
    return options


def episodes(place: Path, options: argparse.Namespace) -> Episodes:
    """Equal episodes of rows drawn without replacement, sealed."""
    rows = banking77_episodes.rows(options.datasets / "banking77", "train")
    random.Random(0).shuffle(rows)
    many, train, test = (3, 24, 6) if options.smoke else (EPISODES, TRAIN, TEST)
    parts = [rows[at * (train + test) : (at + 1) * (train + test)] for at in range(many)]
    delivered = [
        Delivered(f"part-{number}", part[:train], part[train:])
        for number, part in enumerate(parts, start=1)
    ]
    return sequence.store(place / "data", "classification", delivered)


def measured(place: Path, options: argparse.Namespace, found: Episodes) -> list[dict[str, Any]]:
    """Every turn of every seed."""
    named = studies.combinations(options.combinations, "classification")
    threads = studies.study.threads(place, options.jobs, options.threads)
    plan = Plan(place, SETTINGS, named, dict.fromkeys(options.seeds, found), threads)
    return [
        {"number": number, **trial.read(place, key)}
        for one in plan.trials().values()
        for number, key in enumerate(one.keys(), start=1)
    ]


def of_turn(turns: list[dict[str, Any]], number: int) -> dict[str, Any]:
    """What a turn measured: seconds as medians over the seeds, the rest of the first seed."""
    found = [turn for turn in turns if turn["number"] == number]
    medians = {
        clock: {
            stage: round(statistics.median(turn[clock][stage] for turn in found), 2)
            for stage in found[0][clock]
        }
        for clock in CLOCKS
    }
    return {name: found[0][name] for name in SHOWN} | medians


def scores_what_lacks(turn: dict[str, Any]) -> bool:
    """Whether a turn scored the candidate everywhere, its base on the new episode, and no more."""
    new = turn["new_heldout"] if turn["number"] > 1 else 0
    return bool(turn["scored"] == turn["heldout"] + new)


if __name__ == "__main__":
    sys.exit(main())
