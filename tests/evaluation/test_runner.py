"""The torch runner: logits without padding, an artifact's name, a candidate's settings."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onward.config import Evaluate, Prepare
from onward.errors import IntegrityError, ProviderError
from onward.evaluation.runner import TorchRunner, fingerprint, resolve
from onward.recipes import extractive
from tests import toys


@pytest.fixture(scope="module")
def reader(toy_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a toy reader: an encoder with a span head and its tokenizer."""
    import torch

    folder = tmp_path_factory.mktemp("reader") / "model"
    shutil.copytree(toy_encoder, folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        extractive.build(toy_encoder, {}).save_pretrained(folder)
    return folder


def features(runner: TorchRunner) -> list[Any]:
    rows = toys.toy_rows(9, seed=4)
    return extractive.encode(rows, runner.tokenizer, Prepare(), labels=None)


def test_logits_of_a_batch_are_those_of_each_alone(reader: Path) -> None:
    runner = TorchRunner(reader, threads=1)
    given = features(runner)
    assert len({len(one["input_ids"]) for one in given}) > 3
    together = runner.predict(given)
    for feature, output in zip(given, together, strict=True):
        assert set(output) == {"start_logits", "end_logits"}
        (alone,) = runner.predict([feature])
        for name, values in output.items():
            assert values.shape == (len(feature["input_ids"]),) and values.dtype == np.float32
            np.testing.assert_allclose(values, alone[name], atol=1e-5)
    assert runner.predict([]) == []
    assert runner.provider == ("torch" if runner.device == "cpu" else "torch-cuda")


def test_dropout_is_off_and_two_runs_are_equal(reader: Path) -> None:
    one, other = (TorchRunner(reader, threads=1) for _ in range(2))
    given = features(one)
    for left, right in zip(one.predict(given), other.predict(given), strict=True):
        assert left["start_logits"].tobytes() == right["start_logits"].tobytes()
    assert one.artifact == other.artifact


def test_the_artifact_changes_with_any_file(reader: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(reader, copy)
    assert fingerprint(copy) == fingerprint(reader) == TorchRunner(reader, threads=1).artifact
    (copy / "tokenizer_config.json").write_text("{}")
    assert fingerprint(copy) != fingerprint(reader)


def test_an_encoder_without_a_head_is_no_reader(toy_encoder: Path) -> None:
    with pytest.raises(IntegrityError, match="lacks 2 weights"):
        TorchRunner(toy_encoder, threads=1)


def test_cuda_that_is_not_there_is_refused(reader: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ProviderError, match="finds no GPU"):
        TorchRunner(reader, threads=1, device="cuda")
    assert TorchRunner(reader, threads=1).device == "cpu"


@pytest.mark.parametrize("learned", [True, False])
@pytest.mark.parametrize("asked", [True, False, None])
def test_whether_no_answer_may_be_answered(learned: bool, asked: bool | None) -> None:
    spec = {"max_length": 64, "stride": 8, "no_answer": learned}
    prepare, evaluate = resolve(spec, Evaluate(no_answer=asked, n_best=3))
    assert (prepare.max_length, prepare.stride) == (64, 8)
    assert evaluate.no_answer is (learned if asked is None else asked)
    assert evaluate.n_best == 3
