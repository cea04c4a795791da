"""Texts and pairs of texts: columns, keys, encoding, what is cut."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from onward import recipes
from onward.config import Prepare
from onward.errors import DataError
from onward.learning import encoder
from onward.recipes import classification, multilabel, regression, texts
from tests import toys

NAMES = ("classification", "multilabel", "regression")
SMALL = Prepare(max_length=32, stride=0)


@pytest.fixture(scope="module")
def tokenizer(toy_encoder: Path) -> Any:
    return encoder.tokenizer(toy_encoder)


@pytest.mark.parametrize(
    ("recipe", "columns", "expected"),
    [
        (classification, ["Text", "LABEL"], {"text": "Text", "label": "LABEL"}),
        (classification, ["sentence1", "sentence2", "intent", "uid"],
         {"id": "uid", "text": "sentence1", "pair": "sentence2", "label": "intent"}),
        (multilabel, ["review", "labels", "label"], {"text": "review", "labels": "labels"}),
        (regression, ["text", "score"], {"text": "text", "value": "score"}),
        (classification, ["premise", "hypothesis", "label", "idx"],
         {"text": "premise", "pair": "hypothesis", "label": "label"}),
        (classification, ["question", "sentence", "label"],
         {"text": "question", "pair": "sentence", "label": "label"}),
        (classification, ["Question1", "Question2", "gold_label"],
         {"text": "Question1", "pair": "Question2", "label": "gold_label"}),
        (regression, ["query", "document", "score"],
         {"text": "query", "pair": "document", "value": "score"}),
        (regression, ["question", "pair", "score"],
         {"text": "question", "pair": "pair", "value": "score"}),
        (classification, ["text", "premise", "hypothesis", "label"],
         {"text": "text", "label": "label"}),
        (classification, ["text", "hypothesis", "label"],
         {"text": "text", "pair": "hypothesis", "label": "label"}),
        (multilabel, ["question", "labels"], None),
        (regression, ["text"], None),
        (classification, ["label"], None),
    ],
)  # fmt: skip
def test_guess(recipe: Any, columns: list[str], expected: dict[str, str] | None) -> None:
    """D03: other case, other order, extra and missing columns."""
    assert recipe.guess(columns) == expected
    assert recipe.guess(columns[::-1]) == expected


def test_split_key_is_the_title_or_else_the_text() -> None:
    plain = {"title": None, "text": "Caf\u00e9  NOIR"}
    assert texts.split_key(plain) == texts.split_key({"title": " ", "text": "cafe\u0301 noir"})
    assert texts.split_key({**plain, "title": "A"}) == texts.split_key({"title": "a", "text": "b"})
    assert texts.split_key({"title": "x", "text": "y"}) != texts.split_key(
        {"title": None, "text": "x"}
    )


@pytest.mark.parametrize("name", NAMES)
def test_rows_fit_the_schema(name: str) -> None:
    rows = toys.toy_texts(20, seed=1, recipe=name)
    assert pa.Table.from_pylist(rows, schema=recipes.get(name).SCHEMA).to_pylist() == rows
    assert {row["pair"] is None for row in rows} == {True, False}


@pytest.mark.parametrize("name", NAMES)
def test_every_row_is_one_feature_as_the_tokenizer_has_it(name: str, tokenizer: Any) -> None:
    recipe, rows = recipes.get(name), toys.toy_texts(12, seed=1, recipe=name)
    found = recipe.encode(rows, tokenizer, Prepare(), labels=None)
    assert [feature["row"] for feature in found] == list(range(12))
    for row, feature in zip(rows, found, strict=True):
        alone = tokenizer(row["text"], row["pair"])
        assert {**feature} == {**alone, "row": feature["row"]}
        assert (1 in feature["token_type_ids"]) == (row["pair"] is not None)
    assert recipe.encode([], tokenizer, Prepare(), labels=None) == []


def test_targets_are_indices_and_numbers(tokenizer: Any) -> None:
    row = {"id": "1", "title": None, "text": "a fox", "pair": None}
    one = {**row, "label": "b"}
    (made,) = classification.encode([one], tokenizer, Prepare(), labels=["a", "b"])
    assert made["label"] == 1
    many = [{**row, "labels": ["c", "a", "c"]}, {**row, "labels": []}]
    first, none = multilabel.encode(many, tokenizer, Prepare(), labels=["a", "b", "c"])
    assert (first["labels"], none["labels"]) == ([0, 2], [])
    (number,) = regression.encode([{**row, "value": 2}], tokenizer, Prepare(), labels=())
    assert number["value"] == 2.0 and isinstance(number["value"], float)
    for recipe, known in ((classification, one), (multilabel, many[0])):
        with pytest.raises(DataError, match="is not one that this model has") as caught:
            recipe.encode([known], tokenizer, Prepare(), labels=["x"])
        assert caught.value.where == "row 1"
        assert len(recipe.encode([known], tokenizer, Prepare(), labels=None)) == 1


def test_a_long_text_is_cut_and_counted(tokenizer: Any) -> None:
    short, long = {"text": "a fox", "pair": None}, {"text": "the fox " * 99, "pair": None}
    pair = {"text": "the fox", "pair": "was seen " * 99}
    exact = {"text": "fox " * 30, "pair": None}
    rows = [short, long, pair, exact]
    made = texts.encode(rows, tokenizer, SMALL, None)
    assert [len(one["input_ids"]) for one in made] == [4, 32, 32, 32]
    assert tokenizer.decode(made[2]["input_ids"]).startswith("[CLS] the fox [SEP] was seen")
    assert texts.inputs_cut(rows, tokenizer, SMALL) == 2
    assert texts.inputs_cut([], tokenizer, SMALL) == 0


@pytest.mark.parametrize(
    ("words", "pair", "expected"),
    [(0, 0, "0-24"), (24, 0, "0-24"), (24, 1, "25-99"), (100, 99, "100-199"), (200, 0, "200+")],
)
def test_lengths(words: int, pair: int, expected: str) -> None:
    row = {"text": "a " * words, "pair": "b " * pair or None}
    assert texts.length(row) == expected


def test_what_people_read() -> None:
    row = {"text": "a b", "pair": None, "label": "x", "labels": ["b", "a", "b"], "value": 0.1 + 0.2}
    assert texts.inputs(row) == {"text": "a b"}
    assert texts.inputs({**row, "pair": ""}) == {"text": "a b", "pair": ""}
    assert classification.gold(row) == ["x"]
    assert multilabel.gold(row) == ["a", "b"] and multilabel.gold({**row, "labels": []}) == []
    assert regression.gold(row) == ["0.3"]
    assert classification.slices(row) == {"label": "x", "text length": "0-24"}
    assert multilabel.slices(row) == {"labels": "2-3", "text length": "0-24"}
