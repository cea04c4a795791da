"""A head in closed form over an encoder that the first episode has tuned.

After McDonnell et al. 2023, RanPAC, whose first phase tunes on the first task alone, and Panos et
al. 2023, First Session Adaptation. A first turn trains the encoder, as finetune.tuning says, by a
cosine classifier on the same mean-pooled embedding that the closed-form head will read; the
classifier is thrown away. From then on it is onward/learning/structures/analytic.py: the encoder
stays as it is, and nothing is forgotten. A turn whose base is a version tunes nothing.

What this does not cover: a first episode unlike all that follow, to which the encoder then fits.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from onward import files
from onward.learning import models, pooled, trainer
from onward.learning.job import Job
from onward.learning.structures import analytic, single
from onward.learning.trainer import Task, Trained

if TYPE_CHECKING:
    from torch.nn import Module
else:
    Module = object

TEMPERATURE = 0.05
"""Cosines are divided by it: their softmax would be nearly uniform."""

remember = analytic.remember


class Prototypes(Module):
    """An encoder and one direction a label; the logit is their cosine by TEMPERATURE."""

    base_model_prefix = "encoder"

    def __init__(self, encoder: Any, labels: int) -> None:
        import torch

        super().__init__()
        self.encoder, self.config = encoder, encoder.config
        self.head = torch.nn.Linear(encoder.config.hidden_size, labels, bias=False)

    @property
    def base_model(self) -> Any:
        """The part below the head."""
        return self.encoder

    def forward(self, labels: Any, **inputs: Any) -> dict[str, Any]:
        """The mean loss, and logits [B, C] of texts [B, T] with their labels [B]."""
        import torch

        hidden = self.encoder(**inputs).last_hidden_state
        embedded = pooled.mean(hidden, inputs["attention_mask"])
        # The head is called, not its weight read: under adapters it is a wrapped module.
        logits = self.head(embedded) / self.head.weight.norm(dim=1) / TEMPERATURE
        return {"loss": torch.nn.functional.cross_entropy(logits, labels), "logits": logits}


def fit(job: Job) -> Trained:
    """Tune the encoder in a first turn; then count the rows in and solve for the head.

    Raises:
        DataError, SettingsError, IntegrityError: as `analytic.fit`.
        TrainingError: as `onward.learning.trainer.fit`.
    """
    analytic.require_labels(job)
    if not job.first:
        return analytic.fit(job)
    tuned = trainer.fit(_task(job), job.settings)
    with files.building(job.work / "encoder", replace=True) as folder:
        models.save(tuned.model.encoder, job.source, folder)
    solved = analytic.fit(replace(job, source=job.work / "encoder"))
    return replace(
        solved,
        course=tuned.course,
        steps=tuned.steps,
        micro_batch=tuned.micro_batch,
        precision=tuned.precision,
        sizes={**tuned.sizes, **_sizes(solved, tuned)},
    )


def _task(job: Job) -> Task:
    return replace(single.task(job), build=lambda: _build(job))


def _build(job: Job) -> Any:
    import torch

    made: Any = type("Prototypes", (Prototypes, torch.nn.Module), {})
    return made(pooled.encoder(job.source, job.settings.dropout), len(job.labels))


def _sizes(solved: Trained, tuned: Trained) -> dict[str, int]:
    """Of what is kept: the classifier that was thrown away moved, and is no part of it."""
    moved = tuned.sizes["trainable"] + solved.sizes["trainable"]
    return {
        "parameters": solved.sizes["parameters"],
        "trainable": moved - tuned.model.head.weight.numel(),
    }
