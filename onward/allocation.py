"""Memory that a process frees and soon wants again stays with the process.

glibc asks the kernel anew for each block of more than 32 MB, and for smaller ones until it has
learned better; the kernel clears every page of it at its first touch. A training step takes and
gives back blocks of the size of the largest weight several times. Kept, they cost nothing.

What this does not cover: other allocators than glibc's, and pools of a library's own.
"""

from __future__ import annotations

import ctypes
import os

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""Parameters of mallopt(3), by their numbers in malloc.h."""


def keep() -> bool:
    """Let this process keep what it frees; whether it does from now on.

    It does not where the C library is another, or where the environment tunes malloc already. Such
    a process must end to give memory back, so this is for one that has one thing to do.
    """
    tuned = any(name.startswith("MALLOC_") for name in os.environ)
    if tuned or "glibc.malloc." in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(_MMAP_MAX, 0) and mallopt(_TRIM_THRESHOLD, -1))
