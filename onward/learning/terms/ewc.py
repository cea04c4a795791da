"""Elastic weight consolidation, online: weights that mattered to the old are held where they were.

After Kirkpatrick et al. 2017 and, for one Fisher over all that came before, Schwarz et al. 2018,
Progress & Compress, section 4. With the base's weights b and the Fisher F of all it learned:

    term = weight / 2 * sum F (w - b)^2        F <- decay * F + F of the new rows

F is the diagonal of the empirical Fisher information: the mean over single training rows of the
squared gradient of their loss, at the rows' own labels. (The true Fisher draws labels from the
model; a reader's spans and a number have no cheap draw, and the labels are those it was trained
on.) Where low-rank adapters are trained, w - b is the change that they make to the weight they
adapt, s B A, so the penalty is the one that the merged weights would have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onward.errors import NotFinite, SettingsError
from onward.learning import models, passes, tunings
from onward.learning.job import Job
from onward.learning.rows import Labelled, sample

FILE = "fisher.safetensors"


@dataclass(frozen=True)
class Past:
    """What the base's weights were worth."""

    fisher: dict[str, Any]
    """By the weight's name, of its shape."""
    changes: dict[str, Callable[[], Any]]
    """By the weight's name: how far it is from the base's."""
    weight: float


def past(job: Job, model: Any, device: str) -> Past | None:
    """The base's Fisher for the weights that move; None where the base knows no episode.

    Raises:
        SettingsError: more weights move than the base's Fisher is of.
    """
    held = _held(job)
    if not held:
        return None
    moving, shapes = tunings.changes(model, device), tunings.shapes(model)
    lacking = sorted(set(moving) - set(held))
    if lacking:
        raise SettingsError(
            f"The base's Fisher information is not of {lacking[0]}, which finetune.tuning "
            f"{job.settings.tuning!r} moves",
            where="params.yaml, finetune.tuning and strategy.term: ewc",
            fix="go on with the tuning that made the base, or start over with `onward run --fresh`",
        )
    fisher = {}
    for name in moving:
        # A weight under adapters is none of those that are trained, and does not grow.
        shape = shapes.get(name, tuple(held[name].shape))
        fisher[name] = _grown(held[name], shape).to(device)
    return Past(fisher, moving, job.strategy.ewc_weight)


def loss(model: Any, batch: Any, outputs: Any, past: Past) -> Any:
    """weight / 2 * sum F (w - b)^2, in fp32."""
    import torch

    with torch.autocast(batch["input_ids"].device.type, enabled=False):
        parts = [
            (fisher * past.changes[name]().float() ** 2).sum()
            for name, fisher in past.fisher.items()
        ]
        return past.weight / 2 * torch.stack(parts).sum()


def remember(job: Job, model: Any, rows: Sequence[Labelled], folder: Path) -> None:
    """Write decay * F + F of the new rows, F of all weights that ever moved in this line.

    Raises:
        NotFinite: a gradient is NaN or infinite.
    """
    import torch

    held = _held(job)
    names = sorted({*held, *tunings.changes(tunings.apply(job.build(), job.settings), "cpu")})
    new = sample(job.new_rows(), job.strategy.fisher_rows, job.seed)
    found = fisher(job, model, [row for _, row in new], names)
    for name, old in held.items():
        found[name] += job.strategy.ewc_decay * _grown(old, tuple(found[name].shape))
    if not all(bool(torch.isfinite(value).all()) for value in found.values()):
        raise NotFinite(
            "The Fisher information is not finite",
            where=f"{len(new)} training rows under the trained model",
            fix=f"lower {job.rate_key}, or choose another strategy.term",
        )
    models.write_tensors(folder / FILE, found)


def fisher(job: Job, model: Any, rows: Sequence[Any], names: Sequence[str]) -> dict[str, Any]:
    """Mean over rows of the squared gradient of the row's loss, by the weight's name, on the CPU.

    Args:
        job: how rows are encoded.
        model: without adapters, in evaluation mode.
        rows: each row's loss is the mean over its windows.
        names: of the weights; one without a gradient gets zeros.
    """
    import torch

    model = model.eval()
    weights = {name: weight for name, weight in model.named_parameters() if name in set(names)}
    moved = {name: weight.requires_grad_(True) for name, weight in weights.items()}
    sums = {name: torch.zeros_like(weight) for name, weight in moved.items()}
    collate, device = job.collate(), next(model.parameters()).device
    most = job.settings.micro_batch  # of a long row's windows: as many as training had room for
    for windows in passes.encoded(job, rows):
        for group in passes.by_row(windows):
            of_row: list[Any] = [None] * len(moved)
            for part in range(0, len(group), most):
                of_part = group[part : part + most]
                batch = collate([windows[at] for at in of_part])
                batch.pop("rows")
                inputs = {name: value.to(device) for name, value in batch.items()}
                share = len(of_part) / len(group)
                gradients = torch.autograd.grad(
                    model(**inputs)["loss"] * share, list(moved.values()), allow_unused=True
                )
                of_row = [_added(*two) for two in zip(of_row, gradients, strict=True)]
            for total, gradient in zip(sums.values(), of_row, strict=True):
                if gradient is not None:
                    total += gradient**2
    return {name: (total / max(len(rows), 1)).cpu() for name, total in sums.items()}


def _added(one: Any, other: Any) -> Any:
    """The sum of two gradients; None is one of a weight that was not used."""
    return other if one is None else one if other is None else one + other


def _held(job: Job) -> dict[str, Any]:
    """The base's Fisher; nothing where the base knows no episode."""
    if job.memory is None or not job.turn.known or not (job.memory / FILE).is_file():
        return {}
    return models.read_tensors(job.memory / FILE)


def _grown(fisher: Any, shape: tuple[int, ...]) -> Any:
    """With zeros for what a head gained: new labels' weights were worth nothing to the old."""
    import torch

    if tuple(fisher.shape) == shape:
        return fisher
    grown = torch.zeros(shape)
    grown[tuple(slice(0, size) for size in fisher.shape)] = fisher
    return grown
