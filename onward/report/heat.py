"""The matrix as a heat map: versions downwards, episodes to the right, a number in every cell.

One hue, stronger for better, so that it reads in grey, on white and on black; what was never scored
is an empty frame. Sizes are pixels: a wide matrix scrolls in its own box.

>>> shade(50.0, 0.0, 100.0)
0.34
"""

from __future__ import annotations

from dataclasses import dataclass

from onward.evaluation import transfer
from onward.evaluation.checks import episode_name, signed
from onward.evaluation.matrix import Matrix, Version
from onward.wording import counted

LEFT, TOP, WIDTH, HEIGHT = 76, 26, 74, 34
"""Pixels: beside the first column, above the first row, and of a cell."""

PALE, DARK = 0.06, 0.62
"""Opacity of the worst and the best cell: the number stays readable on both."""

NAME = 10
"""Characters of an episode's name above its column; the whole name is in the title."""

SAID = {
    "average": "{last}'s mean over its episodes",
    "forgetting": "what {last} lost since each episode's best version",
    "backward": "change since each episode was learned",
    "forward": "score before an episode was learned, over the trivial baseline",
    "gap": "by which {joint} is better",
}


@dataclass(frozen=True)
class Square:
    """One cell. `score` is empty where the version was never scored on the episode."""

    x: int
    y: int
    score: str
    shade: float
    tone: str
    """now (learned in this turn), known, before (not learned yet), gone (withdrawn) or blank."""
    spoken: str


@dataclass(frozen=True)
class Side:
    """A version's name at the left, or an episode's above; and what it says when pointed at."""

    at: int
    text: str
    title: str
    rows: int = 0
    name: str = ""
    """An episode's whole name, for the table, where there is room for it."""


@dataclass(frozen=True)
class Told:
    """A measure in words and numbers."""

    name: str
    value: str
    what: str
    basis: str


@dataclass(frozen=True)
class Heat:
    """What is drawn, and the same as a table."""

    metric: str
    width: int
    height: int
    versions: tuple[Side, ...]
    units: tuple[Side, ...]
    squares: tuple[Square, ...]
    told: tuple[Told, ...]

    def row(self, version: Side) -> list[Square]:
        """The squares of a version, in the order of the episodes."""
        return [one for one in self.squares if one.y == version.at]


def heat(found: Matrix) -> Heat:
    """The drawing of a matrix, newest version at the bottom as it was made last."""
    values = list(found.scores.values())
    low, high = min(values, default=0.0), max(values, default=100.0)
    squares = tuple(
        _square(found, one, unit, LEFT + WIDTH * column, TOP + HEIGHT * row, low, high)
        for row, one in enumerate(found.versions)
        for column, unit in enumerate(found.units)
    )
    return Heat(
        metric=found.metric,
        width=LEFT + WIDTH * len(found.units) + 2,
        height=TOP + HEIGHT * len(found.versions) + 2,
        versions=tuple(
            Side(TOP + HEIGHT * row, _name(one), _about(one))
            for row, one in enumerate(found.versions)
        ),
        units=tuple(_unit(found, column, unit) for column, unit in enumerate(found.units)),
        squares=squares,
        told=tuple(_told(found, one) for one in found.measures),
    )


def shade(score: float, low: float, high: float) -> float:
    """Opacity of a cell: even steps from the worst score shown to the best."""
    share = (score - low) / (high - low) if high > low else 1.0
    return round(PALE + (DARK - PALE) * share, 3)


def _square(
    found: Matrix, one: Version, unit: str, x: int, y: int, low: float, high: float
) -> Square:
    score = found.scores.get((one.name, unit))
    name = f"{one.name} on {episode_name(unit)}"
    if score is None:
        return Square(x, y, "", 0.0, "blank", f"{name}: never scored")
    tone = "now" if unit in one.learned else "known" if found.knew(one, unit) else "before"
    told = {"now": "", "known": "", "before": ", not learned yet"}[tone]
    if unit in found.withdrawn:
        tone, told = "gone", ", withdrawn"
    spoken = f"{name}: {found.metric} {score:.1f} on {found.rows(one.name, unit):,} rows{told}"
    return Square(x, y, f"{score:.1f}", shade(score, low, high), tone, spoken)


def _name(one: Version) -> str:
    marks = [("●", one.serves), ("!", one.forced), ("↩", not one.on_line)]
    return " ".join([one.name, *(mark for mark, on in marks if on)])


def _about(one: Version) -> str:
    """What the marks mean, and what was measured when it was promoted."""
    marks = [
        ("serves", one.serves),
        ("forced against the rule", one.forced),
        ("not one of those that the champion was made after", not one.on_line),
    ]
    said = [words for words, on in marks if on]
    said += [f"{m.name} {_number(m, m.value)} then" for m in one.promoted_with]
    return ", ".join([one.name, *said])


def _unit(found: Matrix, column: int, unit: str) -> Side:
    name = episode_name(unit)
    gone = f", withdrawn: {found.withdrawn[unit]}" if unit in found.withdrawn else ""
    rows = max((found.rows(one.name, unit) for one in found.versions), default=0)
    short = name if len(name) <= NAME else f"{name[: NAME - 1]}…"
    return Side(LEFT + WIDTH * column, short, f"{name}, {rows:,} held-out rows{gone}", rows, name)


def _told(found: Matrix, one: transfer.Measure) -> Told:
    units = counted(one.units, "episode")
    last = found.line.versions[-1] if found.line.versions else ""
    value, low, high = (_number(one, number) for number in (one.value, one.low, one.high))
    what = SAID[one.name].format(last=last, joint=found.joint)
    return Told(one.name, f"{value} [{low}, {high}]", what, f"{units}, {one.rows:,} rows")


def _number(one: transfer.Measure, value: float) -> str:
    return f"{value:.1f}" if one.name == "average" else signed(value)
