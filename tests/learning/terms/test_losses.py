"""What each term adds to a loss, against values worked out by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from onward.learning import outputs
from onward.learning.terms import der, distill, ewc, none
from onward.learning.terms.der import Past as Stored
from onward.learning.terms.distill import Past as Taught
from onward.learning.terms.ewc import Past as Held


def tensor(*values: Any) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32)


def test_none_adds_nothing() -> None:
    assert none.loss(None, {}, {}, None) == 0.0 and none.past(None, None, "cpu") is None  # type: ignore[arg-type, func-returns-value]


def test_ewc_is_half_the_weighted_sum_of_fisher_times_squared_change() -> None:
    weight = torch.tensor([1.0, 3.0], requires_grad=True)
    before = tensor(0.0, 1.0)
    past = Held({"w": tensor(2.0, 0.5)}, {"w": lambda: weight - before}, weight=10.0)
    added = ewc.loss(None, {"input_ids": torch.zeros(1, 1)}, {}, past)
    # 10 / 2 * (2 * 1^2 + 0.5 * 2^2)
    assert added.item() == pytest.approx(20.0)
    (slope,) = torch.autograd.grad(added, weight)
    assert slope.tolist() == pytest.approx([20.0, 10.0])  # 10 * F * (w - b)


def test_ewc_multiplies_in_fp32_where_the_model_does_not() -> None:
    """What adapters add is a product: in bf16 it would lose most of its digits."""
    torch.manual_seed(0)
    down, up = torch.randn(4, 16), torch.randn(16, 4)
    past = Held({"w": torch.ones(4, 4)}, {"w": lambda: down @ up}, weight=2.0)
    expected = float(((down @ up) ** 2).sum())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (down @ up).dtype == torch.bfloat16
        added = ewc.loss(None, {"input_ids": torch.zeros(1, 1)}, {}, past)
    assert float(added) == pytest.approx(expected, rel=1e-6)


def kl(old: torch.Tensor, new: torch.Tensor) -> float:
    """Of two distributions, in nats, term by term; of two that are no mirrors it has a side."""
    return sum(float(p) * float((p / q).log()) for p, q in zip(old, new, strict=True) if p > 0)


def pupil_and_teacher(said: dict[str, torch.Tensor], kind: str, **numbers: float) -> Taught:
    """What `distill.loss` works on, with a teacher that always says the same."""

    def teacher(**inputs: Any) -> dict[str, torch.Tensor]:
        assert set(inputs) <= {"input_ids", "attention_mask", "token_type_ids"}
        return said

    return Taught(teacher, kind, **{"temperature": 2.0, "weight": 3.0, **numbers})


def batch(size: int, width: int) -> dict[str, torch.Tensor]:
    return {
        "input_ids": torch.zeros(size, width, dtype=torch.int64),
        "attention_mask": torch.ones(size, width, dtype=torch.int64),
        "labels": torch.zeros(size, dtype=torch.int64),
    }


def test_distill_compares_the_labels_that_the_base_has() -> None:
    old = tensor([1.0, 0.0], [0.0, 4.0])
    new = tensor([0.0, 3.0, 9.0], [0.0, 4.0, -5.0])
    past = pupil_and_teacher({"logits": old}, "class")
    added = distill.loss(None, batch(2, 3), {"logits": new}, past)
    apart = kl((old[0] / 2).softmax(0), (new[0, :2] / 2).softmax(0))
    # weight * T^2 * the mean over rows; the second row says the same as its teacher.
    assert float(added) == pytest.approx(3 * 4 * (apart + 0.0) / 2, rel=1e-5)


def test_distill_takes_labels_one_by_one_where_they_are_independent() -> None:
    old, new = tensor(2.0, -1.0), tensor(0.5, -1.0, 7.0)
    past = pupil_and_teacher({"logits": old[None]}, "classes")
    added = distill.loss(None, batch(1, 3), {"logits": new[None]}, past)
    p, q = torch.sigmoid(old[0] / 2), torch.sigmoid(new[0] / 2)
    apart = kl(torch.stack([p, 1 - p]), torch.stack([q, 1 - q]))
    assert float(added) == pytest.approx(3 * 4 * apart / 2, rel=1e-5)


def test_distill_of_positions_leaves_padding_out() -> None:
    start_old, start_new = tensor(1.0, 2.0, 50.0), tensor(5.0, 1.0, -50.0)
    end = tensor(0.0, 1.0, 3.0)
    told = {"start_logits": start_old[None], "end_logits": end[None]}
    past = pupil_and_teacher(told, "position", temperature=1.0)
    one = batch(1, 3)
    one["attention_mask"][0, 2] = 0
    outputs_ = {"start_logits": start_new[None], "end_logits": end[None]}
    added = distill.loss(None, one, outputs_, past)
    apart = kl(start_old[:2].softmax(0), start_new[:2].softmax(0))
    assert float(added) == pytest.approx(3 * (apart + 0.0) / 2, rel=1e-5)


def test_distill_of_tags_is_the_mean_over_a_windows_tokens() -> None:
    """Over the labels that the base has, and without the tokens of padding."""
    old = tensor([[1.0, 0.0], [0.0, 3.0], [9.0, -9.0]])
    new = tensor([[0.0, 3.0, 9.0], [0.0, 3.0, -5.0], [-9.0, 9.0, 0.0]])
    past = pupil_and_teacher({"logits": old}, "tags")
    one = batch(1, 3)
    one["attention_mask"][0, 2] = 0
    added = distill.loss(None, one, {"logits": new}, past)
    apart = kl((old[0, 0] / 2).softmax(0), (new[0, 0, :2] / 2).softmax(0))
    # weight * T^2 * the mean over two tokens; the second says the same as its teacher.
    assert float(added) == pytest.approx(3 * 4 * (apart + 0.0) / 2, rel=1e-5)


def test_the_loss_of_a_window_of_tags_is_the_mean_over_its_labelled_tokens() -> None:
    logits = tensor([[1.0, 0.0], [0.0, 3.0], [5.0, 0.0]])
    labels = torch.tensor([[0, 1, -100]])
    (found,) = outputs.losses("tags", {"logits": logits}, {"labels": labels})
    own = [-float(logits[0, at].log_softmax(0)[label]) for at, label in ((0, 0), (1, 1))]
    assert float(found) == pytest.approx(sum(own) / 2, rel=1e-5)


def test_distill_of_a_number_is_the_squared_difference() -> None:
    past = pupil_and_teacher({"logits": tensor([1.0], [2.0])}, "number")
    added = distill.loss(None, batch(2, 3), {"logits": tensor([4.0], [2.0])}, past)
    assert float(added) == pytest.approx(3 * (9 + 0) / 2)


def test_der_pulls_to_stored_logits_and_weighs_the_labels() -> None:
    """Recalled rows alone, the old labels' logits alone, as a share of the whole batch."""
    past = Stored({7: {"logits": [1.0, 2.0]}, 9: {"logits": [0.0, 0.0]}}, "class", 0.5, 0.25)
    new = tensor([3.0, 2.0, 1.0], [9.0, 9.0, 9.0], [0.0, 1.0, 0.0])
    mixed = {
        **batch(3, 4),
        "labels": torch.tensor([0, 2, 1]),
        "window": torch.tensor([7, 8, 9]),
        "recalled": torch.tensor([1, 0, 1]),
    }
    added = der.loss(None, mixed, {"logits": new}, past)
    squared = [((3 - 1) ** 2 + 0) / 2, (0 + 1) / 2]
    own = [-float(new[0].log_softmax(0)[0]), -float(new[2].log_softmax(0)[1])]
    each = [0.5 * far + (0.25 - 1) * loss for far, loss in zip(squared, own, strict=True)]
    assert float(added) == pytest.approx(sum(each) / 3, rel=1e-5)


