"""Offsets and shapes of answers, row by row (D04 to D07, D11 to D13)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from onward.episodes import checks
from onward.episodes.checks import KINDS

CONTEXT = "Ana met Bo. Later Ana left: \U0001f98a na\u00efve caf\u00e9, Bo stayed with Cy."
BASE = {"id": "1", "question": "Who?", "context": CONTEXT}
CY = CONTEXT.index("Cy")


def check(fields: dict[str, Any], most: int) -> checks.Checked:
    return checks.check(fields, most, KINDS["extractive"])


def checked(**fields: Any) -> checks.Checked:
    return check({**BASE, **fields}, 1_000)


@pytest.mark.parametrize(
    "fields",
    [
        {"answers": "Cy", "starts": CY},
        {"answers": "Cy", "starts": str(CY)},
        {"answers": "Cy", "starts": float(CY)},
        {"answers": ["Cy"], "starts": [CY]},
        {"answers": '["Cy"]', "starts": f"[{CY}]"},
        {"answers": {"text": ["Cy"], "answer_start": [CY]}},
        {"answers": {"text": "Cy", "answer_start": CY}},
        {"answers": f'{{"text": ["Cy"], "answer_start": [{CY}]}}'},
        {"answers": [{"text": "Cy", "answer_start": CY}]},
        {"answers": [{"text": "Cy", "answer_start": CY}], "is_impossible": False},
        {"answers": "Cy", "starts": CY, "is_impossible": "no"},
        {"answers": "Cy", "starts": CY, "is_impossible": ""},
        {"answers": "Cy", "starts": CY, "is_impossible": 0.0},
        {"answers": "Cy", "starts": CY, "is_impossible": float("nan")},
        {"answers": "Cy", "starts": f"[{CY}]", "context": f"{CONTEXT} See [{CY}]."},
    ],
)
def test_every_shape_of_an_answer_with_its_offset(fields: dict[str, Any]) -> None:
    found = checked(**fields)
    assert (found.reason, found.repair) == ("", "")
    assert found.row is not None
    assert (found.row["answers"], found.row["starts"]) == (["Cy"], [CY])


@pytest.mark.parametrize(
    "fields",
    [
        {"answers": "Cy"},
        {"answers": "Cy", "starts": None},
        {"answers": "Cy", "starts": ""},
        {"answers": "Cy", "starts": float("nan")},
        {"answers": ["Cy"]},
        {"answers": {"text": ["Cy"]}},
        {"answers": [{"text": "Cy"}]},
    ],
)
def test_an_answer_without_an_offset_is_found_where_it_stands_once(fields: dict[str, Any]) -> None:
    found = checked(**fields)
    assert found.repair == "offset-found" and found.row is not None
    assert found.row["starts"] == [CY]


@pytest.mark.parametrize(
    ("text", "start", "kind"),
    [
        ("Cy", CY - 1, "offset-moved"),
        ("Cy", CY + 2, "offset-moved"),
        ("Cy", -1, "offset-moved"),
        ("Cy", 10**9, "offset-moved"),
        ("Cy", len(CONTEXT[:CY].encode()), "offset-bytes"),
        ("Cy", len(CONTEXT[:CY].encode("utf-16-le")) // 2, "offset-utf16"),
        # Twice in the context: only a reading in other units can tell which.
        ("Bo", len(CONTEXT[: CONTEXT.rindex("Bo")].encode()), "offset-bytes"),
        ("Bo", len(CONTEXT[: CONTEXT.rindex("Bo")].encode("utf-16-le")) // 2, "offset-utf16"),
    ],
)
def test_d07_an_offset_is_repaired_where_one_place_fits(text: str, start: int, kind: str) -> None:
    found = checked(answers=text, starts=start)
    assert found.repair == kind and found.row is not None
    assert found.row["starts"] == [CONTEXT.rindex(text)]


@pytest.mark.parametrize(
    ("context", "start"),
    [
        ("😀bab", 4),  # bytes say the first b, UTF-16 says the second
        ("béxb", 2),  # in the middle of a character's bytes, and no b in UTF-16
    ],
)
def test_d07_readings_that_do_not_agree_repair_nothing(context: str, start: int) -> None:
    assert checked(context=context, answers="b", starts=start).reason == "answer-ambiguous"


@pytest.mark.parametrize(
    ("context", "answer"),
    [
        ("\u535a\u7269\u9928\u65bc\uff11\uff18\uff15\uff11\u5e74\u958b\u653e", "1851\u5e74"),
        ("\uff76\uff80\uff76\uff85\u306e\u30c6\u30b9\u30c8", "\u30ab\u30bf\u30ab\u30ca"),
        (
            "\u05d4\u05d5\u05d0 \u200f\u05e0\u05e4\u05ea\u05d7\u200f \u05d1\u05e9\u05e0\u05ea 1851",
            "\u05e0\u05e4\u05ea\u05d7 \u05d1\u05e9\u05e0\u05ea",
        ),
    ],
    ids=["full-width digits", "half-width kana", "mark of direction"],
)
def test_an_answer_in_another_width_or_without_an_invisible_mark_is_told(
    context: str, answer: str
) -> None:
    found = checked(context=context, answers=answer)
    assert found.reason == "answer-not-in-context"
    assert "in another width, or with invisible characters" in found.detail


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"answers": "Dee", "starts": 0}, "answer-not-in-context"),
        ({"answers": "cy"}, "answer-not-in-context"),
        ({"answers": " Cy "}, "answer-not-in-context"),
        ({"answers": "cafe\u0301"}, "answer-not-in-context"),
        ({"answers": "Ana"}, "answer-ambiguous"),
        ({"answers": "Ana", "starts": 1}, "answer-ambiguous"),
        ({"answers": "Bo", "starts": 7}, "answer-ambiguous"),
        ({"answers": ["Cy", "Dee"], "starts": [CY, 0]}, "answer-not-in-context"),
        ({"answers": ["Cy"], "starts": [CY, CY]}, "uneven-answers"),
        ({"answers": ["Cy", "Bo"], "starts": [CY]}, "uneven-answers"),
        ({}, "answer-missing"),
        ({"answers": None}, "answer-missing"),
        ({"answers": ""}, "answer-missing"),
        ({"answers": [""]}, "answer-missing"),
        ({"answers": [], "is_impossible": False}, "answer-missing"),
        ({"answers": "Cy", "is_impossible": True}, "contradictory"),
        ({"answers": "Cy", "is_impossible": "perhaps"}, "wrong-type"),
        ({"answers": {"start": 1}}, "wrong-type"),
        ({"answers": 7}, "wrong-type"),
        ({"answers": [["Cy"]]}, "wrong-type"),
        ({"answers": "Cy", "starts": "soon"}, "wrong-type"),
        ({"answers": "Cy", "starts": 1.5}, "wrong-type"),
        ({"answers": "Cy", "starts": True}, "wrong-type"),
        ({"answers": "Cy", "starts": [[1]]}, "wrong-type"),
        ({"answers": "Cy", "starts": 10**400}, "wrong-type"),
        ({"answers": "Cy", "starts": float("inf")}, "wrong-type"),
        ({"answers": "?!", "starts": 0}, "blank"),
        ({"answers": "\u200b"}, "blank"),
        ({"answers": "Cy", "question": None}, "missing-field"),
        ({"answers": "Cy", "question": "\t\u200b?"}, "blank"),
        ({"answers": "Cy", "question": 5}, "wrong-type"),
        ({"answers": "Cy", "question": "a\0b"}, "nul-character"),
        ({"answers": "Cy", "question": "a\ud800"}, "lone-surrogate"),
        ({"answers": "Cy\udfff"}, "lone-surrogate"),
        ({"answers": "Cy", "question": "x" * 1_001}, "field-too-long"),
        ({"answers": "Cy", "title": 1.5}, "wrong-type"),
        ({"answers": "Cy", "title": "a\0"}, "nul-character"),
        ({"answers": "Cy", "id": True}, "wrong-type"),
        ({"answers": "Cy", "id": 1.5}, "wrong-type"),
    ],
)
def test_a_row_that_cannot_be_taken_has_its_reason(fields: dict[str, Any], reason: str) -> None:
    found = checked(**fields)
    assert (found.row, found.reason) == (None, reason)
    assert reason in checks.REASONS and found.detail and len(found.detail) < 300


@pytest.mark.parametrize(
    "fields",
    [
        {"answers": []},
        {"answers": {"text": [], "answer_start": []}},
        {"answers": "[]"},
        {"answers": [], "is_impossible": True},
        {"answers": None, "is_impossible": True},
        {"answers": "", "is_impossible": "true"},
        {"is_impossible": 1},
    ],
)
def test_a_question_without_an_answer_says_so(fields: dict[str, Any]) -> None:
    found = checked(**fields)
    assert found.row is not None and found.repair == ""
    assert (found.row["answers"], found.row["starts"]) == ([], [])


def test_an_answer_that_looks_like_json_is_text_where_it_stands_in_the_context() -> None:
    found = check({"question": "q", "context": 'print(["a"]) works', "answers": '["a"]'}, 1_000)
    assert found.row is not None and found.row["answers"] == ['["a"]']


def test_several_answers_keep_their_order_and_one_repair_is_reported() -> None:
    found = checked(answers=["Cy", "Bo", "Cy"], starts=[CY, 8, 0])
    assert found.row is not None and found.repair == "offset-moved"
    assert found.row["starts"] == [CY, 8, CY]


@pytest.mark.parametrize("title", [None, "", " ", "\u200b", "--"])
def test_an_empty_title_is_no_title(title: str | None) -> None:
    found = checked(answers="Cy", title=title)
    assert found.row is not None and found.row["title"] is None


def test_an_id_is_text_a_number_or_derived_from_context_and_question() -> None:
    ids = [checked(answers=a, id=i).row for a, i in [("Cy", 7), ("Cy", None), ("Cy", " ")]]
    later = checked(answers=["Bo"], starts=[8], id=None)
    assert next(row["id"] for row in ids if row) == "7"
    assert ids[1] is not None and ids[2] is not None and later.row is not None
    assert ids[1]["id"] == ids[2]["id"] == later.row["id"] and not later.given_id
    other = checked(answers="Cy", question="Who else?", id=None).row
    assert other is not None and other["id"] != ids[1]["id"]


@pytest.mark.parametrize("word", ["null", "NaN", "None", "nan", "N/A", "#N/A"])
def test_d05_words_for_nothing_are_words(word: str) -> None:
    found = check({"id": word, "title": word, "question": word, "context": f"a {word} b",
                   "answers": word}, 1_000)  # fmt: skip
    assert found.row is not None
    assert [found.row[k] for k in ("id", "title", "question", "answers")] == [*[word] * 3, [word]]


def test_d12_text_is_kept_as_it_came() -> None:
    text = "cafe\u0301 \u202eabc\u202c \U0001f468\u200d\U0001f469\u200d\U0001f467 caf\u00e9"
    for answer in ("cafe\u0301", "caf\u00e9", "\U0001f468\u200d\U0001f469\u200d\U0001f467"):
        found = check({"question": "q", "context": text, "answers": answer}, 1_000)
        assert found.row is not None and found.row["context"] == text
        start = found.row["starts"][0]
        assert text[start : start + len(answer)] == answer


@given(
    context=st.text("ab\u00e9\U0001f98a ", min_size=1, max_size=30),
    span=st.tuples(st.integers(0, 29), st.integers(1, 5)),
    start=st.integers(-3, 60),
)
def test_d07_an_accepted_offset_always_fits_and_a_repaired_one_had_no_rival(
    context: str, span: tuple[int, int], start: int
) -> None:
    text = context[span[0] : span[0] + span[1]]
    assume(text.strip())
    found = check({"question": "q", "context": context + "x", "answers": text, "starts": start}, 99)
    if found.row is None:
        assert found.reason in ("answer-ambiguous", "blank")
        return
    at = found.row["starts"][0]
    assert found.row["context"][at : at + len(text)] == text
    if not found.repair:
        assert at == start
    elif found.repair == "offset-moved":
        assert found.row["context"].count(text) == 1


@given(
    st.dictionaries(
        st.sampled_from(
            ["id", "title", "context", "question", "answers", "starts", "is_impossible"]
        ),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from(["text", "answer_start"]), inner, max_size=2)
            ),
            max_leaves=6,
        ),
    )
)
def test_d04_any_values_are_a_row_or_a_declared_reason(fields: dict[str, Any]) -> None:
    found = check(fields, 50)
    assert (found.row is None) == (found.reason in checks.REASONS)
    assert found.repair in checks.REPAIRS or not found.repair
