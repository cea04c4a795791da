"""Values that only Parquet or a stubborn person can deliver, through the whole opening."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from onward.episodes import turn as turns
from onward.episodes.checks import KINDS, check
from onward.episodes.incoming import Unreadable, loads, plain
from onward.episodes.open import Opened, episodes, open_episode, withdraw
from onward.project import Project
from tests.episodes import deliveries
from tests.episodes.conftest import Opener

GOOD = deliveries.goods(100)


def table(**changed: Any) -> pa.Table:
    names = ("id", "title", "context", "question")
    columns = {name: [row[name] for row in GOOD] for name in names}
    columns["answers"] = [row["answers"] for row in GOOD]
    columns["starts"] = [row["starts"] for row in GOOD]
    return pa.table(columns | changed)


def rows(project: Project, found: Opened, side: turns.Side) -> list[dict[str, Any]]:
    return turns.rows(project, found.folder, side)


def opened(opener: Opener, folder: Path, found: pa.Table) -> Opened:
    pq.write_table(found, folder / "a.parquet")
    return opener("faq", folder / "a.parquet")


def test_d04_types_of_parquet_that_fit(opener: Opener, tmp_path: Path) -> None:
    fitting = {
        "id": pa.array(range(100), pa.int64()),
        "title": pa.array([row["title"] for row in GOOD]).dictionary_encode(),
        "context": pa.array([row["context"] for row in GOOD], pa.large_string()),
        "starts": pa.array([[float(row["starts"][0])] for row in GOOD]),
    }
    assert opened(opener, tmp_path, table(**fitting)).counts["accepted"] == 100


def test_d05_ids_of_a_table_in_which_one_row_has_none(
    project: Project, opener: Opener, tmp_path: Path
) -> None:
    """Then whole numbers come as floats: every row was quarantined, and the delivery refused."""
    ids = [float(number) for number in range(98)]
    found = opened(opener, tmp_path, table(id=pa.array([*ids, None, float("nan")], pa.float64())))
    assert found.counts["accepted"] == 100
    kept = [row["id"] for side in ("train", "heldout") for row in rows(project, found, side)]
    assert {str(number) for number in range(98)} < set(kept) and len(set(kept)) == 100


@pytest.mark.parametrize(
    "odd",
    [
        pa.array([b"bytes"] + [None] * 99, pa.binary()),
        pa.array([datetime.date(2026, 1, 1)] + [None] * 99),
        pa.array([1.5] + [None] * 99, pa.float64()),
        pa.array([{"a": [1.5]}] + [None] * 99),
        pa.array([2**60] + [None] * 99, pa.timestamp("ms")),
    ],
    ids=["bytes", "date", "a fraction", "struct", "a date beyond all dates"],
)
def test_d04_a_value_of_another_type_is_quarantined_and_shown(
    project: Project, opener: Opener, tmp_path: Path, odd: pa.Array
) -> None:
    found = opened(opener, tmp_path, table(title=odd))
    assert found.reasons == {"wrong-type": 1} and found.counts["accepted"] == 99
    (line,) = deliveries.quarantined(project, found.folder)
    assert line["line"] == 1 and "title" in line["detail"]


def test_plain_values_are_strict_json() -> None:
    value = {"a": [float("inf"), b"x", (1, None)], 2: {"b": True}}
    assert plain(value) == {"a": ["inf", "b'x'", [1, None]], "2": {"b": True}}
    assert loads(json.dumps(plain(value), allow_nan=False)) == plain(value)


def test_an_answer_that_begins_like_json_and_is_none_is_text() -> None:
    found = check(
        {"question": "q", "context": "c", "answers": "[not json"}, 100, KINDS["extractive"]
    )
    assert found.reason == "answer-not-in-context"


def test_a_finite_float_is_json_and_a_float_offset_is_whole() -> None:
    assert loads('{"a": 1.5}') == {"a": 1.5}
    with pytest.raises(Unreadable):
        loads("1e400")


def test_withdrawing_after_an_opening_that_was_killed_versions_what_is_there(
    project: Project, opener: Opener, tmp_path: Path
) -> None:
    def dying(project: Project) -> dict[str, int]:
        raise KeyboardInterrupt

    opener("faq", deliveries.jsonl(tmp_path / "a.jsonl", GOOD))
    before = turns.Turn.read(project).data
    more = deliveries.jsonl(tmp_path / "b.jsonl", deliveries.goods(80, 500))
    with pytest.raises(KeyboardInterrupt):
        open_episode(project, "more", more, keep=dying)
    withdraw(project, "faq", "wrong", "ana", deliveries.keep)
    turn = turns.Turn.read(project)
    assert turn.learning_episodes == ["0002-more"] and turn.data != before
    assert [e.state for e in episodes(project)] == ["withdrawn", "learning"]


def test_withdrawing_the_only_finished_opening_before_a_first_turn(
    project: Project, opener: Opener, tmp_path: Path
) -> None:
    def dying(project: Project) -> dict[str, int]:
        raise KeyboardInterrupt

    path = deliveries.jsonl(tmp_path / "a.jsonl", GOOD)
    with pytest.raises(KeyboardInterrupt):
        opener("faq", path, keep=dying)
    assert [e.state for e in episodes(project)] == ["unfinished"]
    again = opener("faq", path)
    assert again.already_open and [e.state for e in episodes(project)] == ["learning"]
