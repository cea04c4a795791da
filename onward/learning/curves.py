"""The course of a training: losses by step, and the files in which `dvc plots` reads them.

>>> course = Course(every=2)
>>> for step, loss in enumerate([4.0, 2.0, 3.0], start=1):
...     course.record(step, loss)
>>> course.points, course.last
([[2, 3.0]], 3.0)

The files are those of a `dvclive.Live` folder without its timings, so equal trainings give equal
bytes.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from onward import files

POINTS = 200
"""About as many points a curve has."""


@dataclass
class Course:
    """Mean training losses over each `every` steps, and the loss on the early-stopping part."""

    every: int
    points: list[list[float]] = field(default_factory=list)
    """[step, mean loss]"""
    stops: list[list[float]] = field(default_factory=list)
    """[step, loss on the early-stopping part], one an epoch"""
    last: float = math.nan
    open_sum: float = 0.0
    open_count: int = 0
    micro_batch: int = 0
    """Windows that went through the model together; 0: none yet."""

    @staticmethod
    def over(steps: int) -> Course:
        """An empty course of about so many steps."""
        return Course(every=max(1, steps // POINTS))

    @staticmethod
    def from_json(value: dict[str, Any]) -> Course:
        """What `to_json` gave."""
        return Course(**value)

    def to_json(self) -> dict[str, Any]:
        """A form that a resumed training continues from, to the last bit."""
        return asdict(self)

    def record(self, step: int, loss: float) -> None:
        """Add the loss of one step."""
        self.last = loss
        self.open_sum, self.open_count = self.open_sum + loss, self.open_count + 1
        if step % self.every == 0:
            self.points.append([step, self.open_sum / self.open_count])
            self.open_sum, self.open_count = 0.0, 0

    def best_step(self) -> int | None:
        """The step of the lowest early-stopping loss, the first of equal ones; None without any."""
        return int(min(self.stops, key=lambda stop: stop[1])[0]) if self.stops else None

    def exhausted(self, patience: int) -> bool:
        """Whether the last `patience` epochs (0: any number) were no better than the best."""
        steps = [stop[0] for stop in self.stops]
        return bool(patience and steps and len(steps) - 1 - self._best_index() >= patience)

    def _best_index(self) -> int:
        losses = [stop[1] for stop in self.stops]
        return losses.index(min(losses))


class Live:
    """A folder as `dvclive.Live` writes it: plots/metrics/NAME.tsv and metrics.json."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lines: dict[str, list[tuple[int, float]]] = {}

    def log_metric(self, name: str, value: float, step: int) -> None:
        """Add a point; `name` may hold slashes, `train/loss`."""
        self._lines.setdefault(name, []).append((step, value))

    def end(self) -> None:
        """Write the files."""
        summary: dict[str, Any] = {}
        for name, points in self._lines.items():
            *groups, last = name.split("/")
            path = self.folder.joinpath("plots", "metrics", *groups, f"{last}.tsv")
            lines = [f"step\t{last}", *(f"{step}\t{value!r}" for step, value in points)]
            files.write_text(path, "\n".join(lines) + "\n")
            inner = summary
            for group in groups:
                inner = inner.setdefault(group, {})
            inner[last] = points[-1][1]
            summary["step"] = max(summary.get("step", 0), points[-1][0])
        files.write_json(self.folder / "metrics.json", summary)


def write(folder: Path, course: Course, steps: int) -> None:
    """Write a course as curves into a folder that the caller seals."""
    live = Live(folder)
    points = course.points or [[steps, course.last]]
    for step, loss in points:
        live.log_metric("train/loss", loss, int(step))
    for step, loss in course.stops:
        live.log_metric("stopping/loss", loss, int(step))
    live.end()
