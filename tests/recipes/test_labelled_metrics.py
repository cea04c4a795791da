"""Accuracy, micro and macro F1, R2 and calibration against scikit-learn; sums as exact as rows."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from sklearn.preprocessing import MultiLabelBinarizer

from onward.config import Evaluate
from onward.recipes import class_report, classification, multilabel, regression

LABELS = ["a", "b", "c", "d"]
NUMBERS = st.floats(-1e3, 1e3).map(lambda value: round(value, 3))
SINGLE = st.lists(
    st.tuples(st.sampled_from(LABELS), st.sampled_from(LABELS)), min_size=1, max_size=30
)
SEVERAL = st.lists(
    st.tuples(st.sets(st.sampled_from(LABELS)), st.sets(st.sampled_from(LABELS))),
    min_size=1,
    max_size=30,
)


def total(recipe: Any, rows: list[Any], told: list[Any]) -> Any:
    pairs = zip(rows, told, strict=True)
    return np.sum([recipe.statistics(row, one) for row, one in pairs], axis=0)


@settings(max_examples=60, deadline=None)
@given(SINGLE)
def test_accuracy_and_macro_f1(pairs: list[tuple[str, str]]) -> None:
    gold, told = (list(side) for side in zip(*pairs, strict=True))
    rows = [{"label": label} for label in gold]
    said = [{"label": label, "probability": 0.5} for label in told]
    found = classification.metrics(total(classification, rows, said))
    assert float(found["accuracy"]) == pytest.approx(100 * sk.accuracy_score(gold, told))
    made = classification.report(rows, said)
    assert made["macro_f1"] == pytest.approx(
        100 * sk.f1_score(gold, told, average="macro", zero_division=0), abs=1e-4
    )
    names = sorted({*gold, *told})
    reference = sk.precision_recall_fscore_support(gold, told, labels=names, zero_division=0)
    for one, precision, recall, f1, rows_of in zip(made["classes"], *reference, strict=True):
        assert one["precision"] == pytest.approx(100 * precision, abs=1e-4)
        assert one["recall"] == pytest.approx(100 * recall, abs=1e-4)
        assert (one["f1"], one["rows"]) == (pytest.approx(100 * f1, abs=1e-4), rows_of)
    assert [one["label"] for one in made["classes"]] == names


@settings(max_examples=60, deadline=None)
@given(SEVERAL)
def test_micro_f1_and_exact_rows(pairs: list[tuple[set[str], set[str]]]) -> None:
    gold, told = (list(side) for side in zip(*pairs, strict=True))
    rows = [{"labels": sorted(labels)} for labels in gold]
    said = [{"labels": sorted(labels)} for labels in told]
    binary = MultiLabelBinarizer(classes=LABELS)
    wanted, given = binary.fit_transform(gold), binary.transform(told)
    found = multilabel.metrics(total(multilabel, rows, said))
    for name, score in (
        ("f1", sk.f1_score), ("precision", sk.precision_score), ("recall", sk.recall_score),
    ):  # fmt: skip
        nothing = int(not wanted.any() and not given.any())
        expected = 100 * score(wanted, given, average="micro", zero_division=nothing)
        assert float(found[name]) == pytest.approx(expected), name
    assert float(found["exact"]) == pytest.approx(100 * sk.accuracy_score(wanted, given))
    macro = sk.f1_score(wanted, given, average=None, zero_division=np.nan)
    made = multilabel.report(rows, said)["macro_f1"]
    assert made == pytest.approx(0 if np.isnan(macro).all() else 100 * np.nanmean(macro), abs=1e-4)


def test_who_says_nothing_is_not_precise() -> None:
    """A model that found nothing of what was to be found had a precision of 100."""
    silent = multilabel.metrics(total(multilabel, [{"labels": ["a"]}], [{"labels": []}]))
    assert (float(silent["precision"]), float(silent["recall"])) == (0.0, 0.0)
    loud = multilabel.metrics(total(multilabel, [{"labels": []}], [{"labels": ["a"]}]))
    assert (float(loud["precision"]), float(loud["recall"])) == (0.0, 0.0)
    assert float(multilabel.metrics(np.zeros(5))["precision"]) == 0.0


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=30))
def test_r2_and_errors(pairs: list[tuple[float, float]]) -> None:
    gold, told = (list(side) for side in zip(*pairs, strict=True))
    rows, said = [{"value": one} for one in gold], [{"value": one} for one in told]
    found = regression.metrics(total(regression, rows, said))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = 100 * sk.r2_score(gold, told) if len(gold) > 1 else 100.0 * (gold == told)
    assert float(found["r2"]) == pytest.approx(expected, rel=1e-6, abs=1e-3)
    assert float(found["mae"]) == pytest.approx(sk.mean_absolute_error(gold, told), abs=1e-9)
    rmse = sk.root_mean_squared_error(gold, told)
    assert float(found["rmse"]) == pytest.approx(rmse, abs=1e-9)


@pytest.mark.parametrize("recipe", [classification, multilabel, regression])
def test_totals_of_any_shape_and_of_no_rows(recipe: Any) -> None:
    width = len(recipe.STATISTICS)
    found = recipe.metrics(np.zeros((2, 3, width)))
    assert set(recipe.METRICS) | {"n"} == set(found)
    assert all(values.shape == (2, 3) and np.isfinite(values).all() for values in found.values())
    assert float(recipe.metrics(np.zeros(width))[recipe.PRIMARY]) == 0.0


def test_a_perfect_row_is_worth_what_perfect_says() -> None:
    right = {
        classification: ({"label": "a"}, {"label": "a"}),
        multilabel: ({"labels": []}, {"labels": []}),
        regression: ({"value": 3.5}, {"value": 3.5}),
    }
    for recipe, (row, told) in right.items():
        made = recipe.row_scores(recipe.statistics(row, told)[None])
        assert made.tolist() == [recipe.PERFECT]
    off = regression.statistics({"value": 1.0}, {"value": 3.0})[None]
    assert regression.row_scores(off).tolist() == [-2.0]


def test_values_far_from_zero_keep_their_variance() -> None:
    years = [{"value": 2000.0 + n % 7} for n in range(5000)]
    told = [{"value": row["value"] + 0.5} for row in years]
    expected = 100 * sk.r2_score([r["value"] for r in years], [t["value"] for t in told])
    found = regression.metrics(total(regression, years, told))
    assert float(found["r2"]) == pytest.approx(expected, rel=1e-6)
    same = [{"value": 0.1}] * 7
    assert float(regression.metrics(total(regression, same, same))["r2"]) == 100.0
    off = [{"value": 0.2}] * 7
    assert float(regression.metrics(total(regression, same, off))["r2"]) == 0.0


def test_an_unknown_label_is_a_wrong_answer_and_no_error() -> None:
    assert classification.statistics({"label": "new"}, {"label": "a"}).tolist() == [1, 0]
    assert multilabel.statistics({"labels": ["new", "a"]}, {"labels": ["a"]}).tolist() == [
        1, 1, 0, 1, 0,
    ]  # fmt: skip
    made = classification.report([{"label": "new"}], [{"label": "a", "probability": 0.9}])
    assert [one["label"] for one in made["classes"]] == ["a", "new"] and made["macro_f1"] == 0


def _ece(sure: list[float], right: list[bool]) -> float:
    """Guo et al. 2017, row by row."""
    found = 0.0
    for low in range(class_report.BINS):
        edges = low / class_report.BINS, (low + 1) / class_report.BINS
        inside = [n for n, p in enumerate(sure) if edges[0] < p <= edges[1] or (p == 0 == low)]
        if inside:
            accuracy = sum(right[n] for n in inside) / len(inside)
            confidence = sum(sure[n] for n in inside) / len(inside)
            found += len(inside) / len(sure) * abs(accuracy - confidence)
    return 100 * found


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 997), st.booleans()), min_size=1, max_size=50))
def test_calibration_error(pairs: list[tuple[int, bool]]) -> None:
    sure, right = [n / 997 for n, _ in pairs], [one for _, one in pairs]
    made = class_report.calibration(sure, right)
    assert made["ece"] == pytest.approx(_ece(sure, right), abs=1e-4)
    assert sum(one["rows"] for one in made["bins"]) == len(pairs)
    assert len(made["bins"]) == class_report.BINS


def test_calibration_of_known_cases() -> None:
    assert class_report.calibration([1.0, 1.0], [True, True])["ece"] == 0
    assert class_report.calibration([1.0, 1.0], [False, False])["ece"] == 100
    assert class_report.calibration([0.75] * 4, [True, True, True, False])["ece"] == 0
    assert class_report.calibration([], [])["ece"] == 0


def test_decoding_a_label() -> None:
    logits = np.array([0.0, 2.0, 2.0, -1.0], dtype=np.float32)
    (found,) = classification.decode(
        [{}], [{"row": 0}], [{"logits": logits}], Evaluate(n_best=2), LABELS
    )
    exact = np.exp(logits.astype(float)) / np.exp(logits.astype(float)).sum()
    assert found["label"] == found["text"] == "b", "the first of equal ones"
    assert found["probability"] == round(float(exact[1]), 6) and found["no_answer"] is False
    assert [one["text"] for one in found["n_best"]] == ["b", "c"]


def test_decoding_labels() -> None:
    rows = [{}, {}]
    features = [{"row": 1}, {"row": 0}]
    made = [{"logits": np.array(one, dtype=np.float32)} for one in ([-900, -2], [0.0, 900])]
    first, second = multilabel.decode(rows, features, made, Evaluate(), ["x", "y"])
    assert (first["labels"], first["text"], first["no_answer"]) == (["y"], "y", False)
    assert first["probability"] == 0.5, "a probability of one half is not above it"
    assert (second["labels"], second["text"], second["no_answer"]) == ([], "", True)
    assert [one["text"] for one in second["n_best"]] == ["y", "x"]


def test_decoding_a_number() -> None:
    made = [{"logits": np.array([2.5], dtype=np.float32)}]
    (found,) = regression.decode([{}], [{"row": 0}], made, Evaluate())
    assert found == {
        "text": "2.5", "value": 2.5, "probability": 1.0, "no_answer": False, "n_best": [],
    }  # fmt: skip


def test_baselines_come_from_training_rows() -> None:
    rows = [{"label": "b"}, {"label": "a"}, {"label": "b"}, {"label": "a"}, {"label": "c"}]
    assert classification.common(rows) == "a", "of equal ones the first by name"
    assert classification.common([]) == ""
    assert classification.baseline({}, "a")["label"] == "a"
    assert regression.common([{"value": 1.0}, {"value": 2.0}]) == 1.5
    assert regression.common([]) == 0.0
    assert multilabel.common([]) == [] and multilabel.baseline({}, [])["no_answer"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sets(st.sampled_from(LABELS)), min_size=1, max_size=20))
def test_the_labels_of_the_baseline_are_the_best_for_all_rows(gold: list[set[str]]) -> None:
    rows = [{"labels": sorted(labels)} for labels in gold]

    def f1(labels: list[str]) -> float:
        told = [multilabel.baseline(row, labels) for row in rows]
        return float(multilabel.metrics(total(multilabel, rows, told))["f1"])

    subsets = [[x for n, x in enumerate(LABELS) if bits >> n & 1] for bits in range(1, 16)]
    chosen = multilabel.common(rows)
    if any(gold):
        assert f1(chosen) == pytest.approx(max(f1(subset) for subset in subsets))
    else:
        assert chosen == []
