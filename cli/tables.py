"""The tables a person sees: a verdict, and the history. Pure functions to Rich renderables."""

from __future__ import annotations

from typing import Any

from rich.console import RenderableType

from onward.evaluation.checks import Verdict


def verdict_table(verdict: Verdict, seq: int | None = None) -> RenderableType:
    """The headline, one line a check, and Why / And / Now / See."""
    raise NotImplementedError


def history_table(lines: list[dict[str, Any]], champion: str | None) -> RenderableType:
    """The journal, newest first, and the line that says who serves and how to undo it."""
    raise NotImplementedError
