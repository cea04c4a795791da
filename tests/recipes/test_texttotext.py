"""Translation and summarization: rows, encoding, decoding and the trivial answers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from onward.config import Evaluate, Prepare, parse
from onward.errors import SettingsError
from onward.learning import encoder
from onward.recipes import summarization, texttotext, translation
from tests.learning.writing import toy_writer

PREPARE = parse({"max_length": 32, "stride": 8}, Prepare, where="test")


def test_the_guide_names_the_languages_that_are_known_by_their_columns() -> None:
    guide = Path(__file__).parents[2] / "docs" / "guide.md"
    told = guide.read_text(encoding="utf-8").partition("two columns named by their language (")[2]
    assert re.findall(r"`(\w\w)`", told.partition(";")[0]) == list(translation._LANGUAGES)


@pytest.mark.parametrize(
    ("recipe", "columns", "expected"),
    [
        (translation, ["text", "references"], {"text": "text", "references": "references"}),
        (translation, ["Source", "Target"], {"text": "Source", "references": "Target"}),
        (translation, ["id", "de", "en"], {"id": "id", "text": "de", "references": "en"}),
        (translation, ["English", "Polish"], {"text": "English", "references": "Polish"}),
        (translation, ["en-US", "zh_Hant"], {"text": "en-US", "references": "zh_Hant"}),
        (translation, ["hr_id", "it_team", "no", "is"], None),
        (translation, ["text", "label"], None),
        (translation, ["input", "output"], {"text": "input", "references": "output"}),
        (translation, ["instruction", "input", "output"], None),
        (translation, ["instruction", "text", "references"],
         {"text": "text", "references": "references"}),
        (summarization, ["article", "highlights"], {"text": "article", "references": "highlights"}),
        (translation, ["text", "de"], {"text": "text", "references": "de"}),
        (translation, ["de", "references"], {"text": "de", "references": "references"}),
        (summarization, ["de", "en"], None),
        (
            summarization,
            ["source", "content", "summary"],
            {"text": "content", "references": "summary"},
        ),
        (summarization, ["source", "target"], {"text": "source", "references": "target"}),
    ],
)  # fmt: skip
def test_columns_are_guessed(recipe: Any, columns: list[str], expected: Any) -> None:
    found = recipe.guess(columns)
    assert found == expected


class Tokenizer:
    """Words as tokens, an end after them, as many as are allowed."""

    added_tokens_decoder: ClassVar[dict[int, Any]] = {}

    def __call__(
        self,
        text: Any = None,
        text_target: Any = None,
        truncation: bool = True,
        max_length: int = 0,
    ) -> dict[str, list[list[int]]]:
        made = [[*range(10, 10 + len(one.split())), 1] for one in (text or text_target)]
        made = [tokens[: max_length or None] if truncation else tokens for tokens in made]
        return {"input_ids": made, "attention_mask": [[1] * len(tokens) for tokens in made]}

    def decode(self, tokens: list[int], **how: bool) -> str:
        return " ".join(str(token) for token in tokens if token > 9)


ROW = {"id": "a", "title": None, "text": "one two", "references": ["eins zwei drei", "1 2"]}


def test_a_feature_holds_the_source_and_the_first_reference() -> None:
    (feature,) = texttotext.encode([ROW], Tokenizer(), PREPARE, labels=[])
    assert feature["input_ids"] == [10, 11, 1] and feature["labels"] == [10, 11, 12, 1]
    (asked,) = texttotext.encode([ROW], Tokenizer(), PREPARE, labels=None)
    assert "labels" not in asked


def test_long_texts_are_cut_and_counted() -> None:
    long = {**ROW, "text": "word " * 40}
    (feature, _) = texttotext.encode([long, ROW], Tokenizer(), PREPARE, labels=None)
    assert len(feature["input_ids"]) == 32
    assert texttotext.inputs_cut([long, ROW], Tokenizer(), PREPARE) == 1


def test_S11_a_text_cannot_end_what_is_read_or_learned(tmp_path: Path) -> None:
    """Names of special tokens are broken up in text and reference, and counted so."""
    tokenizer = encoder.tokenizer(toy_writer(tmp_path))
    end = tokenizer.eos_token
    row = {**ROW, "text": f"red{end}fox", "references": [f"RED {end} FOX"]}
    (found,) = texttotext.encode([row], tokenizer, PREPARE, labels=[])
    for side in ("input_ids", "labels"):
        assert [at for at, n in enumerate(found[side], 1) if n == tokenizer.eos_token_id] == [
            len(found[side])
        ]
    assert tokenizer.decode(found["labels"][:-1]).strip() == f"RED {end[0]} {end[1:]} FOX"
    window = PREPARE.model_copy(update={"max_length": len(found["input_ids"])})
    assert texttotext.inputs_cut([row], tokenizer, window) == 0
    less = window.model_copy(update={"max_length": window.max_length - 1})
    assert texttotext.inputs_cut([row], tokenizer, less) == 1
    right, learned = ({"text": one} for one in (row["references"][0], f"RED {end[0]}"))
    assert float(summarization.metrics(summarization.statistics(row, right))["rouge_l"]) == 100
    assert float(summarization.metrics(summarization.statistics(row, learned))["rouge_l"]) < 100


def test_predictions_come_in_the_order_of_the_rows() -> None:
    outputs = [
        {"tokens": np.array([12, 1]), "logprobs": np.array([-1.0, 0.0]), "ended": np.array([0])},
        {"tokens": np.array([11, 10]), "logprobs": np.array([0.0, 0.0]), "ended": np.array([2])},
    ]
    settings = parse({}, Evaluate, where="test")
    features = [{"row": 1}, {"row": 0}]
    found = list(texttotext.decode([ROW, ROW], features, outputs, settings, tokenizer=Tokenizer()))
    assert [one["text"] for one in found] == ["11 10", "12"]
    assert found[0]["ended"] == "length" and found[0]["probability"] == 1.0
    assert found[1]["probability"] == pytest.approx(np.exp(-0.5), abs=1e-5)
    report = texttotext.report([ROW, ROW], found)["generated"]
    assert report == {"rows": 2, "length_ratio": 0.5, "empty": 0, "copied": 0, "cut_off": 1}


def test_lengths_of_a_script_without_spaces_are_in_characters() -> None:
    row = {**ROW, "text": "\u4eca\u5929\u4e0b\u96e8" * 6, "references": ["\u4eca\u5929" * 6]}
    assert texttotext.slices(row) == {"text length": "20-39", "reference length": "10-19"}
    told = {"text": "\u4eca\u5929" * 3, "no_answer": False, "ended": "end"}
    assert texttotext.report([row], [told])["generated"]["length_ratio"] == 0.5


@pytest.mark.parametrize(
    "text", ["今天天氣很好。", "Москва — столица России.", "القاهرة مدينة كبيرة", "१८५१"]
)
def test_a_summary_of_other_letters_is_worth_its_words(text: str) -> None:
    """ROUGE read a to z alone: a summary that was its reference had nothing."""
    row = {"references": [text]}
    right, wrong = (summarization.statistics(row, {"text": one}) for one in (text, "Berlin 12"))
    assert float(summarization.metrics(right)["rouge_l"]) == 100
    assert float(summarization.metrics(wrong)["rouge_l"]) == 0


def test_a_summary_is_as_good_as_its_nearest_reference() -> None:
    row = {**ROW, "references": ["nothing alike", "the cat sat"]}
    counted = summarization.statistics(row, {"text": "the cat sat"})
    assert counted.tolist() == [1, 1, 1, 1]
    total = counted + summarization.statistics(row, {"text": ""})
    assert float(summarization.metrics(total)["rouge_l"]) == 50
    assert float(summarization.metrics(np.zeros(4))["rouge_l"]) == 0


@pytest.mark.parametrize(
    ("text", "lead"),
    [
        ("It rained. Ana stayed.", "It rained."),
        ("आज बारिश हुई। आना घर पर रही।", "आज बारिश हुई।"),
        ("من هناك؟ أنا هنا.", "من هناك؟"),
        ("no end", "no end"),
        ("", ""),
        ("A?\nB.", "A?"),
        ("今天下雨。他走了。", "今天下雨。"),  # no space follows: it was the whole text
    ],
)
def test_the_trivial_summary_is_the_first_sentence(text: str, lead: str) -> None:
    assert summarization.baseline({"text": text}, None)["text"] == lead


def test_a_model_of_another_kind_is_refused(toy_encoder: Path) -> None:
    """A model without the head that a recipe needs."""
    with pytest.raises(SettingsError, match="encoder-decoder"):
        translation.build(toy_encoder, {})


@pytest.mark.parametrize("target", [None, "de_DE"])
def test_a_model_that_writes_after_another_mark_than_it_learns_after_is_refused(
    tmp_path: Path, target: str | None
) -> None:
    """An mBART learned German answers as English ones, and none but German were asked of it."""
    import transformers as hf

    pieces = [(name, 0.0) for name in ("<s>", "<pad>", "</s>", "<unk>", "▁a", "▁b")]
    tokenizer = hf.MBart50Tokenizer(vocab=pieces, src_lang="en_XX", tgt_lang=target)
    tokenizer.save_pretrained(tmp_path)
    sides = {f"{side}_{what}": 1 for side in ("encoder", "decoder")
             for what in ("layers", "attention_heads", "ffn_dim")}  # fmt: skip
    marks = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2}
    config = hf.MBartConfig(**marks, **sides, vocab_size=len(tokenizer), d_model=8)
    model = hf.MBartForConditionalGeneration(config)
    model.generation_config.forced_bos_token_id = tokenizer.convert_tokens_to_ids("de_DE")
    model.save_pretrained(tmp_path)
    if target:
        assert translation.build(tmp_path, {}).generation_config.decoder_start_token_id == 2
        return
    with pytest.raises(SettingsError, match="after </s> en_XX, and write after </s> de_DE"):
        translation.build(tmp_path, {})
