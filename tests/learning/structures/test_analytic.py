"""The closed form: solved, not trained; grown, not forgotten; exported as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from onward import files, recipes
from onward.episodes import turn as turns
from onward.errors import DataError, SettingsError
from onward.evaluation import evaluate
from onward.learning import closed_form, finetune, models, prepare
from onward.learning.structures import analytic
from onward.learning.structures.analytic import Statistics
from onward.project import Project
from tests import toys
from tests.learning.structures.turns import (
    answers,
    bytes_of,
    correcting,
    held,
    inputs,
    learn,
    project_of,
)

STRATEGY = {
    "rows": "naive",
    "structure": "analytic",
    "analytic_features": 128,
    "analytic_ridge": 0.1,
}
EPISODES = {
    "one": toys.toy_texts(96, 1, kinds=("colour", "animal")),
    "two": toys.toy_texts(64, 2, kinds=("city",)),
}
NAMES = ["0001-one", "0002-two"]


def blobs(count: int, seed: int) -> tuple[Any, Any, Any]:
    """Rows of 5 classes around their means: embeddings, classes and hashes."""
    draw = torch.Generator().manual_seed(seed)
    classes = torch.randint(0, 5, (count,), generator=draw)
    centres = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
    rows = centres[classes] + 0.7 * torch.randn(count, 8, generator=draw)
    ranks = torch.randint(0, 256, (count, 32), generator=draw, dtype=torch.uint8)
    return rows / rows.norm(dim=1, keepdim=True), classes, ranks


def grown(parts: list[tuple[Any, Any, Any]], labels: list[int], folder: Path) -> Statistics:
    """Statistics that took in part after part and were written and read in between."""
    projection = closed_form.draw(8, 64, seed=3)
    found = Statistics.empty(64, 8)
    for (rows, classes, ranks), count in zip(parts, labels, strict=True):
        found.extend(count)
        found.add(rows, classes, ranks, projection)
        found.save(folder / "s.safetensors")
        found = Statistics.load(folder / "s.safetensors")
    return found


def solved(found: Statistics, ridge: float = 1.0) -> closed_form.Solution:
    sample = closed_form.features(found.embedded, closed_form.draw(8, 64, seed=3))
    return closed_form.solve(found.gram, found.cross, ridge, sample, found.classes)


def test_part_by_part_is_all_at_once_in_any_order(tmp_path: Path) -> None:
    rows, classes, ranks = blobs(2_000, 1)
    at_once = solved(grown([(rows, classes, ranks)], [5], tmp_path))
    order = torch.argsort(classes, stable=True)  # class after class, labels growing
    parts = [(rows[at], classes[at], ranks[at]) for at in order.split(400)]
    counts = [int(part[1].max()) + 1 for part in parts]
    assert counts[0] < counts[-1]
    slowly = solved(grown(parts, counts, tmp_path))
    assert torch.allclose(at_once.weight, slowly.weight, atol=2e-4 * float(at_once.weight.max()))
    assert slowly.temperature == pytest.approx(at_once.temperature, rel=1e-3)


def test_the_sample_is_the_same_whatever_the_order(tmp_path: Path) -> None:
    rows, classes, ranks = blobs(1_500, 2)
    back = torch.arange(len(rows)).flip(0)
    here = grown([(rows, classes, ranks)], [5], tmp_path)
    there = grown([(rows[at], classes[at], ranks[at]) for at in back.split(300)], [5] * 5, tmp_path)
    assert len(here.ranks) == analytic.SAMPLE
    assert torch.equal(here.ranks, there.ranks) and torch.equal(here.embedded, there.embedded)


def test_a_row_that_came_twice_is_in_the_sample_once(tmp_path: Path) -> None:
    rows, classes, ranks = blobs(100, 4)
    found = grown([(rows, classes, ranks)] * 2, [5, 5], tmp_path)
    assert len(found.ranks) == 100 == len(found.embedded) == len(found.classes)


def test_leaving_a_row_out_in_closed_form_is_solving_without_it() -> None:
    rows, classes, _ = blobs(60, 3)
    h = closed_form.features(rows, closed_form.draw(8, 64, seed=3)).double()
    y = torch.nn.functional.one_hot(classes, 5).double()
    without = []
    for at in range(len(h)):
        rest = torch.arange(len(h)) != at
        gram = h[rest].T @ h[rest] + 0.3 * torch.eye(64, dtype=torch.float64)
        without.append(h[at] @ torch.linalg.solve(gram, h[rest].T @ y[rest]))
    found = closed_form.solve(h.T @ h, h.T @ y, 0.3, h.float(), classes)
    logits = torch.stack(without) / found.temperature
    loss = float(torch.nn.functional.cross_entropy(logits, classes))
    assert found.loss == pytest.approx(loss, rel=1e-4)
    assert 1e-3 < found.temperature < 1


def test_the_temperature_is_the_one_of_least_loss() -> None:
    draw = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(4_000, 6, generator=draw, dtype=torch.float64)
    classes = torch.multinomial((logits / 0.4).softmax(1), 1, generator=draw)[:, 0]
    assert closed_form.fitting(logits, classes) == pytest.approx(0.4, rel=0.1)


@pytest.fixture(scope="module")
def turned(
    toy_encoder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Project, Path, Path]:
    """Learned in two turns: the project, the first checkpoint and the second."""
    root = tmp_path_factory.mktemp("analytic") / "p"
    blocks = {"strategy": STRATEGY, "prepare": {"early_stopping_percent": 20}}
    project = project_of(root, toy_encoder, "classification", EPISODES, NAMES[:1], **blocks)
    first = learn(project, 1)
    toys.toy_turn(
        project,
        toy_encoder,
        learning=NAMES[1:],
        known=NAMES[:1],
        version="v1",
        recipe="classification",
    )
    return project, first, learn(project, 2)


def test_two_turns_are_one(
    turned: tuple[Project, Path, Path], toy_encoder: Path, tmp_path: Path
) -> None:
    """Also: what was carved off to say when to stop is learned, here and there."""
    _, _, second = turned
    together = project_of(
        tmp_path / "p", toy_encoder, "classification", EPISODES, strategy=STRATEGY
    )
    at_once = learn(together, 1)
    named = [recipes.get("classification").labels_of(each) for each in (second, at_once)]
    assert sorted(named[0]) == sorted(named[1]) and named[0][-1] == "city"
    (_, slowly), (_, fast) = closed_form.head(second), closed_form.head(at_once)
    columns = [named[0].index(label) for label in named[1]]
    assert torch.allclose(slowly[:, columns], fast, atol=1e-3 * float(fast.abs().max()))


def test_texts_that_are_cut_at_another_length_are_counted_anew(
    toy_encoder: Path, tmp_path: Path
) -> None:
    """The sums were of what 32 tokens say, and new rows came to them with 96."""
    long = {
        name: [{**row, "text": f"{'the ' * 40}{row['text']}"} for row in rows]
        for name, rows in EPISODES.items()
    }
    heads = []
    for first in (NAMES[:1], NAMES):
        root, cut = tmp_path / str(len(first)), 32 if len(first) == 1 else 96
        blocks: dict[str, Any] = {"strategy": STRATEGY, "prepare": {"max_length": cut}}
        project = project_of(root, toy_encoder, "classification", long, first, **blocks)
        learn(project, 1)
        if cut == 32:
            params = files.read_json(project.params)
            params["prepare"]["max_length"] = 96
            files.write_json(project.params, params)
            turn: dict[str, Any] = {"learning": NAMES[1:], "known": NAMES[:1], "version": "v1"}
            toys.toy_turn(project, toy_encoder, recipe="classification", **turn)
            learn(project, 2)
        held_in = project.made("finetune") / "memory" / analytic.STATISTICS
        heads.append(Statistics.load(held_in).gram)
    assert torch.allclose(*heads, rtol=1e-3)


def test_the_order_of_the_turns_makes_no_difference(toy_encoder: Path, tmp_path: Path) -> None:
    """Each turn brings a label, and both know a third: the heads have the same columns."""
    episodes = {**EPISODES, "two": toys.toy_texts(64, 2, kinds=("city", "animal"))}
    heads = []
    for at, names in enumerate((NAMES, NAMES[::-1])):
        root = tmp_path / str(at)
        blocks = {"strategy": STRATEGY}
        project = project_of(root, toy_encoder, "classification", episodes, names[:1], **blocks)
        learn(project, 1)
        turn: dict[str, Any] = {"learning": names[1:], "known": names[:1], "version": "v1"}
        toys.toy_turn(project, toy_encoder, recipe="classification", **turn)
        folder = learn(project, 2)
        labels = list(recipes.get("classification").labels_of(folder))
        weight = closed_form.head(folder)[1]
        heads.append(weight[:, [labels.index(label) for label in sorted(labels)]])
        assert labels[-1] == ("city", "colour")[at]
    assert torch.allclose(*heads, atol=1e-3 * float(heads[0].abs().max()))


def test_D14_a_first_episode_of_one_label_is_refused(toy_encoder: Path, tmp_path: Path) -> None:
    blocks = {"strategy": STRATEGY}
    project = project_of(tmp_path, toy_encoder, "classification", EPISODES, NAMES[1:], **blocks)
    prepare.run(project)
    with pytest.raises(DataError, match="All rows have one label, 'city'"):
        finetune.run(project)


def test_a_plain_base_has_its_known_rows_read_once_more(toy_encoder: Path, tmp_path: Path) -> None:
    """And the other way round: a closed-form head is nothing to train on, which is said."""
    blocks = {"strategy": {"rows": "naive"}, "finetune": {"first_epochs": 0.5}}
    project = project_of(tmp_path, toy_encoder, "classification", EPISODES, NAMES[:1], **blocks)
    learn(project, 1)
    turn: dict[str, Any] = {"learning": NAMES[1:], "known": NAMES[:1], "version": "v1"}
    toys.toy_turn(project, toy_encoder, recipe="classification", **turn)
    params = files.read_json(project.params)
    files.write_json(project.params, {**params, "strategy": STRATEGY})
    second = learn(project, 2)
    assert models.kind(second) == "analytic"
    held_in = Statistics.load(project.version("v2") / "memory" / analytic.STATISTICS)
    assert held_in.cross.shape == (128, 3) and float(held_in.cross.abs().sum(dim=0).min()) > 0
    assert len(held_in.classes) == 72 + 48  # every training row of both
    files.write_json(project.params, params)
    turn = {"learning": NAMES[:1], "known": NAMES[1:], "version": "v2"}
    toys.toy_turn(project, toy_encoder, recipe="classification", **turn)
    prepare.run(project)
    with pytest.raises(SettingsError, match="The base is of structure analytic"):
        finetune.run(project)


def test_it_knows_what_it_was_taught_in_both_turns(turned: tuple[Project, Path, Path]) -> None:
    project, _, second = turned
    for episode in NAMES:
        rows = turns.rows(project, episode, "train")
        told = answers("classification", second, rows)
        right = [told == row["label"] for told, row in zip(told, rows, strict=True)]
        assert np.mean(right) >= 0.7
    assert models.kind(second) == "analytic"


def test_the_ordinary_evaluation_scores_it(turned: tuple[Project, Path, Path]) -> None:
    """Before is the first turn's model: it lacks the second's label, and misses its rows."""
    project, _, second = turned
    evaluate.run(project)
    units = files.read_json(project.made("evaluate") / "summary.json")["units"]
    assert units.keys() == {*NAMES, "all"}
    for episode in NAMES:
        rows = held(project, episode)
        told = answers("classification", second, rows)
        right = [label == row["label"] for label, row in zip(told, rows, strict=True)]
        assert units[episode]["after"]["accuracy"] == pytest.approx(100 * np.mean(right), abs=0.01)
    assert units[NAMES[1]]["before"]["accuracy"] == 0 < units[NAMES[1]]["after"]["accuracy"]


def test_memory_is_the_statistics_and_does_not_grow_with_rows(
    turned: tuple[Project, Path, Path],
) -> None:
    project, _, _ = turned
    folders = [project.version(f"v{n}") / "memory" for n in (1, 2)]
    assert {path.name for path in folders[1].iterdir()} == {"memory.json", analytic.STATISTICS}
    held = [Statistics.load(folder / analytic.STATISTICS) for folder in folders]
    assert [each.cross.shape for each in held] == [(128, 2), (128, 3)]
    assert held[0].gram.shape == held[1].gram.shape
    covers = files.read_json(folders[1] / "memory.json")["covers"]
    assert [each["episode"] for each in covers] == NAMES


def test_the_second_turn_reads_no_known_row(
    turned: tuple[Project, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its cost is that of its own rows: known ones are not even opened by the training."""
    from onward.learning.structures import own

    def refused(*_: Any) -> Any:
        raise AssertionError("known rows were read")

    monkeypatch.setattr(own.turns, "stream", refused)
    finetune.run(turned[0])


