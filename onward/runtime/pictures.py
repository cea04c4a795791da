"""Two pictures of a benchmark report: latency by variant and shape, and every raw sample.

Drawn by Agg into bytes: no display is needed, and nothing is written here.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

ORDER = ("torch", "champion", "fp32", "int8")
COLOURS = {"torch": "#8a8f98", "champion": "#c98b2b", "fp32": "#2f6db5", "int8": "#2a9d6f"}
INK, FAINT = "#20242b", "#d9dce1"


def latency(report: Mapping[str, Any]) -> bytes:
    """A bar to the median, a line on to the 95th percentile and a tick at the 99th, as PNG."""
    from matplotlib.figure import Figure

    shapes = _shapes(report)
    names = _variants(report)
    figure = Figure(figsize=(8.2, 0.9 + 0.34 * len(shapes) * (len(names) + 1)), dpi=130)
    axes = figure.subplots(len(shapes), 1, squeeze=False)[:, 0]
    for axis, shape in zip(axes, shapes, strict=True):
        entries = [_entry(report, name, shape) for name in names]
        for place, entry in enumerate(entries):
            _bar(axis, place, entry, chosen=_is_choice(report, entry))
        axis.set_yticks(range(len(names)), names)
        axis.invert_yaxis()
        axis.set_xlim(0, 1.22 * max(entry["p99_ms"] for entry in entries))
        serving = "  (serving shape)" if list(shape) == list(report["serving_shape"]) else ""
        _plain(axis, f"batch {shape[0]} × {shape[1]} tokens{serving}")
    axes[-1].set_xlabel("ms: bar to the median, line to the 95th percentile, tick at the 99th")
    figure.suptitle(_title(report), x=0.01, ha="left", fontsize=11, color=INK, weight="bold")
    return _png(figure)


def samples(report: Mapping[str, Any]) -> bytes:
    """Each sample at the serving shape in the order taken, and its distribution, as PNG."""
    from matplotlib.figure import Figure

    shape = tuple(report["serving_shape"])
    names = _variants(report)
    figure = Figure(figsize=(8.2, 3.6), dpi=130)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[3, 2])
    for name in names:
        taken = _entry(report, name, shape)["samples_ms"]
        left.plot(taken, ".", markersize=3.5, alpha=0.75, color=COLOURS[name], label=name)
        share = [100 * (n + 1) / len(taken) for n in range(len(taken))]
        right.plot(share, sorted(taken), color=COLOURS[name], linewidth=1.6)
    right.axvline(95, color=FAINT, linewidth=1)
    left.set_ylim(bottom=0)
    left.set_ylabel("ms")
    left.set_xlabel("round")
    right.set_xlabel("percent of rounds at most so slow (95th marked)")
    _plain(left, f"every sample, batch {shape[0]} × {shape[1]} tokens")
    _plain(right, "sorted")
    figure.legend(
        *left.get_legend_handles_labels(),
        loc="upper right",
        ncols=len(names),
        frameon=False,
        fontsize=9,
        markerscale=2.5,
    )
    figure.suptitle(_title(report), x=0.01, ha="left", fontsize=11, color=INK, weight="bold")
    return _png(figure)


def _bar(axis: Any, place: int, entry: Mapping[str, Any], *, chosen: bool) -> None:
    colour = COLOURS[entry["variant"]]
    axis.barh(place, entry["p50_ms"], height=0.62, color=colour, alpha=1 if chosen else 0.55)
    axis.plot([entry["p50_ms"], entry["p95_ms"]], [place, place], color=colour, linewidth=2.2)
    axis.plot([entry["p99_ms"]], [place], "|", color=colour, markersize=9, markeredgewidth=1.6)
    told = f"  {entry['p50_ms']:.1f} / {entry['p95_ms']:.1f}" + ("  serves" if chosen else "")
    end = max(entry["p99_ms"], entry["p95_ms"])
    axis.text(end, place, told, va="center", fontsize=8, color=INK)


def _title(report: Mapping[str, Any]) -> str:
    return (
        f"{report['variant']} serves on {str(report['provider']).upper()}, "
        f"{report['threads']} thread{'s' if report['threads'] != 1 else ''}"
    )


def _plain(axis: Any, title: str) -> None:
    axis.set_title(title, loc="left", fontsize=9, color=INK)
    axis.tick_params(labelsize=8, colors=INK, length=0)
    axis.grid(axis="x", color=FAINT, linewidth=0.6)
    axis.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    axis.spines["bottom"].set_color(FAINT)
    axis.xaxis.label.set(fontsize=8, color=INK)
    axis.yaxis.label.set(fontsize=8, color=INK)


def _variants(report: Mapping[str, Any]) -> list[str]:
    found = {entry["variant"] for entry in report["timings"]}
    return [name for name in ORDER if name in found]


def _shapes(report: Mapping[str, Any]) -> list[tuple[int, int]]:
    return list(dict.fromkeys((entry["batch"], entry["length"]) for entry in report["timings"]))


def _entry(report: Mapping[str, Any], name: str, shape: tuple[int, ...]) -> Mapping[str, Any]:
    return next(
        entry
        for entry in report["timings"]
        if entry["variant"] == name and (entry["batch"], entry["length"]) == tuple(shape)
    )


def _is_choice(report: Mapping[str, Any], entry: Mapping[str, Any]) -> bool:
    return bool(entry["variant"] == report["variant"])


def _png(figure: Any) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure.tight_layout()
    out = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()
