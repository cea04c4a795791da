"""A project of conversations through the whole loop: from a file to an answer."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from cli import main
from onward import files
from onward.config import Evaluate
from onward.episodes.checks import check
from onward.episodes.kinds import KINDS
from onward.evaluation import evaluate
from onward.evaluation.ledger import read_parts
from onward.learning import finetune, prepare
from onward.project import Project
from onward.recipes import chat, prompting
from onward.runtime import export, probe
from onward.runtime.session import Session
from onward.serving.ask import ask
from onward.serving.talk import Talk
from tests import loop, toys

PARAMS: dict[str, dict[str, Any]] = {
    "prepare": {"max_length": 96, "stride": 0},
    "finetune": {
        **toys.PARAMS["finetune"],
        "first_learning_rate": 0.01,
        "first_epochs": 5,
        "batch_size": 16,
        "micro_batch": 16,
    },
    "evaluate": {"max_new_tokens": 6},
    "quality": {"measure": {"answers": "off"}},
}


def test_a_conversation_is_learned_promoted_and_gone_on_with(
    toy_causal: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    project = loop.begun(tmp_path / "talk", toy_causal, "chat", **PARAMS)
    verdict = loop.learned(project, "first", toys.toy_talks(240, 1), monkeypatch)
    assert verdict.outcome == "promoted", verdict
    report = files.read_json(project.made("export") / "report.json")["parity"]
    assert report["generated"]["equal"] == report["generated"]["rows"]
    before = ["what is red ?", "colour"]
    found = ask(project, {"question": "what is fox ? 1 2", "history": before}, threads=1)
    assert found.text == "animal" and found.prediction["ended"] == "end"
    asked_on_the_command_line(project, tmp_path, monkeypatch, capsys)


def asked_on_the_command_line(
    project: Project,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(project.root)
    capsys.readouterr()
    turns = folder / "turns.json"
    turns.write_text(json.dumps(["what is red ?", "colour"]))
    assert main.start(["ask", "what is fox ? 1 2", "--history", str(turns), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["inputs"]["history"] == ["what is red ?", "colour"] and told["text"] == "animal"
    turns.write_text('["only a question"]')
    assert main.start(["ask", "what is fox ?", "--history", str(turns)]) == 3
    monkeypatch.setattr("sys.stdin", io.StringIO("what is oslo ? 3 4\n\n"))
    assert main.start(["ask", "what is fox ? 1 2", "--talk"]) == 0
    assert [one for one in capsys.readouterr().out.split() if one in toys.KINDS] == [
        "animal",
        "city",
    ]
    talk = Talk.begin(project, {"history": ["what is red ?", "colour"]})
    assert "".join(talk.pieces("what is fox ? 1 2")) == "animal"
    assert talk.history == ["what is red ?", "colour", "what is fox ? 1 2", "animal"]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"question": "Who?"}, "answer-missing"),
        ({"question": "Who?", "references": []}, "answer-missing"),
        ({"question": " ", "references": "Ana"}, "blank"),
        ({"question": "Who?", "references": "Ana", "history": ["Hi"]}, "turns-unclear"),
        ({"question": "Who?", "references": "Ana", "history": ["Hi", " "]}, "blank"),
        ({"question": "Who?", "references": "Ana", "history": {"a": 1}}, "wrong-type"),
    ],
)
def test_D04_D05_D06_rows_of_conversations_that_cannot_be_taken(
    fields: dict[str, Any], reason: str
) -> None:
    assert check(fields, 1_000, KINDS["chat"]).reason == reason


def prompted(root: Path, base: Path, recipe: str, prompt: str, **finetuned: Any) -> Project:
    """A turn whose candidate is made without training, down to its scores."""
    make = toys.toy_talks if recipe == "chat" else toys.toy_texts
    params = {**PARAMS, "prepare": {"max_length": 192, "stride": 0}}
    settings = {**toys.PARAMS["finetune"], "tuning": "none", "prompt": prompt, **finetuned}
    params["finetune"], params["export"] = settings, {"threads": 1, "int8": False}
    project: Project = toys.toy_project(root, base, {"first": make(48, 1)}, recipe, **params)
    shutil.copytree(Path(__file__).parents[2] / "prompts", project.root / "prompts")
    for stage in (prepare, finetune, evaluate):
        stage.run(project)
    return project


def test_labels_told_by_their_names_are_a_candidate_with_its_template(
    toy_encoder: Path, tmp_path: Path
) -> None:
    project = prompted(tmp_path, toy_encoder, "classification", "labels")
    made = project.made("finetune")
    spec = files.read_json(made / "spec.json")
    assert spec["tuning"] == "none" and spec["trainable"] == 0 and spec["steps"] == 0
    assert spec["prompt"] == {
        "name": "labels",
        "sha256": files.sha256(project.prompt("labels")),
    }
    (part, *_) = read_parts(project.made("evaluate") / "ledger.parquet")
    assert part.provider == "torch"


def test_a_logit_is_the_cosine_of_text_and_label(toy_encoder: Path, tmp_path: Path) -> None:
    import torch

    from onward.learning import encoder, models, pooled
    from onward.learning.structures.prompted import TEMPERATURE
    from onward.recipes import classification

    project = prompted(tmp_path, toy_encoder, "classification", "labels")
    folder = project.made("finetune") / "model"
    model = models.load(classification, folder, {})
    plain, tokenizer = pooled.encoder(toy_encoder), encoder.tokenizer(toy_encoder)
    texts = ["the fox was red", "This is about animal.", "This is about city."]
    with torch.no_grad():
        apart = []
        for text in texts:
            inputs = tokenizer([text], return_tensors="pt")
            hidden = plain(**inputs).last_hidden_state
            apart.append(pooled.mean(hidden, inputs["attention_mask"])[0])
        logits = model(**tokenizer(texts[:1], return_tensors="pt"))["logits"][0]
    assert classification.labels_of(folder) == ("animal", "city", "colour")
    for at, label in enumerate(apart[1:]):
        assert float(logits[at]) == pytest.approx(float(apart[0] @ label) / TEMPERATURE, abs=1e-3)


@pytest.mark.slow
def test_examples_are_served_as_they_were_scored(
    toy_encoder: Path, toy_causal: Path, tmp_path: Path
) -> None:
    """Retriever, examples and wording lie in the package; held-out rows are no examples."""
    project = prompted(
        tmp_path, toy_causal, "chat", "few-shot", retriever=str(toy_encoder), prompt_rows=12
    )
    spec = files.read_json(project.made("finetune") / "spec.json")
    assert spec["prompt"]["shots"] == 4 and spec["prompt"]["examples"] == 12
    summary = files.read_json(project.made("evaluate") / "summary.json")
    assert summary["shots"]["mean"] == summary["shots"]["wanted"] == 4
    export.run(project)
    package = project.made("export") / "package"
    held = {row["id"] for row in toys.toy_talks(48, 1) if row["title"] in ("Talk 1 6", "Talk 1 7")}
    told = json.loads((package / "prompt.json").read_text())
    asked = {row["question"] for row in toys.toy_talks(48, 1) if row["id"] in held}
    assert len(told["examples"]) == 12 and not asked & {one["question"] for one in told["examples"]}
    report = files.read_json(project.made("export") / "report.json")["parity"]["generated"]
    assert report["equal"] == report["rows"]
    assert probe.check(package)["probes"] > 0
    session = Session(package, provider="cpu", threads=1)
    row = {"question": "what is red ?", "context": None, "history": [], "references": []}
    (feature,) = chat.encode([row], session.tokenizer, session.prepare, labels=None)
    (asking,) = prompting.of(session.tokenizer).asked([row])
    turns = sum(asking[prompting.SHOTS])
    assert len(asking[prompting.SHOTS]) == 4 and turns > 4
    assert session.tokenizer.decode(feature["input_ids"]).count("<|assistant|>") == turns + 1
    assert Evaluate.model_validate(session.package.spec["decoding"]).max_new_tokens == 6


def taught(root: Path, base: Path, rows: list[dict[str, Any]]) -> Path:
    """A model that has learned rows, for a project that trains none."""
    project = toys.toy_project(root / "taught", base, {"first": rows}, "chat", **PARAMS)
    for stage in (prepare, finetune):
        stage.run(project)
    return Path(project.made("finetune") / "model")


@pytest.mark.slow
def test_a_prompt_is_gated_promoted_and_asked_like_weights(
    toy_encoder: Path, toy_causal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pretrained model is one that can do the task; the candidate adds no weight to it."""
    pretrained = taught(tmp_path, toy_causal, toys.toy_talks(240, 1))
    settings = {**toys.PARAMS["finetune"], "tuning": "none", "prompt": "one"}
    params = {**PARAMS, "finetune": {**settings, "retriever": str(toy_encoder)}}
    project = loop.begun(tmp_path / "asked", pretrained, "chat", **params)
    files.write_text(project.prompt("one"), "shots: 1\n")
    verdict = loop.learned(project, "first", toys.toy_talks(240, 2), monkeypatch)
    assert verdict.outcome == "promoted", verdict
    version = project.version("v1")
    assert files.read_json(version / "spec.json")["prompt"]["shots"] == 1
    for place in ("checkpoint", "package"):
        assert (version / place / "prompt.json").is_file()
    weights = files.sha256(version / "checkpoint" / "model.safetensors")
    assert weights == files.sha256(pretrained / "model.safetensors")
    assert ask(project, {"question": "what is fox ? 1 2"}, threads=1).text == "animal"


