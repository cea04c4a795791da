"""The stage benchmark: its report, its choice, the base beside it, and the refusal of a CPU for
CUDA. No test here looks at how long anything took."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from onward import files
from onward.config import Benchmark
from onward.episodes.turn import Base, Turn
from onward.errors import (
    DataError,
    IntegrityError,
    InternalError,
    ParityError,
    ProviderError,
    SettingsError,
)
from onward.project import Project
from onward.runtime import bench, inputs, memory, package, providers
from onward.runtime.session import Session
from tasks import stage
from tests import toys
from tests.runtime import projects


@pytest.fixture
def benched(exported: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of the exported project; memory is not measured, which takes seconds."""
    monkeypatch.setattr(memory, "peak_mb", _peak)
    return Project(Path(shutil.copytree(exported.root, tmp_path / "project")))


@pytest.fixture(scope="module")
def done(exported: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """After the stage, run once; read only."""
    root = tmp_path_factory.mktemp("done") / "project"
    project = Project(Path(shutil.copytree(exported.root, root)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "peak_mb", _peak)
        bench.run(project)
    return project


def _peak(ask: memory.Ask) -> float:
    return 100.0 if ask.kind == "onnx" else 400.0


def _entries(report: dict[str, Any]) -> dict[tuple[str, int, int], dict[str, Any]]:
    return {(e["variant"], e["batch"], e["length"]): e for e in report["timings"]}


def test_the_report_holds_every_variant_at_every_shape_with_raw_samples(done: Project) -> None:
    report = files.read_json(done.made("benchmark") / "report.json")
    assert sorted(files.verify(done.made("benchmark"))) == [
        "latency.png",
        "report.json",
        "samples.png",
    ]
    entries = _entries(report)
    shapes = [(1, 16), (2, 40)]
    assert set(entries) == {(v, *s) for v in ("torch", "fp32", "int8") for s in shapes}
    for (_, batch, length), entry in entries.items():
        served = (batch, length) == (1, 16)  # a budget rests on it, and 60 bound its p95
        assert len(entry["samples_ms"]) >= (60 if served else bench.REPEATS)
        assert not (entry["flag"] and served) and all(x > 0 for x in entry["samples_ms"])
        assert entry["p50_ms"] <= entry["p95_ms"] <= entry["p99_ms"]
        assert entry["p95_low_ms"] <= entry["p95_ms"] <= entry["p95_high_ms"]
        assert entry["tokens"] == batch * length and math.isfinite(entry["tokens_per_s"])
        assert entry["stopped"] in ("narrow", "time")
    assert report["provider"] == "cpu" and report["variant"] in ("fp32", "int8")
    assert report["why"] and report["champion"] is None and report["threads"] == 1
    assert report["memory"]["torch"] == {"mb": 400.0, "how": memory.HOW}
    assert report["serving_shape"] == [1, 16] and report["logit_difference"] < 1e-4


def test_the_flat_numbers_are_those_of_the_report(done: Project) -> None:
    report = files.read_json(done.made("benchmark") / "report.json")
    numbers = files.read_json(done.made("latency.json"))
    chosen = _entries(report)[(report["variant"], 1, 16)]
    assert numbers["serving_p95_ms"] == chosen["p95_ms"]
    assert numbers["serving_memory_mb"] == 100.0
    assert numbers["torch_2x40_p50_ms"] == _entries(report)[("torch", 2, 40)]["p50_ms"]
    assert all(isinstance(value, float | int) for value in numbers.values())


def test_the_pictures_are_pictures(done: Project) -> None:
    for name in ("latency.png", "samples.png"):
        data = (done.made("benchmark") / name).read_bytes()
        assert data.startswith(b"\x89PNG") and len(data) > 5_000


def test_the_base_is_timed_beside_where_it_is_a_version(benched: Project) -> None:
    with files.building(benched.version("v1")) as folder:
        shutil.copytree(benched.made("export") / "package", folder / "package")
        package.choose(folder / "package", "int8", "cpu")
    sealed = files.sha256(benched.version("v1") / files.MANIFEST)
    turn = Turn.read(benched)
    base = Base(kind="version", name="v1", sha256=sealed)
    turn.model_copy(update={"base": base}).write(benched)
    bench.run(benched)
    report = files.read_json(benched.made("benchmark") / "report.json")
    assert report["champion"] == "v1"
    assert ("champion", 1, 16) in _entries(report) and "champion" in report["memory"]
    assert report["variant"] in ("fp32", "int8")
    files.write_text(benched.version("v1") / "notes.txt", "another version under this name")
    (benched.version("v1") / files.MANIFEST).unlink()
    files.seal(benched.version("v1"))
    with pytest.raises(IntegrityError, match="not the one that was recorded"):
        bench.run(benched)


@pytest.mark.skipif(providers.devices() > 0, reason="this machine has a GPU")
def test_cuda_asked_for_and_not_given_fails_the_stage(benched: Project) -> None:
    text = projects.PARAMS.replace("provider: cpu", "provider: cuda")
    files.write_text(benched.params, text)
    with pytest.raises(ProviderError):
        bench.run(benched)
    assert not benched.made("benchmark").exists()


@pytest.mark.skipif(providers.devices() > 0, reason="this machine has a GPU")
def test_auto_is_the_cpu_where_cuda_does_not_start(
    benched: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A driver without cuDNN: the stage failed and advised to set what was set."""
    files.write_text(benched.params, projects.PARAMS.replace("provider: cpu", "provider: auto"))
    monkeypatch.setattr(providers, "_missing_for_cuda", lambda: "")
    monkeypatch.setattr("onnxruntime.preload_dlls", lambda: None)
    bench.run(benched)
    assert files.read_json(benched.made("benchmark") / "report.json")["provider"] == "cpu"


def test_a_graph_that_answers_differently_here_fails_the_stage(
    benched: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another provider's kernels could do, done to the numbers themselves."""
    exact = Session.predict

    def off(self: Session, batch: list[Any]) -> list[Any]:
        return [{k: v + 0.1 for k, v in one.items()} for one in exact(self, batch)]

    monkeypatch.setattr(Session, "predict", off)
    with pytest.raises(ParityError, match=r"differ from torch's by 0\.1"):
        bench.run(benched)


@pytest.mark.parametrize("name", ["package/model.onnx", "texts.json"])
def test_a_spoilt_export_is_not_timed(benched: Project, name: str) -> None:
    path = benched.made("export") / name
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(IntegrityError, match="is changed"):
        bench.run(benched)


def test_memory_is_the_peak_of_a_fresh_process(exported: Project) -> None:
    """The real measurement, once: more than an interpreter with its libraries, less than a GB."""
    package_dir = exported.made("export") / "package"
    texts = str(exported.made("export") / "texts.json")
    ask = memory.Ask("onnx", str(package_dir), "fp32", "cpu", 1, "extractive", texts, 1, 16)
    assert 30 < memory.peak_mb(ask) < 1000


def test_memory_that_takes_too_long_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "SECONDS", 0.01)
    ask = memory.Ask("onnx", str(tmp_path), "fp32", "cpu", 1, "extractive", "texts.json", 1, 16)
    with pytest.raises(InternalError, match=r"did not end within 0\.01 s"):
        memory.peak_mb(ask)


def test_memory_raises_what_the_process_raised(exported: Project, tmp_path: Path) -> None:
    texts = str(exported.made("export") / "texts.json")
    ask = memory.Ask("onnx", str(tmp_path), "fp32", "cpu", 1, "extractive", texts, 1, 16)
    with pytest.raises(Exception, match="There is no package"):
        memory.peak_mb(ask)


@pytest.mark.parametrize(("batch", "length"), [(1, 16), (3, 48), (8, 200)])
def test_inputs_are_real_tokens_of_exactly_the_length(
    exported: Project, packed: Path, batch: int, length: int
) -> None:
    tokenizer = Session(packed, "fp32", "cpu", 1).tokenizer
    texts = files.read_json(exported.made("export") / "texts.json")
    made = inputs.batches(tokenizer, texts, batch, length)
    assert len(made) == inputs.TURNS and made[0] != made[1]
    for feature in (f for one in made for f in one):
        assert len(feature["input_ids"]) == sum(feature["attention_mask"]) == length
        assert tokenizer.pad_token_id not in feature["input_ids"]
        assert feature["input_ids"][0] == tokenizer.cls_token_id
    assert {len(one) for one in made} == {batch}


def test_inputs_of_one_text_are_the_texts_one_after_another(packed: Path) -> None:
    tokenizer = Session(packed, "fp32", "cpu", 1).tokenizer
    made = inputs.batches(tokenizer, [["red fox"], ["seen near oslo"]], 2, 7)
    first, second = (tokenizer.decode(feature["input_ids"]) for feature in made[0])
    assert first == "[CLS] red fox seen near oslo [SEP]"
    assert second == "[CLS] seen near oslo red fox [SEP]"


def test_too_little_text_is_named(packed: Path) -> None:
    tokenizer = Session(packed, "fp32", "cpu", 1).tokenizer
    with pytest.raises(DataError, match="the benchmark needs 64"):
        inputs.batches(tokenizer, [["?", "red fox"]], 1, 64)
    with pytest.raises(DataError):
        inputs.batches(tokenizer, [], 1, 16)


def test_the_variants_are_chosen_from_at_the_serving_shape_alone() -> None:
    settings = Benchmark(shapes=[(8, 16), (1, 32), (1, 16)], serving_shape=(1, 32))
    timed = [
        {"variant": name, "batch": batch, "length": length, "p95_ms": float(at)}
        for name in ("torch", "fp32", "int8", "champion")
        for at, (batch, length) in enumerate(settings.shapes)
    ]
    timings = [{**one, "p95_low_ms": 0.0, "p95_high_ms": 9.0} for one in timed]
    used = {name: {"mb": 100.0} for name in ("torch", "fp32", "int8", "champion")}
    found = bench._measured(timings, used, settings)
    assert [(one.variant, one.p95_ms) for one in found] == [("fp32", 1.0), ("int8", 1.0)]


def test_the_serving_shape_has_to_be_timed() -> None:
    with pytest.raises(ValueError, match="serving_shape"):
        Benchmark(shapes=[(1, 16)], serving_shape=(1, 32))


@pytest.mark.parametrize("shape", [(0, 16), (1, 0), (1, -5), (1, 2)])
def test_an_empty_shape_is_refused(shape: tuple[int, int]) -> None:
    """Its p95 would be of nothing, and keep every limit."""
    with pytest.raises(ValueError, match="shapes"):
        Benchmark(shapes=[shape], serving_shape=shape)


def test_a_shape_longer_than_the_model_is_told_before_training(
    toy_encoder: Path, tmp_path: Path
) -> None:
    rows = toys.toy_rows(8, 1)
    shapes = {"shapes": [[1, 16], [1, 513]], "serving_shape": [1, 16]}
    project = toys.toy_project(tmp_path, toy_encoder, {"one": rows}, benchmark=shapes)
    with pytest.raises(SettingsError, match="513 tokens is longer than the model's 512") as caught:
        stage.require(project)
    assert caught.value.where == "params.yaml, benchmark.shapes"
    text = project.params.read_text(encoding="utf-8")
    project.params.write_text(text.replace("513", "512"), encoding="utf-8")
    stage.require(project)
