"""Tagging and relation from a delivered file to an answer: two turns, in which labels grow."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli import main
from onward import files
from onward.episodes.turn import rows
from onward.errors import DataError, IntegrityError, UsageError
from onward.evaluation import gate, gathering
from onward.evaluation.ledger import read_parts, row_hash
from onward.learning import models
from onward.project import Project
from onward.recipes import relation, tagging
from onward.registry import versions
from onward.runtime import package as packages
from onward.serving.ask import ask
from tests import loop, toys
from tests.runtime.labelled import reseal

LEARNS: dict[str, Any] = {
    "finetune": {
        "first_learning_rate": 0.005,
        "first_epochs": 6,
        "learning_rate": 0.004,
        "epochs": 4,
        "batch_size": 16,
        "micro_batch": 16,
    },
    "gate": {"floor": 60.0},
}
OLD, NEW = ("colour", "animal"), ("animal", "city")


def turns(
    home: Path, encoder: Path, recipe: str, make: Any, episodes: dict[str, tuple[str, ...]]
) -> Project:
    project = loop.begun(home / "project", encoder, recipe, **LEARNS)
    with pytest.MonkeyPatch.context() as patch:
        for seed, (name, kinds) in enumerate(episodes.items(), start=1):
            verdict = loop.learned(project, name, make(240, seed, 40, kinds), patch)
            assert verdict.outcome == "promoted", verdict.reasons
    return project


@pytest.fixture(scope="module")
def tagged(toy_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    home = tmp_path_factory.mktemp("tagged")
    grown = {"first": OLD, "second": NEW}
    yield turns(home, toy_encoder, "tagging", toys.toy_tagged, grown)


@pytest.fixture(scope="module")
def related(toy_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    home = tmp_path_factory.mktemp("related")
    yield turns(home, toy_encoder, "relation", toys.toy_related, {"first": OLD})


def scores(project: Project, version: str, recipe: Any) -> dict[str, float]:
    (part, *_) = read_parts(project.version(version) / "ledger.parquet")
    return {unit[5:]: float(recipe.metrics(part.total(unit))["f1"]) for unit in part.units()}


def answered(project: Project) -> dict[str, Any]:
    """A held-out row with a city, of whose spans v2's package found all."""
    (part, *_) = read_parts(project.version("v2") / "ledger.parquet")
    made = part.predictions("0002-second")
    return next(
        row
        for row in rows(project, "0002-second", "heldout")
        if "city" in row["tags"]
        and made[row_hash(tagging, row)]["spans"] == list(map(list, tagging.spans_of(row)))
    )


