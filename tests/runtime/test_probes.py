"""Which rows become probes and texts: spread over units, the same in every run, the surest."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from onward.runtime import probes

RECIPE: Any = SimpleNamespace(
    inputs=lambda row: {"question": row["question"], "context": row["context"]}
)

ROWS = {
    unit: [
        {"id": f"{unit}-{n}", "question": f"q{n}?", "context": f"c {unit} {n}"} for n in range(size)
    ]
    for unit, size in (("0001-a", 40), ("0002-b", 3))
}


class Sure:
    """A session that is surer the higher the number of the row."""

    def answer(self, inputs: dict[str, str]) -> dict[str, Any]:
        context = inputs["context"]
        return {"text": context, "probability": float(context.split()[-1])}


def test_rows_are_taken_from_every_unit_in_turn() -> None:
    taken = probes.spread(RECIPE, ROWS, 6)
    assert [unit for unit, _ in taken] == ["0001-a", "0002-b"] * 3
    assert len(probes.spread(RECIPE, ROWS, 1000)) == 43
    assert probes.spread(RECIPE, {}, 5) == [] and probes.spread(RECIPE, {"0001-a": []}, 5) == []


def test_the_order_of_the_rows_does_not_matter() -> None:
    turned = {unit: rows[::-1] for unit, rows in reversed(ROWS.items())}
    assert probes.spread(RECIPE, turned, 9) == probes.spread(RECIPE, ROWS, 9)


def test_the_surest_are_kept_with_each_variants_answer() -> None:
    sessions: Any = {"fp32": Sure(), "int8": Sure()}
    found = probes.probes(RECIPE, ROWS, sessions)
    numbers = [int(item["context"].split()[-1]) for item in found]
    taken = probes.spread(RECIPE, ROWS, probes.TRIED)
    tried = sorted(int(row["context"].split()[-1]) for _, row in taken)
    assert sorted(numbers) == tried[-probes.PROBES :]
    assert found[0]["answers"] == {"fp32": found[0]["context"], "int8": found[0]["context"]}


def _long(unit: str, number: int) -> dict[str, Any]:
    text = "x" * (probes.MAX_CHARACTERS + 10 * number)
    return {"id": f"{unit}-long-{number}", "question": "?", "context": f"{text} {number}"}


def test_long_texts_are_no_probes_where_there_are_others() -> None:
    rows = {"0001-a": [_long("0001-a", number) for number in range(9)], "0002-b": ROWS["0002-b"]}
    found = probes.probes(RECIPE, rows, {"fp32": Sure()})  # type: ignore[dict-item]
    assert len(found) == 3 and all(item["unit"] == "0002-b" for item in found)


def test_where_all_texts_are_long_the_shortest_are_probes() -> None:
    """Without a probe no package is promoted: documents may all be long."""
    rows = {"0001-a": [_long("0001-a", number) for number in range(9)]}
    found = probes.probes(RECIPE, rows, {"fp32": Sure()})  # type: ignore[dict-item]
    assert sorted(int(item["context"].split()[-1]) for item in found) == [0, 1, 2, 3]


def test_texts_are_a_rows_inputs_in_their_order() -> None:
    texts = probes.texts(RECIPE, ROWS)
    assert len(texts) == 43 and all(text[0][0] == "q" and text[1][0] == "c" for text in texts)