@pytest.mark.slow
def test_steps_are_candidates_and_the_answer_is_taken_from_them(
    toy_causal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it is scored and where it serves; all that was written stays beside the answer."""
    steps = toys.toy_talks(240, 1)
    for row in steps:
        row["references"] = [f"seen . Answer: {row['references'][0]}"]
    pretrained = taught(tmp_path, toy_causal, steps)
    settings = {**toys.PARAMS["finetune"], "tuning": "none", "prompt": "marked"}
    params = {**PARAMS, "finetune": settings, "evaluate": {"max_new_tokens": 24}}
    params["gate"] = {"floor": 30.0}  # of how often it is right nothing is asked here
    project = loop.begun(tmp_path / "asked", pretrained, "chat", **params)
    files.write_text(project.prompt("marked"), 'take: "Answer:"\n')
    verdict = loop.learned(project, "first", toys.toy_talks(240, 2), monkeypatch)
    assert verdict.outcome == "promoted", verdict
    spec = files.read_json(project.made("finetune") / "spec.json")
    assert spec["prompt"]["sha256"] == files.sha256(project.prompt("marked"))
    parts = read_parts(project.made("evaluate") / "ledger.parquet")
    (part,) = (one for one in parts if one.provider == "torch")
    told = [one for unit in part.units() for one in part.predictions(unit).values()]
    assert told and {one["text"] for one in told} <= set(toys.KINDS)
    found = ask(project, {"question": "what is fox ? 1 2"}, threads=1)
    assert found.text in toys.KINDS
    for one in (*told, found.prediction):
        before, _, last = one["reasoning"].rpartition("Answer: ")
        assert before.startswith("seen .") and last == one["text"]
