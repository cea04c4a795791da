"""Claim: a challenger that is no better than the rule asks is promoted at most at the set level.

    python -m benchmarks.gate_errors [--record] [--rounds 800] [--figure PATH]

Challengers are simulated, so that the truth is known, and judged by `decide`, the whole rule.

- One candidate whose true gain is exactly the gain asked, or that truly loses exactly the margin on
  an old episode: where the rule is weakest. Rows of four kinds (`KINDS`), 100 to 1,000 of them,
  groups of ten small episodes, of episodes of two rows and of one, and rows of which few hold an
  entity (micro F1). Beside it the plain percentile bootstrap, which knows nothing of rows that the
  sample does not hold.
- A turn in which up to five challengers are tried until one passes, on the same rows: all of them
  without any gain, and all of them at the limit. The levels halve, so a turn spends at most twice
  the level (.05 + .025 + ...).

A cell is counter to its bound where so many promotions would happen by chance in less than 1 of 100
tables. Power, the share of truly better challengers that pass, is drawn against rows and effect.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from io import BytesIO
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from benchmarks import record
from onward import files, recipes
from onward.config import Gate
from onward.evaluation.evidence import Evidence, Side, Unit
from onward.evaluation.gate import score_of
from onward.evaluation.resampling import Draws
from onward.evaluation.rule import decide, level_of
from onward.evaluation.statistics import paired, rows_needed
from onward.recipes import classification, extractive, tagging

Rows = NDArray[np.float64]
SETTINGS = Gate.model_validate({"resamples": 1_000})
"""The defaults: margin 5, gain 1, level .05; fewer resamples, which only add noise."""
SURPRISING = 0.01
TRIES = 5
GROUPS = (10, 150, 300)
"""Into how many episodes 300 rows are cut."""
MARGIN, GAIN = SETTINGS.margin, SETTINGS.gain
FIGURE = Path(__file__).parents[1] / "docs" / "figures" / "gate_power.png"


@dataclass(frozen=True)
class Cell:
    """How often challengers with one truth were promoted."""

    truth: str
    rows_are: str
    rows: int
    rounds: int
    promoted: int
    bound: float
    plain: int | None = None
    """Promoted by the plain bootstrap, where it was computed."""

    @property
    def rate(self) -> float:
        """The share of promotions."""
        return self.promoted / self.rounds

    def surprise(self) -> float:
        """Chance of as many promotions or more, were the true rate the bound."""
        from scipy import stats

        return float(stats.binom.sf(self.promoted - 1, self.rounds, self.bound))


def main() -> int:
    """Simulate, print, draw, record."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=800)
    parser.add_argument("--figure", type=Path, default=FIGURE)
    parser.add_argument("--record", action="store_true", help="keep the run in results.jsonl")
    options = parser.parse_args()
    cells = errors(options.rounds)
    found = power(max(options.rounds // 4, 20))
    draw(found, options.figure)
    wrong = [cell for cell in cells if cell.surprise() < SURPRISING / len(cells)]
    single = [cell for cell in cells if cell.bound == SETTINGS.level]
    result = record.result(
        "gate_errors",
        len(wrong),
        f"of {len(cells)} truths promoted more often than their bound, beyond chance",
        0,
        met=not wrong,
        most_promoted={
            "rate": round(max(cell.rate for cell in single), 4),
            "level": SETTINGS.level,
            "rounds": options.rounds,
        },
        counter_to_their_bound=[asdict(cell) for cell in wrong],
        cells=[asdict(cell) for cell in cells],
        power=[asdict(cell) for cell in found],
        settings={"margin": MARGIN, "gain": GAIN, "level": SETTINGS.level, "tries": TRIES},
    )
    return record.finish(result, record=options.record)


def by_counts(change: float, size: int, chance: np.random.Generator) -> Rows:
    """Right or wrong: one row in five changes sides."""
    drawn = chance.random(size)
    return np.where(drawn < 0.1 + change / 2, 1.0, np.where(drawn > 0.9 + change / 2, -1.0, 0.0))


def in_parts(change: float, size: int, chance: np.random.Generator) -> Rows:
    """F1: a quarter of the rows moves by 20 to 100 points, up or down (deviation 32 points)."""
    up = chance.random(size) < 0.5 + change / 0.3
    moves = chance.random(size) < 0.25
    return np.where(moves, np.where(up, 1, -1) * chance.uniform(0.2, 1.0, size), 0.0)


def all_or_nothing(change: float, size: int, chance: np.random.Generator) -> Rows:
    """F1: only as many rows move as the change takes, each by 100 points."""
    return np.where(chance.random(size) < abs(change), np.sign(change), 0.0)


def rare_losses(change: float, size: int, chance: np.random.Generator) -> Rows:
    """F1: half of the rows gain 5 points, and a few lose everything."""
    lost = chance.random(size) < 0.025 - change
    return np.where(lost, -1.0, np.where(chance.random(size) < 0.5 / (0.975 + change), 0.05, 0.0))


KINDS: dict[str, Callable[[float, int, np.random.Generator], Rows]] = {
    "right or wrong": by_counts,
    "F1 in parts": in_parts,
    "F1 all or nothing": all_or_nothing,
    "F1 rare losses": rare_losses,
}


def sides(change: Rows, *, counted: bool) -> tuple[Rows, Rows]:
    """Statistics [n, k] of both sides whose rows differ by `change`, -1 to 1."""
    old, one = (1 - change) / 2, np.ones(len(change))
    if counted:
        old = np.where(change == 0, np.arange(len(change)) % 2, old)
        return np.column_stack([one, old + change]), np.column_stack([one, old])
    none = 0 * one
    new, old = (np.column_stack([one, f1, f1 == 1, none, none]) for f1 in (old + change, old))
    return new, old


def unit(name: str, change: Rows, *, counted: bool, learning: bool, group: str = "") -> Unit:
    """An episode whose rows changed so."""
    made = of_sides(name, *sides(change, counted=counted), learning=learning)
    return replace(made, group=group or None)


def of_sides(name: str, new: Rows, old: Rows, *, learning: bool) -> Unit:
    """An episode with these statistics [n, k] on both sides."""
    rows = tuple(f"{at:06}" for at in range(len(new)))
    return Unit(name, not learning, learning, rows, Side(rows, new), Side(rows, old))


def passes(
    units: Sequence[Unit], *, counted: bool, tries: int = 0, of: ModuleType | None = None
) -> bool:
    """Whether the rule lets such a challenger through.

    `of`: the recipe whose statistics they are; default classification or extractive.
    """
    module = of or (classification if counted else extractive)
    recipe, names = module.__name__.rpartition(".")[2], module.STATISTICS
    evidence = Evidence(
        "accuracy",
        "t",
        "c",
        "v1",
        tuple(units),
        recipe=recipe,
        statistics=names,
        right_or_wrong=counted,
    )
    level, score = level_of(SETTINGS, tries), score_of(recipe)
    return decide(evidence, SETTINGS, level, score, sizes=recipes.sizes(module)).passes


def learned(change: Rows, *, counted: bool) -> list[Unit]:
    """A challenger that changed the new rows so and no old one."""
    same = unit("0001-old", np.zeros(100), counted=counted, learning=False)
    return [same, unit("0002-new", change, counted=counted, learning=True)]


def harmed(change: Rows, *, counted: bool, parts: int = 1) -> list[Unit]:
    """A challenger that learned everything new and changed the old rows so."""
    gained = unit("9999-new", np.tile([1.0, 1.0], 50), counted=counted, learning=True)
    group = "small" if parts > 1 else ""
    olds = [
        unit(f"{at:04}-old", part, counted=counted, learning=False, group=group)
        for at, part in enumerate(np.array_split(change, parts))
    ]
    return [gained, *olds]


def plain(change: Rows, limit: float, seed: int) -> bool:
    """Whether a plain percentile bootstrap puts the lower bound at the limit or above."""
    pair = sides(change, counted=False)
    draws = Draws(SETTINGS.resamples, SETTINGS.level, seed)
    return paired([pair], score_of("extractive"), draws).low >= limit


def errors(rounds: int) -> list[Cell]:
    """Every truth that must seldom be promoted."""
    cells = []
    for kind, draw_rows in KINDS.items():
        counted = kind == "right or wrong"
        for rows in (100, 300, 1_000):
            for truth, change in (("no more gain than asked", GAIN), ("loses the margin", -MARGIN)):
                chance = np.random.default_rng([rows, len(cells)])
                judge = learned if change > 0 else harmed
                drawn = [draw_rows(change / 100, rows, chance) for _ in range(rounds)]
                promoted = sum(
                    passes(judge(one, counted=counted), counted=counted) for one in drawn
                )
                simple = None if counted else sum(
                    plain(one, change, at) for at, one in enumerate(drawn)
                )  # fmt: skip
                cells.append(Cell(truth, kind, rows, rounds, promoted, SETTINGS.level, simple))
                tell(cells[-1])
    for make in (
        *(partial(in_groups, rounds, parts) for parts in GROUPS),
        partial(turns, rounds, 0.0),
        partial(turns, rounds, GAIN),
        *(partial(in_entities, rounds, *each) for each in ENTITIES),
    ):
        cells.append(make())
        tell(cells[-1])
    return cells


def in_groups(rounds: int, parts: int) -> Cell:
    """Small episodes, pooled, that together lose exactly the margin."""
    chance = np.random.default_rng(7 if parts == GROUPS[0] else [7, parts])
    promoted = 0
    for _ in range(rounds):
        change = in_parts(-MARGIN / 100, 300, chance)
        promoted += passes(harmed(change, counted=False, parts=parts), counted=False)
    truth = f"loses the margin, group of {parts}"
    return Cell(truth, "F1 in parts", 300, rounds, promoted, SETTINGS.level)


ENTITIES = ((20, 1), (100, 1), (20, 4), (100, 4))
"""Of 300 rows: about how many entities there are, and how many a row holds at most."""


def in_entities(rounds: int, entities: int, most: int) -> Cell:
    """Micro F1 over entities that few rows hold; what a row holds is found or missed together."""
    chance = np.random.default_rng([entities, most])
    gained = np.tile([1.0, 1, 0, 0, 1], (100, 1))
    lost = np.tile([1.0, 0, 0, 1, 0], (100, 1))
    found = 0.9
    known = 2 * found / (1 + found) - MARGIN / 100  # F1 = 2r / (1 + r) where nothing is false
    kept = known / (2 - known) / found
    promoted = 0
    for _ in range(rounds):
        holds = chance.random(300) < entities / 300 / ((most + 1) / 2)
        size = np.where(holds, chance.integers(1, most + 1, 300), 0)
        old = chance.random(300) < found
        new = old & (chance.random(300) < kept)
        units = [
            of_sides("9999-new", gained, lost, learning=True),
            of_sides("0001-old", _spans(size, new), _spans(size, old), learning=False),
        ]
        promoted += passes(units, counted=False, of=tagging)
    rows_are = f"micro F1, about {entities} entities, 1 to {most} a row"
    return Cell("loses the margin", rows_are, 300, rounds, promoted, SETTINGS.level)


def _spans(size: Rows, right: NDArray[np.bool_]) -> Rows:
    none, found = 0.0 * size, np.where(right, size, 0.0)
    return np.column_stack([none + 1, found, none, size - found, found == size])


def turns(rounds: int, change: float) -> Cell:
    """Turns in which challengers are tried until one passes, five at most, on the same rows."""
    chance = np.random.default_rng(11)
    promoted = 0
    for _ in range(rounds):
        common = by_counts(0.0, 300, chance) * (chance.random(300) < 0.5)  # rows that all find so
        for tries in range(TRIES):
            own = by_counts(change / 100 * 2, 300, chance)
            rows = np.where(np.arange(300) < 150, common, own)
            if passes(learned(rows, counted=True), counted=True, tries=tries):
                promoted += 1
                break
    truth = "no gain at all" if change == 0 else "no more gain than asked"
    bound = SETTINGS.level if change == 0 else 2 * SETTINGS.level
    return Cell(f"{truth}, up to {TRIES} tries", "right or wrong", 300, rounds, promoted, bound)


def power(rounds: int) -> list[Cell]:
    """Truly better challengers: promoted how often, by rows and gain; and unharmed ones by rows."""
    cells = []
    for gain in (2.0, 3.0, 5.0, 8.0, 12.0):
        for rows in (100, 200, 400, 800, 1_600, 3_200):
            chance = np.random.default_rng([rows, int(gain)])
            judge = partial(learned, counted=False)
            drawn = (judge(in_parts(gain / 100, rows, chance)) for _ in range(rounds))
            promoted = sum(passes(one, counted=False) for one in drawn)
            cells.append(Cell(f"gains {gain:g}", "F1 in parts", rows, rounds, promoted, 1.0))
            tell(cells[-1])
    for rows in (100, 200, 400, 800, 1_600, 3_200):
        chance = np.random.default_rng([rows, 99])
        drawn = (harmed(in_parts(0.0, rows, chance), counted=False) for _ in range(rounds))
        promoted = sum(passes(one, counted=False) for one in drawn)
        cells.append(Cell("unharmed", "F1 in parts", rows, rounds, promoted, 1.0))
        tell(cells[-1])
    return cells


def tell(cell: Cell) -> None:
    """One line of the table."""
    beside = "" if cell.plain is None else f"  plain bootstrap {cell.plain / cell.rounds:.3f}"
    bound = "" if cell.bound == 1 else f"  bound {cell.bound:.3f}"
    print(
        f"{cell.truth:40} {cell.rows_are:18} {cell.rows:6,} rows  {cell.rate:.3f}{bound}{beside}",
        flush=True,
    )


def draw(cells: Sequence[Cell], path: Path) -> None:
    """Power against rows and against effect, with the formula's 80% marked."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 4.2), sharey=True)
    gains = [cell for cell in cells if cell.truth.startswith("gains")]
    truths = list(dict.fromkeys(cell.truth for cell in cells))
    for at, truth in enumerate(truths):
        mine = [cell for cell in cells if cell.truth == truth]
        shade = dict(color=f"C{at}", marker="o", markersize=3)
        style = "--" if truth == "unharmed" else "-"
        label = f"{truth} points" if truth != "unharmed" else f"unharmed, margin {MARGIN:g}"
        left.plot([c.rows for c in mine], [c.rate for c in mine], style, label=label, **shade)
        apart = MARGIN if truth == "unharmed" else float(truth.split()[1]) - GAIN
        asked = rows_needed(1_000, 32 / 1_000**0.5, apart, SETTINGS.level, 100.0)
        if asked and asked <= 3_200:
            left.plot(asked, 0.8, "x", color=f"C{at}")
    for at, rows in enumerate(sorted({cell.rows for cell in gains})):
        mine = [cell for cell in gains if cell.rows == rows]
        effects = [float(c.truth.split()[1]) for c in mine]
        right.plot(effects, [c.rate for c in mine], color=f"C{at}", marker="o", markersize=3,
                   label=f"{rows:,} rows")  # fmt: skip
    left.set(xscale="log", xlabel="rows (x: where the verdict's formula puts 80%)")
    left.set(ylabel="share promoted", ylim=(0, 1.02), title="Power against rows")
    right.set(xlabel="true gain in F1 points (1 is asked)", title="Power against effect")
    for axis in (left, right):
        axis.axhline(0.8, color="grey", linewidth=0.6)
        axis.legend(
            fontsize=7, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=3
        )
    figure.tight_layout()
    drawn = BytesIO()
    figure.savefig(drawn, format="png", dpi=110, metadata={"Software": None})
    plt.close(figure)
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_bytes(path, drawn.getvalue())


if __name__ == "__main__":
    sys.exit(main())
