"""BLEU and chrF from sums are sacrebleu's."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from onward.recipes import bleu, rouge, scripts, translation

WORD = st.sampled_from("the a cat Dog sat on mat . , house Mann's ein-zwei 12.5 ü '".split())
LINE = st.lists(WORD, max_size=12).map(" ".join)
GOLD = st.lists(WORD, min_size=1, max_size=12).map(" ".join)


@settings(max_examples=60)
@given(st.lists(st.tuples(LINE, GOLD, GOLD), min_size=1, max_size=6), st.booleans())
def test_totals_give_the_corpus_scores_of_sacrebleu(
    rows: list[tuple[str, str, str]], several: bool
) -> None:
    said = [row[0] for row in rows]
    references = [list(row[1:]) if several else [row[1]] for row in rows]
    counted = [bleu.counts(one, other) for one, other in zip(said, references, strict=True)]
    total = np.sum(counted, axis=0)
    streams = [list(each) for each in zip(*references, strict=True)]
    assert float(bleu.bleu(total)) == pytest.approx(BLEU().corpus_score(said, streams).score)
    assert float(bleu.chrf(total)) == pytest.approx(CHRF().corpus_score(said, streams).score)


ZH = st.lists(
    st.sampled_from([*"今天氣很好我們去公園了，。", "Linux", "1851", "「", " ", "３"]), max_size=12
)


@settings(max_examples=60)
@given(st.lists(st.tuples(ZH, ZH), min_size=1, max_size=6))
def test_a_script_without_spaces_is_read_as_sacrebleu_reads_chinese(
    rows: list[tuple[list[str], list[str]]],
) -> None:
    """A translation into Chinese was worth nothing, even one that was its reference."""
    said = ["".join(one) for one, _ in rows]
    gold = [f"今天{''.join(other)}天氣很好" for _, other in rows]
    assume(all(map(scripts.spaceless, gold)))
    total = np.sum([bleu.counts(one, [other]) for one, other in zip(said, gold, strict=True)], 0)
    theirs = BLEU(tokenize="zh").corpus_score(said, [gold]).score
    assert float(bleu.bleu(total)) == pytest.approx(theirs)
    assert float(bleu.bleu(np.sum([bleu.counts(one, [one]) for one in gold], 0))) == (
        pytest.approx(100)
    )


def test_many_totals_at_once_are_each_by_itself() -> None:
    rows = [
        translation.statistics({"references": ["the cat sat on a mat"]}, {"text": said})
        for said in ("the cat sat on the mat", "", "a dog", "the cat sat on a mat")
    ]
    together = translation.metrics(np.array(rows).reshape(2, 2, -1))
    for name in translation.METRICS:
        alone = [float(translation.metrics(row)[name]) for row in rows]
        assert together[name].shape == (2, 2)
        assert together[name].ravel() == pytest.approx(alone)
    assert together["bleu"].ravel()[3] == pytest.approx(100)
    assert together["bleu"].ravel()[1] == 0


@pytest.mark.parametrize("text", ["Tôi đang học tiếng Việt ở Hà Nội", "서울은 한국의 수도이다"])
def test_composed_and_decomposed_letters_are_the_same(text: str) -> None:
    """A model that writes composed letters had next to nothing for what was its reference."""
    apart = unicodedata.normalize("NFD", text)
    for said, gold in ((text, apart), (apart, text)):
        assert bleu.counts(said, [gold]).tolist() == bleu.counts(text, [text]).tolist()
        assert rouge.scores(said, gold) == [1.0, 1.0, 1.0]
