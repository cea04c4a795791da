"""Words of any script: English ones as ever, characters where there are no spaces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward.recipes import scripts


@given(st.text(st.characters(max_codepoint=0x2FF), max_size=80))
def test_where_there_are_spaces_words_are_parted_by_them(text: str) -> None:
    assert scripts.words(text) == text.split() and not scripts.spaceless(text)


@given(st.text(max_size=60))
def test_no_character_but_space_is_lost(text: str) -> None:
    assert "".join(scripts.words(text)) == "".join(text.split())
    assert scripts.count(text) == len(scripts.words(text))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("梵語的學術研究", 7),
        ("東京タワー（1958年）", 8),
        ("สวัสดี", 6),
        ("훈민정음을 만들었다", 2),
        ("GDP 成長 3.5%", 4),
    ],
)
def test_counts(text: str, words: int) -> None:
    assert scripts.count(text) == words


def test_full_width_forms_and_all_punctuation_are_folded() -> None:
    assert scripts.plain("「ＡＢＣ　１２３」、 é—x") == "abc 123 éx"
    assert scripts.plain("$5＋ 3～5｜`°C") == "5 35°c"
