"""The stage: what it writes, from which models, the same bytes twice; and what it refuses."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from onward import files
from onward.config import Evaluate
from onward.episodes.turn import Base, Turn
from onward.errors import IntegrityError, MissingFiles
from onward.evaluation import evaluate
from onward.evaluation.evaluate import run
from onward.evaluation.ledger import read_parts
from onward.evaluation.runner import fingerprint
from onward.project import Project
from onward.recipes import extractive
from tests.validation import episodes

SPEC = {"schema": 1, "max_length": 64, "stride": 16, "no_answer": False}


def save_reader(encoder: Path, folder: Path, seed: int) -> None:
    import torch

    shutil.copytree(encoder, folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        extractive.build(encoder, {}).save_pretrained(folder)


def candidate(project: Project, encoder: Path, seed: int = 0) -> Path:
    with files.building(project.made("finetune"), replace=True) as made:
        save_reader(encoder, made / "model", seed)
        files.write_json(made / "spec.json", SPEC)
    return project.made("finetune")


def version(project: Project, encoder: Path, turn: Turn, seed: int = 7) -> Path:
    """Make v1 and let the turn start from it."""
    with files.building(project.version("v1")) as made:
        save_reader(encoder, made / "checkpoint", seed)
        files.write_json(made / "spec.json", SPEC)
    manifest = files.sha256(project.version("v1") / files.MANIFEST)
    base = Base(kind="version", name="v1", sha256=manifest)
    turn.model_copy(update={"base": base}).write(project)
    return project.version("v1")


@pytest.fixture
def project(tmp_path: Path, toy_encoder: Path) -> Project:
    """Two episodes, a candidate, no version."""
    made = episodes.project(tmp_path)
    made.params.write_text("evaluate: {threads: 1, batch_size: 8}\n")
    sides = {"train": 4, "heldout": 12}
    episodes.deliver(
        made,
        known={"old": episodes.sides(1, **sides)},
        learning={"new": episodes.sides(2, **sides)},
    )
    candidate(made, toy_encoder)
    return made


def outputs(project: Project) -> dict[str, bytes]:
    paths = [project.made("scores.json"), *project.made("evaluate").iterdir()]
    return {path.name: path.read_bytes() for path in paths}


def summary(project: Project) -> Any:
    return files.read_json(project.made("evaluate") / "summary.json")


def test_a_first_turn_is_compared_with_the_stated_baseline(project: Project) -> None:
    run(project)
    assert set(outputs(project)) == {
        "ledger.parquet",
        "summary.json",
        "examples.json",
        "manifest.json",
        "scores.json",
    }
    files.verify(project.made("evaluate"))
    found = summary(project)
    assert found["before"] == "baseline"
    assert found["inputs_cut"] == 0
    assert found["candidate"] == files.sha256(project.made("finetune") / files.MANIFEST)
    units = found["units"]
    assert {unit: told["rows"] for unit, told in units.items()} == {
        "0001-old": 12,
        "0002-new": 12,
        "all": 24,
    }
    assert units["0001-old"]["known"] and not units["0002-new"]["known"]
    assert units["all"]["before"] == units["all"]["baseline"]
    assert units["all"]["baseline"]["f1"] > 0
    parts = read_parts(project.made("evaluate") / "ledger.parquet")
    assert sorted(part.provider for part in parts) == ["baseline", "torch"]
    scores = files.read_json(project.made("scores.json"))
    assert scores["0002-new"] == {
        "rows": 12,
        **{name: units["0002-new"]["after"][name] for name in extractive.METRICS},
        **{f"{name}_before": units["0002-new"]["baseline"][name] for name in extractive.METRICS},
    }


def test_questions_that_are_too_long_are_counted(project: Project, toy_encoder: Path) -> None:
    """A question may take a quarter of a window: 8 of 32 tokens here."""
    from onward.evaluation.runner import load_tokenizer

    files.remove(project.made("finetune"))
    with files.building(project.made("finetune")) as made:
        save_reader(toy_encoder, made / "model", 0)
        files.write_json(made / "spec.json", {**SPEC, "max_length": 32})
    run(project)
    tokenizer = load_tokenizer(toy_encoder)
    rows = evaluate.heldout(project, Turn.read(project)).values()
    long = [r for unit in rows for r in unit if len(tokenizer.tokenize(r["question"])) > 8]
    assert 0 < summary(project)["inputs_cut"] == len(long) < 24


def test_examples_that_prompts_have_no_room_for_are_counted_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(mean: float) -> Any:
        shots = {"wanted": 4, "mean": mean, "rows": 150, "none": 105}
        recipe: Any = SimpleNamespace(prompted=lambda *_: {"inputs_cut": 108, "shots": shots})
        found = evaluate._fitted(recipe, tmp_path, tmp_path, {}, Evaluate.model_validate({}))
        assert found == {"inputs_cut": 108, "shots": shots}
        return capsys.readouterr().out

    files.write_json(tmp_path / "spec.json", SPEC)
    monkeypatch.setattr(evaluate, "load_tokenizer", lambda _: None)
    assert told(0.62) == (
        "examples: of 4 a prompt has 0.62 on average, and 105 of 150 rows have none; "
        f"prepare.max_length is {SPEC['max_length']}\n"
    )
    assert told(4.0) == ""


def test_a_later_turn_is_compared_with_its_base(project: Project, toy_encoder: Path) -> None:
    at = version(project, toy_encoder, Turn.read(project))
    run(project)
    parts = {
        part.artifact: part for part in read_parts(project.made("evaluate") / "ledger.parquet")
    }
    before, after = fingerprint(at / "checkpoint"), fingerprint(project.made("finetune") / "model")
    assert set(parts) == {before, after, "baseline"}
    found = summary(project)
    assert found["before"] == "v1"
    for unit in ("0001-old", "0002-new"):
        for side, artifact in (("before", before), ("after", after)):
            exact = float(extractive.metrics(parts[artifact].total(unit))["f1"])
            assert found["units"][unit][side]["f1"] == pytest.approx(exact, abs=1e-4)
    told = files.read_json(project.made("evaluate") / "examples.json")
    assert told["before"] == "v1" and told["worst"]


def test_a_candidate_that_is_its_base_is_in_the_ledger_once(
    project: Project, toy_encoder: Path
) -> None:
    version(project, toy_encoder, Turn.read(project), seed=0)
    run(project)
    parts = read_parts(project.made("evaluate") / "ledger.parquet")
    (only,) = (part for part in parts if part.provider == "torch")
    assert only.table.num_rows == 24
    assert summary(project)["before"] == "v1"
    assert files.read_json(project.made("evaluate") / "examples.json")["lost"] == []


def test_equal_inputs_give_equal_bytes_with_and_without_the_cache(
    project: Project, toy_encoder: Path, tmp_path: Path
) -> None:
    version(project, toy_encoder, Turn.read(project))
    run(project)
    first = outputs(project)
    run(project)
    assert outputs(project) == first
    shutil.rmtree(project.cache)
    run(project)
    assert outputs(project) == first
    assert str(tmp_path).encode() not in b"".join(first.values())


def test_a_second_run_takes_every_row_from_the_cache(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(project)

    def never(self: Any, batch: Any) -> Any:
        raise AssertionError("a cached row was run again")

    monkeypatch.setattr(evaluate.TorchRunner, "predict", never)
    run(project)


def test_f05_a_changed_candidate_base_or_episode_is_refused(
    project: Project, toy_encoder: Path
) -> None:
    at = version(project, toy_encoder, Turn.read(project))
    for path in (
        at / "checkpoint" / "model.safetensors",
        project.made("finetune") / "model" / "model.safetensors",
        project.episode("0001-old") / "heldout.parquet",
    ):
        kept = path.read_bytes()
        changed = bytearray(kept)
        changed[len(changed) // 2] ^= 1
        path.write_bytes(bytes(changed))
        with pytest.raises(IntegrityError) as caught:
            run(project)
        assert path.name in caught.value.what
        path.write_bytes(kept)
    run(project)


def test_a_base_that_is_another_than_the_turn_names_is_refused(
    project: Project, toy_encoder: Path
) -> None:
    at = version(project, toy_encoder, Turn.read(project))
    shutil.rmtree(at)
    with pytest.raises(MissingFiles):
        run(project)
    with files.building(at) as made:
        save_reader(toy_encoder, made / "checkpoint", seed=8)
        files.write_json(made / "spec.json", SPEC)
    with pytest.raises(IntegrityError, match="manifest of v1"):
        run(project)
    assert not project.made("evaluate").exists()


def test_a_failed_run_leaves_the_last_result(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(project)
    first = outputs(project)

    def fail(kind: str, path: Path) -> None:
        if kind == "rename" and path.name == "evaluate":
            raise OSError("died")

    monkeypatch.setattr(files, "operation", fail)
    with pytest.raises(OSError, match="died"):
        run(project)
    monkeypatch.undo()
    run(project)
    assert outputs(project) == first


def test_i4_the_stage_ends_in_one_typed_error(tmp_path: Path) -> None:
    at = episodes.project(tmp_path)
    command = [sys.executable, "-m", "onward.stages.evaluate"]
    done = subprocess.run(command, cwd=at.root, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert files.read_json(at.error("evaluate"))["error"] == "UsageError"
    assert "There is no turn" in done.stderr and "Traceback" not in done.stderr
