"""The first turn tunes the encoder, and no later one does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from onward import files
from onward.errors import DataError
from onward.learning import checkpoints, closed_form, finetune, models, pooled, prepare
from onward.learning.structures import adapted
from tests import toys
from tests.learning.structures.turns import answers, inputs, learn, project_of

STRATEGY = {
    "rows": "naive",
    "structure": "adapted",
    "analytic_features": 128,
    "analytic_ridge": 0.1,
}
TRAINING = {"first_epochs": 6, "first_learning_rate": 1e-3, "save_every": 1_000}
EPISODES = {
    "one": toys.toy_texts(96, 1, kinds=("colour", "animal")),
    "two": toys.toy_texts(64, 2, kinds=("city",)),
}
NAMES = ["0001-one", "0002-two"]


def weights(folder: Path) -> dict[str, Any]:
    """The encoder's, by name."""
    found = models.read_tensors(folder / models.WEIGHTS)
    return {name: found[name] for name in found if not name.startswith(("head.", "pooler."))}


def test_the_encoder_moves_once_and_old_labels_are_kept(toy_encoder: Path, tmp_path: Path) -> None:
    blocks: dict[str, Any] = {"strategy": STRATEGY, "finetune": TRAINING}
    project = project_of(tmp_path, toy_encoder, "classification", EPISODES, NAMES[:1], **blocks)
    first = learn(project, 1)
    spec = files.read_json(project.version("v1") / "spec.json")
    assert spec["steps"] > 0 and spec["parameters"] >= spec["trainable"] > 10_000
    before, tuned = weights(toy_encoder), weights(first)
    moved = [name for name in tuned if not torch.equal(before[name], tuned[name])]
    assert len(moved) > len(tuned) / 2
    turn: dict[str, Any] = {"learning": NAMES[1:], "known": NAMES[:1], "version": "v1"}
    toys.toy_turn(project, toy_encoder, recipe="classification", **turn)
    second = learn(project, 2)
    later = weights(second)
    assert all(torch.equal(tuned[name], later[name]) for name in tuned)
    assert files.read_json(project.version("v2") / "spec.json")["steps"] == 0
    assert models.kind(second) == "analytic" and closed_form.head(second)[1].shape[1] == 3
    rows = EPISODES["one"][:40] + EPISODES["two"][:40]
    told = answers("classification", second, rows)
    assert sum(one == row["label"] for one, row in zip(told, rows, strict=True)) >= 60


def test_texts_of_a_label_come_closer_than_they_were(toy_encoder: Path, tmp_path: Path) -> None:
    """What the classifier is for: it pulls on the very embedding that the head reads."""
    blocks: dict[str, Any] = {"strategy": STRATEGY, "finetune": TRAINING}
    project = project_of(tmp_path, toy_encoder, "classification", EPISODES, NAMES[:1], **blocks)
    tuned = learn(project, 1)
    rows = EPISODES["one"]

    def apart(folder: Path) -> float:
        """The distance between the labels' means by the spread around them."""
        given = inputs("classification", rows, folder)
        with torch.inference_mode():
            hidden = pooled.encoder(folder)(**given).last_hidden_state
            found = pooled.mean(hidden, given["attention_mask"])
        parts = [
            found[[at for at, row in enumerate(rows) if row["label"] == label]]
            for label in ("animal", "colour")
        ]
        between = parts[0].mean(dim=0) - parts[1].mean(dim=0)
        spread = torch.cat([part - part.mean(dim=0) for part in parts])
        return float(between.norm() / spread.norm(dim=1).mean())

    assert apart(tuned) > 1.5 * apart(toy_encoder)


def test_a_logit_is_the_cosine_of_the_pooled_text_and_a_labels_direction(toy_encoder: Path) -> None:
    from torch.nn import functional as F

    made: Any = type("Prototypes", (adapted.Prototypes, torch.nn.Module), {})
    model = made(pooled.encoder(toy_encoder), 3).eval()
    batch = inputs("classification", EPISODES["one"][:6], toy_encoder)
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    with torch.inference_mode():
        hidden = model.encoder(**batch).last_hidden_state
        texts = pooled.mean(hidden, batch["attention_mask"])
        expected = F.cosine_similarity(texts[:, None], model.head.weight[None], dim=2) / 0.05
        told = model(labels=labels, **batch)
    assert torch.allclose(told["logits"], expected, atol=1e-4)
    assert float(told["loss"]) == pytest.approx(float(F.cross_entropy(expected, labels)), rel=1e-4)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_dropout_is_that_of_the_settings(
    dropout: float, toy_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not the encoder's own, which is 0.1."""
    blocks: dict[str, Any] = {"strategy": STRATEGY, "finetune": {**TRAINING, "dropout": dropout}}
    project = project_of(tmp_path, toy_encoder, "classification", EPISODES, NAMES[:1], **blocks)
    found: set[float] = set()

    def stopped(task: Any, settings: Any) -> Any:
        modules = task.build().modules()
        found.update(each.p for each in modules if isinstance(each, torch.nn.Dropout))
        raise InterruptedError

    monkeypatch.setattr(adapted.trainer, "fit", stopped)
    prepare.run(project)
    with pytest.raises(InterruptedError):
        finetune.run(project)
    assert found == {dropout}


def test_F01_a_turn_killed_after_the_tuning_does_not_tune_again(
    toy_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks: dict[str, Any] = {"strategy": STRATEGY, "finetune": TRAINING}
    project = project_of(tmp_path, toy_encoder, "classification", EPISODES, NAMES[:1], **blocks)
    prepare.run(project)

    class Killed(Exception):
        """Stands for the end of the process."""

    def killed(job: Any) -> Any:
        raise Killed

    monkeypatch.setattr(adapted.analytic, "fit", killed)
    with pytest.raises(Killed):
        finetune.run(project)
    monkeypatch.undo()
    (work,) = [each for each in project.work("x").parent.iterdir() if each.is_dir()]
    assert checkpoints.finished(work)
    monkeypatch.setattr("onward.learning.loop.Loop.training_step", killed)
    finetune.run(project)
    assert files.read_json(project.made("finetune") / "spec.json")["steps"] > 0


def test_D14_one_label_is_refused_before_anything_is_tuned(
    toy_encoder: Path, tmp_path: Path
) -> None:
    blocks: dict[str, Any] = {"strategy": STRATEGY}
    project = project_of(tmp_path, toy_encoder, "classification", EPISODES, NAMES[1:], **blocks)
    prepare.run(project)
    with pytest.raises(DataError, match="All rows have one label, 'city'"):
        finetune.run(project)
