"""One set of weights: the base's own are trained."""

from __future__ import annotations

from functools import partial

from onward.learning import models, trainer
from onward.learning.job import Job
from onward.learning.remember import remember
from onward.learning.terms.named import TERMS
from onward.learning.trainer import Task, Trained

__all__ = ["fit", "remember", "task"]


def fit(job: Job) -> Trained:
    """Train the base's weights.

    Raises:
        SettingsError: the base is of another structure.
        TrainingError: as `onward.learning.trainer.fit`.
    """
    models.require_single(job.source)
    return trainer.fit(task(job), job.settings)


def task(job: Job) -> Task:
    """What the trainer is to do for a job."""
    term = TERMS[job.strategy.term]
    return Task(
        build=job.build,
        data=job.features(),
        stopping=job.stopping(),
        rate=job.rate,
        rate_key=job.rate_key,
        epochs=job.epochs,
        collate=job.packing(),
        work=job.work,
        name_rows=job.ids,
        recalled=job.recalled(),
        term=term,
        past=partial(term.past, job),
    )
