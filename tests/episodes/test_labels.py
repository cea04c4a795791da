"""Episodes of labels and numbers: every format, guessed columns, and bad values."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from onward.episodes import jsonl
from onward.episodes import turn as turns
from onward.episodes.open import Opened, open_episode, withdraw
from onward.errors import DataError, UsageError
from onward.learning import encoder
from onward.project import Project
from tests.episodes import deliveries
from tests.toys import KINDS, toy_texts

RECIPES = {"classification": "label", "multilabel": "labels", "regression": "value"}
FORMATS = ("csv", "tsv", "jsonl", "parquet")
Row = dict[str, Any]


def project(root: Path, recipe: str) -> Project:
    return deliveries.project(
        root, deliveries.PARAMS.replace("recipe: extractive", f"recipe: {recipe}")
    )


def opened(at: Project, source: Path, name: str = "a", **options: Any) -> Opened:
    return open_episode(at, name, source, keep=deliveries.keep, **options)


def write(path: Path, rows: list[Row]) -> Path:
    """The rows in the format of the suffix; lists as JSON where there are only texts."""
    if path.suffix == ".jsonl":
        return deliveries.jsonl(path, rows)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
        return path
    with path.open("w", newline="", encoding="utf-8") as out:
        names = list(dict.fromkeys(name for row in rows for name in row))
        writer = csv.DictWriter(out, names, delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writeheader()
        for row in rows:
            lists = {n: json.dumps(v) for n, v in row.items() if isinstance(v, list)}
            writer.writerow(row | lists)
    return path


def kept(at: Project, folder: str = "0001-a") -> list[Row]:
    found = (row for side in ("train", "heldout") for row in turns.rows(at, folder, side))
    return sorted(found, key=lambda row: row["id"])


@pytest.fixture(autouse=True)
def _no_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder, "locate", lambda name, root=None: Path(name))
    monkeypatch.setattr(encoder, "fingerprint", lambda path: "e" * 64)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("recipe", RECIPES)
def test_every_format_holds_the_same_rows(tmp_path: Path, recipe: str, kind: str) -> None:
    at, rows = project(tmp_path / "p", recipe), toy_texts(120, 3, recipe)
    done = opened(at, write(tmp_path / f"a.{kind}", rows))
    assert done.guessed and done.counts["accepted"] == 120
    assert kept(at) == sorted(rows, key=lambda row: row["id"])
    assert done.counts["train"] and done.counts["heldout"]


@pytest.mark.parametrize("recipe", RECIPES)
def test_other_names_of_columns_are_guessed_and_ids_derived(tmp_path: Path, recipe: str) -> None:
    at = project(tmp_path / "p", recipe)
    target = {"classification": "Intent", "multilabel": "Tags", "regression": "Score"}[recipe]
    rows = [
        {"Sentence": row["text"], target: row[RECIPES[recipe]]} for row in toy_texts(120, 3, recipe)
    ]
    done = opened(at, write(tmp_path / "a.csv", rows))
    assert done.source["mapping"] == {"text": "Sentence", RECIPES[recipe]: target}
    assert len({row["id"] for row in kept(at)}) == 120


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_several_labels_are_split_by_a_stated_separator(tmp_path: Path, kind: str) -> None:
    at, rows = project(tmp_path / "p", "multilabel"), toy_texts(120, 3, "multilabel")
    rows = [row for row in rows if row["labels"]]
    joined = [{**row, "labels": "; ".join(row["labels"])} for row in rows]
    done = opened(at, write(tmp_path / f"a.{kind}", joined), separator=";")
    assert done.source["separator"] == ";"
    assert [row["labels"] for row in kept(at)] == [
        row["labels"] for row in sorted(rows, key=lambda row: row["id"])
    ]
    assert opened(at, tmp_path / f"a.{kind}", separator=";").already_open
    with pytest.raises(UsageError, match="with other separator"):
        opened(at, tmp_path / f"a.{kind}", separator=",")


def test_a_list_in_a_cell_without_a_separator_is_not_guessed(tmp_path: Path) -> None:
    at = project(tmp_path / "p", "multilabel")
    rows = [{"text": f"text number {n} of these", "labels": "a;b"} for n in range(50)]
    with pytest.raises(DataError, match="cannot be taken") as error:
        opened(at, write(tmp_path / "a.csv", rows))
    assert error.value.details["reasons"] == {"wrong-type": 50}
    assert "--separator" in error.value.details["samples"][0]["detail"]


@pytest.mark.parametrize(
    "told",
    [
        lambda n: [float(n % 2), 1.0, 0.0, 0.0],
        lambda n: [n % 2, 1 - n % 2],
        lambda n: [n % 2 == 0, False, True],
    ],
)
@pytest.mark.parametrize("kind", FORMATS)
def test_a_number_for_every_label_is_refused(
    tmp_path: Path, told: Callable[[int], list[Any]], kind: str
) -> None:
    """As heads of several labels are trained: every row had the labels "0" and "1"."""
    at = project(tmp_path / "p", "multilabel")
    rows = [{"text": f"text number {n} of these", "labels": told(n)} for n in range(50)]
    with pytest.raises(DataError, match=r"0 or 1 for each of [234] labels") as caught:
        opened(at, write(tmp_path / f"a.{kind}", rows))
    assert "the places of its ones" in caught.value.fix
    joined = [{**row, "labels": ";".join(str(int(m)) for m in row["labels"])} for row in rows]
    with pytest.raises(DataError, match="0 or 1 for each"):
        opened(at, write(tmp_path / "b.jsonl", joined), separator=";")


def test_numbers_may_name_labels_and_one_row_alone_tells_nothing(tmp_path: Path) -> None:
    at = project(tmp_path / "p", "multilabel")
    lists: list[list[int]] = [[0], [1], [0, 1], []]
    rows = [{"text": f"text number {n} of these", "labels": lists[n % 4]} for n in range(100)]
    rows.append({"text": "one that says 0 or 1 for each", "labels": [0, 1, 0]})
    done = opened(at, write(tmp_path / "a.jsonl", rows))
    assert set(done.labels) == {"0", "1"} and done.reasons == {"wrong-type": 1}
    assert "a number twice" in done.samples[0]["detail"]


@pytest.mark.parametrize(
    ("told", "gone"),
    [
        ([0, 1, 2], True),
        (["0", "1"], True),
        ([0.0, 1.0, 10.0], True),
        ([1], False),
        ([1, 2], False),
        (["yes", "no"], False),
        ([0, 1, "maybe"], False),
        ([-2, 0, 1], False),
    ],
)
def test_minus_one_beside_numbers_from_0_on_is_no_label(
    tmp_path: Path, told: list[Any], gone: bool
) -> None:
    """SNLI's rows without a label became a class of their own."""
    at, none = project(tmp_path / "p", "classification"), type(told[0])(-1)
    texts = [row["text"] for row in toy_texts(260, 3, "classification")]
    rows = [
        {"text": text, "label": none if n % 10 == 9 else told[n % len(told)]}
        for n, text in enumerate(texts)
    ]
    # The same text with a label is no conflict: nothing was said of it.
    rows.append({"text": texts[0], "label": none if gone else rows[0]["label"]})
    done = opened(at, write(tmp_path / "a.jsonl", rows[:180] + rows[-1:]))
    if gone:
        assert done.reasons == {"answer-missing": 19} and done.counts["accepted"] == 162
        assert "name it where it is one" in done.samples[0]["detail"]
    assert ("-1" in done.labels) != gone
    # What is known before counts, too: the next file may hold no 0.
    more = [row for row in rows[180:-1] if row["label"] != told[0]]
    again = opened(at, write(tmp_path / "b.jsonl", more), "b")
    assert again.reasons == ({"answer-missing": 8} if gone else {})


