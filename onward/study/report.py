"""The end of a study: one table, as JSON and Markdown, and figures, sealed together.

They are made anew only where a result, a choice or a reading of the test rows was added.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from onward import files
from onward.study import figures, readings, trial
from onward.study.choosing import Choice
from onward.study.plan import Plan
from onward.study.results import LEVEL, RESAMPLES, Result, Value, collect, processor_seconds

SCHEMA = 2
FOLDER, TABLE, PAGE = "report", "table.json", "table.md"


def make(plan: Plan, choices: Mapping[str, Choice]) -> dict[str, Any]:
    """The table of what is finished, from FOLDER/report or made there anew.

    Raises:
        MissingFiles, IntegrityError: a sealed result cannot be read.
    """
    place = plan.folder / FOLDER
    key = _key(plan, choices)
    if (place / files.MANIFEST).is_file() and files.read_json(place / files.MANIFEST)["key"] == key:
        found: dict[str, Any] = files.read_json(place / TABLE)
        return found
    results = collect(plan)
    table = describe(plan, results, choices)
    with files.building(place, replace=True, key=key) as at:
        files.write_json(at / TABLE, table)
        files.write_text(at / PAGE, markdown(table))
        for name, drawn in figures.draw(results, table["metric"]).items():
            files.write_bytes(at / f"{name}.png", drawn)
    return table


def _key(plan: Plan, choices: Mapping[str, Choice]) -> str:
    done = {
        f"{name} {seed}": [key for key in one.keys() if trial.sealed(plan.folder, key)]
        for (name, seed), one in plan.trials().items()
    }
    read = {one.name: readings.times(plan.folder, one.name) for one in plan.combinations}
    told = {name: asdict(choice) for name, choice in choices.items()}
    return files.digest([SCHEMA, RESAMPLES, plan.steps, done, read, told])


def describe(
    plan: Plan, results: Sequence[Result], choices: Mapping[str, Choice]
) -> dict[str, Any]:
    """The table as plain values."""
    from onward import recipes

    return {
        "schema": SCHEMA,
        "metric": recipes.shown(recipes.get(plan.recipe).PRIMARY),
        "interval": f"{100 * (1 - 2 * LEVEL):.0f}%, over seeds and test rows",
        "episodes": [one.episode for one in plan.sequences[plan.seeds[0]].named],
        "seeds": plan.seeds,
        "threads": plan.threads,
        "steps": plan.steps,
        "rows": [_row(plan, result, choices.get(result.name)) for result in results],
        "missing": [
            f"{name} seed {seed}"
            for (name, seed), one in plan.trials().items()
            if not all(trial.sealed(plan.folder, key) for key in one.keys())
        ],
    }


def _row(plan: Plan, result: Result, choice: Choice | None) -> dict[str, Any]:
    return {
        "combination": result.name,
        "seeds": list(result.seeds),
        "measures": {name: asdict(value) for name, value in result.measures.items()},
        "matrix": [[_plain(value) for value in row] for row in result.matrix.tolist()],
        "curve": [asdict(value) for value in result.curve],
        "cost": cost(result.turns),
        "settings": {key: result.settings[key] for key in ("finetune", "strategy")},
        "chosen": asdict(choice) if choice else None,
        "test_read": readings.times(plan.folder, result.name),
    }


def _plain(value: float) -> float | None:
    return round(value, 4) if value == value else None


def cost(turns: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means over seeds: the whole sequence's seconds, a later turn's, and the largest of the rest.

    A later turn is any but the first, which starts from the pretrained encoder. Seconds are by the
    clock and of the processor: other work on the machine changes the clock's.
    """
    later = [turn for turn in turns if turn["number"] > 1] or list(turns)
    seeds = {turn["seed"] for turn in turns}
    return {
        "seconds": round(sum(turn["seconds"]["all"] for turn in turns) / len(seeds), 1),
        "turn_seconds": round(statistics.mean(turn["seconds"]["all"] for turn in later), 2),
        "processor_seconds": round(processor_seconds(turns), 1),
        "turn_processor_seconds": round(
            statistics.mean(turn["processor_seconds"]["all"] for turn in later), 2
        ),
        "steps": sum(turn["steps"] for turn in turns) // len(seeds),
        "rows": sum(turn["rows"] for turn in turns) // len(seeds),
        "peak_mb": max(turn["peak_mb"] for turn in turns),
        "stored_rows": max(turn["stored_rows"] for turn in turns),
        "stored_mb": round(max(turn["stored_bytes"] for turn in turns) / 1e6, 3),
        "model_mb": round(max(turn["model_bytes"] for turn in turns) / 1e6, 1),
    }


COLUMNS = (
    ("combination", "left"),
    ("seeds", "right"),
    ("average", "right"),
    ("% of joint", "right"),
    ("forgetting", "right"),
    ("beyond joint's", "right"),
    ("learned", "right"),
    ("s a turn", "right"),
    ("CPU s", "right"),
    ("steps", "right"),
    ("peak MB", "right"),
    ("stored rows", "right"),
    ("stored MB", "right"),
    ("test read", "right"),
)


def cells(row: Mapping[str, Any]) -> list[str]:
    """One row of the table as text, in the order of COLUMNS."""
    found = {name: Value(**value) for name, value in row["measures"].items()}
    spent = row["cost"]
    return [
        row["combination"],
        str(len(row["seeds"])),
        _shown(found["average"]),
        _shown(found["of_joint"]) if "of_joint" in found else "—",
        _shown(found["forgetting"]),
        _shown(found["beyond_joint"]) if "beyond_joint" in found else "—",
        f"{found['learned'].value:.1f}",
        f"{spent['turn_seconds']:.1f}",
        f"{spent['turn_processor_seconds']:.1f}",
        f"{spent['steps']:,}",
        f"{spent['peak_mb']:,.0f}",
        f"{spent['stored_rows']:,}",
        f"{spent['stored_mb']:.2f}",
        "once" if row["test_read"] <= 1 else f"{row['test_read']} settings",
    ]


def _shown(value: Value) -> str:
    return f"{value.value:.1f} [{value.low:.1f}, {value.high:.1f}]"


def notes(table: Mapping[str, Any]) -> list[str]:
    """What a reader must know of the numbers."""
    again = [row["combination"] for row in table["rows"] if row["test_read"] > 1]
    lines = [
        f"{table['metric']} in percent; intervals {table['interval']}.",
        f"Each turn of a tuned combination takes as many optimizer steps as {table['steps']}'s; "
        "joint takes the same epochs over all rows so far, and analytic none.",
    ]
    if again:
        lines.append(f"Test rows were read for more than one configuration of {', '.join(again)}.")
    if table["missing"]:
        lines.append(f"Not finished: {', '.join(table['missing'])}.")
    return lines


def markdown(table: Mapping[str, Any]) -> str:
    """The table as a page."""
    lines = [
        "# Study",
        "",
        *(f"{line}\n" for line in notes(table)),
        "| " + " | ".join(name for name, _ in COLUMNS) + " |",
        "| " + " | ".join("---" if side == "left" else "---:" for _, side in COLUMNS) + " |",
        *("| " + " | ".join(cells(row)) + " |" for row in table["rows"]),
        "",
        *(f"![{name}]({name}.png)" for name in figures.NAMES if table["rows"]),
        "",
    ]
    return "\n".join(lines)


def place(folder: Path) -> Path:
    """The page of a study."""
    return folder / FOLDER / PAGE