def test_der_without_a_recalled_row_adds_nothing() -> None:
    past = Stored({}, "class", 0.5, 0.5)
    new_ones = {**batch(2, 3), "window": torch.arange(2), "recalled": torch.zeros(2)}
    assert der.loss(None, new_ones, {"logits": torch.zeros(2, 2)}, past) == 0.0


def test_der_of_windows_compares_their_tokens_and_no_padding() -> None:
    """Two windows of one row, three and two tokens long, stored each by itself."""
    stored = {
        0: {"start_logits": [1.0, 0.0, 0.0], "end_logits": [0.0, 0.0, 0.0]},
        1: {"start_logits": [0.0, 2.0], "end_logits": [0.0, 0.0]},
    }
    past = Stored(stored, "position", 1.0, 1.0)
    new = {
        "start_logits": torch.zeros(2, 3),
        "end_logits": tensor([0.0, 3.0, 0.0], [0.0, 0.0, 77.0]),
    }
    two = {
        "input_ids": torch.zeros(2, 3, dtype=torch.int64),
        "start_positions": torch.zeros(2, dtype=torch.int64),
        "end_positions": torch.zeros(2, dtype=torch.int64),
        "window": torch.tensor([0, 1]),
        "recalled": torch.tensor([1, 1]),
    }
    # Means over a window's tokens, then over start and end: (1/3 + 9/3) / 2 and (4/2 + 0) / 2.
    expected = ((1 / 3 + 9 / 3) / 2 + (4 / 2) / 2) / 2
    assert float(der.loss(None, two, new, past)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("recipe", ["extractive", "classification", "multilabel", "regression"])
def test_losses_of_windows_average_to_the_models_own(recipe: str, toy_encoder: Any) -> None:
    """`outputs.losses` is what transformers' models compute, taken apart."""
    from onward import recipes

    found = recipes.get(recipe)
    torch.manual_seed(0)
    model = found.build(toy_encoder, {"labels": ["a", "b", "c"], "dropout": 0.0}).eval()
    one = {"input_ids": torch.randint(5, 60, (4, 6)), "attention_mask": torch.ones(4, 6).long()}
    kind = outputs.kind(found)
    targets: dict[str, Any] = {
        "class": {"labels": torch.tensor([0, 1, 2, 1])},
        "classes": {"labels": torch.tensor([[0.0, 1, 1], [1, 0, 0], [0, 0, 0], [1, 1, 1]])},
        "number": {"labels": tensor(0.5, -1.0, 2.0, 0.0)},
        "position": {
            "start_positions": torch.tensor([0, 1, 2, 6]),  # the last lies outside: ignored
            "end_positions": torch.tensor([3, 4, 5, 6]),
        },
    }[kind]
    with torch.inference_mode():
        made = model(**one, **targets)
    each = outputs.losses(kind, made, targets)
    counted = 3 if kind == "position" else 4
    assert float(each.sum()) / counted == pytest.approx(float(made["loss"]), rel=1e-5)


def test_a_term_is_not_asked_for_what_it_did_not_keep() -> None:
    """Distilling from a pretrained encoder: it has no say."""
    job = SimpleNamespace(first=True)
    assert distill.past(job, None, "cpu") is None  # type: ignore[arg-type]
