"""Scoring: right numbers, each row once, and the same bytes whatever the cache held."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onward import files
from onward.config import Evaluate, Prepare
from onward.errors import NotFinite
from onward.evaluation import scorer
from onward.evaluation.ledger import LedgerPart, row_hash
from onward.evaluation.scorer import score
from onward.recipes import extractive
from tests import toys
from tests.recipes import readers

PREPARE = Prepare(max_length=48, stride=16, early_stopping_percent=0.0)
EVALUATE = Evaluate(batch_size=4, no_answer=True)


class Oracle:
    """Answers by the rows' own golds, counts what it is asked, and can die at the Nth batch.

    Its logits depend on the whole batch in their last digits, as a real runner's may.
    """

    artifact, provider, labels = "oracle", "torch", ()

    def __init__(self, rows: list[Any], dies_at: int = 0, poison: str = "") -> None:
        tokenizer = readers.encoder_tokenizer()
        self.batches: list[list[str]] = []
        self.dies_at, self.poison = dies_at, poison
        self.answers: dict[str, Any] = {}
        for row in rows:
            features = extractive.encode([row], tokenizer, PREPARE, labels=None)
            for feature, output in zip(features, readers.oracle([row], features), strict=True):
                self.answers[self.key(feature)] = (row["id"], output)

    @staticmethod
    def key(feature: Any) -> str:
        return files.digest([feature["input_ids"], feature["offsets"].tolist()])

    def predict(self, batch: list[Any], settings: Any = None) -> list[Any]:
        if len(self.batches) + 1 == self.dies_at:
            raise KeyboardInterrupt
        told = [self.answers[self.key(feature)] for feature in batch]
        self.batches.append([name for name, _ in told])
        trace = 1e-4 * sum(len(feature["input_ids"]) for feature in batch)
        made = []
        for name, output in told:
            bent = {key: values + trace * np.arange(len(values)) for key, values in output.items()}
            if name == self.poison:
                bent["end_logits"][3] = np.nan
            made.append(bent)
        return made


@pytest.fixture(scope="module")
def rows() -> dict[str, list[Any]]:
    first = toys.toy_rows(30, seed=1, no_answer=0.3)
    for row in first[::4]:
        row["context"] = row["context"] + " then the box was seen near a note" * 12
    return {"0001-a": first, "0002-b": toys.toy_rows(14, seed=2)}


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return readers.encoder_tokenizer()


def run(
    runner: Any, rows: Any, tokenizer: Any, cache: Path | None = None, settings: Any = EVALUATE
) -> LedgerPart:
    return score(
        extractive,
        runner,
        rows,
        tokenizer=tokenizer,
        prepare=PREPARE,
        evaluate=settings,
        cache=cache,
        label="score",
    )


def everything(rows: dict[str, list[Any]]) -> list[Any]:
    return [row for of_unit in rows.values() for row in of_unit]


def test_a_perfect_reader_scores_100_and_every_row_is_there(rows: Any, tokenizer: Any) -> None:
    made = run(Oracle(everything(rows)), rows, tokenizer)
    for unit, of_unit in rows.items():
        hashes, _ = made.statistics(unit)
        assert hashes == sorted(row_hash(extractive, row) for row in of_unit)
        found = extractive.metrics(made.total(unit))
        assert (found["em"], found["n"]) == (100.0, len(of_unit))
    assert made.scorer == extractive.scorer(EVALUATE, PREPARE)


def test_a_second_scoring_runs_nothing(rows: Any, tokenizer: Any, tmp_path: Path) -> None:
    first = run(Oracle(everything(rows)), rows, tokenizer, tmp_path)
    second = Oracle(everything(rows))
    assert run(second, rows, tokenizer, tmp_path).table.equals(first.table)
    assert second.batches == []


def test_another_artifact_provider_or_setting_is_scored_anew(
    rows: Any, tokenizer: Any, tmp_path: Path
) -> None:
    run(Oracle(everything(rows)), rows, tokenizer, tmp_path)
    for name in ("artifact", "provider"):
        other = Oracle(everything(rows))
        setattr(other, name, "other")
        run(other, rows, tokenizer, tmp_path)
        assert other.batches
    other = Oracle(everything(rows))
    run(other, rows, tokenizer, tmp_path, EVALUATE.model_copy(update={"n_best": 2}))
    assert other.batches


def test_only_new_units_are_run(rows: Any, tokenizer: Any, tmp_path: Path) -> None:
    run(Oracle(everything(rows)), {"0001-a": rows["0001-a"]}, tokenizer, tmp_path)
    second = Oracle(everything(rows))
    both = run(second, rows, tokenizer, tmp_path)
    assert {name for batch in second.batches for name in batch} == {
        row["id"] for row in rows["0002-b"]
    }
    assert both.table.equals(run(Oracle(everything(rows)), rows, tokenizer).table)


@pytest.mark.parametrize("dies_at", [1, 2, 5, 9, 14])
def test_i5_an_interrupted_scoring_ends_as_an_undisturbed_one(
    rows: Any, tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies_at: int
) -> None:
    monkeypatch.setattr(scorer, "FLUSH", 3)
    whole = Oracle(everything(rows))
    undisturbed = run(whole, rows, tokenizer)
    with pytest.raises(KeyboardInterrupt):
        run(Oracle(everything(rows), dies_at=dies_at), rows, tokenizer, tmp_path)
    second = Oracle(everything(rows))
    assert run(second, rows, tokenizer, tmp_path).table.equals(undisturbed.table)
    assert all(batch in whole.batches for batch in second.batches), "the batches are cut alike"
    lost = dies_at - 1 - (len(whole.batches) - len(second.batches))
    assert lost <= 4, "a row is done soon after it was begun"


def test_a_damaged_cache_is_scored_again(rows: Any, tokenizer: Any, tmp_path: Path) -> None:
    first = run(Oracle(everything(rows)), rows, tokenizer, tmp_path)
    paths = sorted(tmp_path.rglob("*.parquet"))
    data = bytearray(paths[0].read_bytes())
    data[len(data) // 2] ^= 1
    paths[0].write_bytes(bytes(data))
    second = Oracle(everything(rows))
    assert run(second, rows, tokenizer, tmp_path).table.equals(first.table)
    assert second.batches
    third = Oracle(everything(rows))
    run(third, rows, tokenizer, tmp_path)
    assert third.batches == []


def test_the_order_of_rows_and_units_makes_no_difference(rows: Any, tokenizer: Any) -> None:
    turned = {unit: of_unit[::-1] for unit, of_unit in reversed(rows.items())}
    made = [run(Oracle(everything(rows)), given, tokenizer).table for given in (rows, turned)]
    assert made[0].equals(made[1])


def test_f07_outputs_that_are_not_finite_are_refused_by_row(
    rows: Any, tokenizer: Any, tmp_path: Path
) -> None:
    bad = rows["0002-b"][5]["id"]
    with pytest.raises(NotFinite) as caught:
        run(Oracle(everything(rows), poison=bad), rows, tokenizer, tmp_path)
    assert bad in caught.value.where
    assert run(Oracle(everything(rows)), rows, tokenizer, tmp_path).table.num_rows == 44


def test_no_rows_are_no_error(tokenizer: Any) -> None:
    assert run(Oracle([]), {"0001-a": []}, tokenizer).units() == []
    assert run(Oracle([]), {}, tokenizer).table.num_rows == 0


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.evaluation import test_scorer as t
from onward.evaluation import scorer
scorer.FLUSH = 3
rows = {"0001-a": t.toys.toy_rows(24, seed=5)}
class Killer(t.Oracle):
    def predict(self, batch, settings=None):
        if len(self.batches) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().predict(batch)
t.run(Killer(rows["0001-a"]), rows, t.readers.encoder_tokenizer(), Path(sys.argv[1]))
"""


