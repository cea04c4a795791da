"""What a model puts out, by the kind of its recipe's targets: losses and differences row by row.

>>> import torch
>>> kept = {"logits": torch.tensor([[2.0, 0.0]])}
>>> grown = {"logits": torch.tensor([[2.0, 0.0, 9.0]])}
>>> apart("class", grown, kept, temperature=2.0).tolist()
[0.0]
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from onward.recipes.shapes import NOTHING

NAMES = {
    "position": ("start_logits", "end_logits"),
    "class": ("logits",),
    "classes": ("logits",),
    "number": ("logits",),
    "tags": ("logits",),
    "choice": ("logits",),
}
"""Kind of targets -> the outputs: [B, T] for positions, [B, T, C] for tags, else [B, C] ([B, 1]
for a number, [B, most options] for a choice)."""

OUT = -1e4
"""A logit that no softmax sees, and whose difference to itself is still 0."""


def kind(recipe: ModuleType) -> str:
    """The kind of a recipe's targets; all targets of one recipe are of one kind."""
    found: str = next(iter(recipe.TARGETS.values())).kind
    return found


def losses(kind: str, outputs: Mapping[str, Any], batch: Mapping[str, Any]) -> Any:
    """The loss of each window, [B]: what the model's own loss is the mean of.

    Of tags it is the mean over a window's labelled tokens; the model's own is over the batch's.

    Args:
        kind: of the targets.
        outputs: of the model.
        batch: with the targets, as `features.Collate` makes it.
    """
    from torch.nn import functional as F

    if kind == "position":
        width = outputs["start_logits"].shape[1]
        each = [
            F.cross_entropy(
                outputs[f"{end}_logits"].float(),
                batch[f"{end}_positions"].clamp(0, width),
                ignore_index=width,
                reduction="none",
            )
            for end in ("start", "end")
        ]
        return (each[0] + each[1]) / 2
    logits, labels = outputs["logits"].float(), batch["labels"]
    if kind in ("class", "choice"):
        return F.cross_entropy(logits, labels, reduction="none")
    if kind == "classes":
        return F.binary_cross_entropy_with_logits(logits, labels, reduction="none").mean(dim=1)
    if kind == "tags":
        return _of_tokens(logits, labels)
    return (logits.squeeze(-1) - labels) ** 2


def _of_tokens(logits: Any, labels: Any) -> Any:
    """The mean loss of each window's labelled tokens, [B]."""
    from torch.nn import functional as F

    each = F.cross_entropy(logits.mT, labels, ignore_index=NOTHING, reduction="none")
    return each.sum(dim=1) / (labels != NOTHING).sum(dim=1).clamp(min=1)


def apart(kind: str, new: Mapping[str, Any], old: Mapping[str, Any], *, temperature: float) -> Any:
    """How far a model's outputs are from an older one's, window by window, [B].

    Kullback-Leibler divergence of the older one's distribution, both at a temperature and times
    its square, so that the gradient does not shrink with it: over the labels that the older model
    has (class) or a row's options (choice), as the mean of independent labels (classes), or over
    the tokens, as the mean of start and end (position), or over the labels of each token, as the
    mean of the tokens (tags). For a number the squared difference, without a temperature.

    Args:
        kind: of the targets.
        new: outputs of the model.
        old: outputs of the older one, as wide or narrower; for positions and tags with
            `attention_mask`.
        temperature: above 0.
    """
    from torch.nn import functional as F

    if kind == "number":
        return (new["logits"].float() - old["logits"].float()).squeeze(-1) ** 2
    if kind == "classes":
        target = old["logits"].float() / temperature
        found = new["logits"][:, : target.shape[1]].float() / temperature
        share = target.sigmoid()
        each = share * (F.logsigmoid(target) - F.logsigmoid(found))
        each = each + (1 - share) * (F.logsigmoid(-target) - F.logsigmoid(-found))
        return temperature**2 * each.mean(dim=1)
    if kind == "tags":
        target = old["logits"].float() / temperature
        found = new["logits"][..., : target.shape[2]].float() / temperature
        target, found = F.log_softmax(target, dim=2), F.log_softmax(found, dim=2)
        there = old["attention_mask"]
        each = (target.exp() * (target - found)).sum(dim=2) * there
        return temperature**2 * each.sum(dim=1) / there.sum(dim=1)
    parts = []
    for name in NAMES[kind]:
        target = old[name].float() / temperature
        found = new[name][:, : target.shape[1]].float() / temperature
        if kind == "position":
            away = old["attention_mask"] == 0
            target, found = target.masked_fill(away, OUT), found.masked_fill(away, OUT)
        target, found = F.log_softmax(target, dim=1), F.log_softmax(found, dim=1)
        parts.append((target.exp() * (target - found)).sum(dim=1))
    return temperature**2 * sum(parts) / len(parts)


def squared(new: Mapping[str, Any], old: Mapping[str, Any], there: Any) -> Any:
    """Mean squared difference of outputs, window by window, [B].

    Args:
        new: outputs, each [B, N or more].
        old: older outputs by name, each [B, N]; those that were not there count for nothing.
        there: which of them were, bool [B, N].
    """
    count = there.sum(dim=1).clamp(min=1)
    parts = [
        (((new[name][:, : there.shape[1]].float() - old[name]) ** 2) * there).sum(dim=1) / count
        for name in sorted(old)
    ]
    return sum(parts) / len(parts)
