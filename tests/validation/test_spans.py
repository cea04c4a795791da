"""What validation measures of tagged spans and of two entities, and what it says of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from onward.config import Validate
from onward.recipes import relation, tagging
from onward.validation import labels, spans
from onward.validation.words import Words
from tests import toys


def tagged(text: str, *found: tuple[int, int, str]) -> dict[str, Any]:
    starts, ends, tags = ([one[at] for one in found] for at in range(3))
    return {"id": "a", "title": None, "text": text, "starts": starts, "ends": ends, "tags": tags}


def measured(*rows: dict[str, Any]) -> dict[str, Any]:
    recipe, of_rows = (relation, spans.relation) if "label" in rows[0] else (tagging, spans.tagging)
    return of_rows(pa.Table.from_pylist(list(rows), schema=recipe.SCHEMA), Words())


@pytest.mark.parametrize(
    ("row", "column", "count"),
    [
        (tagged("in Oslo", (3, 7, "city")), "misplaced", 0),
        (tagged("in Oslo", (3, 7, "city")), "torn", 0),
        (tagged("in Oslo\u200e", (3, 7, "city")), "torn", 0),
        (tagged("in Oslo", (3, 9, "city")), "misplaced", 1),
        (tagged("in Oslo", (7, 3, "city")), "misplaced", 1),
        (tagged("in Oslo", (3, 7, "city"), (0, 2, "x")), "misplaced", 1),
        (tagged("in Oslo", (0, 5, "x"), (3, 7, "city")), "misplaced", 1),
        (tagged("in Oslo", (3, 6, "city")), "torn", 1),
        (tagged("in Oslo", (3, 7, " ")), "blank_labels", 1),
        ({**tagged("in Oslo", (3, 7, "city")), "tags": []}, "unpaired", 1),
        ({**tagged("in Oslo", (3, 7, "city")), "ends": []}, "unpaired", 1),
    ],
)
def test_D_what_is_wrong_with_spans_is_counted(
    row: dict[str, Any], column: str, count: int
) -> None:
    assert measured(row)[column].tolist() == [count]


def test_two_entities_may_come_in_any_order_and_may_not_overlap() -> None:
    row = toys.toy_related(1, 1)[0]
    turned = {
        **row,
        **dict(zip(spans.PLACES, [row[name] for name in (*spans.PLACES[2:], *spans.PLACES[:2])],
                   strict=True)),
    }  # fmt: skip
    over = {**row, "tail_start": row["head_start"], "tail_end": row["head_end"]}
    assert measured(row, turned, over)["misplaced"].tolist() == [0, 0, 1]


def test_toys_are_sound_and_their_labels_are_known() -> None:
    for make in (toys.toy_tagged, toys.toy_related):
        found = measured(*make(40, 3))
        for name in ("misplaced", "torn", "blank_labels", "nulls", "text_blank"):
            assert not np.any(found[name]), name
        assert len(found["label"]) == 40


def test_what_is_expected_names_its_columns() -> None:
    for listed, rows in (
        (spans.of_tags(Validate()), toys.toy_tagged(3, 1)),
        (spans.of_relations(Validate()), toys.toy_related(3, 1)),
    ):
        of_rows = {one.column for one in listed if one.frame == "rows"}
        # By labels of the whole turn these two are told, in labels.by_row.
        assert of_rows - {"unlearned", "alike"} <= set(measured(*rows))


@pytest.mark.parametrize("fresh", [50, 51])
def test_D14_a_tag_that_stood_several_times_in_each_row_vanishes(fresh: int) -> None:
    """Shares are of rows: three cities in each of 100 rows are no share of 3."""
    known = [["city", "city", "city", "day"]] * 100
    every = pa.array([*known, *[["day"]] * fresh])
    found = labels.Labels()
    found.take(every, 0)
    new = np.arange(len(every)) >= len(known)
    rows = pd.DataFrame({"side": "train", "learning": new.astype(int)})
    made = labels.by_row(rows, found.found(np.ones(len(every), bool)), found)
    assert np.flatnonzero(made["vanished"]).tolist() == [0]
