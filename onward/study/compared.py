"""The end of a comparison: a table, and two pictures: score against weights, and against time.

A score is the recipe's metric over all rows scored on, the mean over seeds. Its interval, and that
of the difference to the first entry, are over seeds and rows together, on the same draws.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from onward import files, recipes
from onward.errors import OnwardError
from onward.evaluation.statistics import Array
from onward.study import results, trial
from onward.study.choosing import Choice
from onward.study.compare import Comparison
from onward.study.trial import Trial

SCHEMA = 1
FOLDER, TABLE, PAGE = "report", "table.json", "table.md"
PICTURES = {"score_and_weights": "trainable", "score_and_time": "seconds"}
_INK, _FAINT = "#20242b", "#d9dce1"


def make(
    made: Comparison, choices: Mapping[str, Choice], failed: Mapping[str, OnwardError]
) -> dict[str, Any]:
    """The table of what is finished; table and pictures are sealed in FOLDER/report.

    Args:
        made: what was compared.
        choices: by the name of an entry, what was chosen for it.
        failed: by a trial's last key, what leaves its entry out.
    """
    table = describe(made, choices, failed)
    with files.building(made.folder / FOLDER, replace=True) as at:
        files.write_json(at / TABLE, table)
        files.write_text(at / PAGE, markdown(table))
        for name, key in PICTURES.items():
            if table["rows"]:
                files.write_bytes(at / f"{name}.png", _png(_figure(table, key)))
    return table


def describe(
    made: Comparison, choices: Mapping[str, Choice], failed: Mapping[str, OnwardError]
) -> dict[str, Any]:
    """The table as plain values. Arguments as of `make`."""
    done: dict[str, dict[int, Trial]] = {}
    missing, left_out = [], {}
    for (name, seed), one in made.trials().items():
        if trial.sealed(made.folder, one.keys()[-1]):
            done.setdefault(name, {})[seed] = one
        elif one.keys()[-1] in failed:
            left_out[one.label] = failed[one.keys()[-1]].what
        else:
            missing.append(f"{name} seed {seed}")
    recipe = recipes.get(made.recipe)
    scores = {
        name: {seed: _scores(made.folder, recipe, one) for seed, one in of_name.items()}
        for name, of_name in done.items()
    }
    of_all = [one.name for one in made.entries]
    first = next((name for name in of_all if name in done or not left_out), of_all[0])
    rows = [
        _row(made, name, of_name, scores[name], scores.get(first, {}), choices.get(name))
        for name, of_name in done.items()
    ]
    return {
        "schema": SCHEMA,
        "metric": recipes.shown(recipe.PRIMARY),
        "interval": f"{100 * (1 - 2 * results.LEVEL):.0f}%, over seeds and rows",
        "against": first,
        "episodes": [one.episode for one in made.episodes.named],
        "seeds": list(made.seeds),
        "threads": made.threads,
        "rows": rows,
        "missing": missing,
        "left_out": left_out,
    }


def _scores(folder: Path, recipe: Any, one: Trial) -> Array:
    """The metric over all rows, then over each draw of them: [1 + R]."""
    part = trial.statistics(folder, one.keys()[-1])
    pairs = sorted(
        (name, values)
        for unit in part.units()
        for name, values in zip(*_plain(part.statistics(unit)), strict=True)
    )
    stacked = np.array([values for _, values in pairs])
    return np.concatenate(
        [recipe.metrics(drawn @ stacked)[recipe.PRIMARY] for drawn in results.counts(len(stacked))]
    )


def _plain(found: Any) -> tuple[list[str], list[tuple[float, ...]]]:
    names, values = found
    return list(names), [tuple(row) for row in values.tolist()]


def _row(
    made: Comparison,
    name: str,
    trials: Mapping[int, Trial],
    scores: Mapping[int, Array],
    against: Mapping[int, Array],
    choice: Choice | None,
) -> dict[str, Any]:
    seeds = sorted(trials)
    turns = [trial.read(made.folder, trials[seed].keys()[-1]) for seed in seeds]
    finetune = trials[seeds[0]].blocks["finetune"]
    settings = dict(next(entry.values for entry in made.entries if entry.name == name))
    both = [seed for seed in seeds if seed in against]
    apart = [scores[seed] - against[seed] for seed in both]
    one = turns[0]
    return {
        "name": name,
        "tuning": finetune["tuning"],
        "rate": finetune[made.rate(settings).partition(".")[2]],
        "seeds": seeds,
        "score": asdict(_mean([scores[seed] for seed in seeds])),
        "change": asdict(_mean(apart)) if apart else None,
        "parameters": one["parameters"],
        "trainable": one["trainable"],
        "trainable_percent": round(100 * one["trainable"] / max(one["parameters"], 1), 3),
        "added_bytes": one["adapter_bytes"],
        "steps": one["steps"],
        "seconds": round(sum(turn["seconds"]["finetune"] for turn in turns) / len(turns), 2),
        "peak_mb": max(turn["peak_mb"] for turn in turns),
        "model_mb": round(one["model_bytes"] / 1e6, 2),
        "settings": settings,
        "chosen": asdict(choice) if choice else None,
    }


def _mean(of_seeds: Sequence[Array]) -> results.Value:
    return results.mean(of_seeds, results.seeds_drawn(len(of_seeds)))


COLUMNS = (
    ("settings", "left"),
    ("score", "right"),
    ("against {against}", "right"),
    ("weights moved", "right"),
    ("%", "right"),
    ("s", "right"),
    ("peak MB", "right"),
    ("rate", "right"),
    ("seeds", "right"),
)


def columns(table: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names and sides of the columns."""
    return [(name.format(**table), side) for name, side in COLUMNS]


