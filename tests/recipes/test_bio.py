"""Words and BIO labels: what is a word, and spans that survive the way there and back."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from onward.recipes import bio
from tests.recipes.readers import WORDS

HINDI = "\u0939\u093f\u0928\u094d\u0926\u0940"
TAGS = ("person", "city", "film-title")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("don't", ["don", "'", "t"]),
        ("U.S. 42%", ["U", ".", "S", ".", "42", "%"]),
        ("cafe\u0301s", ["cafe\u0301s"]),
        (f"{HINDI} a", [HINDI, "a"]),
        ("ดีมาก", ["ดี", "ม", "า", "ก"]),
        ("東京へ", ["東", "京", "へ"]),
        ("snake_case 日本go", ["snake_case", "日", "本", "go"]),
        (" \t\n", []),
        ("so\u00adft ze\u200bro \u200fa", ["so\u00adft", "ze\u200bro", "a"]),
        ("👩\u200d👧 👍👍", ["👩\u200d👧", "👍", "👍"]),
        ("Ana\u200e, (\u200fBo\u200f)", ["Ana\u200e", ",", "(\u200f", "Bo\u200f", ")"]),
        ("\u5e74\u200b2020 ปี2563", ["\u5e74\u200b", "2020", "ปี", "2563"]),
        ("か\u3099NHK", ["か\u3099", "NHK"]),
        ("cafe\u0301\u00ads £\u200e5", ["cafe\u0301\u00ads", "£\u200e", "5"]),
    ],
)  # fmt: skip
def test_words(text: str, found: list[str]) -> None:
    assert [text[start:end] for start, end in bio.words(text)] == found


def test_words_cover_all_that_shows_once_and_in_order() -> None:
    chance = random.Random(0)
    for _ in range(200):
        text = " ".join(chance.choice(WORDS) for _ in range(20))
        places = bio.words(text)
        assert all(a[1] <= b[0] for a, b in pairwise(places))
        covered = {at for start, end in places for at in range(start, end)}
        assert all(text[at].isspace() for at in set(range(len(text))) - covered)


def test_spans_of_whole_words_survive_their_labels() -> None:
    chance = random.Random(1)
    for _ in range(300):
        places = bio.words(" ".join(chance.choice(WORDS) for _ in range(30)))
        spans, at = [], 0
        while at < len(places):
            last = min(at + chance.randrange(3), len(places) - 1)
            if chance.random() < 0.6:
                spans.append((places[at][0], places[last][1], chance.choice(TAGS)))
            at = last + 1
        assert bio.spans(bio.labelled(places, spans), places) == spans


def test_a_word_that_is_touched_is_of_the_span() -> None:
    """`$5M-deal`, tagged without its first and last characters: scored as missed, not lost."""
    places = bio.words("a five5M deal")
    assert bio.labelled(places, [(4, 10, "x")]) == ["O", "B-x", "I-x"]


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        (["I-x", "I-x", "O"], [(0, 3, "x")]),
        (["B-x", "I-y", "I-y"], [(0, 1, "x"), (2, 5, "y")]),
        (["B-x", "B-x", "I-x"], [(0, 1, "x"), (2, 5, "x")]),
        (["B-x", "O", "I-x"], [(0, 1, "x"), (4, 5, "x")]),
    ],
)
def test_an_inside_without_a_beginning_begins(
    labels: list[str], found: list[tuple[int, int, str]]
) -> None:
    assert bio.spans(labels, [(0, 1), (2, 3), (4, 5)]) == found


def test_seqeval_finds_the_same_spans() -> None:
    """Its default, as conlleval counts: over random labels, also broken ones."""
    scheme = pytest.importorskip("seqeval.metrics.sequence_labeling", reason="no seqeval here")
    chance = random.Random(2)
    known = ["O", "O", *(f"{kind}-{tag}" for tag in TAGS for kind in "BI")]
    for _ in range(500):
        labels = [chance.choice(known) for _ in range(12)]
        theirs = {(start, end + 1, tag) for tag, start, end in scheme.get_entities(labels)}
        assert set(bio.spans(labels, [(n, n + 1) for n in range(12)])) == theirs


def test_labels_of_a_base_keep_their_places() -> None:
    base = bio.vocabulary(["b", "a"], [])
    assert base == ["O", "B-a", "I-a", "B-b", "I-b"]
    assert bio.vocabulary(["aa", "b"], base) == [*base, "B-aa", "I-aa"]
