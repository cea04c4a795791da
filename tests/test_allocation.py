"""A process that keeps what it frees touches no new page for the same block again."""

from __future__ import annotations

import subprocess
import sys

import pytest

FAULTS = """
import resource

def faults(times):
    began = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        b"x" * (64 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - began

def again():
    first = faults(1)
    return faults(10) < first
"""
"""Whether blocks of 64 MB are the same pages again, not mapped and cleared for each one."""

TAKEN = f"""
from onward import allocation
{FAULTS}
print(allocation.keep(), again())
"""


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