def test_same_inputs_same_bytes(turned: tuple[Project, Path, Path]) -> None:
    project, _, second = turned
    finetune.run(project)
    made = project.made("finetune")
    assert bytes_of(made / "model") == bytes_of(second)
    assert bytes_of(made / "memory") == bytes_of(project.version("v2") / "memory")


def test_an_episode_that_is_gone_leaves_the_sums(
    turned: tuple[Project, Path, Path], toy_encoder: Path
) -> None:
    """The base's statistics hold it, so they are made anew from the rows of those still known."""
    project, _, _ = turned
    before = Statistics.load(project.version("v2") / "memory" / analytic.STATISTICS)
    assert float(before.cross[:, 2].abs().sum()) > 0
    toys.toy_episode(project, 3, "more", toys.toy_texts(48, 5, kinds=("colour",)), "classification")
    toys.toy_turn(
        project,
        toy_encoder,
        learning=["0003-more"],
        known=NAMES[:1],
        version="v2",
        recipe="classification",
    )
    prepare.run(project)
    finetune.run(project)
    memory = project.made("finetune") / "memory"
    found = Statistics.load(memory / analytic.STATISTICS)
    assert float(found.cross[:, 2].abs().sum()) == 0
    assert float(found.cross[:, 0].abs().sum()) > 0
    toys.toy_turn(
        project,
        toy_encoder,
        learning=NAMES[1:],
        known=NAMES[:1],
        version="v1",
        recipe="classification",
    )
    prepare.run(project)


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_a_corrected_row_leaves_the_sums(share: float, toy_encoder: Path, tmp_path: Path) -> None:
    """They hold what it was: they are made anew. Of an episode no row may be left to learn."""
    blocks = {"strategy": STRATEGY}
    project = project_of(tmp_path, toy_encoder, "classification", EPISODES, NAMES[:1], **blocks)
    learn(project, 1)
    wrong = turns.rows(project, NAMES[0], "train")
    mended = [{**row, "label": "city"} for row in wrong[: int(share * len(wrong))]]
    name = correcting(project, 3, "mended", NAMES[0], mended)
    turn: dict[str, Any] = {"learning": [name], "known": NAMES[:1], "version": "v1"}
    toys.toy_turn(project, toy_encoder, recipe="classification", **turn)
    labels = list(recipes.get("classification").labels_of(learn(project, 2)))
    assert labels == ["animal", "colour", "city"]
    found = Statistics.load(project.version("v2") / "memory" / analytic.STATISTICS)
    counts = [found.classes.tolist().count(at) for at in range(3)]
    right = [row["label"] for row in [*wrong[len(mended) :], *mended]]
    assert counts == [right.count(label) for label in labels]
    gone = [at for at in range(3) if not counts[at]]
    assert float(found.cross[:, gone].abs().sum()) == 0


