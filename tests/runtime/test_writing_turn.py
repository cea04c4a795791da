"""A translation project through the whole loop: from a file to answers, whole and as they come."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli import main
from onward import config, files
from onward.config import Evaluate
from onward.errors import IntegrityError, SettingsError
from onward.project import Project
from onward.runtime import package
from onward.runtime.session import Session
from onward.serving.ask import ask
from tests import loop
from tests.learning import writing
from tests.runtime.labelled import reseal

PARAMS: dict[str, dict[str, Any]] = {
    "prepare": {"max_length": 32, "stride": 8},
    "finetune": {"first_learning_rate": 0.005, "first_epochs": 10, "batch_size": 16},
    "evaluate": {"max_new_tokens": 12},
    "gate": {"floor": 10.0},
    "benchmark": {"shapes": [[1, 8]], "serving_shape": [1, 8], "new_tokens": 4},
}


@pytest.fixture(scope="session")
def promoted(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose first candidate was promoted; read only."""
    root = tmp_path_factory.mktemp("writing")
    encoder = writing.toy_writer(root / "encoder")
    project = loop.begun(root / "project", encoder, "translation", **PARAMS)
    with pytest.MonkeyPatch.context() as patched:
        verdict = loop.learned(project, "words", writing.translated(280, seed=1), patched)
    assert verdict.outcome == "promoted", verdict
    return project


def test_a_generation_of_the_graphs_is_torchs_token_for_token(promoted: Project) -> None:
    report = files.read_json(promoted.made("export") / "report.json")
    found = report["parity"]["generated"]
    assert found["equal"] + found["ties"] == found["rows"] > 40
    assert found["equal"] > 0.9 * found["rows"]
    assert report["parity"]["logit_difference"] < 1e-3
    assert report["parts"]["encoder"]["attention_fused"] == 1
    assert sorted(path.name for path in (promoted.made("export") / "package").iterdir()) == [
        "encoder.onnx",
        "manifest.json",
        "model.onnx",
        "package.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]


def test_scores_are_of_generated_text_beside_the_copied_source(promoted: Project) -> None:
    summary = files.read_json(promoted.made("evaluate") / "summary.json")
    unit = summary["units"]["0001-words"]
    assert summary["metric"] == "bleu" and summary["generated"]["rows"] == unit["rows"]
    assert unit["before"]["bleu"] == 0 and unit["after"]["bleu"] > 10


def test_the_benchmark_times_whole_answers_and_their_first_token(promoted: Project) -> None:
    report = files.read_json(promoted.made("benchmark") / "report.json")
    assert report["timed"].startswith("from token ids to the last of benchmark.new_tokens")
    for one in report["timings"]:
        assert one["new_tokens"] == 4 and 0 < one["first_token_p50_ms"] < one["p50_ms"]
        assert one["tokens_per_s"] == pytest.approx(4000 / one["mean_ms"], rel=0.01)
    assert "serving_first_token_p50_ms" in files.read_json(promoted.made("latency.json"))


def test_the_champion_answers_and_streams_the_same_text(promoted: Project) -> None:
    found = ask(promoted, {"text": "red fox"}).prediction
    assert found["ended"] == "end" and found["text"].isupper()
    session = Session(promoted.made("export") / "package", provider="cpu", threads=1)
    pieces = list(session.stream({"text": "red fox"}))
    assert len(pieces) > 1 and "".join(pieces).strip() == found["text"]


def test_summaries_go_the_same_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    rows = writing.translated(280, seed=2)
    encoder = writing.toy_writer(tmp_path / "encoder")
    settings = {**PARAMS, "gate": {"floor": 30.0}}
    project = loop.begun(tmp_path / "project", encoder, "summarization", **settings)
    assert loop.learned(project, "words", rows, monkeypatch).outcome == "promoted"
    summary = files.read_json(project.made("evaluate") / "summary.json")
    unit = summary["units"]["0001-words"]
    assert summary["metric"] == "rouge_l"
    assert unit["after"]["rouge_l"] > 30 + unit["baseline"]["rouge_l"]
    parity = files.read_json(project.made("export") / "report.json")["parity"]
    assert parity["units"][0]["onnx"] == parity["units"][0]["torch"]
    monkeypatch.chdir(project.root)
    assert main.start(["ask", "red fox", "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["version"] == "v1" and "XOF" in told["text"].split()


def test_drawn_answers_are_the_seeds_and_the_prompts_own(promoted: Project) -> None:
    session = Session(promoted.made("export") / "package", provider="cpu", threads=1)
    drawn = config.parse(
        {"temperature": 1.5, "seed": 1, "max_new_tokens": 8}, Evaluate, where="test"
    )
    texts = ["red fox", "oslo", "blue otter lima"]
    batch = [{"input_ids": session.tokenizer(text)["input_ids"]} for text in texts]
    together = session.predict(batch, drawn)
    for feature, one in zip(batch, together, strict=True):
        (alone,) = session.predict([feature], drawn)
        assert alone["tokens"].tolist() == one["tokens"].tolist()
    other = session.predict(batch, drawn.model_copy(update={"seed": 2}))
    assert [o["tokens"].tolist() for o in other] != [t["tokens"].tolist() for t in together]


def test_a_prompt_and_answer_without_room_are_refused(promoted: Project) -> None:
    session = Session(promoted.made("export") / "package", provider="cpu", threads=1)
    batch = [{"input_ids": [5] * 8}]
    long = config.parse({"max_new_tokens": 2000}, Evaluate, where="test")
    with pytest.raises(SettingsError, match="do not fit: the model has places for 1024"):
        session.predict(batch, long)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"layers": 2}, "not those that 'generation'"),
        ({"end": "x"}, "no usable 'generation'"),
    ],
)
def test_a_package_whose_generation_is_not_its_graphs_is_refused(
    promoted: Project, tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    """S: who can rewrite the folder cannot make the loop read what is not there."""
    folder = _copy(promoted, tmp_path)
    spec = json.loads((folder / package.SPEC).read_text(encoding="utf-8"))
    reseal(folder, generation={**spec["generation"], **changed})
    with pytest.raises(IntegrityError, match=said):
        Session(folder, provider="cpu")


def test_a_package_without_its_encoder_is_refused(promoted: Project, tmp_path: Path) -> None:
    folder = _copy(promoted, tmp_path)
    (folder / "encoder.onnx").unlink()
    with pytest.raises(IntegrityError, match=r"encoder\.onnx, named by package\.json, is missing"):
        Session(folder, provider="cpu")


def _copy(project: Project, to: Path) -> Path:
    import shutil

    return Path(shutil.copytree(project.made("export") / "package", to / "package"))
