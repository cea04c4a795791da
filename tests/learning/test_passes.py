"""What a model says of rows: one answer a row, also of one without a window."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onward.config import Finetune, Strategy
from onward.episodes.turn import Turn
from onward.learning import encoder, finetune, passes, pooled, prepare
from onward.learning.job import Job
from onward.recipes import choice, extractive, tagging
from onward.recipes.shapes import INPUTS
from tests import toys


def prepared(root: Path, encoder: Path, rows: list[dict[str, Any]], recipe: str) -> Job:
    """The job of a turn that learns these rows."""
    project = toys.toy_project(root, encoder, {"one": rows}, recipe)
    prepare.run(project)
    turn = Turn.read(project)
    made = finetune.read_prepared(project, turn)
    return finetune._job(project, turn, made, Finetune(), Strategy(), encoder, root / "work")


def test_a_row_of_several_windows_has_their_mean(toy_encoder: Path, tmp_path: Path) -> None:
    """The mean of their losses, and the direction of the mean of their embeddings."""
    import torch

    rows = toys.toy_rows(24, 1)
    for n, row in enumerate(rows):
        row["context"] += " then a box" * (8 * (n % 5))
    job = prepared(tmp_path, toy_encoder, rows, "extractive")
    torch.manual_seed(1)
    model = extractive.build(toy_encoder, {"dropout": 0.0}).eval()
    losses, embedded = passes.losses(job, model, rows), passes.embeddings(job, model, rows)
    (windows,) = passes.encoded(job, rows)
    counts = set()
    for at, numbers in enumerate(passes.by_row(windows)):
        told, means = [], []
        for number in numbers:
            batch = job.collate()([windows[number]])
            batch.pop("rows")
            with torch.inference_mode():
                made = model(**batch, output_hidden_states=True)
            told.append(float(made.loss))
            mean = made.hidden_states[-1][0].mean(dim=0).numpy()
            means.append(mean / np.linalg.norm(mean))
        expected = np.mean(means, axis=0)
        assert np.allclose(embedded[at], expected / np.linalg.norm(expected), atol=1e-5)
        assert losses[at] == pytest.approx(np.mean(told), abs=1e-4)
        counts.add(len(numbers))
    assert len(counts) > 1


def test_a_row_whose_every_character_the_tokenizer_drops_keeps_its_place(
    toy_encoder: Path, tmp_path: Path
) -> None:
    """Of tagging such a row has no window to learn from; the others keep their own numbers."""
    import torch

    job = prepared(tmp_path, toy_encoder, toys.toy_tagged(24, 1), "tagging")
    torch.manual_seed(1)
    model = tagging.build(toy_encoder, {"labels": job.labels}).eval()
    rows = toys.toy_tagged(4, 5)
    lost = {**rows[0], "text": "\ufffd\ufffd", "starts": [], "ends": [], "tags": []}
    assert encoder.tokenizer(toy_encoder).tokenize(lost["text"]) == []
    losses, embedded = passes.losses(job, model, rows), passes.embeddings(job, model, rows)
    for places in ([0], [2], [4], [0, 1, 3, 5], range(4, 262)):
        mixed, there = list(rows), np.ones(4, bool)
        for at in places:
            mixed.insert(at, lost)
            there = np.insert(there, at, False)
        assert np.allclose(passes.losses(job, model, mixed)[there], losses)
        assert not passes.losses(job, model, mixed)[~there].any()
        assert np.allclose(passes.embeddings(job, model, mixed)[there], embedded)
        assert passes.embeddings(job, model, mixed).shape == (len(mixed), 32)


def test_a_row_of_options_has_a_logit_for_each_and_the_sum_of_their_embeddings(
    toy_encoder: Path, tmp_path: Path
) -> None:
    import torch

    rows = toys.toy_choices(24, 1)
    job = prepared(tmp_path, toy_encoder, rows, "choice")
    torch.manual_seed(1)
    model = choice.build(toy_encoder, {"dropout": 0.0}).eval()
    logits, embedded = list(passes.logits(job, model, rows)), passes.embeddings(job, model, rows)
    (windows,) = passes.encoded(job, rows)
    for at, row in enumerate(rows):
        batch = job.collate()([windows[at]])
        given = {name: batch[name] for name in INPUTS if name in batch}
        with torch.inference_mode():
            told = model(**given)["logits"].squeeze(-1)
            parts = pooled.mean(
                model.base_model(**given).last_hidden_state, given["attention_mask"]
            )
        ((only,), expected) = logits[at], parts.sum(dim=0).numpy()
        assert len(only["logits"]) == len(row["options"])
        assert np.allclose(only["logits"], told, atol=1e-5)
        assert np.allclose(embedded[at], expected / np.linalg.norm(expected), atol=1e-5)
