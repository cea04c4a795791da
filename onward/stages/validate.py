"""Check the episodes of the turn: `python -m onward.stages.validate` in a project's root."""

from __future__ import annotations

from onward.stages.entry import start
from onward.validation.run import run

if __name__ == "__main__":
    start("validate", run)
