"""What a candidate carries forward, chosen and written when it is trained.

The rows come from what prepare recalled of the base's memory and from the rows just learned, never
from known episodes, so a tenth turn costs what the second did. Rows that some held-out part holds
were taken out by prepare (recalled ones) or are named by it (`barred`). The same base, episodes
and settings give the same bytes.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from onward.learning import memory, passes, policies
from onward.learning.job import Job
from onward.learning.rows import Labelled
from onward.learning.terms.named import TERMS
from onward.learning.trainer import Trained


def remember(job: Job, trained: Trained, folder: Path) -> None:
    """Write the memory of a candidate with one set of weights into an empty folder."""
    if job.adopted:  # it learned other rows, which are not here
        describe(job, [], folder)
        return
    with passes.at_work(trained.model) as model:
        rows = kept(job, model)
        describe(job, rows, folder)
        TERMS[job.strategy.term].remember(job, model, rows, folder)


def describe(job: Job, rows: list[Labelled], folder: Path) -> None:
    """Write what the memory holds, and its rows."""
    covers = () if job.adopted else (*job.turn.known, *job.turn.learning)
    memory.write(
        folder,
        rows,
        settings=job.strategy,
        seed=job.draw,
        covers=[named.model_dump() for named in covers],
        window=job.prepared.manifest["window"],
        schema=job.recipe.SCHEMA,
    )


def kept(job: Job, model: Any) -> list[Labelled]:
    """The rows to remember, by the strategy's policy; none for naive and joint."""
    if job.strategy.rows != "replay":
        return []
    pool = policies.Pool(
        old=list(job.old_rows()),
        new=job.new_rows,
        group=policies.group_of(job.recipe),
        seed=job.draw,
        losses=partial(passes.losses, job, model),
        embeddings=partial(passes.embeddings, job, model),
    )
    return policies.POLICIES[job.strategy.policy](pool, job.strategy.replay_rows)
