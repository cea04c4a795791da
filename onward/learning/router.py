"""Which adapter reads a text: the one whose episode's embeddings it lies among.

Each label of each episode (where there are no labels: each episode) is a Gaussian around its mean;
all share one covariance. The nearest by Mahalanobis distance is linear discriminant analysis, here
over frozen embeddings as in McDonnell et al. 2023 (RanPAC) and Goswami et al. 2023 (FeCAM). The
covariance is shrunk towards a multiple of the identity by as much as Chen et al. 2010 (OAS) show to
be right for its rows and width. Texts are no Gaussians, and the distances are far too sure of
themselves: they are divided by the temperature that fits a sample of SAMPLE rows an episode best.

All of it comes from what each episode keeps for itself: a later one changes none of it.

What this does not cover: an extractive row cut into several windows is routed window by window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.nn import Module
else:
    Module = object


SAMPLE = 64
"""Rows of an episode whose embeddings are kept to fit the temperature."""

TEMPERATURES = (1.0, 100.0, 41)
"""Tried: from, to, and how many, evenly in their logarithm."""


@dataclass(frozen=True)
class Sums:
    """What the router knows of one episode."""

    means: Any
    """Of each label's embeddings, [K, D]."""
    counts: Any
    """Rows of each label, int64 [K]."""
    scatter: Any
    """The sum of (x - mean)(x - mean)^T over all rows, [D, D]."""
    sample: Any
    """Of at most SAMPLE rows whose label has others, [S, D]."""
    labels: Any
    """Of the sample, int64 [S] in 0..K-1."""

    @staticmethod
    def of(embedded: Any, groups: Any) -> Sums:
        """Of N rows.

        Args:
            embedded: [N, D].
            groups: int64 [N], each row's label in 0..K-1; every label has a row.
        """
        import torch

        rows = embedded.double()
        counts = torch.bincount(groups)
        means = torch.zeros(len(counts), rows.shape[1], dtype=torch.float64)
        means.index_add_(0, groups, rows)
        means /= counts[:, None]
        apart = rows - means[groups]
        shuffled = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))
        drawn = shuffled[counts[groups[shuffled]] > 1][:SAMPLE]
        scatter = (apart.T @ apart).float()
        return Sums(means.float(), counts, scatter, embedded[drawn], groups[drawn])

    def tensors(self) -> dict[str, Any]:
        """By name, as they are saved."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


class Router(Module):
    """The log-probability of each episode, [B, E], for embeddings [B, D].

    Episodes are equally likely beforehand, whatever their sizes: each is judged on its own.
    """

    def __init__(self, episodes: Sequence[Sums]) -> None:
        import torch

        super().__init__()
        counts = torch.cat([each.counts for each in episodes]).double()
        scatter = torch.stack([each.scatter.double() for each in episodes]).sum(dim=0)
        free = max(int(counts.sum()) - len(counts), 1)
        whitened = torch.linalg.cholesky(torch.linalg.inv(shrunk(scatter / free, free)))
        means = torch.cat([each.means for each in episodes]).double()
        shares = torch.cat([(each.counts / each.counts.sum()).log() for each in episodes])
        self.sizes = [len(each.counts) for each in episodes]
        self.temperature = 1.0
        self.register_buffer("whitening", whitened.float())
        self.register_buffer("means", (means @ whitened).float())
        self.register_buffer("shares", shares.float())
        self._fit(episodes, counts.float())

    def forward(self, embedded: Any) -> Any:
        """As the class says."""
        return self._told(self._apart(embedded), self.temperature)

    def _apart(self, embedded: Any) -> Any:
        """Squared distances to the mean of every label of every episode, [B, K]."""
        import torch

        return torch.cdist(embedded @ self.whitening, self.means).square()

    def _told(self, apart: Any, temperature: float) -> Any:
        import torch

        scores = self.shares - apart / (2 * temperature)
        found = [part.logsumexp(dim=1) for part in scores.split(self.sizes, dim=1)]
        return torch.stack(found, dim=1).log_softmax(dim=1)

    def _fit(self, episodes: Sequence[Sums], counts: Any) -> None:
        """Choose the temperature on the samples, each row apart from the mean that it is in.

        A mean without one of its n rows lies n / (n - 1) times as far from that row.
        """
        import torch

        sample = torch.cat([each.sample for each in episodes])
        if not len(sample):
            return
        firsts = [sum(self.sizes[:at]) for at in range(len(self.sizes))]
        own = torch.cat([e.labels + first for e, first in zip(episodes, firsts, strict=True)])
        right = torch.cat([torch.full_like(e.labels, at) for at, e in enumerate(episodes)])
        apart = self._apart(sample)
        rows = torch.arange(len(sample))
        apart[rows, own] *= (counts[own] / (counts[own] - 1)).square()

        def loss(temperature: float) -> float:
            told = self._told(apart, temperature)
            return float(torch.nn.functional.nll_loss(told, right))

        low, high, count = TEMPERATURES
        tried = [low * (high / low) ** (at / (count - 1)) for at in range(count)]
        self.temperature = min(tried, key=loss)


def assemble(episodes: Sequence[Sums]) -> Any:
    """The router over these episodes, in evaluation mode."""
    import torch

    made: Any = type("Router", (Router, torch.nn.Module), {})
    return made(episodes).eval()


def shrunk(covariance: Any, rows: int) -> Any:
    """Oracle approximating shrinkage (Chen et al. 2010) of a covariance [D, D] over so many rows.

    Never singular: where all rows are alike, the identity times a small number.
    """
    import torch

    width = len(covariance)
    trace, square = covariance.trace(), (covariance * covariance).sum()
    above = (1 - 2 / width) * square + trace**2
    below = (rows + 1 - 2 / width) * (square - trace**2 / width)
    weight = float(min(above / below, 1.0)) if below > 0 else 1.0
    round_one = torch.eye(width, dtype=covariance.dtype) * max(float(trace) / width, 1e-6)
    return (1 - weight) * covariance + weight * round_one