def test_a_file_of_rows_without_labels_is_refused(tmp_path: Path) -> None:
    at = project(tmp_path / "p", "classification")
    rows = [{"text": f"text number {n}", "label": -1} for n in range(60)]
    with pytest.raises(DataError, match="60 of 60 rows cannot be taken") as caught:
        opened(at, write(tmp_path / "a.jsonl", rows), dry_run=True)
    assert "-1 says that a row has no label" in caught.value.where


def test_a_separator_is_for_lists_of_labels(tmp_path: Path) -> None:
    at = project(tmp_path / "p", "classification")
    with pytest.raises(UsageError, match="no list of labels or options"):
        opened(at, write(tmp_path / "a.csv", toy_texts(50, 3)), separator=";")


BAD: list[tuple[str, str, str, Any, str, str]] = [
    # recipe, id, format, value, reason, a part of the detail
    ("classification", "D05 null", "jsonl", None, "missing-field", "label is missing"),
    ("classification", "D05 empty cell", "csv", "", "blank", "nothing to read"),
    ("classification", "D06 blank", "jsonl", " \u200b", "blank", "nothing to read"),
    ("classification", "D04 list", "jsonl", ["a", "b"], "wrong-type", "recipe multilabel"),
    ("classification", "D04 object", "jsonl", {"a": 1}, "wrong-type", "label is dict"),
    ("classification", "D04 number", "jsonl", 2.5, "wrong-type", "recipe regression"),
    ("classification", "D11 NUL", "jsonl", "a\0b", "nul-character", "U+0000"),
    ("classification", "D11 surrogate", "jsonl", "\ud800", "lone-surrogate", "label"),
    ("classification", "D10 long", "jsonl", "x" * 1_000_001, "field-too-long", "1,000,001"),
    ("multilabel", "D05 null", "jsonl", None, "answer-missing", "empty list"),
    ("multilabel", "D05 empty cell", "csv", "", "answer-missing", "empty list"),
    ("multilabel", "D05 null inside", "jsonl", ["a", None], "missing-field", "null"),
    ("multilabel", "D06 blank inside", "jsonl", ["a", " "], "blank", "nothing to read"),
    ("multilabel", "D04 text", "jsonl", "a", "wrong-type", "--separator"),
    ("multilabel", "D04 list inside", "jsonl", [["a"]], "wrong-type", "list"),
    ("multilabel", "D13 broken list", "csv", '["a",', "malformed", "labels"),
    ("regression", "D05 null", "jsonl", None, "missing-field", "value is missing"),
    ("regression", "D05 empty cell", "csv", "", "missing-field", "value is missing"),
    ("regression", "D05 NaN", "parquet", float("nan"), "not-a-number", "not finite"),
    ("regression", "D05 NaN as text", "csv", "NaN", "not-a-number", "'NaN'"),
    ("regression", "D13 infinity", "parquet", float("inf"), "not-a-number", "not finite"),
    ("regression", "D13 huge", "csv", "1e999", "not-a-number", "not finite"),
    ("regression", "D04 truth", "jsonl", True, "not-a-number", "True"),
    ("regression", "D04 text", "jsonl", "many", "not-a-number", "'many'"),
    ("regression", "D04 decimal comma", "csv", "2,5", "not-a-number", "'2,5'"),
    ("regression", "D04 list", "jsonl", [1.0], "not-a-number", "[1.0]"),
]


