"""The DVC stage `evaluate`: `python -m onward.stages.evaluate` in a project's root."""

from __future__ import annotations

from onward.evaluation.evaluate import run
from onward.stages.entry import start

if __name__ == "__main__":
    start("evaluate", run)
