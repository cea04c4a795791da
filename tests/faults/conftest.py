"""Durable operations that fail when they are told to."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from onward import files


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here processes die and machines do not, so flushing to the disk changes nothing."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


class Strike:
    """Raises at the Nth durable operation; `reached` says whether there was an Nth."""

    def __init__(self, nth: int, error: BaseException) -> None:
        self.nth, self.error, self.count = nth, error, 0

    def __call__(self, kind: str, path: Path) -> None:
        self.count += 1
        if self.count == self.nth:
            raise self.error

    @property
    def reached(self) -> bool:
        return self.count >= self.nth


@pytest.fixture
def strike(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, BaseException], Strike]:
    """strike(3, OSError()): the third durable operation from now on fails; strike(0, ...): none."""

    def install(nth: int, error: BaseException) -> Strike:
        made = Strike(nth, error)
        monkeypatch.setattr(files, "operation", made)
        return made

    return install
