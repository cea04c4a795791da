"""Sets of labels keep the order of the base, whatever comes after."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from onward import files
from onward.recipes import classification, extractive, labels, multilabel, regression

NAMES = st.text(min_size=1, max_size=3)


@given(st.lists(NAMES), st.lists(NAMES, unique=True))
def test_a_base_keeps_its_labels_in_order(found: list[str], base: list[str]) -> None:
    made = labels.extended(found, base)
    assert made[: len(base)] == base
    assert sorted(made) == sorted({*found, *base}) and len(made) == len(set(made))
    assert made[len(base) :] == sorted(made[len(base) :])
    assert labels.extended(reversed(found), base) == made


def test_rows_give_the_labels() -> None:
    assert classification.vocabulary(iter([{"label": "b"}, {"label": "a"}]), ["c"]) == [
        "c", "a", "b",
    ]  # fmt: skip
    assert multilabel.vocabulary([{"labels": ["b", "a"]}, {"labels": []}], ["b"]) == ["b", "a"]
    for recipe in (extractive, regression):
        assert recipe.vocabulary([{}], []) == [] and recipe.labels_of(Path("nowhere")) == ()


def test_labels_are_read_by_index_and_not_by_name(tmp_path: Path) -> None:
    names = {str(n): f"label {n}" for n in reversed(range(12))}
    files.write_json(tmp_path / "config.json", {"id2label": names})
    assert classification.labels_of(tmp_path) == tuple(f"label {n}" for n in range(12))
    files.write_json(tmp_path / "config.json", {})
    assert multilabel.labels_of(tmp_path) == ("LABEL_0", "LABEL_1")
