"""One set of weights: the base's own are trained."""

from __future__ import annotations

import shutil
from pathlib import Path

from onward.learning import trainer
from onward.learning.job import Job
from onward.learning.trainer import Task, Trained


def fit(job: Job) -> Trained:
    """Train the base's weights. Raises as `onward.learning.trainer.fit`."""
    return trainer.fit(task(job), job.settings)


def task(job: Job) -> Task:
    """What the trainer is to do for a job."""
    return Task(
        build=job.build,
        data=job.features(),
        stopping=job.stopping(),
        rate=job.rate,
        epochs=job.epochs,
        pad=job.tokenizer().pad_token_id or 0,
        work=job.work,
        name_rows=job.ids,
        term=job.strategy.term,
    )


def remember(job: Job, trained: Trained, folder: Path) -> None:
    """Write the memory beside the weights."""
    shutil.copytree(job.prepared.folder / "memory", folder, dirs_exist_ok=True)
