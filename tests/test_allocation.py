"""A process that keeps what it frees touches no new page for the same block again."""

from __future__ import annotations

import subprocess
import sys

import pytest

TAKEN = """
import resource, sys
from onward import allocation

def faults(times):
    began = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        b"x" * (64 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - began

kept = allocation.keep()
first = faults(1)
print(kept, faults(10) < first)
"""
"""Each block is of 64 MB: mapped and cleared for each one, or the same pages again."""


def taken(**given: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", TAKEN], env=given, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_a_block_taken_again_is_the_one_that_was_freed() -> None:
    assert taken() == ["True", "True"]


@pytest.mark.parametrize(
    "given",
    [
        {"MALLOC_TRIM_THRESHOLD_": "131072"},
        {"GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=131072"},
    ],
)
def test_whoever_tunes_malloc_is_left_alone(given: dict[str, str]) -> None:
    """Ten blocks cost more pages than the first one."""
    assert taken(**given) == ["False", "False"]


def test_other_tunables_are_none_of_malloc() -> None:
    assert taken(GLIBC_TUNABLES="glibc.pthread.rseq=1") == ["True", "True"]