@pytest.mark.parametrize(
    ("recipe", "kind", "value", "reason", "detail"),
    [pytest.param(r, k, v, why, part, id=f"{r} {name}") for r, name, k, v, why, part in BAD],
)
def test_one_bad_value_is_quarantined_with_its_reason(
    tmp_path: Path, recipe: str, kind: str, value: Any, reason: str, detail: str
) -> None:
    at, rows = project(tmp_path / "p", recipe), toy_texts(120, 3, recipe)
    rows[7][RECIPES[recipe]] = value
    if value == "\ud800":
        lines: list[Any] = [json.dumps(row) for row in rows]
        path = deliveries.jsonl(tmp_path / "a.jsonl", lines)
    else:
        path = write(tmp_path / f"a.{kind}", rows)
    done = opened(at, path)
    assert done.counts["accepted"] == 119 and done.reasons == {reason: 1}
    (line,) = deliveries.quarantined(at, done.folder)
    assert detail in line["detail"]
    assert rows[7]["id"] not in {row["id"] for row in kept(at)}


@pytest.mark.parametrize(
    ("recipe", "value", "as_kept"),
    [
        ("classification", 3, "3"),
        ("classification", True, "true"),
        ("classification", "null", "null"),
        ("classification", "NaN", "NaN"),
        ("multilabel", ["b", "a", "b"], ["b", "a"]),
        ("multilabel", [], []),
        ("regression", 3, 3.0),
        ("regression", " -2.5e1 ", -25.0),
        ("regression", -0.0, 0.0),
    ],
)
def test_values_that_say_what_they_mean_are_taken(
    tmp_path: Path, recipe: str, value: Any, as_kept: Any
) -> None:
    at, rows = project(tmp_path / "p", recipe), toy_texts(120, 3, recipe)
    rows[7][RECIPES[recipe]] = value
    opened(at, deliveries.jsonl(tmp_path / "a.jsonl", rows))
    found = next(row for row in kept(at) if row["id"] == rows[7]["id"])
    assert found[RECIPES[recipe]] == as_kept and str(found[RECIPES[recipe]]) == str(as_kept)


def test_d12_labels_are_tidied_and_that_is_reported(tmp_path: Path) -> None:
    at, rows = project(tmp_path / "p", "classification"), toy_texts(120, 3)
    rows[7]["label"], rows[8]["label"] = " colour\t", "cafe\u0301"
    done = opened(at, write(tmp_path / "a.csv", rows))
    assert done.repairs == {"label-tidied": 2}
    assert "colour" in done.labels and "caf\u00e9" in done.labels
    assert not {" colour\t", "cafe\u0301"} & set(done.labels)


def test_d08_the_same_text_with_two_labels_is_a_conflict(tmp_path: Path) -> None:
    at, rows = project(tmp_path / "p", "classification"), toy_texts(120, 3)
    rows[8].update(text=rows[7]["text"], pair=rows[7]["pair"], label="other")
    rows[9].update({k: rows[10][k] for k in ("text", "pair", "label")})
    done = opened(at, write(tmp_path / "a.csv", rows))
    assert done.reasons == {"conflicting-answers": 2, "duplicate": 1}


