"""Three figures of a study: the matrices, the average after each episode, forgetting against cost.

Drawn by Agg into bytes, as `onward.runtime.pictures` does; nothing is written here.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from onward.study.results import Result, processor_seconds

INK, FAINT = "#20242b", "#d9dce1"
NAMES = ("matrices", "after_each_episode", "forgetting_and_cost")
_ACROSS = 4


def draw(results: Sequence[Result], metric: str) -> dict[str, bytes]:
    """Name -> PNG; nothing where there are no results."""
    if not results:
        return {}
    makers = (_matrices, _curves, _costs)
    return {name: maker(results, metric) for name, maker in zip(NAMES, makers, strict=True)}


def _matrices(results: Sequence[Result], metric: str) -> bytes:
    """A heat map for each combination: turns downwards, episodes across."""
    from matplotlib.figure import Figure

    across = min(_ACROSS, len(results))
    down = -(-len(results) // across)
    figure = Figure(figsize=(2.5 * across + 0.6, 2.5 * down + 0.5), dpi=130)
    every = figure.subplots(down, across, squeeze=False).ravel()
    for axis, result in zip(every, results, strict=False):
        shown = axis.imshow(result.matrix, vmin=0, vmax=100, cmap="viridis", aspect="equal")
        axis.set_title(result.name, fontsize=8, loc="left", color=INK)
        size = len(result.matrix)
        axis.set_xticks(range(size), range(1, size + 1), fontsize=6)
        axis.set_yticks(range(size), range(1, size + 1), fontsize=6)
        if size <= 8:
            _numbers(axis, result)
    for axis in every[len(results) :]:
        axis.set_axis_off()
    every[0].set_xlabel("episode", fontsize=7)
    every[0].set_ylabel("after turn", fontsize=7)
    figure.tight_layout()
    figure.colorbar(shown, ax=list(every), shrink=0.7, label=metric)
    return _png(figure)


def _numbers(axis: Any, result: Result) -> None:
    for turn, row in enumerate(result.matrix):
        for unit, value in enumerate(row[: turn + 1]):
            colour = "white" if value < 60 else "black"
            text = f"{value:.0f}"
            axis.text(unit, turn, text, ha="center", va="center", fontsize=6, color=colour)


def _curves(results: Sequence[Result], metric: str) -> bytes:
    """The mean over the episodes learned so far, with its interval."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.6, 4.4), dpi=130)
    axis = figure.subplots()
    for number, result in enumerate(results):
        turns = range(1, len(result.curve) + 1)
        style = {"color": _colour(number), "linestyle": _STYLES[number // 10 % len(_STYLES)]}
        axis.plot(turns, [v.value for v in result.curve], label=result.name, lw=1.4, **style)
        low, high = ([getattr(v, side) for v in result.curve] for side in ("low", "high"))
        axis.fill_between(turns, low, high, color=_colour(number), alpha=0.12, lw=0)
    axis.set_xticks(range(1, len(results[0].curve) + 1))
    axis.set_xlabel("episodes learned")
    axis.set_ylabel(f"mean {metric} over them")
    figure.legend(loc="outside right upper", fontsize=7, frameon=False)
    figure.set_layout_engine("constrained")
    return _png(figure)


def _costs(results: Sequence[Result], metric: str) -> bytes:
    """Forgetting against the processor seconds that the whole sequence took.

    The clock's would show what else the machine did.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.6, 4.4), dpi=130)
    axis = figure.subplots()
    for number, result in enumerate(results):
        seconds = processor_seconds(result.turns)
        found = result.measures["forgetting"]
        bars = [[max(0.0, found.value - found.low)], [max(0.0, found.high - found.value)]]
        axis.errorbar(seconds, found.value, yerr=bars, fmt="o", color=_colour(number), ms=5, lw=1.2)
        axis.annotate(
            result.name, (seconds, found.value), (5, 3), textcoords="offset points", fontsize=7
        )
    axis.set_xscale("log")
    axis.set_xlabel("processor seconds for the whole sequence")
    axis.set_ylabel(f"forgetting, points of {metric}")
    axis.grid(color=FAINT, linewidth=0.6)
    figure.set_layout_engine("constrained")
    return _png(figure)


_STYLES = ("-", "--", ":", "-.")


def _colour(number: int) -> str:
    return f"C{number % 10}"


def _png(figure: Any) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    out = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()
