"""What a model says of rows: one answer a row, also of one without a window."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from onward.config import Finetune, Strategy
from onward.episodes.turn import Turn
from onward.learning import encoder, finetune, passes, prepare
from onward.recipes import tagging
from tests import toys


def test_a_row_whose_every_character_the_tokenizer_drops_keeps_its_place(
    toy_encoder: Path, tmp_path: Path
) -> None:
    """Of tagging such a row has no window to learn from; the others keep their own numbers."""
    import torch

    project = toys.toy_project(tmp_path, toy_encoder, {"one": toys.toy_tagged(24, 1)}, "tagging")
    prepare.run(project)
    turn = Turn.read(project)
    prepared = finetune.read_prepared(project, turn)
    settings = Finetune(), Strategy()
    job = finetune._job(project, turn, prepared, *settings, toy_encoder, tmp_path / "work")
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