def test_f01_after_sigkill_only_the_rest_is_run(tokenizer: Any, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)], env=os.environ, check=False
    )
    assert done.returncode == -signal.SIGKILL
    rows = {"0001-a": toys.toy_rows(24, seed=5)}
    second, whole = Oracle(rows["0001-a"]), Oracle(rows["0001-a"])
    resumed = run(second, rows, tokenizer, tmp_path)
    assert resumed.table.equals(run(whole, rows, tokenizer).table)
    assert 0 < len(second.batches) < len(whole.batches)


def test_windows_that_are_too_many_to_hold_are_encoded_as_they_are_run(
    rows: Any, tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same batches, and so the same bits."""
    whole = Oracle(everything(rows))
    expected = run(whole, rows, tokenizer)
    monkeypatch.setattr(scorer, "HELD", 0)
    monkeypatch.setattr(scorer, "AT_ONCE", 4)
    encoded: list[int] = []
    real = extractive.encode

    def counted(given: Any, *rest: Any, **more: Any) -> Any:
        encoded.append(len(given))
        return real(given, *rest, **more)

    monkeypatch.setattr(extractive, "encode", counted)
    parted = Oracle(everything(rows))
    encoded.clear()
    found = run(parted, rows, tokenizer, tmp_path)
    assert found.table.equals(expected.table) and parted.batches == whole.batches
    assert max(encoded) <= max(4, EVALUATE.batch_size)
    # Once to be measured, once to be run, and a row or two more where a batch ends within one.
    count = len(everything(rows))
    assert 2 * count <= sum(encoded) <= 2 * count + len(whole.batches)
    for kept in tmp_path.iterdir():
        last = sorted(kept.iterdir())[-1]
        last.unlink()
    assert run(Oracle(everything(rows)), rows, tokenizer, tmp_path).table.equals(expected.table)
