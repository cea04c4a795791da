"""Learning without forgetting: on the rows of the turn the model still says what the base said.

After Li and Hoiem 2016, section 3, with the temperature of Hinton et al. 2015. The base, frozen, is
the teacher: no old row is needed. What is compared are the outputs that the base has, so of a
grown head the old labels' alone; for each kind of output `onward.learning.outputs.apart` says how.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onward.learning import outputs as kinds
from onward.learning.features import READ
from onward.learning.job import Job
from onward.learning.rows import Labelled


@dataclass(frozen=True)
class Past:
    """The teacher and how much its word counts."""

    teacher: Any
    kind: str
    temperature: float
    weight: float


def past(job: Job, model: Any, device: str) -> Past | None:
    """The base as a teacher; None where it is a pretrained encoder, which has no say."""
    if job.first:
        return None
    labels = list(job.labels[: job.base_labels])
    spec = {"dropout": 0.0, "new_head": False, "labels": labels}
    teacher = job.recipe.build(job.source, spec).eval().requires_grad_(False).to(device)
    kind = kinds.kind(job.recipe)
    return Past(teacher, kind, job.strategy.temperature, job.strategy.distill_weight)


def loss(model: Any, batch: Any, outputs: Any, past: Past) -> Any:
    """weight * the mean over windows of the divergence from the teacher's outputs."""
    import torch

    inputs = {name: batch[name] for name in READ if name in batch}
    with torch.no_grad():
        said = past.teacher(**inputs)
    old = {name: said[name] for name in kinds.NAMES[past.kind]}
    old["attention_mask"] = batch["attention_mask"]
    far = kinds.apart(past.kind, outputs, old, temperature=past.temperature)
    return past.weight * far.mean()


def remember(job: Job, model: Any, rows: Sequence[Labelled], folder: Path) -> None:
    """Nothing is left: the weights are the next turn's teacher."""