def cells(row: Mapping[str, Any]) -> list[str]:
    """One row as text, in the order of COLUMNS."""
    score, change = row["score"], row["change"]
    return [
        row["name"],
        f"{score['value']:.1f} [{score['low']:.1f}, {score['high']:.1f}]",
        f"{change['value']:+.1f} [{change['low']:+.1f}, {change['high']:+.1f}]" if change else "—",
        f"{row['trainable']:,}",
        f"{row['trainable_percent']:.2f}",
        f"{row['seconds']:.1f}",
        f"{row['peak_mb']:,.0f}",
        f"{row['rate']:g}",
        str(len(row["seeds"])),
    ]


def notes(table: Mapping[str, Any]) -> list[str]:
    """What a reader must know of the numbers."""
    lines = [
        f"{table['metric']}; intervals {table['interval']}. Scored on rows that none was trained "
        "on, never on the gate's.",
    ]
    if table["missing"]:
        lines.append(f"Not finished: {', '.join(table['missing'])}.")
    lines += [f"Left out: {name}. {why}." for name, why in table["left_out"].items()]
    return lines


def markdown(table: Mapping[str, Any]) -> str:
    """The table as a page."""
    made = columns(table)
    return "\n".join(
        [
            "# Comparison",
            "",
            *(f"{line}\n" for line in notes(table)),
            "| " + " | ".join(name for name, _ in made) + " |",
            "| " + " | ".join("---" if side == "left" else "---:" for _, side in made) + " |",
            *("| " + " | ".join(cells(row)) + " |" for row in table["rows"]),
            "",
            *(f"![{name}]({name}.png)" for name in PICTURES),
            "",
        ]
    )


def _figure(table: Mapping[str, Any], key: str) -> Any:
    """Scores with their intervals against weights moved, or seconds of fine-tuning."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.6, 4.4), dpi=130)
    axis = figure.subplots()
    for number, row in enumerate(table["rows"]):
        score = row["score"]
        bars = [
            [max(0.0, score["value"] - score["low"])],
            [max(0.0, score["high"] - score["value"])],
        ]
        at = max(row[key], 1e-3)
        axis.errorbar(at, score["value"], bars, fmt="o", color=f"C{number % 10}", ms=5, lw=1.2)
        axis.annotate(
            row["name"], (at, score["value"]), (5, 4), textcoords="offset points", fontsize=8
        )
    axis.set_xscale("log")
    labels = {"trainable": "weights that move", "seconds": "seconds of fine-tuning"}
    axis.set_xlabel(labels[key], color=_INK)
    axis.set_ylabel(table["metric"], color=_INK)
    axis.grid(color=_FAINT, linewidth=0.6)
    axis.margins(x=0.15)
    figure.set_layout_engine("constrained")
    return figure


def _png(figure: Any) -> bytes:
    """The bytes of a picture; equal ones for equal figures."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    out = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()


def place(folder: Path) -> Path:
    """The page of a comparison."""
    return folder / FOLDER / PAGE
