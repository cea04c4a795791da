"""SQuAD's metrics: worked examples, and properties that any resampling relies on."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from onward.recipes import scripts
from onward.recipes import squad_metrics as squad

TEXTS = st.text(max_size=40) | st.lists(
    st.sampled_from("the a an cat Cat, dog. über İ ß 東京 ! —".split()), max_size=6
).map(" ".join)


def row(*answers: str) -> dict[str, object]:
    return {"answers": list(answers)}


def said(text: str, no_answer: bool = False) -> dict[str, object]:
    return {"text": text, "no_answer": no_answer}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  Normans.", "normans"),
        ("a  an\tthe", ""),
        ("Theatre", "theatre"),
        ("U.S.A.", "usa"),
        ("it's an 'A'", "its"),
        ("10,000 km", "10000 km"),
        ("“quoted”", "“quoted”"),
    ],
)
def test_normalise_as_the_official_script_does(text: str, expected: str) -> None:
    assert squad.normalise(text) == expected


# Prediction, gold, exact match, F1: computed by hand from the definition.
WORKED = [
    ("Denver Broncos", "Denver Broncos", 1.0, 1.0),
    ("the denver broncos!", "Denver Broncos", 1.0, 1.0),
    ("Broncos", "Denver Broncos", 0.0, 2 / 3),
    ("Carolina Panthers", "Denver Broncos", 0.0, 0.0),
    ("in the year 1066", "1066", 0.0, 0.5),
    ("to be or not to be", "to be to be to be", 0.0, 4 / 6),
    ("", "Denver", 0.0, 0.0),
    ("the", "The", 0.0, 0.0),
    ("!", "!", 1.0, 1.0),
    ("?", "!", 0.0, 0.0),
]


@pytest.mark.parametrize(("text", "gold", "em", "f1"), WORKED)
def test_worked_examples(text: str, gold: str, em: float, f1: float) -> None:
    assert squad.exact_match(text, gold) == em
    assert squad.f1(text, gold) == pytest.approx(f1)


def test_the_best_of_several_golds_counts() -> None:
    found = squad.metrics(squad.statistics(row("Denver", "Denver Broncos of 1998"), said("Denver")))
    assert (found["f1"], found["em"]) == (100.0, 100.0)
    partly = squad.metrics(squad.statistics(row("x y", "Denver Broncos"), said("Broncos")))
    assert partly["f1"] == pytest.approx(200 / 3)
    assert partly["em"] == 0.0


@pytest.mark.parametrize(
    ("answers", "none", "score"),
    [((), True, 100.0), ((), False, 0.0), (("x",), True, 0.0), (("x",), False, 100.0)],
)
def test_no_answer_rows_are_right_exactly_when_none_is_predicted(
    answers: tuple[str, ...], none: bool, score: float
) -> None:
    found = squad.metrics(squad.statistics(row(*answers), said("" if none else "x", none)))
    assert (found["f1"], found["em"]) == (score, score)


def test_has_answer_and_no_answer_are_told_apart() -> None:
    total = sum(
        [
            squad.statistics(row("a cat"), said("cat")),
            squad.statistics(row("dog"), said("cat")),
            squad.statistics(row(), said("cat")),
            squad.statistics(row(), said("", True)),
            squad.statistics(row(), said("", True)),
        ]
    )
    found = {name: float(value) for name, value in squad.metrics(total).items()}
    assert found == {
        "f1": 60.0,
        "em": 60.0,
        "has_f1": 50.0,
        "has_em": 50.0,
        "no_f1": pytest.approx(200 / 3),
        "no_em": pytest.approx(200 / 3),
        "n": 5.0,
        "has_n": 2.0,
        "no_n": 3.0,
    }


def test_nothing_is_nan_where_there_are_no_rows() -> None:
    found = squad.metrics(np.zeros((2, 3, len(squad.STATISTICS))))
    assert all(value.shape == (2, 3) and not value.any() for value in found.values())
    assert set(squad.METRICS) <= set(found) and squad.PRIMARY in found


@given(TEXTS)
def test_normalise_is_idempotent(text: str) -> None:
    assert squad.normalise(squad.normalise(text)) == squad.normalise(text)


@given(TEXTS, TEXTS)
def test_f1_is_symmetric_bounded_and_1_on_equals(one: str, other: str) -> None:
    assert squad.f1(one, other) == squad.f1(other, one)
    assert squad.exact_match(one, other) <= 1.0
    assert 0.0 <= squad.f1(one, other) <= 1.0
    if squad.exact_match(one, other) and one.strip():
        assert squad.f1(one, other) == 1.0


ROWS = st.lists(
    st.tuples(st.lists(TEXTS, max_size=3), TEXTS, st.booleans()), min_size=1, max_size=8
)


@given(ROWS, ROWS)
def test_statistics_sum_to_the_metrics_of_the_union(
    one: list[tuple[list[str], str, bool]], other: list[tuple[list[str], str, bool]]
) -> None:
    def counted(rows: list[tuple[list[str], str, bool]]) -> np.ndarray:
        return np.array([squad.statistics(row(*a), said(t, none)) for a, t, none in rows])

    pooled = squad.metrics(counted(one + other).sum(axis=0))
    parts = squad.metrics(np.stack([counted(one).sum(axis=0), counted(other).sum(axis=0)]))
    for score in ("f1", "em"):
        mean = (parts[score] * parts["n"]).sum() / parts["n"].sum()
        assert pooled[score] == pytest.approx(mean)
    single = squad.metrics(counted(one + other))
    assert pooled["f1"] == pytest.approx(single["f1"].mean())
    assert pooled["n"] == len(one) + len(other)


# Scripts without spaces


def _as_before(text: str, gold: str) -> tuple[float, float]:
    """The metrics of English rows, written down once more: SQuAD's script and its one addition."""
    found, wanted = (squad.normalise(each) or each.strip() for each in (text, gold))
    left, right = found.split(), wanted.split()
    shared = sum(min(left.count(word), right.count(word)) for word in set(left))
    f1 = 2.0 * shared / (len(left) + len(right)) if shared else 0.0
    return f1, float(found == wanted)