def test_tags_grow_and_serve(
    tagged: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old = ["O", "B-animal", "I-animal", "B-colour", "I-colour"]
    for version, labels in (("v1", old), ("v2", [*old, "B-city", "I-city"])):
        assert files.read_json(tagged.version(version) / "spec.json")["labels"] == labels
        package = packages.read(tagged.version(version) / "package", "fp32")
        assert package.spec["labels"] == labels
    assert min(scores(tagged, "v2", tagging).values()) > 80
    row = answered(tagged)
    text, spans = row["text"], tagging.spans_of(row)
    told = ask(tagged, {"text": text}, threads=1)
    assert told.prediction["spans"] == [list(span) for span in spans]
    assert told.text == "; ".join(tagging.gold(row)) and "city: " in told.text
    monkeypatch.chdir(tagged.root)
    assert main.start(["ask", text]) == 0
    first, *others, last = capsys.readouterr().out.splitlines()
    assert first == told.text and len(others) == len(spans) and "v2 fp32 on onnx-cpu" in last
    long = " ".join([text] * 30)
    found = ask(tagged, {"text": long}, threads=1).prediction["spans"]
    assert len(found) > 20 * len(spans) and max(end for _, end, _ in found) > 25 * len(text)


def test_the_report_is_by_tag_and_the_graph_answers_as_torch(tagged: Project) -> None:
    summary = files.read_json(tagged.made("evaluate") / "summary.json")
    assert [one["label"] for one in summary["classes"]] == ["animal", "city", "colour"]
    assert {one["slice"] for one in summary["slices"]} >= {"entities", "title"}
    report = files.read_json(tagged.made("export") / "report.json")
    assert report["parity"]["logit_difference"] < 1e-3
    assert all(abs(unit["change"]) < 0.3 for unit in report["parity"]["units"])


def test_relations_are_learned_and_serve(
    related: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = files.read_json(related.version("v1") / "spec.json")
    both = [f"{kind}({way})" for kind in ("animal", "colour") for way in ("e1,e2", "e2,e1")]
    assert spec["labels"] == ["Other", *both]
    assert min(scores(related, "v1", relation).values()) > 70
    text = "a <e1>box</e1> otter <e2>seen</e2> note 1 ."
    told = ask(related, {"text": text}, threads=1).to_json()
    assert told["label"] == told["text"] == "animal(e2,e1)"
    assert told["triple"] == ["seen", "animal", "box"]
    monkeypatch.chdir(related.root)
    assert main.start(["ask", text, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["triple"] == told["triple"]
    assert main.start(["ask", text]) == 0
    assert capsys.readouterr().out.splitlines()[:2] == ["animal(e2,e1)", "   seen · animal · box"]
    none = text.replace("otter", "heron")
    assert main.start(["ask", none]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "Other" and " · " not in said[1], "a label like any other, and no triple"
    assert main.start(["ask", "no entity is marked"]) == 3
    assert "<e1>" in capsys.readouterr().err
    summary = files.read_json(related.made("evaluate") / "summary.json")
    assert [one["label"] for one in summary["classes"]] == ["animal", "colour"]
    assert 0 < summary["macro_f1"] <= 100 and summary["calibration"]["ece"] < 50


def test_D14_a_tag_that_vanished_is_refused(tagged: Project, tmp_path: Path) -> None:
    """v1's model as the candidate of a further turn: it cannot say city."""
    project = Project(Path(shutil.copytree(tagged.root, tmp_path / "project")))
    champion = versions.champion(project)
    assert champion is not None
    old = files.read_json(project.version("v1") / "spec.json")["labels"]
    assert gathering.vanished(project, "tagging", champion, old) == ("B-city", "I-city")
    loop.opened(
        project, "more", toys.write_jsonl(tmp_path / "m.jsonl", toys.toy_tagged(120, 9, 40, OLD))
    )
    with files.building(project.made("finetune"), replace=True) as folder:
        files.copy_folder(project.version("v1") / "checkpoint", folder / "model")
        shutil.copyfile(project.version("v1") / "spec.json", folder / "spec.json")
    from onward.evaluation import evaluate

    evaluate.run(project)
    verdict = gate.judge(project, "accuracy")
    assert verdict.outcome == "refused"
    assert any("'B-city'" in reason and "vanished" in reason for reason in verdict.reasons)


def test_a_model_without_the_head_is_refused(toy_encoder: Path, tagged: Project) -> None:
    with pytest.raises(IntegrityError, match="The model lacks 2 weights"):
        tagging.build(toy_encoder, {"new_head": False})
    with pytest.raises(DataError, match="No row has a tag"):
        tagging.build(toy_encoder, {"labels": ["O"]})
    checkpoint = tagged.version("v1") / "checkpoint"
    with pytest.raises(IntegrityError, match="do not begin"):
        tagging.build(checkpoint, {"new_head": False, "labels": ["O", "B-city", "I-city"]})
    assert models.kind(checkpoint) == "single"


def test_a_package_whose_labels_are_not_the_graphs_is_refused(
    tagged: Project, tmp_path: Path
) -> None:
    packed = Path(shutil.copytree(tagged.made("export") / "package", tmp_path / "package"))
    labels = files.read_json(packed / "package.json")["labels"]
    reseal(packed, labels=labels[:-1])
    with pytest.raises(IntegrityError, match="names 6 labels; logits has 7"):
        packages.read(packed)
    reseal(packed, labels=None)
    with pytest.raises(IntegrityError, match="names no labels for the graph's 7 outputs"):
        packages.read(packed)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"text": "in oslo", "starts": [3], "ends": [99], "tags": ["city"]}, "bad-span"),
        ({"text": "in oslo", "starts": [3, 4], "ends": [7, 6], "tags": ["a", "b"]}, "bad-span"),
        ({"text": "in oslo", "starts": [3], "ends": [7], "tags": []}, "uneven-tags"),
        ({"text": " ", "starts": [], "ends": [], "tags": []}, "blank"),
    ],
)
def test_D_a_row_with_bad_spans_is_quarantined(
    row: dict[str, Any], reason: str, toy_encoder: Path, tmp_path: Path
) -> None:
    project = loop.begun(tmp_path / "project", toy_encoder, "tagging")
    rows = [*toys.toy_tagged(60, 1, 20), {"id": "bad", "title": None, **row}]
    found = loop.opened(project, "one", toys.write_jsonl(tmp_path / "a.jsonl", rows), dry_run=True)
    assert [one["reason"] for one in found.samples] == [reason]


def test_asking_a_tagger_for_what_it_does_not_read(tagged: Project) -> None:
    with pytest.raises(UsageError, match="reads no context"):
        ask(tagged, {"text": "so", "context": "so"})
