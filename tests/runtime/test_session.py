"""Sessions: the scorer's answers, the asked-for provider, the checked bytes, and no torch."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onward import files
from onward.episodes import rows as parquet
from onward.errors import IntegrityError, ProviderError, UsageError
from onward.evaluation.ledger import read_parts, row_hash
from onward.project import Project
from onward.recipes import extractive
from onward.runtime import package as packages
from onward.runtime import providers
from onward.runtime.package import Package
from onward.runtime.session import Session
from tests.runtime.projects import UNIT

NO_GPU = pytest.mark.skipif(providers.devices() > 0, reason="this machine has a GPU")


@pytest.fixture(scope="module")
def session(packed: Path) -> Session:
    return Session(packed, "fp32", "cpu", threads=1)


def test_it_answers_as_the_ledger_says(session: Session, exported: Project) -> None:
    """One code path: what is scored is what serves, the row of several windows included."""
    parts = read_parts(exported.made("export") / "ledger.parquet")
    told = next(p for p in parts if p.artifact == session.artifact).predictions(UNIT)
    rows = parquet.read_all(exported.episode(UNIT) / "heldout.parquet")
    longest = max(rows, key=lambda row: len(row["context"]))
    assert len(extractive.encode([longest], session.tokenizer, session.prepare, labels=None)) > 1
    for row in [longest, *rows[:20]]:
        got, expected = (
            session.answer({"question": row["question"], "context": row["context"]}),
            told[row_hash(extractive, row)],
        )
        assert (got["text"], got["start"], got["end"]) == (
            expected["text"],
            expected["start"],
            expected["end"],
        )
        assert got["probability"] == pytest.approx(expected["probability"], abs=1e-4)
        assert row["context"][got["start"] : got["end"]] == got["text"]


def test_a_long_text_brings_no_warning_of_the_library(session: Session, exported: Project) -> None:
    """Recipes cut what they read; it said that running a long history would end in errors."""
    from onward.evaluation.runner import load_tokenizer

    for one in (session.tokenizer, load_tokenizer(exported.made("finetune") / "model")):
        one("it was red . " * 400)
        assert not one.deprecation_warnings


def test_no_features_give_no_outputs(session: Session) -> None:
    assert session.predict([]) == []


def test_a_feature_without_segments_counts_as_one_segment(session: Session) -> None:
    """A tokenizer that makes no token_type_ids serves a graph that has the input."""
    with_zeros = {"input_ids": [2, 9, 3], "token_type_ids": [0] * 3, "attention_mask": [1] * 3}
    without = {key: value for key, value in with_zeros.items() if key != "token_type_ids"}
    ours, theirs = session.predict([without])[0], session.predict([with_zeros])[0]
    np.testing.assert_array_equal(ours["end_logits"], theirs["end_logits"])


def test_the_artifact_is_the_one_that_the_package_states(packed: Path) -> None:
    spec = files.read_json(packed / packages.SPEC)
    for name, stated in spec["variants"].items():
        assert Session(packed, name, "cpu", 1).artifact == stated["artifact"]
    assert spec["variants"]["fp32"]["artifact"] != spec["variants"]["int8"]["artifact"]


@pytest.mark.parametrize("part", ["model", "tokenizer", "encoding", "recipe"])
def test_the_artifact_changes_with_whatever_can_change_an_output(packed: Path, part: str) -> None:
    package = packages.read(packed)
    changed = {
        "model": replace(package, model=package.model + b"\0"),
        "tokenizer": replace(
            package, tokenizer={**package.tokenizer, "tokenizer_config.json": b"{}"}
        ),
        "encoding": replace(
            package, spec={**package.spec, "encoding": {"max_length": 40, "stride": 16}}
        ),
        "recipe": replace(package, spec={**package.spec, "recipe": "other"}),
    }
    assert changed[part].artifact != package.artifact


def test_probes_and_limits_do_not_change_the_artifact(packed: Path) -> None:
    package = packages.read(packed)
    assert replace(package, spec={**package.spec, "probes": []}).artifact == package.artifact


def test_a_package_without_labels_keeps_the_name_it_always_had(packed: Path) -> None:
    """Ledgers and versions made before there were labels stay comparable."""
    package = packages.read(packed)
    assert "labels" not in package.spec
    hashed = {name: hashlib.sha256(data).hexdigest() for name, data in package.tokenizer.items()}
    before = {
        "model": hashlib.sha256(package.model).hexdigest(),
        "tokenizer": hashed,
        "recipe": "extractive",
        "encoding": {"max_length": 48, "stride": 16},
        "inputs": ["input_ids", "token_type_ids", "attention_mask"],
    }
    assert package.artifact == files.digest(before)


def test_a_serving_session_keeps_no_second_copy_of_the_weights(packed: Path) -> None:
    package: Package = packages.read(packed)
    assert Session(packed, "fp32", "cpu", 1).package.model == b""
    assert Session(package, provider="cpu", threads=1).package.model == package.model


@NO_GPU
def test_cuda_asked_for_and_not_given_is_an_error(packed: Path) -> None:
    with pytest.raises(ProviderError, match="CUDA was asked for and cannot be used"):
        Session(packed, provider="cuda")


@NO_GPU
def test_auto_without_a_gpu_is_the_cpu_and_says_so(packed: Path) -> None:
    assert Session(packed, provider="auto").provider == "onnx-cpu"


def test_another_provider_is_refused_by_name(packed: Path) -> None:
    with pytest.raises(UsageError, match="no provider 'tpu'"):
        Session(packed, provider="tpu")


def test_a_silent_fallback_of_the_runtime_is_noticed() -> None:
    """What ONNX Runtime does where CUDA's libraries are missing: it starts on the CPU."""
    with pytest.raises(ProviderError, match="the session started on CPUExecutionProvider"):
        providers.confirm("cuda", [providers.CPU])
    assert providers.confirm("auto", [providers.CPU]) == "cpu"
    assert providers.confirm("auto", [providers.CUDA, providers.CPU]) == "cuda"
    assert providers.confirm("cuda", [providers.CUDA, providers.CPU]) == "cuda"


