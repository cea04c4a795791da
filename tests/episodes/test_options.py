"""Deliveries of questions with options: every format and shape, and every bad row by its reason."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from onward.episodes.checks import REASONS
from onward.episodes.columns import fields_of, guessed, resolve, sources
from onward.episodes.kinds import KINDS
from onward.episodes.open import Opened, open_episode
from onward.episodes.options import read, renumbered
from onward.episodes.values import Fault
from onward.errors import DataError, UsageError
from onward.learning import encoder
from onward.project import Project
from tests.episodes import deliveries
from tests.episodes.test_labels import kept
from tests.toys import toy_choices

Row = dict[str, Any]


@pytest.fixture(autouse=True)
def _no_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder, "locate", lambda name, root=None: Path(name))
    monkeypatch.setattr(encoder, "fingerprint", lambda path: "e" * 64)


def project(root: Path, recipe: str = "choice") -> Project:
    return deliveries.project(
        root, deliveries.PARAMS.replace("recipe: extractive", f"recipe: {recipe}")
    )


def opened(at: Project, source: Path, **options: Any) -> Opened:
    return open_episode(at, "a", source, keep=deliveries.keep, **options)


def write(path: Path, rows: list[Row]) -> Path:
    if path.suffix == ".jsonl":
        return deliveries.jsonl(path, rows)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
        return path
    with path.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        lists = ({n: json.dumps(v) for n, v in row.items() if isinstance(v, list)} for row in rows)
        writer.writerows(row | texts for row, texts in zip(rows, lists, strict=True))
    return path


LARGE = 2**60


@pytest.mark.parametrize(
    ("options", "answer", "expected"),
    [
        ([LARGE, 5], "A", ([str(LARGE), "5"], 0)),
        ([LARGE, 5], LARGE, ([str(LARGE), "5"], 0)),
        ([LARGE, LARGE + 1], LARGE + 1, ([str(LARGE), str(LARGE + 1)], 1)),
        ([0.5, 1.5], 0.5, (["0.5", "1.5"], 0)),
        ([1.0, 2.0], 2.0, (["1", "2"], 1)),
        ([10**400, 5], 10**400, ([str(10**400), "5"], 0)),
    ],
)
def test_options_that_are_numbers_keep_every_digit(
    options: list[float], answer: Any, expected: tuple[list[str], int]
) -> None:
    assert read({"options": options, "answer": answer}, 1_000)[:2] == expected


def test_d13_a_number_too_long_to_be_written_has_its_reason() -> None:
    with pytest.raises(Fault) as caught:
        read({"options": [10**5_000, 5], "answer": "A"}, 1_000)
    assert caught.value.reason == "wrong-type"


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_every_format_holds_the_same_rows(tmp_path: Path, kind: str) -> None:
    at, rows = project(tmp_path / "p"), toy_choices(120, 3)
    done = opened(at, write(tmp_path / f"a.{kind}", rows))
    assert done.guessed and done.counts["accepted"] == 120
    assert kept(at) == sorted(rows, key=lambda row: row["id"])


def test_options_within_the_question_as_commonsenseqa_has_them(tmp_path: Path) -> None:
    at, rows = project(tmp_path / "p"), toy_choices(120, 3)
    nested = [
        {
            "answerKey": "ABCDE"[row["answer"]],
            "id": row["id"],
            "question": {
                "stem": row["question"],
                "choices": [
                    {"label": letter, "text": text}
                    for letter, text in zip("ABCDE", row["options"], strict=False)
                ],
            },
        }
        for row in rows
    ]
    opened(at, deliveries.jsonl(tmp_path / "a.jsonl", nested))
    assert [(row["options"], row["answer"]) for row in kept(at)] == [
        (row["options"], row["answer"]) for row in sorted(rows, key=lambda row: row["id"])
    ]


def test_quarantined_rows_with_options_within_the_question_open_again(tmp_path: Path) -> None:
    at, rows = project(tmp_path / "p"), toy_choices(120, 3)
    nested: list[Any] = [
        {
            "answerKey": "ABCDE"[row["answer"]],
            "id": row["id"],
            "question": {"stem": row["question"], "choices": list(row["options"])},
        }
        for row in rows
    ]
    for row in nested[:20]:
        row["question"]["choices"][1] = row["question"]["choices"][0]
    opened(at, deliveries.jsonl(tmp_path / "a.jsonl", nested))
    lines = deliveries.quarantined(at, "0001-a")
    assert {line["reason"] for line in lines} == {"equal-options"}
    for line in lines:
        line["row"]["options"][1] = "mended"
    again = deliveries.jsonl(tmp_path / "b.jsonl", lines)
    assert open_episode(at, "b", again, keep=deliveries.keep).counts["accepted"] == 20


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize(
    ("columns", "answers"),
    [
        ("A B C D E", "ABCDE"),
        ("choice_a choice_b choice_c choice_d choice_e", "ABCDE"),
        ("opa opb opc opd ope", "abcde"),
        ("ending0 ending1 ending2 ending3 ending4", "01234"),
        ("option1 option2 option3 option4 option5", "12345"),
        ("option 1,option 2,option 3,option 4,option 5", "ABCDE"),
    ],
)
def test_options_with_a_column_each(tmp_path: Path, columns: str, answers: str, kind: str) -> None:
    at, rows = project(tmp_path / "p"), toy_choices(40, 3)
    names = columns.split("," if "," in columns else None)
    apart = [
        {"id": row["id"], "title": row["title"], "question": row["question"]}
        | {"context": row["context"]}
        | {name: (row["options"][n : n + 1] or [None])[0] for n, name in enumerate(names)}
        | {"answer": answers[row["answer"]]}
        for row in rows
    ]
    done = opened(at, write(tmp_path / f"a.{kind}", apart))
    assert done.guessed and done.counts["accepted"] == 40
    assert kept(at) == sorted(rows, key=lambda row: row["id"])


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ("question A B answer", "A+B"),
        ("question a b c label", "a+b+c"),
        ("question A B C answerKey", "A+B+C"),
        ("sentence option1 option2 answer", "option1+option2"),
        ("question B C D answer", None),
        ("question A answer", None),
        ("question option2 option3 answer", None),
        ("question choices A B answer", "choices"),
        ("question distractor1 distractor2 answer", None),
    ],
)
def test_columns_of_options_are_guessed(columns: str, expected: str | None) -> None:
    found = guessed(columns.split(), {}, "choice")
    assert (found or {}).get("options") == expected


@pytest.mark.parametrize(
    ("columns", "options", "answer"),
    [
        ("question answer1 answer2 answer3 correct", "answer1+answer2+answer3", "correct"),
        ("question answer1 answer2 correct_answer", "answer1+answer2", "correct_answer"),
        ("context question answer0 answer1 answer2 label", "answer0+answer1+answer2", "label"),
        ("question answer_a answer_b answer", "answer_a+answer_b", "answer"),
        ("context question answers correct_answer_id", "answers", "correct_answer_id"),
    ],
)
def test_options_are_neither_the_answer_nor_references(
    columns: str, options: str, answer: str
) -> None:
    names = columns.split()
    found = guessed(names, {}, "choice") or {}
    assert (found["options"], found["answer"]) == (options, answer)
    assert (guessed(names, {"options": options}, "choice") or {})["answer"] == answer
    assert guessed(names, {}, "chat") is None
    assert (guessed(names, {"references": answer}, "chat") or {})["references"] == answer
    assert (guessed([*names, "response"], {}, "chat") or {})["references"] == "response"


@pytest.mark.parametrize("columns", ["question answers label", "question answers answer"])
def test_several_answers_without_a_right_one_are_references(columns: str) -> None:
    assert guessed(columns.split(), {}, "choice") is None
    assert (guessed(columns.split(), {}, "chat") or {})["references"] == "answers"


def test_columns_of_options_may_be_named() -> None:
    columns = ["question", "right", "wrong", "absurd", "answer"]
    given = {"options": "right+wrong+absurd"}
    mapping = resolve(columns, given, "choice")
    assert mapping == {"question": "question", **given, "answer": "answer"}
    assert sources(mapping, columns) == columns
    values = {"question": "?", "right": "x", "wrong": "", "absurd": "z", "answer": "absurd"}
    assert read(fields_of(values, mapping, cells=True), 100)[:2] == (["x", "z"], 1)
    with pytest.raises(UsageError, match="did you mean 'wrong'"):
        resolve(columns, {"options": "right+wrogn"}, "choice")


@pytest.mark.parametrize(
    ("columns", "texts", "answer", "expected"),
    [
        ("A+B+C+D", ["x", "", "y", None], "C", (["x", "y"], 1)),
        ("A+B+C+D", ["x", "", "y", None], "y", (["x", "y"], 1)),
        ("A+B+C+D", ["x", "", "y", None], "(c)", (["x", "y"], 1)),
        ("ending0+ending1+ending2", ["", "x", "y"], 2, (["x", "y"], 1)),
        ("ending0+ending1+ending2", ["", "x", "y"], "C", (["x", "y"], 1)),
        ("option1+option2+option3", ["", "x", "y"], 2.0, (["x", "y"], 0)),
        ("option1+option2+option3", ["", "x", "y"], "B", (["x", "y"], 0)),
        ("A+B+C+D", ["x", "", "y", None], "B", "answer-not-an-option"),
        ("A+B+C+D", ["x", "", "y", None], "D", "answer-not-an-option"),
        ("option1+option2+option3", ["", "x", "y"], "A", "answer-not-an-option"),
        ("option1+option2+option3", ["", "x", "y"], 0, "answer-not-an-option"),
        ("A+B+C", ["x", "y", "z"], 1, "answer-not-an-option"),
        ("A+B+C", ["x", "C", "z"], "C", "answer-two-options"),
        ("option1+option2", ["2", "1"], "1", "answer-two-options"),
        ("A+B+C", ["x", "", ""], "A", "too-few-options"),
    ],
)
def test_an_answer_names_a_column_of_its_own_row(
    columns: str, texts: list[Any], answer: Any, expected: Any
) -> None:
    values = dict(zip(columns.split("+"), texts, strict=True)) | {"answer": answer}
    fields = fields_of(values, {"options": columns, "answer": "answer"})
    if isinstance(expected, tuple):
        assert read(fields, 100)[:2] == expected
        return
    with pytest.raises(Fault) as caught:
        read(fields, 100)
    assert caught.value.reason == expected


def _apart(names: list[str], answers: list[Any]) -> list[Row]:
    """Rows with a column for each option."""
    return [
        {"question": f"What is the word number {n}, {chr(97 + n % 26) * 5}?"}
        | {name: f"{name} {n}" for name in names}
        | {"answer": answer}
        for n, answer in enumerate(answers)
    ]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
@pytest.mark.parametrize(
    ("columns", "first"),
    [
        ("choice1 choice2 choice3 choice4 choice5 choice6", 0),
        ("choice1 choice2 choice3 choice4 choice5 choice6", 1),
        ("ending0 ending1 ending2", 0),
        ("ending0 ending1 ending2", 1),
        ("opa opb opc opd", 0),
        ("answerA answerB answerC", 1),
    ],
)
def test_all_answers_of_a_file_tell_from_where_they_count(
    tmp_path: Path, columns: str, first: int, kind: str
) -> None:
    names = columns.split()
    rows = _apart(names, [n % len(names) + first for n in range(60)])
    at = project(tmp_path / "p")
    done = opened(at, write(tmp_path / f"a.{kind}", rows))
    assert done.counts["accepted"] == 60
    assert done.notes == [f"numbers of options count from {first}"]
    right = {f"{names[n % len(names)]} {n}" for n in range(60)}
    assert {row["options"][row["answer"]] for row in kept(at)} == right


def test_a_list_of_options_may_be_counted_from_1(tmp_path: Path) -> None:
    rows = [
        {"question": f"Which one, {n}?", "choices": [f"{n} a", f"{n} b"], "answer": n % 2 + 1}
        for n in range(40)
    ]
    at = project(tmp_path / "p")
    assert opened(at, write(tmp_path / "a.jsonl", rows)).counts["accepted"] == 40
    right = {f"{n} {'ab'[n % 2]}" for n in range(40)}
    assert {row["options"][row["answer"]] for row in kept(at)} == right


@pytest.mark.parametrize(
    ("columns", "answers", "said"),
    [
        ("choice1 choice2 choice3", [0, 1, 2, 3], r"from 0 in 10 rows \(line 1\) and 1 in"),
        ("A B C", [0, 1, 2, 3], "and 1 in 10 rows"),
        ("A B C", [1, 2], "may count from 0 or from 1"),
    ],
)
def test_answers_that_may_count_from_0_or_1_are_refused(
    tmp_path: Path, columns: str, answers: list[int], said: str
) -> None:
    rows = _apart(columns.split(), answers * 10)
    with pytest.raises(DataError, match=said) as caught:
        opened(project(tmp_path / "p"), write(tmp_path / "a.jsonl", rows))
    assert "letter" in caught.value.fix


def test_a_few_mistakes_do_not_change_from_where_a_file_counts(tmp_path: Path) -> None:
    rows = _apart(["option1", "option2", "option3"], [n % 3 for n in range(60)])
    rows[5]["answer"] = 3
    at = project(tmp_path / "p")
    done = opened(at, write(tmp_path / "a.jsonl", rows))
    assert done.reasons == {"answer-not-an-option": 1} and done.counts["accepted"] == 59
    assert deliveries.quarantined(at, "0001-a")[0]["row"]["answer"] == 3


def test_quarantined_rows_name_their_answer_by_its_letter(tmp_path: Path) -> None:
    """Their places, from 0, were read from 1 once mended beside rows that count so: all wrong."""
    options = ["a fox", "a dog", "a hen", "a cow"]
    rows: list[Row] = [
        {"question": row["question"], "options": list(options), "answer": n % 4 + 1}
        for n, row in enumerate(_apart([], range(120)))
    ]
    rows[5]["options"][0] = "a dog"
    rows[9]["question"] = rows[10]["question"]
    at = project(tmp_path / "p")
    done = opened(at, write(tmp_path / "a.jsonl", rows[:60]))
    assert done.reasons == {"equal-options": 1, "conflicting-answers": 2}
    lines = [line["row"] for line in deliveries.quarantined(at, "0001-a")]
    assert [line["answer"] for line in lines] == ["B", "B", "C"]
    asked = ["Who barks?", "Which of them guards a house at night?", "What lays eggs?"]
    for line, question in zip(lines, asked, strict=True):
        line |= {"question": question, "options": options}
    source = write(tmp_path / "b.jsonl", [*lines, *rows[60:]])
    more = open_episode(at, "b", source, keep=deliveries.keep)
    assert more.notes and not more.reasons, more.samples
    found = {row["question"]: "ABCD"[row["answer"]] for row in kept(at, "0002-b")}
    assert [found[question] for question in asked] == ["B", "B", "C"]


def test_numbers_among_letters_and_numbers_that_are_texts_are_not_counted(tmp_path: Path) -> None:
    rows = _apart(["A", "B", "C"], ["ABC"[n % 3] for n in range(60)])
    rows[5]["answer"] = 0
    rows[6].update(A="2", B="4", C="8", answer="4")
    done = opened(project(tmp_path / "p"), write(tmp_path / "a.jsonl", rows))
    assert (done.reasons, done.notes) == ({"answer-not-an-option": 1}, [])
    with pytest.raises(Fault) as caught:
        renumbered({"options": {"A": "5", "B": "1"}, "answer": 1}, 1)
    assert caught.value.reason == "answer-two-options"


def test_a_row_without_its_column_of_options_lacks_them() -> None:
    fields = fields_of({"question": "?"}, {"question": "question", "options": "choices"})
    with pytest.raises(Fault) as caught:
        read(fields, 100)
    assert caught.value.reason == "missing-field"


def test_a_separator_splits_options(tmp_path: Path) -> None:
    at, rows = project(tmp_path / "p"), toy_choices(120, 3)
    joined = [{**row, "options": " | ".join(row["options"])} for row in rows]
    done = opened(at, write(tmp_path / "a.csv", joined), separator="|")
    assert done.repairs == {"option-tidied": 120}
    assert [r["options"] for r in kept(at)] == [
        r["options"] for r in sorted(rows, key=lambda r: r["id"])
    ]


FOUR = ["one", "two", "three", "four"]


@pytest.mark.parametrize(
    ("options", "answer", "place"),
    [
        (FOUR, "three", 2),
        (FOUR, " three ", 2),
        (FOUR, "C", 2),
        (FOUR, "(c)", 2),
        (FOUR, 2, 2),
        (FOUR, "2", 2),
        (FOUR, 2.0, 2),
        (["x", "y", "c"], "C", 2),
        ({"label": ["1", "2"], "text": ["a", "b"]}, "2", 1),
        ({"label": ["1", "2"], "text": ["a", "b"]}, 2, 1),
        ([{"label": "P", "text": "a"}, {"label": "Q", "text": "b"}], "Q", 1),
        ({"P": "a", "Q": "b"}, "Q", 1),
        ('["a", "b"]', "b", 1),
        ([True, False], False, 1),
        ([1, 2.5], "2.5", 1),
        (["+", "-"], "-", 1),
    ],
)
def test_the_answer_is_a_label_a_text_a_letter_or_a_place(
    options: Any, answer: Any, place: int
) -> None:
    assert read({"options": options, "answer": answer}, 100)[1] == place


@pytest.mark.parametrize(
    ("options", "answer", "reason"),
    [
        pytest.param(None, "A", "missing-field", id="D05 null options"),
        pytest.param(["a", None], "A", "missing-field", id="D05 null option"),
        pytest.param("a, b", "A", "wrong-type", id="D04 text"),
        pytest.param([["a"], "b"], "b", "wrong-type", id="D04 list inside"),
        pytest.param('["a",', "A", "malformed", id="D13 broken list"),
        pytest.param(["a", " "], "A", "blank", id="D06 blank"),
        pytest.param(["a", "b\0"], "A", "nul-character", id="D11 NUL"),
        pytest.param(["a", "x" * 101], "A", "field-too-long", id="D10 long"),
        pytest.param(["a"], "A", "too-few-options", id="D14 one"),
        pytest.param([], "A", "too-few-options", id="D14 none"),
        pytest.param(["a", "b", " a"], 1, "equal-options", id="D08 equal"),
        pytest.param(["caf\u00e9", "cafe\u0301"], 0, "equal-options", id="D12 equal"),
        pytest.param(["a", "b"], None, "answer-missing", id="D05 no answer"),
        pytest.param(["x", "y"], "C", "answer-not-an-option", id="D07 letter"),
        pytest.param(["x", "y"], 2, "answer-not-an-option", id="D07 place"),
        pytest.param(["x", "y"], -1, "answer-not-an-option", id="D07 below"),
        pytest.param(["x", "y"], "z and more", "answer-not-an-option", id="D07 text"),
        pytest.param({"label": ["1", "2"], "text": ["x", "y"]}, "0", "answer-not-an-option",
                     id="D07 label"),
        pytest.param(["x", "y"], ["x"], "wrong-type", id="D04 answer a list"),
        pytest.param(["B", "A"], "A", "answer-two-options", id="D07 letter or text"),
        pytest.param([2, 0, 1], 1, "answer-two-options", id="D07 place or text"),
    ],
)  # fmt: skip
def test_a_bad_row_has_its_reason(options: Any, answer: Any, reason: str) -> None:
    with pytest.raises(Fault) as caught:
        read({"options": options, "answer": answer}, 100)
    assert caught.value.reason == reason and reason in REASONS


def test_one_bad_row_is_quarantined_and_the_same_question_may_have_other_options(
    tmp_path: Path,
) -> None:
    """D07, D08: another answer to the same question and options is a conflict."""
    at, rows = project(tmp_path / "p"), [{**row, "title": None} for row in toy_choices(120, 3)]
    rows[7]["answer"] = 9
    rows[8].update(question=rows[9]["question"], context=rows[9]["context"])
    asked = {name: rows[10][name] for name in KINDS["choice"].asked}
    rows[11].update(asked, answer=(rows[10]["answer"] + 1) % len(rows[10]["options"]))
    done = opened(at, deliveries.jsonl(tmp_path / "a.jsonl", rows))
    assert done.reasons == {"answer-not-an-option": 1, "conflicting-answers": 2}
    assert {rows[8]["id"], rows[9]["id"]} <= {row["id"] for row in kept(at)}


def test_D08_options_in_another_order_are_the_same_question(tmp_path: Path) -> None:
    """Their order says nothing: the same right text is a repetition, another one a conflict."""
    at, rows = project(tmp_path / "p"), [{**row, "title": None} for row in toy_choices(120, 3)]
    for place, turn in ((8, 0), (10, 1)):
        row = rows[place]
        right = row["options"][(row["answer"] + turn) % len(row["options"])]
        turned = row["options"][::-1]
        same = {name: row[name] for name in ("question", "context")}
        rows[place + 1].update(same, options=turned, answer=turned.index(right))
    done = opened(at, deliveries.jsonl(tmp_path / "a.jsonl", rows))
    assert done.reasons == {"conflicting-answers": 2, "duplicate": 1}


def test_a_project_of_another_recipe_names_this_one(tmp_path: Path) -> None:
    at = project(tmp_path / "p", "classification")
    with pytest.raises(DataError) as caught:
        opened(at, deliveries.jsonl(tmp_path / "a.jsonl", toy_choices(40, 3)))
    assert "choice" in str(caught.value.fix)


@pytest.mark.parametrize("field", ["labels", "options"])
def test_a_separator_splits_no_list(field: str) -> None:
    """With a space before it, its brackets and quotes became parts of labels."""
    values = {"a": ' ["red, blue", "green"]'}
    assert fields_of(values, {field: "a"}, ",")[field] == values["a"]
