"""Routing: from sums that each episode keeps for itself."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from onward.learning import closed_form, router
from onward.learning.router import Sums

WIDTH, LABELS = 8, 3


@pytest.fixture(scope="module")
def projection() -> Any:
    return closed_form.draw(WIDTH, 128, seed=0)


def episode(number: int, rows: int, seed: int) -> tuple[Any, Any]:
    """Embeddings around the means of the episode's own labels, and the labels."""
    centres = torch.randn(LABELS, WIDTH, generator=torch.Generator().manual_seed(number))
    draw = torch.Generator().manual_seed(1_000 + seed)
    labels = torch.arange(rows) % LABELS
    found = centres[labels] + 0.4 * torch.randn(rows, WIDTH, generator=draw)
    return found / found.norm(dim=1, keepdim=True), labels


def test_texts_go_to_the_episode_that_they_are_of(projection: Any) -> None:
    sums = [Sums.of(*episode(at, 120, at), projection) for at in range(4)]
    route = router.assemble(sums, projection)
    for at in range(4):
        told = route(episode(at, 90, 50 + at)[0])
        assert torch.allclose(told.exp().sum(dim=1), torch.ones(90), atol=1e-5)
        assert (told.argmax(dim=1) == at).float().mean() > 0.85


def test_the_order_of_episodes_makes_no_difference_and_sums_are_a_few(projection: Any) -> None:
    sums = [Sums.of(*episode(at, 120, at), projection) for at in range(3)]
    assert sums[0].gram.shape == (128 * 129 // 2,) and len(sums[0].sample) == router.SAMPLE
    rows = episode(1, 60, 99)[0]
    there, back = (router.assemble(each, projection)(rows) for each in (sums, sums[::-1]))
    assert torch.allclose(there, back.flip(1), atol=1e-4)


def test_sums_are_over_all_rows_of_an_episode(projection: Any) -> None:
    """Also of one with more rows than are looked at together."""
    rows, labels = episode(0, 700, 1)
    sums = Sums.of(rows, labels, projection)
    h = closed_form.features(rows, projection).double()
    gram = h.T @ h
    below = torch.tril_indices(128, 128)
    assert torch.allclose(sums.gram.double(), gram[below[0], below[1]], rtol=1e-5)
    for label in range(LABELS):
        expected = h[labels == label].sum(dim=0)
        assert torch.allclose(sums.cross[:, label].double(), expected, rtol=1e-5)


def test_probabilities_are_about_as_sure_as_they_are_right(projection: Any) -> None:
    """The temperature: without it all episodes are nearly equally likely."""
    sums = [Sums.of(*episode(at, 240, at), projection) for at in range(4)]
    route = router.assemble(sums, projection)
    rows = torch.cat([episode(at, 200, 70 + at)[0] for at in range(4)])
    told = route(rows).exp()
    right = told.argmax(dim=1) == torch.arange(800) // 200
    assert float(told.max(dim=1).values.mean()) == pytest.approx(
        float(right.float().mean()), abs=0.1
    )