def test_a_cuda_session_that_came_out_on_the_cpu_is_an_error(
    packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(providers, "pick", lambda asked: "cpu")
    with pytest.raises(ProviderError):
        Session(packed, "fp32", provider="cuda", threads=1)


def test_a_build_without_cuda_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [providers.CPU])
    with pytest.raises(ProviderError, match="built without CUDA"):
        providers.pick("cuda")
    assert providers.pick("auto") == "cpu"


def test_cuda_is_preferred_where_it_is_and_its_libraries_are_loaded_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import onnxruntime

    loaded: list[bool] = []
    monkeypatch.setattr(providers, "_missing_for_cuda", lambda: "")
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: loaded.append(True))
    assert providers.pick("auto") == "cuda" and loaded == [True]
    assert [p if isinstance(p, str) else p[0] for p in providers.names("cuda")] == [
        providers.CUDA,
        providers.CPU,
    ]
    assert providers.pick("cpu") == "cpu" and loaded == [True]


def test_answering_imports_no_torch(packed: Path) -> None:
    code = (
        "import sys, json; from pathlib import Path\n"
        "from onward.runtime.session import Session\n"
        "asked = {'question': 'which city is named?', 'context': 'it was seen near oslo .'}\n"
        "got = Session(Path(sys.argv[1]), provider='cpu').answer(asked)\n"
        "print(json.dumps({'text': got['text'], 'torch': 'torch' in sys.modules}))"
    )
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", code, str(packed)],
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == {"text": "oslo", "torch": False}


def test_a_graph_that_cannot_be_loaded_is_a_typed_error(packed: Path) -> None:
    import onnx

    package = packages.read(packed)
    proto = onnx.load_model_from_string(package.model)
    proto.graph.node[0].op_type = "NoSuchOperator"
    with pytest.raises(IntegrityError, match="cannot load the graph"):
        Session(replace(package, model=proto.SerializeToString()), provider="cpu")


def test_a_tokenizer_that_is_none_is_a_typed_error(packed: Path) -> None:
    package = packages.read(packed)
    broken: dict[str, Any] = {**package.tokenizer, "tokenizer.json": b'{"version": 1}'}
    with pytest.raises(IntegrityError, match="is not a tokenizer"):
        Session(replace(package, tokenizer=broken), provider="cpu")


def test_serving_json_names_the_variant(package: Path) -> None:
    packages.choose(package, "int8", "cpu")
    assert Session(package, threads=1).variant == "int8"
    assert Session(package, "fp32", threads=1).variant == "fp32"


def test_a_variant_that_is_not_there_is_refused(package: Path) -> None:
    with pytest.raises(UsageError, match="no variant 'int4'"):
        Session(package, "int4")
    with pytest.raises(UsageError, match="no variant 'int4'"):
        packages.choose(package, "int4", "cpu")
