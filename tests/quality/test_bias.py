"""Bias found where it was built in, for every kind of row: labels, spans, written answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from onward import recipes
from onward.evaluation.ledger import LedgerPart, entry, part, row_hash
from onward.quality import bias
from onward.quality.bias import Rows

NO_N_BEST = {"probability": 1.0, "no_answer": False, "n_best": []}


def labelled(count: int) -> list[dict[str, Any]]:
    texts = [f"{who} paid bill {n}" for n in range(count) for who in ("He", "She")]
    return [{"id": t, "title": None, "text": t, "pair": None, "label": "paid"} for t in texts]


def asked(count: int) -> list[dict[str, Any]]:
    text = "John and Mary were there, and he left at noon."
    return [
        {"id": str(n), "title": None, "context": text, "question": f"Who left, asked {n}?",
         "answers": ["John"], "starts": [0]}
        for n in range(count)
    ]  # fmt: skip


def talked(count: int) -> list[dict[str, Any]]:
    return [
        {"id": str(n), "title": None, "context": None, "history": [], "references": ["She is."],
         "question": f"Is she {n} years old?"}
        for n in range(count)
    ]  # fmt: skip


def scored(recipe: ModuleType, rows: Rows, say: Callable[[dict[str, Any]], str]) -> LedgerPart:
    found = {}
    for unit, some in rows.items():
        told = [{"text": say(row), "label": say(row), "start": 0, "end": 1, **NO_N_BEST}
                for row in some]  # fmt: skip
        made = zip(some, told, strict=True)
        found[unit] = {row_hash(recipe, row): entry(recipe, row, one) for row, one in made}
    return part("a", "torch", "s", found)


def found(name: str, rows: Rows, say: Callable[[dict[str, Any]], str], most: int = 99) -> Any:
    recipe = recipes.get(name)
    plain = scored(recipe, rows, say)
    swaps = bias.answered(recipe, rows, plain, lambda some, _: scored(recipe, some, say), most=most)
    return {one["swap"]: one for one in bias.report(recipe, swaps)}


def test_a_classifier_that_hears_only_men_is_found() -> None:
    fair = found("classification", {"u": labelled(10)}, lambda row: "paid")["gender"]
    assert (fair["rows"], fair["gap"], fair["changed_percent"]) == (20, 0.0, 0.0)
    men = found(
        "classification",
        {"u": [row for row in labelled(10) if row["text"].startswith("He")]},
        lambda row: "paid" if row["text"].startswith("He") else "owes",
    )["gender"]
    assert (men["plain"], men["swapped"], men["gap"]) == (100.0, 0.0, -100.0)
    assert men["changed_percent"] == 100.0


def test_a_reader_that_follows_the_exchange_is_fair() -> None:
    first = found("extractive", {"u": asked(6)}, lambda row: row["context"].split()[0])
    assert first["gender"]["gap"] == 0.0 and first["gender"]["changed_percent"] == 0.0
    stubborn = found("extractive", {"u": asked(6)}, lambda row: "John")
    assert stubborn["names"]["gap"] == -100.0
    noon = found(
        "extractive",
        {"u": asked(6)},
        lambda row: "noon" if "he" in row["context"].split() else "there",
    )
    assert noon["gender"]["gap"] == 0.0 and noon["gender"]["changed_percent"] == 100.0


def test_a_writer_is_asked_about_him_too_and_a_sample_is_enough() -> None:
    rows = {"a": talked(6), "b": talked(2)}
    told = found("chat", rows, lambda row: "She is.", most=4)["gender"]
    assert told["rows"] == 4 + 2 and told["gap"] < 0


def translated(*pairs: tuple[str, str]) -> list[dict[str, Any]]:
    return [{"id": t, "title": None, "text": t, "references": [r]} for t, r in pairs]


def test_a_translation_is_exchanged_where_both_languages_write_a_name_alike() -> None:
    pairs = translated(
        ("Emily came to Boston.", "Emily kam nach Boston."),
        ("Emily's hat.", "Emilys Hut."),
        ("He came to Rome.", "Er kam nach Rom."),
        ("Anna saw Emily.", "Anna sah sie."),
    )
    fair = {row["text"]: row["references"][0] for row in pairs}
    fair["Lakisha came to Boston."] = "Lakisha kam nach Boston."
    told = found("translation", {"u": pairs}, lambda row: fair.get(row["text"], "?"))
    assert "gender" not in told and told["names"]["rows"] == 1
    assert told["names"]["gap"] == 0.0 and told["names"]["changed_percent"] == 0.0
    deaf = found("translation", {"u": pairs}, lambda row: "Emily kam nach Boston.")
    assert deaf["names"]["gap"] < 0 and deaf["names"]["changed_percent"] == 0.0
    drops = found("translation", {"u": pairs}, lambda row: fair.get(row["text"], "Sie kam."))
    assert drops["places"]["changed_percent"] == 100.0


@pytest.mark.parametrize("damage", [b"", b"PAR1", b"x" * 40])
def test_f06_a_damaged_file_is_named(damage: bytes, tmp_path: Path) -> None:
    from onward.errors import IntegrityError

    path = tmp_path / bias.FILE
    path.write_bytes(damage)
    with pytest.raises(IntegrityError, match="is not a readable ledger"):
        bias.read(path)
    assert bias.read(tmp_path / "gone") == ()
