"""Decoding: a perfect reader scores 100, and whatever the logits, the answer is in the context."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward.config import Evaluate, Prepare
from onward.recipes import extractive
from tests.recipes import readers

SMALL = Prepare(max_length=64, stride=24, early_stopping_percent=0.0)
SPANS = Evaluate(max_answer_tokens=24, n_best=4)
NULLS = Evaluate(max_answer_tokens=24, n_best=4, no_answer=True)


def scores(rows: list[Any], outputs: list[Any], features: list[Any], settings: Evaluate) -> Any:
    predictions = list(extractive.decode(rows, features, outputs, settings))
    total = sum(map(extractive.statistics, rows, predictions))
    return predictions, {name: float(v) for name, v in extractive.metrics(total).items()}


@pytest.mark.parametrize("tokenizer", [readers.encoder_tokenizer(), readers.byte_tokenizer()])
def test_a_perfect_reader_scores_100_over_windows_and_scripts(tokenizer: Any) -> None:
    """D12: emoji sequences, composed and decomposed letters, right-to-left words."""
    chance = random.Random(7)
    rows = [readers.random_row(chance, number) for number in range(150)]
    features = extractive.encode(rows, tokenizer, SMALL, labels=None)
    assert len(features) > 4 * len(rows)
    longest = {number: 0 for number in range(len(rows))}
    for one in features:
        first, last = readers.place(rows[one["row"]], one) or (0, -1)
        longest[one["row"]] = max(longest[one["row"]], last - first + 1)
    kept = [row for n, row in enumerate(rows) if 0 < longest[n] <= SPANS.max_answer_tokens]
    assert len(kept) > 80
    features = extractive.encode(kept, tokenizer, SMALL, labels=None)
    said, found = scores(kept, readers.oracle(kept, features), features, SPANS)
    wrong = [(row["answers"][0], one["text"]) for row, one in zip(kept, said, strict=True)
             if one["text"] != row["answers"][0]]  # fmt: skip
    assert found["em"] == 100.0, wrong


def test_a_perfect_reader_finds_rows_without_an_answer() -> None:
    tokenizer = readers.encoder_tokenizer()
    chance = random.Random(8)
    rows = [readers.random_row(chance, number, longest=100) for number in range(60)]
    rows = [row for row in rows if len(row["answers"][0]) < 20]
    for row in rows[::3]:
        row["answers"], row["starts"] = [], []
    features = extractive.encode(rows, tokenizer, SMALL, labels=None)
    outputs = readers.oracle(rows, features)
    predictions, found = scores(rows, outputs, features, NULLS)
    assert found["no_f1"] == found["has_em"] == 100.0
    none = predictions[0]
    assert (none["text"], none["start"], none["end"], none["no_answer"]) == ("", -1, -1, True)
    assert none["probability"] > 0.99
    # The same logits of a model that never learned it: a span is always chosen.
    predictions, found = scores(rows, outputs, features, SPANS)
    assert found["no_f1"] == 0.0 and not any(said["no_answer"] for said in predictions)
    assert all(part["start"] >= 0 for said in predictions for part in said["n_best"])


def window(length: int = 12) -> tuple[dict[str, Any], dict[str, Any], dict[str, np.ndarray]]:
    """A row of one-letter words, its one window ([CLS] q [SEP] a b c ... [SEP]) and flat logits."""
    context = " ".join("abcdefghijklmnopqrstuvwxyz"[: length - 4])
    offsets = [[-1, -1]] * 3 + [[2 * n, 2 * n + 1] for n in range(length - 4)] + [[-1, -1]]
    feature = {"row": 0, "input_ids": [0] * length, "offsets": np.array(offsets, np.int32)}
    output = {name: np.zeros(length, np.float32) for name in ("start_logits", "end_logits")}
    return {"context": context, "answers": [], "starts": []}, feature, output


def answer(row: Any, feature: Any, output: Any, **settings: Any) -> Any:
    return next(extractive.decode([row], [feature], [output], Evaluate(**settings)))


def test_the_end_is_never_before_the_start_nor_outside_the_context() -> None:
    row, feature, output = window()
    output["start_logits"][:] = [9, 9, 9, 0, 0, 0, 5, 0, 0, 0, 0, 9]
    output["end_logits"][:] = [9, 9, 9, 0, 4, 0, 0, 1, 0, 0, 0, 9]
    found = answer(row, feature, output)
    assert (found["text"], found["start"], found["end"]) == ("d e", 6, 9)


@given(st.data())
def test_of_equal_spans_the_first_is_told_however_many_are_kept(data: st.DataObject) -> None:
    """Of equal scores, as bf16 makes them, n_best decided which span was the answer."""
    row, feature, output = window()
    for logits in output.values():
        drawn = st.lists(st.integers(0, 2), min_size=len(logits), max_size=len(logits))
        logits[:] = data.draw(drawn)
    kept = [answer(row, feature, output, n_best=many)["n_best"] for many in (1, 3, 50)]
    places = [[(one["start"], one["end"]) for one in n_best] for n_best in kept]
    assert places[0] == places[2][:1] and places[1] == places[2][:3]


def test_no_span_is_longer_than_max_answer_tokens() -> None:
    row, feature, output = window()
    output["start_logits"][3], output["end_logits"][10] = 5, 5
    assert answer(row, feature, output, max_answer_tokens=8)["text"] == "a b c d e f g h"
    short = answer(row, feature, output, max_answer_tokens=3, n_best=50)
    assert max(len(one["text"].split()) for one in short["n_best"]) == 3
    assert len(short["n_best"]) == 8 + 7 + 6
    assert answer(row, feature, output, max_answer_tokens=100)["text"] == "a b c d e f g h"


def test_probabilities_are_the_softmax_over_what_is_kept() -> None:
    row, feature, output = window()
    output["start_logits"][4], output["end_logits"][4], output["end_logits"][5] = 3, 2, 1
    output["start_logits"][0] = 4.5
    found = answer(row, feature, output, n_best=2, no_answer=True)
    weights = np.exp(np.array([5.0, 4.5, 4.0]))
    told = [one["probability"] for one in found["n_best"]]
    assert told == pytest.approx(list(weights / weights.sum()), abs=1e-6)
    assert [one["text"] for one in found["n_best"]] == ["b", "", "b c"]
    assert found["probability"] == told[0] and not found["no_answer"]


def test_the_threshold_moves_the_border_to_no_answer() -> None:
    row, feature, output = window()
    output["start_logits"][0], output["start_logits"][4] = 3.0, 2.0
    assert answer(row, feature, output, no_answer=True)["no_answer"]
    assert not answer(row, feature, output, no_answer=True, no_answer_threshold=1.0)["no_answer"]
    assert answer(row, feature, output, no_answer=True, no_answer_threshold=0.9)["no_answer"]


def test_one_window_that_is_sure_of_an_answer_is_enough() -> None:
    row, feature, output = window()
    sure = {name: values.copy() for name, values in output.items()}
    output["start_logits"][0] = output["end_logits"][0] = 9
    sure["start_logits"][5] = sure["end_logits"][5] = 6
    settings = Evaluate(no_answer=True)
    found = next(extractive.decode([row], [feature, feature], [output, sure], settings))
    assert (found["text"], found["no_answer"]) == ("c", False)
    assert len(found["n_best"]) == settings.n_best + 1
    spans = [(one["start"], one["end"]) for one in found["n_best"]]
    assert len(spans) == len(set(spans)), "the same span of two windows is one candidate"


def test_tokens_of_white_space_neither_start_nor_end_an_answer() -> None:
    """As SentencePiece makes them: alone, or counted into the word that follows."""
    row = {"context": "a  b c", "answers": [], "starts": []}
    places = [[-1, -1], [0, 1], [1, 2], [2, 2], [2, 4], [4, 6]]
    feature = {"row": 0, "offsets": np.array(places, np.int32)}
    logits = np.array([0, 1, 9, 9, 2, 0], np.float32)
    found = answer(row, feature, {"start_logits": logits, "end_logits": logits}, n_best=3)
    assert [(one["text"], one["start"], one["end"]) for one in found["n_best"]] == [
        ("b", 3, 4),
        ("a  b", 0, 4),
        ("a", 0, 1),
    ]
    blank = {**feature, "offsets": np.array([[-1, -1], [1, 2], [2, 2], [2, 3]] + 2 * [[1, 3]])}
    assert answer(row, blank, {"start_logits": logits, "end_logits": logits})["no_answer"]


def test_a_context_without_words_has_no_answer_even_from_a_model_that_never_says_so() -> None:
    tokenizer = readers.encoder_tokenizer()
    row = {"context": " \u200b ", "question": "who?", "answers": [], "starts": []}
    features = extractive.encode([row], tokenizer, SMALL, labels=None)
    flat = [dict.fromkeys(("start_logits", "end_logits"), np.zeros(len(f["input_ids"])))
            for f in features]  # fmt: skip
    found = next(extractive.decode([row], features, flat, SPANS))
    assert found["no_answer"] and found["text"] == "" and found["probability"] == 1.0


TOKENIZERS = {"wordpiece": readers.encoder_tokenizer(), "bytes": readers.byte_tokenizer()}
TEXTS = st.text(max_size=80) | st.lists(st.sampled_from(readers.WORDS), max_size=60).map(" ".join)


@given(TEXTS, st.text(max_size=20), st.sampled_from(sorted(TOKENIZERS)), st.integers(0, 2**32 - 1))
def test_s11_the_answer_is_always_a_part_of_the_context(
    context: str, question: str, kind: str, seed: int
) -> None:
    row = {"context": context, "question": question, "answers": [], "starts": []}
    features = extractive.encode([row], TOKENIZERS[kind], SMALL, labels=None)
    chance = np.random.default_rng(seed)
    outputs = [
        {
            name: chance.normal(0, 3, len(one["input_ids"]))
            for name in ("start_logits", "end_logits")
        }
        for one in features
    ]
    found = next(extractive.decode([row], features, outputs, NULLS))
    assert found["no_answer"] == (found["start"] < 0)
    for said in [found, *found["n_best"]]:
        if said["start"] >= 0:
            assert said["text"] == context[said["start"] : said["end"]]
            assert said["text"].strip() == said["text"] != ""
        else:
            assert said["text"] == ""
    told = [one["probability"] for one in found["n_best"]]
    assert told == sorted(told, reverse=True) and sum(told) == pytest.approx(1, abs=1e-4)
