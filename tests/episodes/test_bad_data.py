"""D01 to D08 and D10 to D13 of bad data: one bad row among 1,000 good ones, and whole files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onward.episodes.checks import KINDS, REASONS, REPAIRS, check
from onward.episodes.open import Opened
from onward.episodes.sieve import Sieve
from onward.episodes.turn import rows
from onward.errors import DataError, FormatError, OnwardError, UsageError
from onward.project import Project
from tests.episodes import deliveries
from tests.episodes.conftest import Opener

GOOD = deliveries.goods(1_000)
BASE = deliveries.good(5_000)
ANSWER, START = BASE["answers"][0], BASE["starts"][0]


def without(*keys: str) -> dict[str, Any]:
    return {key: value for key, value in BASE.items() if key not in keys}


QUARANTINED: dict[str, tuple[Any, str]] = {
    "D03 a missing column": (without("question"), "missing-field"),
    "D04 a number for a text": ({**BASE, "context": 7}, "wrong-type"),
    "D04 a list for a row": ([1, 2], "wrong-type"),
    "D04 a text for a row": ('"only text"', "wrong-type"),
    "D05 null": ({**BASE, "context": None}, "missing-field"),
    "D06 blank": ({**BASE, "question": "   "}, "blank"),
    "D06 zero-width": ({**BASE, "question": "\u200b\u2060"}, "blank"),
    "D06 control": ({**BASE, "question": "\u0001\u0007"}, "blank"),
    "D06 punctuation": ({**BASE, "answers": ["..."], "starts": [0]}, "blank"),
    "D07 answer not in context": ({**BASE, "answers": ["Zoe"]}, "answer-not-in-context"),
    "D07 offset off by one, two places": (
        {**BASE, "context": BASE["context"] * 2, "starts": [START + 1]},
        "answer-ambiguous",
    ),
    "D07 no answer given": (without("answers", "starts"), "answer-missing"),
    "D10 a field of 1 MB": ({**BASE, "context": "x" * 1_000_001}, "field-too-long"),
    "D10 a token a million times": ({**BASE, "context": "fox " * 1_000_000}, "field-too-long"),
    "D10 a line of 17 MB": ('{"id": "' + "x" * 17_000_000 + '"}', "line-too-long"),
    "D11 invalid UTF-8": (json.dumps(BASE).encode()[:-9] + b'\xff"}', "invalid-encoding"),
    "D11 surrogate in UTF-8": (b'{"id": "\xed\xa0\x80"}', "invalid-encoding"),
    "D11 lone surrogate": (json.dumps({**BASE, "question": "a\ud800"}), "lone-surrogate"),
    "D11 NUL": ({**BASE, "question": "a\0b"}, "nul-character"),
    "D11 raw NUL": (b'{"id": "a\0b"}', "nul-character"),
    "D12 NFD answer, NFC context": (
        {**BASE, "context": "Caf\u00e9 Alba", "answers": ["Cafe\u0301"], "starts": [0]},
        "answer-not-in-context",
    ),
    "D13 NaN literal": (json.dumps({**BASE, "starts": [float("nan")]}), "malformed"),
    "D13 duplicate keys": (json.dumps(BASE)[:-1] + ', "id": "x"}', "duplicate-keys"),
    "D13 100,000 levels": ('{"id": ' + "[" * 100_000 + "]" * 100_000 + "}", "malformed"),
    "D13 trailing comma": (json.dumps(BASE)[:-1] + ",}", "malformed"),
    "D13 huge integer": (json.dumps(BASE)[:-1] + ', "n": ' + "9" * 9_999 + "}", "malformed"),
    "D13 cut off": (json.dumps(BASE)[:-20], "malformed"),
}

REPAIRED: dict[str, tuple[Any, str]] = {
    "D07 offset off by one": ({**BASE, "starts": [START + 1]}, "offset-moved"),
    "D07 offset in bytes": (
        {**BASE, "context": "\u00e9\u00e9 " + BASE["context"], "starts": [START + 5]},
        "offset-bytes",
    ),
    "D07 offset in UTF-16": (
        {**BASE, "context": "\U0001f98a " + BASE["context"], "starts": [START + 3]},
        "offset-utf16",
    ),
    "D07 no offset": (without("starts"), "offset-found"),
}

ACCEPTED: dict[str, Any] = {
    "D03 an extra column": {**BASE, "extra": {"deep": [1]}},
    "D03 another order": dict(reversed(BASE.items())),
    "D05 the word null": {**BASE, "id": "null", "question": "null"},
    "D05 the word NaN": {**BASE, "question": "NaN", "title": "NaN"},
    "D05 no title": without("title"),
    "D05 no id": without("id"),
    "D07 an empty answer list": {**BASE, "answers": [], "starts": []},
    "D12 emoji sequence": {**BASE, "question": "\U0001f468\u200d\U0001f469\u200d\U0001f467?"},
    "D12 bidirectional override": {**BASE, "question": "\u202ewho?\u202c"},
}


def opened_with(opener: Opener, folder: Path, bad: Any) -> Opened:
    middle = [*GOOD[:500], bad, *GOOD[500:]]
    return opener("faq", deliveries.jsonl(folder / "a.jsonl", middle))


@pytest.mark.parametrize("kind", QUARANTINED)
def test_one_bad_row_is_quarantined_with_its_reason(
    project: Project, opener: Opener, tmp_path: Path, kind: str
) -> None:
    bad, reason = QUARANTINED[kind]
    opened = opened_with(opener, tmp_path, bad)
    assert opened.reasons == {reason: 1}
    assert opened.counts["seen"] == 1_001 and opened.counts["accepted"] == 1_000
    assert opened.counts["train"] + opened.counts["heldout"] == 1_000
    (line,) = deliveries.quarantined(project, opened.folder)
    assert (line["line"], line["reason"]) == (501, reason) and set(line) == {
        "line",
        "reason",
        "detail",
        "row",
    }


@pytest.mark.parametrize("kind", REPAIRED)
def test_one_wrong_offset_is_repaired_and_reported(
    project: Project, opener: Opener, tmp_path: Path, kind: str
) -> None:
    bad, repair = REPAIRED[kind]
    opened = opened_with(opener, tmp_path, bad)
    assert opened.repairs == {repair: 1} and repair in REPAIRS
    assert (opened.counts["accepted"], opened.counts["repaired"]) == (1_000, 1)
    kept = [*rows(project, opened.folder, "train"), *rows(project, opened.folder, "heldout")]
    row = next(row for row in kept if row["id"] == BASE["id"])
    assert row["context"][row["starts"][0] :].startswith(ANSWER)


@pytest.mark.parametrize("kind", ACCEPTED)
def test_what_only_looks_bad_is_accepted(
    project: Project, opener: Opener, tmp_path: Path, kind: str
) -> None:
    opened = opened_with(opener, tmp_path, ACCEPTED[kind])
    assert opened.counts["accepted"] == 1_001 and opened.reasons == {}
    kept = [*rows(project, opened.folder, "train"), *rows(project, opened.folder, "heldout")]
    assert ACCEPTED[kind]["question"] in [row["question"] for row in kept]


@pytest.mark.parametrize(
    ("twins", "reasons", "kept"),
    [
        ([{}, {}], {"duplicate": 1}, 1),
        ([{}, {}, {}], {"duplicate": 2}, 1),
        ([{}, {"id": "other"}], {"duplicate": 1}, 1),
        ([{"id": None}, {"id": None}], {"duplicate": 1}, 1),
        ([{}, {"question": "Another?"}], {"same-id": 2}, 0),
        ([{}, {"answers": [], "starts": []}], {"same-id": 2}, 0),
        ([{}, {"id": "o", "answers": [], "starts": []}], {"conflicting-answers": 2}, 0),
        ([{"id": None}, {"id": None, "answers": ["fox"]}], {"conflicting-answers": 2}, 0),
        ([{}, {}, {"id": "o", "answers": ["fox"]}], {"duplicate": 1, "conflicting-answers": 2}, 0),
        ([{}, {"id": "o", "question": "Another?"}], {}, 2),
    ],
)
def test_d08_rows_against_one_another(
    project: Project,
    opener: Opener,
    tmp_path: Path,
    twins: list[dict[str, Any]],
    reasons: dict[str, int],
    kept: int,
) -> None:
    extra = [{**BASE, "starts": None, **twin} for twin in twins]
    middle = [extra[0], *GOOD, *extra[1:]]
    opened = opener("faq", deliveries.jsonl(tmp_path / "a.jsonl", middle))
    assert opened.reasons == reasons
    assert opened.counts["train"] + opened.counts["heldout"] == 1_000 + kept
    ids = [r["id"] for s in ("train", "heldout") for r in rows(project, opened.folder, s)]
    assert len(ids) == len(set(ids))


def test_d08_which_of_equal_rows_stays_does_not_depend_on_their_order(tmp_path: Path) -> None:
    """It brings its id and title, and a title binds a side."""
    kind = KINDS["extractive"]
    twins = [{**BASE, "id": name, "title": f"Title {name}"} for name in "abcdefgh"]
    gone = []
    for order in (twins, twins[::-1]):
        with Sieve(tmp_path, kind) as sieve:
            for line, fields in enumerate(order, 1):
                sieve.add(line, check(fields, 1_000, kind), fields)
            sieve.compare()
            gone.append({json.loads(line)["row"]["id"] for line in sieve.quarantined()})
    assert len(gone[0]) == 7 and gone[0] == gone[1]


SQUAD_FILES: dict[str, tuple[Callable[[str], str], type[OnwardError]]] = {
    "D01 no articles": (lambda t: '{"version": "1.1", "data": []}', DataError),
    "D02 HTML": (lambda t: "<html><body>502</body></html>", FormatError),
    "D13 NaN": (
        lambda t: t.replace('"answer_start": ', '"answer_start": NaN, "x": ', 1),
        FormatError,
    ),
    "D13 cut off": (lambda t: t[: len(t) // 2], FormatError),
    "D13 trailing comma": (lambda t: t.replace('"qas": [', '"qas": [,', 1), FormatError),
}


@pytest.mark.parametrize("kind", SQUAD_FILES)
def test_a_bad_squad_file_opens_nothing(
    project: Project, opener: Opener, tmp_path: Path, kind: str
) -> None:
    change, error = SQUAD_FILES[kind]
    path = tmp_path / "a.json"
    path.write_text(change(json.dumps(deliveries.squad(GOOD[:50]))))
    before = deliveries.snapshot(project.root)
    with pytest.raises(error) as caught:
        opener("faq", path)
    assert str(path) in caught.value.where and caught.value.fix
    assert deliveries.snapshot(project.root) == before


def test_d07_squad_says_when_there_is_no_answer(opener: Opener, tmp_path: Path) -> None:
    there = [{**row, "answers": [], "starts": []} for row in deliveries.goods(4, 2_000)]
    there[0]["more"] = {"is_impossible": True, "plausible_answers": [{"text": "x"}]}
    there[1]["more"] = {"is_impossible": False}
    path = tmp_path / "a.json"
    path.write_text(json.dumps(deliveries.squad(GOOD + there, version="v2.0")))
    opened = opener("faq", path)
    assert opened.reasons == {"answer-missing": 3}
    assert opened.source["format"] == "squad" and not opened.guessed


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_d05_d06_csv_knows_only_text(
    project: Project, opener: Opener, tmp_path: Path, suffix: str
) -> None:
    rows_ = [*GOOD, {**BASE, "question": "null", "id": "NaN"}, {**BASE, "id": "e", "question": " "}]
    separator = "\t" if suffix == "tsv" else ","
    opened = opener("faq", deliveries.delimited(tmp_path / f"a.{suffix}", rows_, separator))
    assert opened.reasons == {"blank": 1} and opened.counts["accepted"] == 1_001
    kept = [r for s in ("train", "heldout") for r in rows(project, opened.folder, s)]
    assert ("NaN", "null") in [(row["id"], row["question"]) for row in kept]


@pytest.mark.parametrize(
    "rename",
    [
        str.upper,
        lambda name: {"question": "Query", "context": "Passage", "answers": "answer_text"}.get(
            name, name
        ),
    ],
)
def test_d03_columns_of_other_case_and_name_are_guessed(
    opener: Opener, tmp_path: Path, rename: Callable[[str], str]
) -> None:
    renamed = [{rename(key): value for key, value in row.items()} for row in GOOD[:60]]
    opened = opener("faq", deliveries.jsonl(tmp_path / "a.jsonl", renamed))
    assert opened.guessed and opened.source["mapping"]["question"] == rename("question")
    assert opened.counts["accepted"] == 60


def test_d03_columns_that_tell_nothing_name_what_was_found(opener: Opener, tmp_path: Path) -> None:
    foreign = [{"utterance": "hi", "intent": "greet"}] * 3
    with pytest.raises(DataError, match="utterance, intent") as caught:
        opener("faq", deliveries.jsonl(tmp_path / "a.jsonl", foreign))
    assert "onward new" in caught.value.fix and "--map" in caught.value.fix


def test_d03_given_columns(opener: Opener, tmp_path: Path) -> None:
    renamed = [{"Frage": r["question"], "Text": r["context"], "Antwort": r["answers"][0]}
               for r in GOOD[:60]]  # fmt: skip
    path = deliveries.jsonl(tmp_path / "a.jsonl", renamed)
    given_ = {"question": "Frage", "context": "Text", "answers": "Antwort"}
    for field, column in (("question", "Fraage"), ("qestion", "Frage")):
        with pytest.raises(UsageError, match="did you mean"):
            opener("faq", path, mapping={**given_, field: column})
    opened = opener("faq", path, mapping=given_)
    assert opened.source["mapping"] == given_ and not opened.guessed
    assert opened.counts["repaired"] == 60


def test_too_many_bad_rows_open_nothing_and_can_be_mended(
    project: Project, opener: Opener, tmp_path: Path
) -> None:
    bad = [{**row, "question": None} for row in deliveries.goods(251, 2_000)]
    just = deliveries.jsonl(tmp_path / "just.jsonl", [*GOOD, *bad[1:]])
    assert opener("just", just, dry_run=True).reasons == {"missing-field": 250}, "20 percent"
    path = deliveries.jsonl(tmp_path / "a.jsonl", [*GOOD, *bad])
    before = deliveries.snapshot(project.root)
    kept = project.private / "quarantine" / "faq.jsonl"
    with pytest.raises(DataError, match="missing-field"):
        opener("faq", path, dry_run=True)
    assert not kept.exists()
    with pytest.raises(DataError, match="251 of 1,251") as caught:
        opener("faq", path)
    assert caught.value.details["reasons"] == {"missing-field": 251}
    assert len(caught.value.details["samples"]) == 5 and str(kept) in caught.value.where
    assert deliveries.snapshot(project.root) == before
    lines = [json.loads(line) for line in kept.read_text().splitlines()]
    for number, line in enumerate(lines):
        line["row"]["question"] = f"Which fox is in note {2_000 + number}?"
    mended = opener("mended", deliveries.jsonl(tmp_path / "m.jsonl", lines))
    assert mended.counts["accepted"] == 251


def test_quarantined_rows_can_be_mended_and_sent_again(
    project: Project, opener: Opener, tmp_path: Path
) -> None:
    columns = {"question": "Frage", "context": "Text", "answers": "Antwort", "id": "Nr"}
    renamed = [{columns[k]: row[k] for k in columns} for row in GOOD[:300]]
    renamed[7] |= {"Antwort": ["Zoe"]}
    renamed[250] |= {"Frage": "\ud800"}
    path = tmp_path / "a.jsonl"
    deliveries.jsonl(path, [json.dumps(row) for row in renamed])
    first = opener("faq", path, mapping=columns)
    assert first.reasons == {"answer-not-in-context": 1, "lone-surrogate": 1}
    lines = deliveries.quarantined(project, first.folder)
    lines[0]["row"]["answers"] = GOOD[7]["answers"]
    lines[1]["row"]["question"] = GOOD[250]["question"]
    more = deliveries.goods(40, 3_000)
    again = opener("mended", deliveries.jsonl(tmp_path / "mended.jsonl", [*lines, *more]))
    assert again.counts["quarantined"] == 0 and again.counts["seen"] == 42


BAD_ROWS = st.sampled_from([row for row, _ in QUARANTINED.values() if len(str(row)) < 10_000])
MENDED_ROWS = st.sampled_from([row for row, _ in REPAIRED.values()])


@settings(max_examples=30)
@given(
    bad=st.lists(BAD_ROWS, max_size=6),
    mended=st.lists(MENDED_ROWS, max_size=3),
    seed=st.randoms(use_true_random=False),
)
def test_every_incoming_row_is_counted_exactly_once(
    opener: Opener, tmp_path: Path, bad: list[Any], mended: list[Any], seed: Any
) -> None:
    there = [*GOOD[:80], *bad, *mended]
    seed.shuffle(there)
    path = deliveries.jsonl(tmp_path / "a.jsonl", there)
    counts = opener("faq", path, dry_run=True).counts
    assert counts["seen"] == len(there)
    assert counts["seen"] == counts["accepted"] + counts["repaired"] + counts["quarantined"]
    assert counts["accepted"] + counts["repaired"] == counts["train"] + counts["heldout"]
    assert counts["quarantined"] >= len(bad)


def test_every_reason_has_words() -> None:
    assert {reason for _, reason in QUARANTINED.values()} <= set(REASONS)
    assert all(text and not text.endswith(".") for text in REASONS.values())
