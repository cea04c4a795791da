"""Elastic weight consolidation: the Fisher information, what it is of, and how it grows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from onward.config import Prepare
from onward.errors import SettingsError
from onward.learning import finetune, models, passes, prepare, tunings
from onward.learning.job import Job
from onward.learning.rows import sample
from onward.learning.terms import ewc
from onward.project import Project
from tests import toys
from tests.learning.terms import lessons

EWC = {"rows": "naive", "term": "ewc", "fisher_rows": 12, "ewc_decay": 0.5}
EPISODES = {
    "one": toys.toy_texts(64, 1, kinds=("colour", "animal")),
    "two": toys.toy_texts(64, 2, kinds=("city", "animal")),
}


@pytest.fixture(scope="module")
def grown(toy_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Both turns are done; the second brought a label."""
    root = tmp_path_factory.mktemp("ewc") / "p"
    project = lessons.taught(
        root, toy_encoder, "classification", EPISODES, EWC, first_epochs=1, epochs=1
    )
    lessons.second(project, EWC)
    return project


def test_fisher_is_the_mean_over_rows_of_the_squared_gradient(grown: Project) -> None:
    job = lessons.job(grown)
    model = models.load(job.recipe, grown.made("finetune") / "model", {"new_head": False})
    rows = [row for _, row in list(job.rows())[:5]]
    names = [name for name, _ in model.named_parameters()]
    found = ewc.fisher(job, model, rows, names)
    expected = {name: torch.zeros_like(weight) for name, weight in model.named_parameters()}
    window = Prepare(**job.prepared.manifest["window"])
    for row in rows:
        (one,) = job.recipe.encode([row], job.tokenizer(), window, labels=job.labels)
        model.zero_grad()
        ids = {name: torch.tensor([one[name]]) for name in ("input_ids", "token_type_ids")}
        model(**ids, labels=torch.tensor([one["label"]]))["loss"].backward()
        for name, weight in model.named_parameters():
            expected[name] += weight.grad**2 / len(rows)
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert torch.allclose(value, expected[name], rtol=1e-3, atol=1e-9), name
    assert float(found["classifier.weight"].sum()) > 0


def test_a_row_of_several_windows_counts_once(toy_encoder: Path, tmp_path: Path) -> None:
    """The gradient of the mean over its windows, not each window's own."""
    rows = toys.toy_rows(8, 1)
    for row in rows:
        row["context"] += " then a box" * 40
    project = lessons.taught(
        tmp_path, toy_encoder, "extractive", {"one": rows, "two": rows}, EWC, first_epochs=0.2
    )
    prepare.run(project)
    job = lessons.job(project)
    model = job.build().eval()
    one = [next(job.rows())[1]]
    (windows,) = passes.encoded(job, one)
    assert len(windows) > 1
    batch = job.collate()([windows[at] for at in range(len(windows))])
    batch.pop("rows")
    model(**batch)["loss"].backward()
    found = ewc.fisher(job, model, one, ["qa_outputs.weight"])["qa_outputs.weight"]
    assert torch.allclose(found, model.qa_outputs.weight.grad**2, rtol=1e-4, atol=1e-12)
    # A row as long as validation allows has hundreds of windows: only so many are looked at at once
    # as training had room for.
    model.zero_grad()
    seen: list[int] = []
    model.register_forward_pre_hook(
        lambda _, args, named: seen.append(len(named["input_ids"])), with_kwargs=True
    )
    few = replace(job, settings=job.settings.model_copy(update={"micro_batch": 2}))
    parts = ewc.fisher(few, model, one, ["qa_outputs.weight"])["qa_outputs.weight"]
    assert max(seen) == 2 and sum(seen) == len(windows)
    assert torch.allclose(parts, found, rtol=1e-4, atol=1e-12)


def test_it_decays_and_gains_that_of_the_new_rows(grown: Project) -> None:
    """F <- decay * F + F of the new rows under the trained model; a new label begins at zero."""
    job = lessons.job(grown)
    before = models.read_tensors(grown.version("v1") / "memory" / ewc.FILE)
    after = models.read_tensors(grown.made("finetune") / "memory" / ewc.FILE)
    model = models.load(job.recipe, grown.made("finetune") / "model", {"new_head": False})
    drawn = [row for _, row in sample(job.new_rows(), 12, job.seed)]
    assert len(drawn) == 12 and before.keys() == after.keys()
    new = ewc.fisher(job, model, drawn, list(after))
    weight = "classifier.weight"
    assert before[weight].shape == (2, 32) and after[weight].shape == (3, 32)
    for name, value in after.items():
        old = before[name]
        if name.startswith("classifier"):
            old = torch.cat([old, torch.zeros(1, *old.shape[1:])])
        assert torch.allclose(value, 0.5 * old + new[name], rtol=1e-4, atol=1e-10), name