@given(text=TEXTS, golds=st.lists(TEXTS, min_size=1, max_size=3))
def test_scores_of_rows_with_spaces_are_what_they_were(text: str, golds: list[str]) -> None:
    assume(not any(map(scripts.spaceless, golds)))
    asked = {"question": "Which of them is it?", "answers": golds}
    for one in (asked, row(*golds)):
        both = [_as_before(text, gold) for gold in golds]
        expected = [1.0, max(f1 for f1, _ in both), max(em for _, em in both), 0.0, 0.0]
        assert squad.statistics(one, said(text)).tolist() == expected


# Question, prediction, gold, exact match, F1.
SPACELESS = [
    ("誰？", "陸特", "陸特", 1.0, 1.0),
    ("誰？", "「陸特」。", "陸特", 1.0, 1.0),
    ("誰？", "陸特和漢斯雷頓", "陸特", 0.0, 2 * 2 / (7 + 2)),
    ("哪一年？", "１８５１ 年", "1851年", 1.0, 1.0),
    ("哪家公司？", "IBM公司", "IBM", 0.0, 2 * 1 / (3 + 1)),
    ("哪個 Linux 核心？", "linux 2.6", "Linux 2.6", 1.0, 1.0),
    ("何處？", "台北", "高雄", 0.0, 0.0),
    ("什麼？", "。", "！", 0.0, 0.0),
    ("ใครเป็นคนเขียน", "สมชาย", "สมชาย", 1.0, 1.0),
    ("どこですか", "東京タワー", "東京タワー", 1.0, 1.0),
    ("누가 썼나요?", "세종대왕이", "세종대왕", 0.0, 0.0),
    ("Who wrote 道德經?", "老子", "老子說", 0.0, 2 * 2 / (2 + 3)),
    ("Who invented it?", "林納斯托瓦茲", "林納斯·托瓦茲", 1.0, 1.0),
]
# Other languages with spaces, whose punctuation ASCII lacks.
MARKED = [
    ("¿Cuál es la capital?", "«Madrid»", "Madrid", 1.0, 1.0),
    ("¿Quién?", "¿Ana María?", "Ana María", 1.0, 1.0),
    ("من هو؟", "محمد؟", "محمد", 1.0, 1.0),
    ("Кто это?", "„Пушкин“ — поэт", "Пушкин", 0.0, 2 * 1 / (2 + 1)),
    ("Où est-ce ?", "« à Paris »", "à Paris", 1.0, 1.0),
    ("Wer war es?", "“Luther”", "Luther", 0.0, 0.0),  # ASCII alone: as SQuAD's script has it
    ("Qué?", "¿?", "—", 0.0, 0.0),
    ("Ai viết?", "Tố Hữu", unicodedata.normalize("NFD", "Tố Hữu"), 1.0, 1.0),
    ("누가 썼나요?", unicodedata.normalize("NFD", "세종대왕"), "세종대왕", 1.0, 1.0),
]


@pytest.mark.parametrize(("question", "text", "gold", "em", "f1"), [*SPACELESS, *MARKED])
def test_a_row_is_read_as_its_own_script_is_written(
    question: str, text: str, gold: str, em: float, f1: float
) -> None:
    found = squad.statistics({"question": question, "answers": [gold]}, said(text))
    assert found[2] == em and found[1] == pytest.approx(f1)


@given(text=TEXTS, gold=TEXTS)
def test_f1_of_characters_is_symmetric_and_1_for_itself(text: str, gold: str) -> None:
    one, other = (squad.f1(a, b, "spaceless") for a, b in ((text, gold), (gold, text)))
    assert one == other and 0.0 <= one <= 1.0
    if squad.exact_match(text, gold, "spaceless") and gold.strip():
        assert one == 1.0
