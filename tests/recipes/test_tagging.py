"""Tagging: encoding in windows, decoding over them, and entity F1 from sums."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onward.config import Evaluate, Prepare
from onward.errors import DataError, SettingsError
from onward.recipes import bio, tagging, word_windows
from onward.recipes.shapes import NOTHING, Feature, Row
from tests import toys
from tests.recipes.readers import WORDS, byte_tokenizer, encoder_tokenizer

WINDOW = Prepare(max_length=32, stride=12)
TAGS = ("city", "person", "work")


@pytest.fixture(scope="module", params=[encoder_tokenizer, byte_tokenizer], ids=["words", "bytes"])
def tokenizer(request: pytest.FixtureRequest) -> Any:
    return request.param()


def random_row(chance: random.Random, number: int, longest: int = 120) -> Row:
    """A text of known and odd words, with spans over whole words of it."""
    text = " ".join(chance.choice(WORDS[:-2]) for _ in range(chance.randint(1, longest)))
    places, spans, at = bio.words(text), [], 0
    while at < len(places):
        last = min(at + chance.randrange(3), len(places) - 1)
        if chance.random() < 0.3:
            spans.append((places[at][0], places[last][1], chance.choice(TAGS)))
        at = last + 1
    starts, ends, tags = ([span[n] for span in spans] for n in range(3))
    about = {"id": f"r{number}", "title": None, "text": text}
    return {**about, "starts": starts, "ends": ends, "tags": tags}


def oracle(features: list[Feature], labels: list[str]) -> list[dict[str, np.ndarray]]:
    """Logits of a perfect tagger: what each window's targets say."""
    outputs = []
    for feature in features:
        logits = np.zeros((len(feature["input_ids"]), len(labels)), np.float32)
        for token, target in enumerate(feature["tags"]):
            if target != NOTHING:
                logits[token, target] = 5.0
        outputs.append({"logits": logits})
    return outputs


def decoded(
    rows: list[Row],
    features: list[Feature],
    outputs: list[dict[str, np.ndarray]],
    labels: list[str],
) -> list[dict[str, Any]]:
    return list(tagging.decode(rows, features, outputs, Evaluate(), labels))


def test_what_is_encoded_is_decoded_again_over_windows(tokenizer: Any) -> None:
    chance = random.Random(0)
    rows = [random_row(chance, number) for number in range(40)]
    labels = tagging.vocabulary(rows, [])
    learned = tagging.encode(rows, tokenizer, WINDOW, labels=labels)
    asked = tagging.encode(rows, tokenizer, WINDOW, labels=None)
    assert len(asked) >= len(learned) > 60
    assert all(len(one["tags"]) == len(one["input_ids"]) <= 32 for one in learned)
    made = decoded(rows, learned, oracle(learned, labels), labels)
    total = sum(tagging.statistics(row, told) for row, told in zip(rows, made, strict=True))
    assert float(tagging.metrics(total)["f1"]) == 100.0


def test_a_word_is_learned_by_its_first_token_alone(tokenizer: Any) -> None:
    row = {"id": "a", "text": "in antidisestablishment", "starts": [3], "ends": [23], "tags": ["x"]}
    (feature,) = tagging.encode([row], tokenizer, Prepare(), labels=["O", "B-x", "I-x"])
    found = [target for target in feature["tags"] if target != NOTHING]
    assert found == [0, 1] and feature["tags"][0] == feature["tags"][-1] == NOTHING
    assert len(feature["tags"]) > 5


def test_the_window_that_shows_most_around_a_word_has_it() -> None:
    """Two windows of one token a word: word 3 is at the edge of the first, inside the second."""
    row = {"id": "a", "title": None, "text": "a b c d e f", "starts": [], "ends": [], "tags": []}
    offsets = [np.array([[-1, -1], *([2 * n, 2 * n + 1] for n in part), [-1, -1]], np.int32)
               for part in (range(4), range(2, 6))]  # fmt: skip
    features = [{"row": 0, "offsets": each} for each in offsets]
    logits = [np.zeros((6, 3), np.float32) for _ in range(2)]
    logits[0][4, 1] = logits[1][2, 0] = 9.0  # word 3: the first says B-x, the second O
    (made,) = decoded([row], features, [{"logits": each} for each in logits], ["O", "B-x", "I-x"])
    assert made["spans"] == [] and made["no_answer"]
    logits[1][2] = [0.0, 9.0, 0.0]
    (made,) = decoded([row], features, [{"logits": each} for each in logits], ["O", "B-x", "I-x"])
    assert made["spans"] == [[6, 7, "x"]] and made["text"] == "x: d"
    assert made["n_best"] == [{"text": "x: d", "probability": pytest.approx(0.999753, abs=1e-5)}]
    assert made["probability"] == pytest.approx(1 / 3, abs=1e-6)  # of the words nobody is sure of
    logits[0][4], logits[1][2] = [9.0, 0.0, 0.0], [0.0, 9.0, 0.0]
    turned = [{"logits": each} for each in logits[::-1]]
    (again,) = decoded([row], features[::-1], turned, ["O", "B-x", "I-x"])
    assert again["spans"] == [[6, 7, "x"]]  # whichever window comes first


