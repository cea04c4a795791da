"""Rows that hold more of the metric than others: what the gate allows for where few of them do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onward import recipes
from onward.evaluation.checks import OPEN, PASSED, Check
from onward.evaluation.evidence import Side, Unit
from onward.evaluation.gate import judge, score_of
from onward.evaluation.rule import decide
from onward.evaluation.statistics import Array, alike
from onward.evaluation.verdicts import keep, replay
from onward.recipes import bleu, translation
from onward.recipes.tagging import STATISTICS
from tests.evaluation import toy_turn
from tests.evaluation.cases import check, evidence, hashes, settings

ROWS = 300
MICRO = ("multilabel", "relation", "tagging")
CORPUS = (*MICRO, "translation")


def spans(size: Array, right: Array) -> Array:
    """Statistics of rows with so many entities, found together or missed together."""
    found = np.where(right, size, 0)
    return np.column_stack([np.ones(len(size)), found, 0 * size, size - found, found == size])


def unit(name: str, new: Array, old: Array, *, known: bool) -> Unit:
    rows = hashes(len(new))
    return Unit(name, known, not known, rows, Side(rows, new), Side(rows, old))


def harm(size: Array, lost: int, **told: Any) -> Check:
    """The check of an old episode whose challenger misses the entities of so many rows."""
    right, ones = np.ones(len(size), dtype=bool), np.ones(100)
    kept = right & (np.cumsum(size > 0) > lost)
    gained = unit("0002-new", spans(ones, ones == 1), spans(ones, ones == 0), known=False)
    known = unit("0001-old", spans(size, kept), spans(size, right), known=True)
    given = evidence(gained, known, statistics=STATISTICS)
    return check(decide(given, settings(), 0.05, score_of("tagging"), **told), known.name)


def few(entities: int, many: int = 1) -> Array:
    return np.repeat([0, many], [ROWS - entities, entities])


@pytest.mark.parametrize("recipe", MICRO)
def test_entities_in_ten_rows_of_three_hundred_are_ten_rows(recipe: str) -> None:
    """Nothing is lost in ten rows; three hundred would say so of the episode, ten do not."""
    sizes = recipes.sizes(recipes.get(recipe))
    assert harm(few(10), 0).mark == PASSED, "as a mean over rows would be judged"
    found = harm(few(10), 0, sizes=sizes)
    assert found.mark == OPEN and found.low is not None and found.low < -20
    assert found.rows_needed is not None and found.rows_needed > 5 * ROWS
    assert harm(few(ROWS), 0, sizes=sizes) == harm(few(ROWS), 0)


def test_so_of_a_first_champions_floor() -> None:
    sizes = recipes.sizes(recipes.get("tagging"))
    one = unit("0001-new", spans(few(10), few(10) >= 0), spans(few(10), few(10) >= 0), known=False)
    given = evidence(replace(one, baseline=5.0), champion=None, statistics=STATISTICS)
    marks = [
        decide(given, settings(floor=80), 0.05, score_of("tagging"), **told).checks[0].mark
        for told in ({}, {"sizes": sizes})
    ]
    assert marks == [PASSED, OPEN]


def test_one_row_that_holds_most_is_one_row() -> None:
    size = np.concatenate([[400], np.ones(ROWS - 1)])
    sizes = recipes.sizes(recipes.get("tagging"))
    assert harm(size, 0).mark == PASSED
    assert harm(size, 0, sizes=sizes).mark == OPEN


def test_an_episode_without_entities_is_judged_by_its_rows() -> None:
    sizes = recipes.sizes(recipes.get("tagging"))
    assert harm(few(0), 0, sizes=sizes).mark == PASSED
    assert alike(np.zeros(7)) == 7


def test_means_over_rows_have_no_sizes() -> None:
    assert [name for name in recipes.NAMES if recipes.sizes(recipes.get(name))] == list(CORPUS)


def translated(words: Array, said: Array) -> Array:
    """Statistics of rows whose references have so many words, of which so many are said rightly."""
    lines = (
        bleu.counts(" ".join(["w"] * int(told)), [" ".join(["w"] * int(wanted))])
        for wanted, told in zip(words, said, strict=True)
    )
    return np.array([[1.0, *line] for line in lines])


def test_bleu_rests_on_the_rows_that_hold_most_of_the_words() -> None:
    """Three of a hundred texts hold two thirds of the words: nothing is lost in three rows."""
    sizes = recipes.sizes(recipes.get("translation"))
    short, long = np.full(100, 8.0), np.repeat([8.0, 500.0], [97, 3])
    gained = unit("0002-new", translated(short, short), translated(short, short / 2), known=False)
    marks = []
    for words in (short, long):
        same = translated(words, words)
        given = evidence(
            gained,
            unit("0001-old", same, same, known=True),
            recipe="translation",
            statistics=translation.STATISTICS,
        )
        verdict = decide(given, settings(), 0.05, score_of("translation"), sizes=sizes)
        marks.append(check(verdict, "0001-old").mark)
    assert marks == [PASSED, OPEN]


def test_the_gate_and_its_replay_ask_the_recipe(tmp_path: Path, monkeypatch: Any) -> None:
    """All of the metric in one row: whatever is found, nothing is shown."""
    at = toy_turn.project(tmp_path, known=("old",))
    toy_turn.serving(at, {"old": 0.9, "new": 0.3}, learned=("0001-old",))
    toy_turn.finetuned(at)
    toy_turn.evaluated(at, {"old": 0.95, "new": 0.9})
    assert judge(at, "accuracy").outcome == "passed"
    monkeypatch.setattr(recipes, "sizes", lambda _: lambda rows: np.eye(1, len(rows))[0])
    verdict = judge(at, "accuracy")
    assert verdict.outcome == "undecided"
    keep(at, 1, verdict)
    assert replay(at, 1).same
    monkeypatch.undo()
    assert not replay(at, 1).same
