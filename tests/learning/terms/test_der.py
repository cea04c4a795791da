"""Dark experience replay: which logits are stored, of which windows, and that they are held."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from onward.episodes import rows as parquet
from onward.learning import memory, models, prepare
from onward.learning.features import Features
from onward.learning.terms import der
from onward.project import Project
from tests import toys
from tests.learning.structures.turns import held
from tests.learning.terms import lessons

DER = {"rows": "replay", "replay_rows": 16, "replay_percent": 15, "term": "der"}
GROWING = {
    "one": toys.toy_texts(64, 1, kinds=("colour", "animal")),
    "two": toys.toy_texts(64, 2, kinds=("city", "animal")),
}


def stored(folder: Path) -> dict[str, list[dict[str, list[float]]]]:
    """By the row's hash, the outputs of its windows."""
    found: dict[str, list[dict[str, list[float]]]] = {}
    for line in parquet.read(folder / "memory" / der.FILE):
        found.setdefault(line.pop("row"), []).append(line)
    return found


@pytest.fixture(scope="module")
def grown(toy_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Both turns are done; the second brought a label."""
    root = tmp_path_factory.mktemp("der") / "p"
    project = lessons.taught(
        root, toy_encoder, "classification", GROWING, DER, first_epochs=1, epochs=1
    )
    lessons.second(project, DER)
    return project


def test_an_old_row_keeps_the_logits_it_came_in_with(grown: Project) -> None:
    before, after = stored(grown.version("v1")), stored(grown.made("finetune"))
    held_now = [parquet.row_hash(row) for _, row in memory.rows(grown.made("finetune") / "memory")]
    assert list(after) == held_now and len(held_now) == 16
    old = set(before) & set(after)
    assert old and set(after) - old
    assert all(after[row] == before[row] and len(after[row][0]["logits"]) == 2 for row in old)


def test_a_new_row_has_those_of_the_model_that_remembers_it(grown: Project) -> None:
    """With as many logits as the model has labels by then."""
    after, old = stored(grown.made("finetune")), stored(grown.version("v1"))
    rows = [row for _, row in memory.rows(grown.made("finetune") / "memory")]
    new = [row for row in rows if parquet.row_hash(row) not in old]
    said, _ = lessons.logits("classification", grown.made("finetune") / "model", new)
    kept = torch.tensor([after[parquet.row_hash(row)][0]["logits"] for row in new])
    assert kept.shape == (len(new), 3) and torch.allclose(kept, said, atol=1e-4)


def test_rows_that_were_replayed_are_not_among_the_new_ones(grown: Project) -> None:
    """They are remembered as they are; what was learned now is measured on the new ones."""
    job = lessons.job(grown)
    assert {episode for episode, _ in job.rows()} == set(lessons.NAMES)
    assert {episode for episode, _ in job.new_rows()} == {lessons.NAMES[1]}
    assert {episode for episode, _ in job.old_rows()} == {lessons.NAMES[0]}


def test_each_window_is_compared_with_its_own(toy_encoder: Path, tmp_path: Path) -> None:
    """Rows of several windows: what is stored of each is what the base says of that window."""
    episodes: dict[str, Any] = {"one": toys.toy_rows(40, 1), "two": toys.toy_rows(40, 2)}
    for rows in episodes.values():
        for n, row in enumerate(rows):
            row["context"] += " then a box" * (10 + n)
    project = lessons.taught(tmp_path, toy_encoder, "extractive", episodes, DER, first_epochs=0.3)
    prepare.run(project)
    job = lessons.job(project)
    past = der.past(job, None, "cpu")
    assert past is not None
    windows, recalled = job.features(), job.recalled()
    assert set(past.stored) == set(recalled.nonzero()[0].tolist())
    assert len(past.stored) > len({int(windows.single["row"][at]) for at in past.stored})
    model = models.load(job.recipe, job.source, {"new_head": False}).eval()
    collate = job.collate()
    for at, said in list(past.stored.items())[:12]:
        batch = collate([windows[at]])
        batch.pop("rows")
        with torch.inference_mode():
            expected = model(**batch)
        assert len(said["start_logits"]) == int(windows.lengths[at])
        for name, values in said.items():
            assert torch.allclose(torch.tensor(values), expected[name][0], atol=1e-4)


def test_windows_are_read_once_however_many_were_recalled(
    grown: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[Path] = []
    load = Features.load

    def counted(path: Path) -> Features:
        reads.append(path)
        return load(path)

    monkeypatch.setattr(Features, "load", counted)
    job = lessons.job(grown)
    weights = {"der_alpha": 0.25, "der_beta": 0.75}
    past = der.past(replace(job, strategy=job.strategy.model_copy(update=weights)), None, "cpu")
    assert past is not None and len(past.stored) > 4 and (past.alpha, past.beta) == (0.25, 0.75)
    assert len(reads) == 2  # here, and to see which are recalled


def test_a_row_of_two_episodes_has_its_logits_once(toy_encoder: Path, tmp_path: Path) -> None:
    """The second delivery repeats rows of the first: a third turn asks for each window once."""
    rows = toys.toy_rows(24, 1)
    episodes: dict[str, Any] = {"one": rows, "two": [*rows[:12], *toys.toy_rows(24, 2)]}
    strategy = {**DER, "policy": "balanced", "replay_rows": 500}
    training = {"first_epochs": 0.2, "epochs": 0.2}
    project = lessons.taught(tmp_path, toy_encoder, "extractive", episodes, strategy, **training)
    lessons.second(project, strategy)
    held = [parquet.row_hash(row) for _, row in memory.rows(project.made("finetune") / "memory")]
    assert len(set(held)) == len(held)
    logits = stored(project.made("finetune"))
    assert list(logits) == held and all(len(windows) == 1 for windows in logits.values())


def test_it_keeps_what_naive_forgets(toy_encoder: Path, tmp_path: Path) -> None:
    """And holds the old rows' logits closer than replay of the same rows with labels alone."""
    shifted: dict[str, Any] = {
        "one": toys.toy_texts(160, 1),
        "two": toys.toy_texts(96, 2, kinds=("city",)),
    }
    project = lessons.taught(tmp_path, toy_encoder, "classification", shifted, DER)
    rows = held(project, lessons.NAMES[0])
    before, _ = lessons.logits("classification", project.version("v1") / "checkpoint", rows)
    kept, moved = {}, {}
    ways: dict[str, dict[str, Any]] = {
        "naive": {"rows": "naive", "term": "none"},
        "replay": {"term": "none"},
        "der": {"der_alpha": 1.0, "der_beta": 1.0},
    }
    training: dict[str, Any] = {"learning_rate": 0.003, "epochs": 12, "schedule": "linear"}
    for name, over in ways.items():
        model = lessons.second(project, {**DER, **over}, **training)
        now, _ = lessons.logits("classification", model, rows)
        moved[name] = float(((now - before) ** 2).mean())
        kept[name] = lessons.right(project, "classification", model, lessons.NAMES[0], [])
        assert lessons.right(project, "classification", model, lessons.NAMES[1], []) >= 95
    assert kept["naive"] <= 85 and kept["der"] >= kept["naive"] + 10, kept
    assert moved["der"] < 0.75 * moved["replay"] and moved["replay"] < 0.5 * moved["naive"], moved
