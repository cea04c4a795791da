"""Good, mediocre and broken answers stand in this order in every score, by the real encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.quality import SEEN, degraded, diverse, ranked
from onward.config import Measure
from onward.quality.asked import Asked
from onward.quality.scores import Tools

HARBOUR = (
    "The harbour of Velm was dug by hand between 1712 and 1719. Storms filled it with sand "
    "twice, so the town built a stone wall of four hundred metres, paid for by a tax on salt."
)
GLACIER = (
    "Field guides measure the glacier every September with steel rods that they drill into the "
    "ice. Since 1990 its tongue has drawn back by eleven metres a year, mostly after dry winters."
)
LIBRARY = (
    "The night library opens when the last tram leaves. Readers may borrow maps and old "
    "newspapers for one week, but atlases have to stay in the reading room on the second floor."
)
TOLD = [
    (HARBOUR, "How was the wall paid for?", "with money from a tax on salt",
     ["by a tax on salt", "the town taxed salt to pay for it", "with a tax that was put on salt"]),
    (HARBOUR, "Why was a stone wall built?", "because storms filled the harbour with sand",
     ["storms had filled it with sand twice", "storms brought sand into the harbour twice",
      "to keep out sand that storms brought"]),
    (GLACIER, "How do the guides measure the glacier?", "with steel rods drilled into the ice",
     ["they drill steel rods into the ice", "by steel rods that are drilled into the ice",
      "steel rods go into the ice every September"]),
    (GLACIER, "How fast does the glacier draw back?", "by about eleven metres every year",
     ["eleven metres a year", "it draws back eleven metres each year",
      "eleven metres or so a year"]),
    (LIBRARY, "What may readers borrow for a week?", "they may borrow maps and old newspapers",
     ["maps and old newspapers", "maps, and newspapers that are old", "old newspapers and maps"]),
    (LIBRARY, "Where do atlases have to stay?", "in the reading room on the second floor",
     ["the reading room on the second floor", "on the second floor, in the reading room",
      "they stay in the second floor's reading room"]),
]  # fmt: skip


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return [
        {"asked": Asked(question, context, (), tuple(people)), "good": good, "people": people}
        for context, question, good, people in TOLD
    ]


def test_the_scores_rank_what_each_is_meant_to_see(
    rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    found = ranked(Tools(tmp_path, Measure.model_validate({"answers": "on"}), threads=1), rows)
    for name in (*SEEN, "diverse"):
        if name == "safe":  # of its sentences most are the classifier's, which is off
            continue
        told = diverse([row["people"] for row in rows]) if name == "diverse" else found[name]
        assert all(share >= 0.75 for share in told["superior"].values()), (name, told)
        assert told["tau"] > 0.4, (name, told)


def test_every_kind_is_another_answer(rows: list[dict[str, Any]]) -> None:
    made = degraded(rows, 0)
    assert len({*made.values()}) == len(made)
