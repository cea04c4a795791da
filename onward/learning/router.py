"""Which adapter reads a text: the one whose episode its embedding is told to be of.

Each label of each episode (where there are no labels: each episode) is a class of a ridge
regression on random ReLU features of the frozen embedding, solved in closed form as in McDonnell et
al. 2023 (RanPAC); see onward/learning/closed_form.py. An episode's probability is the sum of its
labels'. Linear discriminant analysis would take a tenth of the space; the features tell apart what
is no Gaussian around its mean.

All of it comes from sums that each episode keeps for itself, over its own rows: a later one changes
none of them. They are added up and solved when a model is loaded.

What this does not cover: an extractive row cut into several windows is routed window by window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from onward.learning import closed_form

if TYPE_CHECKING:
    from torch.nn import Module
else:
    Module = object

FEATURES = 2_048
"""Random features: an episode's sums take 4 bytes for each pair of them, 8 MB in all."""

RIDGE = 30.0

SAMPLE = 64
"""Rows of an episode whose embeddings are kept to fit the temperature."""


@dataclass(frozen=True)
class Sums:
    """What the router knows of one episode."""

    gram: Any
    """The sum of h h^T over all rows, the lower half row by row, [M (M + 1) / 2]."""
    cross: Any
    """The sum of h over the rows of each label, [M, K]."""
    sample: Any
    """Embeddings of at most SAMPLE rows, [S, D]."""
    labels: Any
    """Of the sample, int64 [S] in 0..K-1."""

    @staticmethod
    def of(embedded: Any, groups: Any, projection: Any) -> Sums:
        """Of N rows.

        Args:
            embedded: [N, D].
            groups: int64 [N], each row's label in 0..K-1; every label has a row.
            projection: [D, M].
        """
        import torch

        count, kinds = projection.shape[1], int(groups.max()) + 1
        gram = torch.zeros(count, count, dtype=torch.float64)
        cross = torch.zeros(count, kinds, dtype=torch.float64)
        for rows, own in zip(embedded.split(512), groups.split(512), strict=True):
            made = closed_form.features(rows, projection).double()
            gram.addmm_(made.T, made)
            cross.addmm_(made.T, torch.nn.functional.one_hot(own, kinds).double())
        below = torch.tril_indices(count, count)
        drawn = torch.randperm(len(groups), generator=torch.Generator().manual_seed(0))[:SAMPLE]
        half = gram[below[0], below[1]].float()
        return Sums(half, cross.float(), embedded[drawn], groups[drawn])

    def tensors(self) -> dict[str, Any]:
        """By name, as they are saved."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


class Router(Module):
    """The log-probability of each episode, [B, E], for embeddings [B, D]."""

    def __init__(self, episodes: Sequence[Sums], projection: Any) -> None:
        """Add the sums up and solve.

        Args:
            episodes: their sums.
            projection: [D, M], with which they were made.
        """
        import torch

        super().__init__()
        count = projection.shape[1]
        below = torch.tril_indices(count, count)
        gram = torch.zeros(count, count, dtype=torch.float64)
        gram[below[0], below[1]] = torch.stack([e.gram.double() for e in episodes]).sum(dim=0)
        gram = gram + gram.tril(-1).T
        cross = torch.cat([each.cross for each in episodes], dim=1).double()
        sample = torch.cat([each.sample for each in episodes])
        self.sizes = [each.cross.shape[1] for each in episodes]
        firsts = [sum(self.sizes[:at]) for at in range(len(self.sizes))]
        own = torch.cat([e.labels + first for e, first in zip(episodes, firsts, strict=True)])
        seen = closed_form.features(sample, projection)
        found = closed_form.solve(gram, cross, RIDGE, seen, own)
        self.register_buffer("projection", projection)
        self.register_buffer("weight", found.weight)

    def forward(self, embedded: Any) -> Any:
        """As the class says."""
        import torch

        told = (closed_form.features(embedded, self.projection) @ self.weight).log_softmax(dim=1)
        parts = told.split(self.sizes, dim=1)
        return torch.stack([part.logsumexp(dim=1) for part in parts], dim=1)


def assemble(episodes: Sequence[Sums], projection: Any) -> Any:
    """The router over these episodes, in evaluation mode."""
    import torch

    made: Any = type("Router", (Router, torch.nn.Module), {})
    return made(episodes, projection).eval()
