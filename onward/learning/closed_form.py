"""A classifier whose head is solved for, not trained: frozen encoder, random features, ridge.

After McDonnell et al. 2023, RanPAC, and before it Zhuang et al. 2022, ACIL. A text's mean-pooled
embedding of length one, [D], goes through a fixed random projection and a ReLU into M features;
the logits are those features times W. `solve` gives W from sums over all rows ever learned, so the
order in which they came makes no difference; how the sums grow is
onward/learning/structures/analytic.py.

The model's folder holds the encoder's weights under their own names and, beside them,
`head.projection` [D, M] and `head.weight` [M, C], the temperature already in it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onward import files
from onward.errors import IntegrityError, SettingsError
from onward.learning import models, pooled

if TYPE_CHECKING:
    from torch.nn import Module
else:
    Module = object

TEMPERATURES = (1e-3, 10.0)
"""Between which the temperature is looked for."""

_PROJECTION, _WEIGHT = "head.projection", "head.weight"


class Analytic(Module):
    """Encoder, projection and head as one module; every operation of it can be exported."""

    def __init__(self, encoder: Any, projection: Any, weight: Any) -> None:
        super().__init__()
        self.encoder, self.config = encoder, encoder.config
        self.register_buffer("projection", projection)
        self.register_buffer("weight", weight)

    def forward(
        self, input_ids: Any, attention_mask: Any, token_type_ids: Any = None, **_: Any
    ) -> dict[str, Any]:
        """Logits [B, C] of texts [B, T]; their softmax is a probability."""
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
        if token_type_ids is not None:
            inputs["token_type_ids"] = token_type_ids
        hidden = self.encoder(**inputs).last_hidden_state
        embedded = pooled.mean(hidden, attention_mask)
        return {"logits": features(embedded, self.projection) @ self.weight}


def assemble(encoder: Any, projection: Any, weight: Any, labels: Sequence[str]) -> Any:
    """The module in evaluation mode; the encoder's config takes the names of the labels."""
    import torch

    encoder.config.id2label = dict(enumerate(labels))
    encoder.config.label2id = {label: at for at, label in enumerate(labels)}
    encoder.config.problem_type = "single_label_classification"
    made: Any = type("Analytic", (Analytic, torch.nn.Module), {})
    return made(encoder, projection, weight).eval()


def draw(width: int, count: int, seed: int) -> Any:
    """A projection [width, count] of independent standard normal numbers."""
    import torch

    return torch.randn(width, count, generator=torch.Generator().manual_seed(seed))


def features(embedded: Any, projection: Any) -> Any:
    """ReLU features [B, M] of embeddings [B, D]."""
    return (embedded @ projection).relu()


@dataclass(frozen=True)
class Solution:
    """A head and how sure it may be."""

    weight: Any
    """[M, C] in fp32: W divided by the temperature."""
    temperature: float
    loss: float
    """Mean negative log-likelihood, in nats, of the sample with each row left out."""


def solve(gram: Any, cross: Any, ridge: float, sample: Any, classes: Any) -> Solution:
    """W = (G + ridge I)^-1 C by Cholesky, and the temperature that makes it a probability.

    Ridge outputs are no log-odds: their softmax is nearly uniform. They are divided by the one
    temperature that fits best the rows of a sample, each judged by the head that was solved
    without it. That head's output has a closed form, (f - s y) / (1 - s) with s = h^T (G + ridge
    I)^-1 h, so nothing is solved twice and no row has to be kept out of the sums.

    Args:
        gram: G, the sum of h h^T, [M, M] in fp64.
        cross: C, the sum of h y^T, [M, C] in fp64.
        ridge: what is added to the diagonal.
        sample: features of S of the rows in the sums, [S, M].
        classes: their labels, int64 [S].

    Raises:
        SettingsError: the ridge is too small for these sums.
    """
    import torch

    shifted = gram.clone()
    shifted.diagonal().add_(ridge)
    try:
        factor = torch.linalg.cholesky(shifted)
    except torch.linalg.LinAlgError as error:
        raise SettingsError(
            f"The sums of {len(gram)} features cannot be solved with a ridge of {ridge:g}: it is "
            "less than what they were rounded by",
            where="params.yaml, strategy.analytic_ridge",
            fix="raise it; 100 is the default, for features of some thousand rows",
        ) from error
    weight = torch.cholesky_solve(cross, factor)
    rows = sample.double()
    half = torch.linalg.solve_triangular(factor, rows.T, upper=False)
    share = (half * half).sum(dim=0).clamp(max=1 - 1e-9)[:, None]
    right = torch.nn.functional.one_hot(classes, cross.shape[1]).double()
    left_out = (rows @ weight - share * right) / (1 - share)
    temperature = fitting(left_out, classes)
    loss = float(torch.nn.functional.cross_entropy(left_out / temperature, classes))
    return Solution((weight / temperature).float(), temperature, loss)


def fitting(logits: Any, classes: Any) -> float:
    """The temperature under which logits [S, C] give their classes [S] the highest likelihood.

    After Guo et al. 2017, On Calibration of Modern Neural Networks. The loss is convex in 1 / T:
    its slope, the mean of what is expected less what is right, is halved in on.
    """
    low, high = TEMPERATURES
    right = logits.gather(1, classes[:, None])[:, 0]
    for _ in range(40):
        middle = math.sqrt(low * high)
        expected = ((logits / middle).softmax(dim=1) * logits).sum(dim=1)
        low, high = (middle, high) if float((expected - right).mean()) > 0 else (low, middle)
    return math.sqrt(low * high)


def save(model: Any, source: Path, folder: Path, about: dict[str, Any]) -> None:
    """Write a model into a folder that does not exist yet and that the caller seals.

    Args:
        model: what `assemble` gave.
        source: a folder with its tokenizer.
        folder: where to.
        about: what structure.json says beside the structure.
    """
    folder.mkdir()
    model.config.save_pretrained(folder)
    head = {_PROJECTION: model.projection, _WEIGHT: model.weight}
    models.write_tensors(folder / models.WEIGHTS, {**model.encoder.state_dict(), **head})
    models.copy_tokenizer(source, folder)
    described = {"schema": models.SCHEMA, "structure": "analytic", **about}
    files.write_json(folder / models.STRUCTURE, described)


def load(folder: Path) -> Any:
    """The module of a folder that `save` wrote.

    Raises:
        IntegrityError: encoder or head lack weights.
    """
    encoder = pooled.encoder(folder)
    projection, weight = head(folder)
    names = encoder.config.id2label
    if len(names) != weight.shape[1]:
        raise IntegrityError(
            f"The head has {weight.shape[1]} labels, config.json names {len(names)}",
            where=str(folder),
            fix="`onward repair` brings the recorded files back",
        )
    return assemble(encoder, projection, weight, [names[at] for at in range(len(names))])


def head(folder: Path) -> tuple[Any, Any]:
    """Projection [D, M] and weight [M, C] of a saved model. Raises IntegrityError: it has none."""
    tensors = models.read_tensors(folder / models.WEIGHTS)
    if _PROJECTION not in tensors or _WEIGHT not in tensors:
        raise IntegrityError(
            "The model has no closed-form head",
            where=str(folder / models.WEIGHTS),
            fix="`onward repair` brings the recorded files back",
        )
    return tensors[_PROJECTION], tensors[_WEIGHT]