@pytest.mark.parametrize("held", [["O", "B-x", "E-x"], ["O", "PER"], ["B-x", "I-x"]])
def test_D14_a_trained_tagger_with_other_labels_than_BIO_is_refused(
    toy_encoder: Path, tmp_path: Path, held: list[str]
) -> None:
    """Its E- would begin a span of its own, its PER would have no tag."""
    tagging.build(toy_encoder, {"labels": held}).save_pretrained(tmp_path)
    with pytest.raises(SettingsError, match=r"and I-NAME: '(E-x|PER|O)'") as caught:
        tagging.build(tmp_path, {"new_head": False})
    assert "id2label" in caught.value.where
    plain = tagging.build(toy_encoder, {"labels": ["B-x", "O", "I-x"]})
    plain.save_pretrained(tmp_path)
    assert tagging.build(tmp_path, {"new_head": False}).config.num_labels == 3


@pytest.mark.parametrize("place", [(0, 4), (0, 5), (1, 4), (1, 5)])
def test_D12_a_span_is_right_whatever_does_not_show_at_its_ends(place: tuple[int, int]) -> None:
    text = "\u200fAna\u200e, Bo"
    row = {"text": text, "starts": [place[0]], "ends": [place[1]], "tags": ["x"]}
    places = bio.words(text)
    told = {"spans": bio.spans(bio.labelled(places, word_windows.spans_of(row)), places)}
    assert tagging.statistics(row, told).tolist() == [1, 1, 0, 0, 1]
    assert tagging.report([row], [told])["macro_f1"] == 100.0


def test_words_of_one_token_are_of_one_span_whatever_the_tag_is_called() -> None:
    """The tag's own name may hold "B-"."""
    row = {"id": "a", "title": None, "text": "(a", "starts": [0], "ends": [2], "tags": ["SUB-x"]}
    feature = {"row": 0, "offsets": np.array([[-1, -1], [0, 2], [-1, -1]], np.int32)}
    labels = ["O", "B-SUB-x", "I-SUB-x"]
    for told in (1, 2):
        logits = np.zeros((3, 3), np.float32)
        logits[1, told] = 9.0
        (made,) = decoded([row], [feature], [{"logits": logits}], labels)
        assert made["spans"] == [[0, 2, "SUB-x"]]


def test_windows_in_which_no_word_begins_are_not_learned_from(tokenizer: Any) -> None:
    """A word longer than two windows: a window within it would teach nothing, and divide by 0."""
    row = {"id": "a", "text": "xq7z" * 24 + " so", "starts": [], "ends": [], "tags": []}
    small = Prepare(max_length=32, stride=2)
    labels = ["O", "B-x", "I-x"]
    learned = tagging.encode([row], tokenizer, small, labels=labels)
    asked = tagging.encode([row], tokenizer, small, labels=None)
    assert 0 < len(learned) < len(asked)
    assert all(max(one["tags"]) >= 0 for one in learned)


def test_D14_a_tag_that_the_model_lacks_is_an_error(tokenizer: Any) -> None:
    row = {"id": "a7", "text": "in Oslo", "starts": [3], "ends": [7], "tags": ["city"]}
    with pytest.raises(DataError, match="'B-city' is not one that this model has") as caught:
        tagging.encode([row], tokenizer, Prepare(), labels=["O"])
    assert "a7" in caught.value.where


def test_a_tokenizer_without_offsets_is_refused() -> None:
    class Slow:
        is_fast = False

    with pytest.raises(SettingsError, match="gives no character offsets"):
        tagging.encode([], Slow(), Prepare(), labels=None)


def test_f1_from_sums_is_that_of_all_spans_together() -> None:
    rows = toys.toy_tagged(60, seed=3)
    chance = random.Random(0)
    told = []
    for row in rows:
        spans = [list(span) for span in word_windows.spans_of(row) if chance.random() < 0.7]
        wrong = [[0, 3, "city"]] if chance.random() < 0.3 else []
        told.append({"spans": spans + wrong})
    made = [tagging.statistics(row, one) for row, one in zip(rows, told, strict=True)]
    right = {(row["id"], *span) for row in rows for span in word_windows.spans_of(row)}
    given = {
        (row["id"], *span) for row, one in zip(rows, told, strict=True) for span in one["spans"]
    }
    f1 = 200 * len(right & given) / (len(right) + len(given))
    assert float(tagging.metrics(np.sum(made, axis=0))["f1"]) == pytest.approx(f1)
    found = tagging.report(rows, told)
    assert sum(one["rows"] for one in found["classes"]) == len(right)
    assert {one["label"] for one in found["classes"]} == set(toys.KINDS)


def test_the_trivial_answer_knows_surfaces_and_takes_the_longest() -> None:
    rows = [
        {"text": "New York", "starts": [0], "ends": [8], "tags": ["city"]},
        {"text": "York", "starts": [0], "ends": [4], "tags": ["person"]},
    ]
    told = tagging.baseline({"text": "York saw New York."}, tagging.common(rows))
    assert told["spans"] == [[0, 4, "person"], [9, 17, "city"]]
    assert tagging.baseline({"text": "so"}, {})["no_answer"]