def test_other_features_than_the_base_are_refused(turned: tuple[Project, Path, Path]) -> None:
    import json

    project, _, _ = turned
    before = project.params.read_text()
    blocks = json.loads(before)
    blocks["strategy"]["analytic_features"] = 64
    try:
        files.write_text(project.params, json.dumps(blocks))
        prepare.run(project)
        with pytest.raises(SettingsError, match="analytic_features is 64, the base has 128"):
            finetune.run(project)
    finally:
        files.write_text(project.params, before)
        prepare.run(project)


def test_logits_are_a_probability_and_survive_export(turned: tuple[Project, Path, Path]) -> None:
    import onnxruntime

    from onward.runtime import graph

    project, _, second = turned
    recipe = recipes.get("classification")
    model = models.load(recipe, second, {"new_head": False})
    spec = recipe.graphs(model)[0]
    made = graph.export(model, spec, opset=20)
    session = onnxruntime.InferenceSession(made.model, providers=["CPUExecutionProvider"])
    batch = inputs("classification", held(project, NAMES[0])[:7], second)
    with torch.inference_mode():
        expected = model(**batch)["logits"].numpy()
    found = session.run(list(spec.outputs), {name: batch[name].numpy() for name in spec.inputs})[0]
    assert found.shape == (7, 3) and np.abs(found - expected).max() < 1e-3
    sure = torch.from_numpy(expected).softmax(dim=1).max(dim=1).values.mean()
    assert 0.45 < float(sure) < 1.0  # ridge outputs themselves would say about a third


def test_a_ridge_below_the_rounding_of_the_sums_is_named(tmp_path: Path) -> None:
    """The sums lie in fp32: a second turn's are rounded, and may be no square of anything."""
    rows, classes, ranks = blobs(40, 5)
    found = grown([(rows, classes, ranks)], [5], tmp_path)
    with pytest.raises(SettingsError, match="ridge of 1e-15") as caught:
        solved(found, 1e-15)
    assert "strategy.analytic_ridge" in caught.value.where