def test_d14_new_and_absent_labels_are_told(tmp_path: Path) -> None:
    at = project(tmp_path / "p", "classification")
    first = opened(at, write(tmp_path / "a.csv", toy_texts(120, 3, kinds=("colour", "animal"))))
    assert first.new_labels == ["animal", "colour"] and first.absent_labels == []
    assert sum(first.labels["animal"].values()) + sum(first.labels["colour"].values()) == 120
    path = write(tmp_path / "b.csv", toy_texts(120, 4, kinds=("animal", "city")))
    second = opened(at, path, "b")
    assert (second.new_labels, second.absent_labels) == (["city"], ["colour"])
    withdraw(at, "a", "wrong", by="ana", keep=deliveries.keep)
    third = opened(at, write(tmp_path / "c.csv", toy_texts(120, 5, kinds=tuple(KINDS))), "c")
    assert third.new_labels == ["colour"], "a withdrawn episode's labels are not known"


def test_d14_labels_that_were_renamed_by_a_correction_are_no_longer_known(tmp_path: Path) -> None:
    at = project(tmp_path / "p", "classification")
    rows = toy_texts(120, 3, kinds=("colour", "animal"))
    opened(at, write(tmp_path / "a.csv", rows))
    renamed = [{**row, "label": row["label"].upper()} for row in rows]
    right = opened(at, write(tmp_path / "b.csv", renamed), "b", corrects="a")
    assert right.absent_labels == ["animal", "colour"]
    more = [{**row, "label": row["label"].upper()} for row in toy_texts(120, 4, kinds=("animal",))]
    more[0]["label"] = "animal"
    third = opened(at, write(tmp_path / "c.csv", more), "c")
    assert (third.new_labels, third.absent_labels) == (["animal"], ["COLOUR"])


def test_data_of_another_recipe_names_the_right_one(tmp_path: Path) -> None:
    at = project(tmp_path / "p", "extractive")
    with pytest.raises(DataError) as error:
        opened(at, write(tmp_path / "a.csv", toy_texts(50, 3)))
    assert "onward new DIR --recipe classification" in str(error.value.fix)
    at = project(tmp_path / "q", "classification")
    source = tmp_path / "a.json"
    source.write_text(json.dumps(deliveries.squad(deliveries.goods(50))))
    with pytest.raises(DataError, match="data for extractive"):
        opened(at, source)


def test_a_correction_that_corrects_nothing_is_refused(tmp_path: Path) -> None:
    """Without the ids of the first delivery, rows with both labels were learned side by side."""
    at, rows = project(tmp_path / "p", "classification"), toy_texts(120, 3)
    opened(at, write(tmp_path / "a.csv", rows))
    right = [{**row, "label": "other"} for row in rows]
    nameless = [{name: row[name] for name in row if name != "id"} for row in right]
    with pytest.raises(DataError, match="id of a row of 0001-a: nothing would be corrected"):
        opened(at, write(tmp_path / "b.csv", nameless), "b", corrects="a")
    assert opened(at, write(tmp_path / "b.csv", right), "b", corrects="a").replacing == 120


def test_a_field_that_only_later_rows_have_is_read(tmp_path: Path) -> None:
    """Keys of the first 100 rows were the file's columns: the pair of a later row was lost."""
    at = project(tmp_path / "p", "classification")
    rows: list[Row] = [{"text": f"note {n}", "label": "ab"[n % 2]} for n in range(180)]
    for row in rows[120:]:
        row["pair"] = f"beside {row['text']}"
    found = opened(at, write(tmp_path / "a.jsonl", rows))
    assert found.source["mapping"] == {"text": "text", "pair": "pair", "label": "label"}
    assert sum(row["pair"] is not None for row in kept(at)) == 60


def test_keys_without_end_are_no_columns_without_end(tmp_path: Path) -> None:
    rows = [{"text": "x", f"key{n}": 1} for n in range(jsonl.MOST_COLUMNS + 50)]
    found = jsonl.columns(write(tmp_path / "a.jsonl", rows), 1_000)
    assert len(found) == jsonl.MOST_COLUMNS and found[:2] == ["text", "key0"]


@pytest.mark.parametrize("header", [",text,label", "text,label,"])
def test_the_numbers_that_pandas_writes_beside_its_rows_are_not_read(
    tmp_path: Path, header: str
) -> None:
    """`to_csv()` gives them a column without a name: every such file was refused."""
    at = project(tmp_path / "p", "classification")
    values = {"": "", "text": "note {}", "label": "{}"}
    lines = [
        ",".join(values[name] for name in header.split(",")).format(n, n % 3) for n in range(9)
    ]
    (tmp_path / "a.csv").write_text("\n".join([header, *lines]) + "\n")
    found = opened(at, tmp_path / "a.csv")
    assert found.counts["accepted"] == 9
    assert found.unread == ["unnamed 1" if header.startswith(",") else "unnamed 3"]
