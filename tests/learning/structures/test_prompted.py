"""Labels told by their names: what comes before and after them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from onward import files
from onward.errors import DataError, SettingsError
from onward.learning import finetune, models, pooled, prepare
from onward.learning.structures import prompted
from onward.project import Project
from onward.recipes import classification
from tests import toys
from tests.learning.structures.turns import inputs

ROWS = {"one": toys.toy_texts(40, 1), "two": toys.toy_texts(40, 2)}


def begun(root: Path, encoder: Path, rows: dict[str, list[dict[str, Any]]]) -> Project:
    """A turn that learns the first episode without training."""
    project: Project = toys.toy_project(
        root,
        encoder,
        rows,
        "classification",
        finetune={"tuning": "none", "prompt": "names"},
        strategy={"rows": "naive", "analytic_features": 32},
    )
    files.write_text(project.prompt("names"), 'label: "it is a {label}"\n')
    toys.toy_turn(project, encoder, learning=["0001-one"], recipe="classification")
    prepare.run(project)
    return project


def test_a_label_is_the_one_whose_text_is_nearest(toy_encoder: Path, tmp_path: Path) -> None:
    """A logit is the cosine of both embeddings over the temperature."""
    project = begun(tmp_path, toy_encoder, ROWS)
    finetune.run(project)
    made = project.made("finetune") / "model"
    model = models.load(classification, made, {"new_head": False})
    names = [model.config.id2label[at] for at in range(3)]
    rows = [{"text": f"it is a {name}", "pair": None} for name in names] + ROWS["one"][:5]
    given = inputs("classification", rows, made)
    with torch.inference_mode():
        hidden = pooled.encoder(toy_encoder)(**given).last_hidden_state
        embedded = pooled.mean(hidden, given["attention_mask"])
        found = model(**given)["logits"]
    assert torch.allclose(found, embedded @ embedded[:3].T / prompted.TEMPERATURE, atol=1e-3)


def test_a_solved_head_may_follow_and_counts_the_known_rows(
    toy_encoder: Path, tmp_path: Path
) -> None:
    project = begun(tmp_path, toy_encoder, ROWS)
    finetune.run(project)
    first = toys.toy_version(project, "v1")
    assert models.describe(first / "checkpoint")["similarity"]
    values = json.loads(project.params.read_text())
    values["finetune"] |= {"tuning": "full", "prompt": ""}
    values["strategy"] |= {"structure": "analytic"}
    files.write_text(project.params, json.dumps(values))
    learned = {"learning": ["0002-two"], "known": ["0001-one"], "version": "v1"}
    toys.toy_turn(project, toy_encoder, recipe="classification", **learned)
    prepare.run(project)
    finetune.run(project)
    solved = models.describe(project.made("finetune") / "model")
    assert solved["structure"] == "analytic" and solved["features"] == 32
    assert "similarity" not in solved and "prompt" not in solved


def test_a_template_that_is_edited_is_another_candidate(toy_encoder: Path, tmp_path: Path) -> None:
    project = begun(tmp_path, toy_encoder, ROWS)
    made = []
    for wording in ('label: "it is a {label}"\n', 'label: "a {label} was seen"\n'):
        files.write_text(project.prompt("names"), wording)
        finetune.run(project)
        made.append(files.sha256(project.made("finetune") / files.MANIFEST))
    assert made[0] != made[1]


def test_one_label_and_labels_that_do_not_match_are_refused(
    toy_encoder: Path, tmp_path: Path
) -> None:
    alone = {"one": toys.toy_texts(40, 1, kinds=("colour",))}
    with pytest.raises(DataError, match="All rows have one label, 'colour'"):
        finetune.run(begun(tmp_path / "alone", toy_encoder, alone))
    project = begun(tmp_path / "other", toy_encoder, ROWS)
    files.write_text(project.prompt("names"), "descriptions: {plant: green}\n")
    with pytest.raises(SettingsError, match="describes 'plant', which is none of the labels"):
        finetune.run(project)
