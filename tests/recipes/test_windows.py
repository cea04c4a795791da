"""Encoding: windows cover the context, offsets point into it, labels into the windows."""

from __future__ import annotations

import itertools
import random
from typing import Any

import numpy as np
import pytest

from onward.config import Prepare
from onward.errors import SettingsError
from onward.recipes.extractive import encode, inputs_cut
from tests.recipes import readers

SMALL = Prepare(max_length=48, stride=16, early_stopping_percent=0.0)


@pytest.fixture(scope="module", params=["wordpiece", "bytes"])
def tokenizer(request: pytest.FixtureRequest) -> Any:
    kinds = {"wordpiece": readers.encoder_tokenizer, "bytes": readers.byte_tokenizer}
    return kinds[request.param]()


def rows(n: int, seed: int = 0, longest: int = 120) -> list[dict[str, Any]]:
    chance = random.Random(seed)
    return [readers.random_row(chance, number, longest) for number in range(n)]


def test_windows_overlap_and_leave_out_nothing(tokenizer: Any) -> None:
    for number, row in enumerate(rows(30)):
        windows = encode([row], tokenizer, SMALL, labels=None)
        assert all(len(one["input_ids"]) <= SMALL.max_length for one in windows)
        spans = [one["offsets"][one["offsets"][:, 0] >= 0] for one in windows]
        # Where a window ends in white space a byte-level tokenizer trims that token to nothing.
        seen = {tuple(pair) for span in spans for pair in span.tolist() if pair[0] < pair[1]}
        whole = tokenizer(row["context"], add_special_tokens=False, return_offsets_mapping=True)[
            "offset_mapping"
        ]
        assert seen == {pair for pair in whole if pair[0] < pair[1]}, number
        for pair in itertools.pairwise(windows):
            shared = [np.array(one["input_ids"])[one["offsets"][:, 0] >= 0] for one in pair]
            assert shared[0][-SMALL.stride :].tolist() == shared[1][: SMALL.stride].tolist()


def test_only_tokens_of_the_context_have_offsets(tokenizer: Any) -> None:
    for one in encode(rows(5), tokenizer, SMALL, labels=None):
        low, high = one["offsets"].T
        outside = low < 0
        assert outside[0] and outside[-1] and (high[outside] == -1).all()
        assert (np.diff(low[~outside]) >= 0).all() and (high >= low).all()


def test_labels_are_the_tokens_that_cover_the_answer(tokenizer: Any) -> None:
    given = rows(60, seed=3)
    found = encode(given, tokenizer, SMALL, labels=())
    for one in found:
        wanted = readers.place(given[one["row"]], one) or (0, 0)
        assert (one["start_position"], one["end_position"]) == wanted
    assert len({one["row"] for one in found if one["end_position"]}) > 30


def test_rows_are_numbered_across_portions(tokenizer: Any) -> None:
    given = rows(600, longest=3)
    found = encode(given, tokenizer, SMALL, labels=None)
    assert sorted({one["row"] for one in found}) == list(range(600))
    assert [one["row"] for one in found] == sorted(one["row"] for one in found)
    alone = encode([given[599]], tokenizer, SMALL, labels=None)[-1]
    assert found[-1]["input_ids"] == alone["input_ids"]


def test_a_row_without_an_answer_is_labelled_with_the_first_token(tokenizer: Any) -> None:
    row = {**rows(1)[0], "answers": [], "starts": []}
    found = encode([row], tokenizer, SMALL, labels=())
    assert {(one["start_position"], one["end_position"]) for one in found} == {(0, 0)}


def test_long_questions_are_cut_and_counted(tokenizer: Any) -> None:
    short, long = rows(2)
    short["question"], long["question"] = "who?", "why " * 500
    assert inputs_cut([short, long], tokenizer, SMALL) == 1
    assert inputs_cut([], tokenizer, SMALL) == 0
    for one in encode([long], tokenizer, SMALL, labels=None):
        assert len(one["input_ids"]) <= SMALL.max_length
        asked = tokenizer.decode(one["input_ids"]).count("why")
        assert 1 <= asked <= SMALL.max_length // 4


def test_the_tightest_settings_still_move_forward(tokenizer: Any) -> None:
    tight = Prepare(max_length=32, stride=16)
    row = {**rows(1, longest=200)[0], "question": "why " * 100}
    assert encode([row], tokenizer, tight, labels=None)


@pytest.mark.parametrize("context", ["", "   ", "\u200b"])
def test_a_context_without_tokens_is_one_window(tokenizer: Any, context: str) -> None:
    row = {**rows(1)[0], "context": context, "answers": [], "starts": []}
    assert len(encode([row], tokenizer, SMALL, labels=())) == 1


def test_a_tokenizer_without_offsets_is_refused() -> None:
    class Slow:
        is_fast = False

    with pytest.raises(SettingsError, match="Slow gives no character offsets"):
        encode(rows(1), Slow(), SMALL, labels=None)
    with pytest.raises(SettingsError):
        inputs_cut(rows(1), Slow(), SMALL)
