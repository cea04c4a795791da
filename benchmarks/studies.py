"""What the benchmarks that are studies share: their options, their folder and their printing."""

from __future__ import annotations

import argparse
import math
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from onward.study import report, study
from onward.study.combinations import Combination, every, parse
from onward.study.plan import Plan
from onward.study.sequence import Episodes
from onward.study.trial import Steps

MEASURES = (
    "average",
    "of_joint",
    "learned",
    "forgetting",
    "beyond_joint",
    "known_against_joint",
)
"""Kept in results.jsonl."""

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared" / "datasets"


def public(path: Path) -> Path:
    """A file of a public set; ends the script in one line where it is not there."""
    if not path.is_file():
        raise SystemExit(
            f"There is no {path}: public sets are not part of the repository; "
            "name the folder that holds them by --datasets DIR"
        )
    return path


def spread(rows: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """So many rows at even distances."""
    count = min(count, len(rows))
    return [rows[at * len(rows) // count] for at in range(count)]


def parser(doc: str | None, combinations: str) -> argparse.ArgumentParser:
    """Options that they all have."""
    made = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    made.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    made.add_argument("--combinations", nargs="+", default=combinations.split())
    made.add_argument("--jobs", type=int, default=1, help="trials at a time")
    made.add_argument("--threads", type=int, help="of each trial; default: the cores shared")
    made.add_argument("--select", action="store_true", help="choose settings on training rows")
    made.add_argument("--folder", type=Path, help="of the study; default .onward/bench/NAME")
    made.add_argument("--only", nargs="+", default=[], help="NAME or NAME:SEED to run now")
    made.add_argument("--minutes", type=float, default=math.inf, help="then begin no more trials")
    made.add_argument("--again", action="store_true", help="read test rows for other settings, too")
    made.add_argument("--record", action="store_true", help="keep the run in results.jsonl")
    made.add_argument("--smoke", action="store_true", help="a few rows: whether it runs at all")
    return made


@contextmanager
def folder(options: argparse.Namespace, name: str) -> Iterator[Path]:
    """Where the study lies: kept, so that a killed one goes on; a smoke run's goes away."""
    if not options.smoke:
        yield options.folder or ROOT / ".onward" / "bench" / name
        return
    with tempfile.TemporaryDirectory(prefix=f"{name}-") as made:
        yield Path(made)


def combinations(names: Sequence[str], recipe: str) -> list[Combination]:
    """Those of the names; `all` stands for every one that the table allows with full tuning."""
    found = [one for name in names for one in (every(recipe) if name == "all" else [parse(name)])]
    return list(dict.fromkeys(found))


def run(
    options: argparse.Namespace,
    place: Path,
    settings: Mapping[str, Any],
    sequences: Mapping[int, Episodes],
    chosen: Mapping[str, Mapping[str, Any]] | None = None,
    steps: Steps = "naive",
) -> dict[str, Any]:
    """The table of a study of these episodes, printed as it stands."""
    recipe = settings["project"]["recipe"]
    named = combinations(options.combinations, recipe)
    plan = Plan(
        folder=place,
        settings=settings,
        combinations=named,
        sequences=sequences,
        threads=study.threads(place, options.jobs, options.threads),
        chosen=dict(chosen or {}),
        steps=steps,
    )
    cores = len(os.sched_getaffinity(0))
    print(f"{len(named)} combinations x {len(sequences)} seeds, {options.jobs} at a time, ", end="")
    print(f"{plan.threads} threads each, {cores} cores; results in {place}", flush=True)
    table = study.study(
        plan,
        jobs=options.jobs,
        select=options.select,
        only=options.only,
        minutes=options.minutes,
        again=options.again,
    )
    print(report.markdown(table), flush=True)
    return table


def row(table: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """A combination's row of the table."""
    return next((row for row in table["rows"] if row["combination"] == name), None)


def value(row: Mapping[str, Any] | None, measure: str) -> float:
    """A measure of a row; NaN where there is none."""
    found = (row or {}).get("measures", {}).get(measure)
    return float(found["value"]) if found else float("nan")


def summary(table: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What is kept of each row in results.jsonl."""
    return [
        {
            "combination": row["combination"],
            "seeds": len(row["seeds"]),
            **{
                name: [round(row["measures"][name][side], 2) for side in ("value", "low", "high")]
                for name in MEASURES
                if name in row["measures"]
            },
            **row["cost"],
            "chosen": row["chosen"]["values"] if row["chosen"] else None,
            "test_read": row["test_read"],
        }
        for row in table["rows"]
    ]
