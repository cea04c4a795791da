"""The name of a scorer: what tells that two scores were made in the same way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from onward import files
from onward.config import Evaluate, Prepare

WRITING = ("cache", "generation", "prompts")
"""Modules of `onward.runtime` that make the answers of a recipe that writes."""


def scorer(
    modules: Sequence[str], settings: Evaluate, prepare: Prepare, *, writes: bool = False
) -> str:
    """Hash of all that can change a score but the artifact and the rows.

    Args:
        modules: modules of this package whose source makes the score.
        settings: every setting of the block `evaluate` counts.
        prepare: of it the window counts.
        writes: answers are generated, so what generates them counts, too.
    """
    here = Path(__file__).parent
    paths = {name: here / f"{name}.py" for name in modules}
    if writes:
        runtime = here.with_name("runtime")
        paths |= {f"runtime.{name}": runtime / f"{name}.py" for name in WRITING}
    return files.digest(
        {
            "source": {name: files.sha256(path) for name, path in paths.items()},
            "evaluate": settings.model_dump(),
            "window": {"max_length": prepare.max_length, "stride": prepare.stride},
        }
    )
