"""What a project has of its own, as a comparison and a study take it: encoder, prompts, quality."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from onward import files
from onward.episodes import rows as parquet
from onward.errors import MissingFiles
from onward.learning import encoder
from onward.pretraining import overlap
from onward.pretraining.pretrain import _TEXT
from onward.project import Project
from onward.quality import parts as quality_parts
from onward.study import compare, planning, schedule, trial
from tests import loop, toys
from tests.learning import writing

TRANSLATION: dict[str, Any] = {
    "prepare": {"max_length": 32, "stride": 8},
    "finetune": {"first_epochs": 1},
    "evaluate": {"max_new_tokens": 2},
}


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def run_all(folder: Path, trials: Any, *_: Any, **__: Any) -> None:
        for one in schedule.unfinished(folder, trials):
            trial.run(folder, one)

    monkeypatch.setattr(schedule, "run_all", run_all)


def compared(
    project: Project, folder: Path, tunings: str | None, listing: Path | None = None
) -> list[dict[str, Any]]:
    made = planning.compared(project, folder, listing, tunings, "0", 1, 1)
    rows: list[dict[str, Any]] = compare.compare(made, jobs=1)["rows"]
    return rows


def test_a_model_from_scratch_is_the_projects_and_not_the_trials(tmp_path: Path) -> None:
    """Its vocabulary is that of the first episode; a trial's own project has but a part of it."""
    project = loop.begun(tmp_path / "p", Path("scratch:tiny"), "translation", **TRANSLATION)
    for number, name in enumerate(("one", "two"), start=1):
        source = toys.write_jsonl(tmp_path / f"{name}.jsonl", writing.translated(40, number))
        loop.opened(project, name, source)
    (row,) = compared(project, tmp_path / "compared", "full")
    assert row["steps"] > 0 and row["trainable"] == row["parameters"]
    plan = planning.planned(project, tmp_path / "study", None, "naive", "0", 1, 1)
    named = encoder.locate("scratch:tiny", project.root)
    assert plan.encoder == encoder.fingerprint(named)


def test_an_encoder_that_read_training_rows_is_compared_on_them(
    toy_encoder: Path, tmp_path: Path
) -> None:
    """What is scored on was carved off them: it is held out from the trials, not from reading."""
    project = loop.begun(tmp_path / "p", toy_encoder, "classification", finetune={"epochs": 1})
    made = encoder.pretrained(project.root, "more")
    texts = [{"text": row["text"]} for row in toys.toy_texts(60, 1)]
    with files.building(made) as at:
        shutil.copytree(toy_encoder, at, dirs_exist_ok=True)
        parquet.write(at / overlap.TEXTS, texts, _TEXT)
    told = json.loads(project.params.read_text())
    told["project"]["encoder"] = "models/pretrained/more"
    files.write_json(project.params, told)
    loop.opened(project, "one", toys.write_jsonl(tmp_path / "one.jsonl", toys.toy_texts(60, 1)))
    (row,) = compared(project, tmp_path / "compared", "bitfit")
    assert row["tuning"] == "bitfit" and 0 < row["trainable"] < row["parameters"]


def test_prompts_are_compared_with_one_another_and_answers_are_not_scored_besides(
    toy_causal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scored(*_: Any, **__: Any) -> Any:
        raise AssertionError("a comparison asks for the recipe's metric alone")

    monkeypatch.setattr(quality_parts, "Quality", scored)
    params: dict[str, Any] = {
        "prepare": {"max_length": 96, "stride": 0},
        "finetune": {"tuning": "none", "prompt": "short", "first_epochs": 1},
        "evaluate": {"max_new_tokens": 2},
        "quality": {"measure": {"answers": "auto"}},
    }
    project = loop.begun(tmp_path / "p", toy_causal, "chat", **params)
    files.write_text(project.prompt("short"), 'question: "{context} {question} Be short."\n')
    files.write_text(project.prompt("steps"), 'take: "colour"\n')
    loop.opened(project, "one", toys.write_jsonl(tmp_path / "one.jsonl", toys.toy_talks(60, 1)))
    listing = tmp_path / "settings.yaml"
    listing.write_text("short: {}\nsteps: {finetune.prompt: steps}\n")
    rows = compared(project, tmp_path / "compared", "lora", listing)
    assert [row["name"] for row in rows] == ["lora", "short", "steps"]
    assert [row["trainable"] == 0 for row in rows] == [False, True, True]

    def keys() -> list[str]:
        made = planning.compared(project, tmp_path / "compared", listing, "lora", "0", 1, 1)
        return [one.keys()[-1] for one in made.trials().values()]

    before = keys()
    files.write_text(project.prompt("steps"), 'take: "animal"\n')
    assert [one == other for one, other in zip(before, keys(), strict=True)] == [True, True, False]
    listing.write_text("lost: {finetune.prompt: lost}\n")
    with pytest.raises(MissingFiles, match="no prompt template 'lost'") as caught:
        keys()
    assert str(project.prompt("lost")) == caught.value.where
