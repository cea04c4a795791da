"""Parity as pure functions: samples of batches, differences, scores and the paired loss."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from onward.errors import MissingFiles, ParityError
from onward.evaluation.ledger import Entry, LedgerPart, part
from onward.evaluation.statistics import Draws
from onward.recipes import extractive
from onward.runtime import parity


class Fixed:
    """A runner that answers with its value, whatever is asked."""

    def __init__(self, value: float) -> None:
        self.value = value

    def predict(self, batch: list[dict[str, Any]]) -> list[dict[str, np.ndarray]]:
        return [{"start_logits": np.full(len(f["input_ids"]), self.value)} for f in batch]


def _features(*lengths: int) -> list[dict[str, Any]]:
    return [{"input_ids": [1] * length} for length in lengths]


def _part(f1: list[float]) -> LedgerPart:
    size = len(extractive.STATISTICS)
    row = {"answers": ["right"], "starts": [0], "context": "right", "question": "?", "id": "x"}
    entries = {}
    for number, value in enumerate(f1):
        text = "right" if value else "wrong"
        told = extractive.statistics(row, {"text": text, "no_answer": False})
        assert len(told) == size
        entries[f"r{number}"] = Entry("{}", tuple(float(x) for x in told))
    return part("a", "p", "s", {"u": entries})


def test_the_sample_has_the_shortest_the_longest_and_padded_batches() -> None:
    batches = parity.sample(_features(*range(3, 103)))
    sizes = [[len(f["input_ids"]) for f in batch] for batch in batches]
    assert sizes[:2] == [[3], [102]]
    assert len(sizes) == 8 and all(len(set(batch)) > 1 for batch in sizes[2:])


def test_the_sample_of_one_window_is_that_window() -> None:
    batches = parity.sample(_features(7))
    assert {len(f["input_ids"]) for batch in batches for f in batch} == {7}


def test_a_difference_that_is_not_finite_is_infinite() -> None:
    ours = [{"start_logits": np.array([0.0, np.nan])}]
    assert math.isinf(parity.difference(ours, [{"start_logits": np.zeros(2)}]))


@pytest.mark.parametrize(("value", "limit"), [(0.01, 1e-3), (math.nan, 1e9), (math.inf, 1e9)])
def test_logits_past_the_limit_fail_with_the_number(value: float, limit: float) -> None:
    with pytest.raises(ParityError, match="differ from torch's by") as caught:
        parity.logits(Fixed(value), Fixed(0.0), [_features(4, 9)], limit)
    assert "[4, 9]" in caught.value.where


def test_logits_at_the_limit_pass() -> None:
    assert parity.logits(Fixed(0.5), Fixed(0.0), [_features(4)], 0.5) == 0.5


def _written(tokens: list[int], *logprobs: float) -> dict[str, Any]:
    return {"tokens": tokens, "logprobs": list(logprobs) or [0.0] * len(tokens)}


def test_tokens_are_compared_one_by_one_and_ties_are_counted() -> None:
    pairs: list[parity.Pair] = [
        ("u, row a", _written([1, 2]), _written([1, 2])),
        ("u, row b", _written([1, 2], -0.5, -0.7), _written([1, 3, 4], -0.5, -0.701, -1.0)),
    ]
    assert parity.tokens(pairs, 1e-3) == {"rows": 2, "equal": 1, "ties": 1}
    assert parity.tokens(pairs, 0.00051)["ties"] == 1, "each of the two may be off by the limit"
    for limit in (0.00049, 1e-4):
        with pytest.raises(ParityError, match=r"no tie: .* 0\.001 apart") as caught:
            parity.tokens(pairs, limit)
        assert caught.value.where == "u, row b, token 1"


def test_ties_in_many_rows_are_a_graph_that_prefers_other_tokens() -> None:
    same = [(f"u, row {n}", _written([5]), _written([5])) for n in range(18)]
    tie = ("u, row x", _written([5, 1], -1.2, -1.0), _written([7], -1.2))
    assert parity.tokens([*same, tie, tie], 1e-3) == {"rows": 20, "equal": 18, "ties": 2}
    with pytest.raises(ParityError, match="in 3 of 21 rows"):
        parity.tokens([*same, tie, tie, tie], 1e-3)


@pytest.mark.parametrize("logprob", [-0.001, -0.6])
def test_two_runners_that_are_each_sure_of_another_token_are_no_tie(logprob: float) -> None:
    """As with a wrong cache: of two nearly equal tokens neither has more than half."""
    pairs: list[parity.Pair] = [
        ("u, row a", _written([1, 2], -0.1, logprob), _written([1, 3], -0.1, logprob))
    ]
    with pytest.raises(ParityError, match=r"no tie: .* 0 apart, the higher is"):
        parity.tokens(pairs, 1e-3)
    even: list[parity.Pair] = [("u, row a", _written([2], -0.6935), _written([3], -0.6931))]
    assert parity.tokens(even, 1e-3)["ties"] == 1


@pytest.mark.parametrize("pair", [([1, 2], [1, 2, 3]), ([1, 2, 3], [1, 2])])
def test_a_generation_that_goes_on_where_the_other_stops_is_another_one(
    pair: tuple[list[int], list[int]],
) -> None:
    """As where two tokenizers say other texts of the same tokens, and one has a stop string."""
    ours, theirs = map(_written, pair)
    with pytest.raises(ParityError, match=r"3 and 2|2 and 3") as caught:
        parity.tokens([("u, row a", ours, theirs)], 1e9)
    assert caught.value.where == "u, row a, token 2"


def test_scores_past_the_limit_fail_either_way_and_name_the_unit() -> None:
    worse, better = _part([1, 1, 0, 0]), _part([1, 1, 1, 0])
    for onnx, torch, sign in ((worse, better, "-25.00"), (better, worse, "+25.00")):
        found = parity.scores(extractive, onnx, torch)
        parity.require(found, 25.0)
        with pytest.raises(ParityError, match=f"\\{sign}") as caught:
            parity.require(found, 24.9)
        assert caught.value.where == "u, 4 held-out rows"
        assert caught.value.details["units"][0]["rows"] == 4


def test_a_score_that_is_not_a_number_fails() -> None:
    with pytest.raises(ParityError):
        parity.require([parity.UnitScore("u", 1, 50.0, math.nan)], 100.0)


def test_rows_that_onnx_did_not_answer_are_named() -> None:
    with pytest.raises(MissingFiles):
        parity.scores(extractive, _part([1, 1]), _part([1, 1, 1]))


def test_the_loss_is_new_minus_old_on_the_same_rows() -> None:
    found = parity.loss(extractive, _part([1] * 90 + [0] * 10), _part([1] * 100), Draws(1000))
    assert found.value == pytest.approx(-10)
    assert found.low < -10 < found.high < 0
    more = parity.loss(extractive, _part([1] * 5 + [0] * 5), _part([1] * 4), Draws(1000))
    assert more.value == 0, "of the rows that the old one has"
