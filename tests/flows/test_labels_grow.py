"""A classification project through the loop: labels grow, serve, and may not vanish."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from cli import main
from onward import files, recipes
from onward.episodes.turn import Turn, rows
from onward.evaluation import evaluate, gate
from onward.evaluation.ledger import read_parts, row_hash
from onward.project import Project
from onward.registry import journal, versions
from tasks import verdicts
from tests import toys
from tests.flows import projects

pytestmark = pytest.mark.timeout(1200)

SETTINGS = {
    **projects.SETTINGS,
    "gate": {**projects.SETTINGS["gate"], "floor": 70.0},
    "finetune": {**projects.SETTINGS["finetune"], "first_epochs": 16, "epochs": 8},
}
FIRST, SECOND = "0001-kinds", "0002-places"


def texts(seed: int, n: int, *kinds: str) -> list[dict[str, Any]]:
    return toys.toy_texts(n, seed, titles=30, kinds=kinds)


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """v1 gives two labels, v2 three; by the door without Prefect, which runs the same stages."""
    home = tmp_path_factory.mktemp("labels")
    encoder = toys.toy_encoder(home / "encoder")
    project = Project(home / "toy")
    named = ["--recipe", "classification", "--encoder", str(encoder)]
    projects.onward(home, "new", str(project.root), *named)
    projects.change(project.root, **SETTINGS)
    projects.open_episode(project, "kinds", texts(1, 480, "animal", "colour"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project.root)
        _learned(project)
        projects.open_episode(project, "places", texts(2, 240, "animal", "city"))
        _learned(project)
        yield project


def _learned(project: Project) -> None:
    projects.dvc(project.root, "repro")
    assert main.start(["gate"]) == 0
    assert main.start(["promote"]) == 0


@pytest.fixture
def copied(grown: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of that project; the current folder."""
    project = Project(Path(shutil.copytree(grown.root, tmp_path / "toy", symlinks=True)))
    monkeypatch.chdir(project.root)
    return project


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """What a command prints as JSON."""
    capsys.readouterr()
    main.start([*arguments, "--json"])
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def answered(project: Project, unit: str, label: str) -> str:
    """The text of a held-out row that the ledger says v2's package gives its right label."""
    recipe = recipes.get("classification")
    parts = read_parts(project.version("v2") / "ledger.parquet")
    made = next(part for part in parts if part.provider == "onnx-cpu").predictions(unit)
    return next(
        str(row["text"])
        for row in rows(project, unit, "heldout")
        if row["label"] == label == made[row_hash(recipe, row)]["label"] and row["pair"] is None
    )


def test_new_labels_come_after_the_old_ones_everywhere(grown: Project) -> None:
    old, new = ["animal", "colour"], ["animal", "colour", "city"]
    assert files.read_json(grown.made("prepare") / "labels.json") == {"labels": new, "base": 2}
    for version, labels in (("v1", old), ("v2", new)):
        folder = grown.version(version)
        assert files.read_json(folder / "spec.json")["labels"] == labels
        assert files.read_json(folder / "package" / "package.json")["labels"] == labels
        recipe = recipes.get("classification")
        assert list(recipe.labels_of(folder / "checkpoint")) == labels


def test_ledger_gate_and_matrix_carry_on(
    grown: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [(line["what"], line["version"]) for line in journal.lines(grown)]
    assert lines == [("promoted", "v1"), ("promoted", "v2")]
    for part in read_parts(grown.version("v2") / "ledger.parquet"):
        assert part.units() == [FIRST, SECOND]
    found = told(capsys, "matrix")
    scores = {one["name"]: one["scores"] for one in found["versions"]}
    assert scores["v2"][FIRST] > 80 and scores["v2"][SECOND] > 80
    # What v1 could not say counts as missed: about half of the second episode are cities.
    assert scores["v1"][SECOND] < 65 and scores["v1"][FIRST] > 80
    kept = pq.read_table(grown.version("v2") / "matrix.parquet").to_pylist()
    assert {(row["version"], row["unit"]) for row in kept} >= {
        ("v1", FIRST), ("v1", SECOND), ("v2", FIRST), ("v2", SECOND),
    }  # fmt: skip
    assert main.start(["gate", "--replay", "2"]) == 0


def test_asked_before_and_after_a_rollback(
    copied: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    animal, city = answered(copied, FIRST, "animal"), answered(copied, SECOND, "city")
    new = told(capsys, "ask", city)
    assert (new["label"], new["version"], new["provider"]) == ("city", "v2", "onnx-cpu")
    assert new["vocabulary"] == ["animal", "colour", "city"]
    assert told(capsys, "ask", animal)["label"] == "animal"
    assert main.start(["rollback", "--to", "v1", "--reason", "a test"]) == 0
    old = told(capsys, "ask", city)
    assert old["version"] == "v1" and old["vocabulary"] == ["animal", "colour"]
    assert old["label"] in old["vocabulary"] and len(old["n_best"]) == 2
    assert told(capsys, "ask", animal)["label"] == "animal"


def test_D14_a_candidate_without_a_label_of_the_champion_is_refused(
    copied: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    """v1's model as the next turn's candidate: it cannot say city."""
    projects.open_episode(copied, "more", texts(3, 240, "animal", "colour"))
    assert Turn.read(copied).learning_episodes == ["0003-more"]
    old = copied.version("v1")
    with files.building(copied.made("finetune"), replace=True) as folder:
        files.copy_folder(old / "checkpoint", folder / "model")
        shutil.copyfile(old / "spec.json", folder / "spec.json")
    evaluate.run(copied)
    settled = verdicts.settle(copied, gate.judge(copied, "accuracy"))
    assert settled.verdict.outcome == "refused" and settled.seq == 3
    assert any("vanished" in reason and "'city'" in reason for reason in settled.verdict.reasons)
    champion = versions.champion(copied)
    assert champion is not None and champion.version == "v2"
    capsys.readouterr()
    assert main.start(["gate", "--show", "3"]) == 0
    assert "vanished: v2 has 'city', the candidate does not" in capsys.readouterr().out