def test_it_gains_nothing_of_rows_that_were_replayed(
    grown: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are in the Fisher of the turn that they came in with."""
    job = lessons.job(grown)
    new, seen, real = list(job.new_rows())[:3], list[Any](), ewc.fisher

    def noted(job: Job, model: Any, rows: Any, names: Any) -> Any:
        seen.extend(rows)
        return real(job, model, rows, names)

    monkeypatch.setattr(Job, "new_rows", lambda _: iter(new))
    monkeypatch.setattr(ewc, "fisher", noted)
    model = models.load(job.recipe, grown.made("finetune") / "model", {"new_head": False})
    ewc.remember(job, model, [], tmp_path)
    assert sorted(row["id"] for row in seen) == sorted(row["id"] for _, row in new)


def test_past_holds_every_weight_that_moves_to_where_the_base_has_it(grown: Project) -> None:
    job = lessons.job(grown)
    model = tunings.apply(job.build(), job.settings)
    past = ewc.past(job, model, "cpu")
    assert past is not None and past.fisher.keys() == past.changes.keys()
    batch = {"input_ids": torch.zeros(1, 1)}
    assert float(ewc.loss(model, batch, {}, past).detach()) == 0.0
    weight = model.classifier.weight
    with torch.no_grad():
        weight[0, 0] += 2.0
        weight[2, 0] += 5.0  # of the new label: worth nothing to the old
    expected = past.weight / 2 * float(past.fisher["classifier.weight"][0, 0]) * 4
    assert float(ewc.loss(model, batch, {}, past).detach()) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_it_is_made_for_another_device_than_the_model_is_still_on(
    tuning: str, grown: Project
) -> None:
    """Trainer moves the model to the GPU later; `meta` refuses to be mixed with it as well."""
    job = lessons.job(grown)
    model = tunings.apply(job.build(), job.settings.model_copy(update={"tuning": tuning}))
    past = ewc.past(job, model, "meta")
    assert past is not None and past.fisher["classifier.weight"].shape == (3, 32)
    assert {fisher.device.type for fisher in past.fisher.values()} == {"meta"}
    assert past.fisher.keys() == past.changes.keys()


def test_of_adapters_it_is_what_they_add_to_the_weight(grown: Project) -> None:
    """The penalty on s B A is the one on the merged weights."""
    job = lessons.job(grown)
    lora = job.settings.model_copy(update={"tuning": "lora", "lora_rank": 2})
    model = tunings.apply(job.build(), lora)
    past = ewc.past(job, model, "cpu")
    assert past is not None
    assert {n for n in past.fisher if "attention" in n} and "classifier.weight" in past.fisher
    assert not any("lora" in name for name in past.fisher)
    torch.manual_seed(1)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.requires_grad:
                weight += 0.1 * torch.randn_like(weight)
    added = ewc.loss(model, {"input_ids": torch.zeros(1, 1)}, {}, past).item()
    before = dict(job.build().named_parameters())
    merged = dict(tunings.plain(model).named_parameters())
    moved = {name for name in before if not torch.equal(before[name][:2], merged[name][:2])}
    assert moved == set(past.fisher)
    expected = 0.0
    for name, fisher in past.fisher.items():
        # A new label's row of the head is drawn anew by each build; its Fisher is zero.
        rows = slice(0, 2) if name.startswith("classifier") else slice(None)
        change = merged[name][rows] - before[name][rows]
        expected += past.weight / 2 * (fisher[rows] * change**2).sum().item()
    assert added == pytest.approx(expected, rel=1e-3) and added > 0


def test_weights_that_the_fisher_is_not_of_are_refused(toy_encoder: Path, tmp_path: Path) -> None:
    project = lessons.taught(
        tmp_path,
        toy_encoder,
        "classification",
        EPISODES,
        EWC,
        first_epochs=0.2,
        tuning="last",
        frozen_layers=1,
    )
    lessons.change(project, EWC, tuning="full", frozen_layers=0)
    prepare.run(project)
    with pytest.raises(SettingsError, match=r"finetune\.tuning 'full' moves"):
        finetune.run(project)


SHIFTED: dict[str, Any] = {
    "one": toys.toy_texts(160, 1),
    "two": toys.toy_texts(96, 2, kinds=("city",)),
}
"""All three labels, then rows of one alone: whoever keeps nothing soon answers that one always."""


@pytest.fixture(scope="module")
def shifted(toy_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    strategy = {**EWC, "fisher_rows": 64}
    root = tmp_path_factory.mktemp("shifted") / "p"
    return lessons.taught(root, toy_encoder, "classification", SHIFTED, strategy)


@pytest.mark.parametrize(
    ("tuning", "rate", "lost", "saved"),
    [("full", 0.005, 35, 20), ("lora", 0.02, 5, 5)],
    ids=["full", "lora"],
)
def test_it_keeps_what_naive_forgets(
    tuning: str, rate: float, lost: float, saved: float, shifted: Project
) -> None:
    """Both learn the new episode; a small adapter forgets less to begin with."""
    strategy = {**EWC, "ewc_weight": 30_000.0}
    kept = {}
    for term in ("none", "ewc"):
        over = {**strategy, "term": term}
        model = lessons.second(shifted, over, tuning=tuning, learning_rate=rate)
        told = [lessons.right(shifted, "classification", model, name, []) for name in lessons.NAMES]
        assert told[1] >= 95
        kept[term] = told[0]
    assert kept["none"] <= 100 - lost and kept["ewc"] >= kept["none"] + saved, kept
