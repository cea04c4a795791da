"""Progress with time left: a bar in a terminal, a line every few seconds in a log.

>>> with Progress("score", total=2) as progress:
...     progress.advance(2)
score 100% 2/2 done in 00:00
"""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

EVERY = 5.0
"""Seconds between two lines in a log."""


def clock(seconds: float) -> str:
    """01:02 or 1:02:03."""
    text = str(timedelta(seconds=round(seconds)))
    return text[2:] if text.startswith("0:0") else text.removeprefix("0:")


class Progress:
    """Counts `total` units of work and says how much is left."""

    def __init__(self, label: str, total: int) -> None:
        self.label, self.total = label, max(total, 1)
        self.done = 0 if total > 0 else 1  # of nothing, all is done
        self._note = ""
        self._bar: Bar | None = None
        self._started = self._told = self._counted = time.monotonic()

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
                console=Console(stderr=True),
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task(self.label, total=self.total, note="")
        return self

    def advance(self, units: int = 1, note: str = "") -> None:
        """Count finished units; `note` (a loss, a file) is shown beside them.

        With 0 units it says that the work goes on.
        """
        self.done = min(self.done + units, self.total)
        self._counted = time.monotonic() if units else self._counted
        self._note = note or self._note
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done, note=self._note)
        elif time.monotonic() - self._told >= EVERY and self.done < self.total:
            self._told = time.monotonic()
            share = f"{100 * self.done // self.total}% {self.done}/{self.total}"
            if self.done:
                each = (self._counted - self._started) / self.done
                left = each * (self.total - self.done) - (self._told - self._counted)
                share += f" {clock(max(left, 0.0))} left"
            print(f"{self.label} {share} {self._note}".rstrip(), flush=True)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        if error is None:
            spent = clock(time.monotonic() - self._started)
            share = f"{100 * self.done // self.total}% {self.done}/{self.total}"
            print(f"{self.label} {share} done in {spent}", flush=True)
