"""Learning without forgetting: who the teacher is, and that the pupil keeps to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from onward import files
from onward.learning import models, prepare
from onward.learning.terms import distill
from onward.project import Project
from tests import toys
from tests.learning.terms import lessons

OLD = ["animal", "colour"]


def marked(rows: list[dict[str, Any]], labels: list[str]) -> list[dict[str, Any]]:
    """Rows whose annotator looked for these labels alone."""
    return [{**row, "labels": [each for each in row["labels"] if each in labels]} for row in rows]


EPISODES = {
    "one": marked(toys.toy_texts(160, 1, "multilabel"), OLD),
    "two": marked(toys.toy_texts(96, 2, "multilabel"), ["city"]),
}
"""Every text names any of three kinds; the first episode is labelled for two, the second for one.

The setting of the paper: the new rows say nothing of the old labels, or rather, say no.
"""


@pytest.fixture(scope="module")
def project(toy_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    root = tmp_path_factory.mktemp("distill") / "p"
    training = {"learning_rate": 0.002, "epochs": 2}
    return lessons.taught(root, toy_encoder, "multilabel", EPISODES, {"rows": "naive"}, **training)


def test_it_keeps_what_naive_forgets(project: Project) -> None:
    """Of the old labels, and learns the new one about as well (of 24 texts, 3 are 12.5)."""
    kept, learned = {}, {}
    for term in ("none", "distill"):
        model = lessons.second(project, {"rows": "naive", "term": term})
        kept[term] = lessons.right(project, "multilabel", model, lessons.NAMES[0], OLD)
        learned[term] = lessons.right(project, "multilabel", model, lessons.NAMES[1], ["city"])
    assert kept["none"] <= 70 and kept["distill"] >= kept["none"] + 15, kept
    assert learned["distill"] >= learned["none"] - 12.5, learned
    assert files.read_json(project.made("finetune") / "spec.json")["term"] == "distill"


def test_the_teacher_is_the_base_with_the_labels_it_has(project: Project) -> None:
    strategy = {"rows": "naive", "term": "distill", "temperature": 3.0, "distill_weight": 0.5}
    lessons.change(project, strategy, dropout=0.3)
    prepare.run(project)
    job = lessons.job(project)
    assert job.labels == ("animal", "colour", "city") and job.base_labels == 2
    past = distill.past(job, None, "cpu")
    assert past is not None and (past.temperature, past.weight) == (3.0, 0.5)
    teacher, base = past.teacher, models.load(job.recipe, job.source, {"new_head": False})
    assert not teacher.training and not any(p.requires_grad for p in teacher.parameters())
    assert teacher.config.hidden_dropout_prob == 0.0
    state = base.state_dict()
    assert all(torch.equal(state[name], value) for name, value in teacher.state_dict().items())
    assert teacher.config.num_labels == 2


def test_a_first_training_has_no_teacher_and_says_so(project: Project) -> None:
    """What the first turn of a line that distils writes: the term added nothing."""
    strategy = {"rows": "naive", "term": "distill"}
    lessons.change(project, strategy, dropout=0.0, first_epochs=0.3)
    encoder = Path(files.read_json(project.params)["project"]["encoder"])
    toys.toy_turn(project, encoder, learning=lessons.NAMES[:1], recipe="multilabel")
    lessons.second(project, strategy)
    spec = files.read_json(project.made("finetune") / "spec.json")
    assert spec["term"] == "distill added 0: nothing to keep"
