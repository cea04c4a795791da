"""The name of a scorer: what tells that two scores were made in the same way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from onward import files
from onward.config import Evaluate, Prepare


def scorer(modules: Sequence[str], settings: Evaluate, prepare: Prepare) -> str:
    """Hash of all that can change a score but the artifact and the rows.

    Args:
        modules: modules of this package whose source makes the score.
        settings: every setting of the block `evaluate` counts.
        prepare: of it the window counts.
    """
    here = Path(__file__).parent
    return files.digest(
        {
            "source": {name: files.sha256(here / f"{name}.py") for name in modules},
            "evaluate": settings.model_dump(),
            "window": {"max_length": prepare.max_length, "stride": prepare.stride},
        }
    )
