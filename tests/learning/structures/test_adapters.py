"""One LoRA an episode and a router: nothing that was learned is touched again."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from onward import files, recipes
from onward.episodes import turn as turns
from onward.errors import SettingsError
from onward.evaluation import evaluate
from onward.learning import finetune, models, pooled, prepare, routed
from onward.learning.curves import Course
from onward.learning.structures import adapters
from onward.learning.trainer import Trained
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

NAMES = ["0001-one", "0002-two"]
STRATEGY = {"rows": "naive", "structure": "adapters"}
TRAINING = {
    "tuning": "lora",
    "lora_rank": 4,
    "first_epochs": 6,
    "epochs": 1,
    "first_learning_rate": 0.02,
    "learning_rate": 1e-6,
}
"""Every adapter begins with the pretrained encoder: later ones are trained like the first."""
EPISODES = {
    "one": toys.toy_texts(96, 1, kinds=("colour", "animal")),
    "two": toys.toy_texts(96, 2, kinds=("city", "animal")),
}


def ready(project: Project, encoder: Path, **turn: Any) -> None:
    toys.toy_turn(project, encoder, **{"recipe": "classification", **turn})


@pytest.fixture(scope="module")
def turned(
    toy_encoder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Project, Path, Path]:
    """Learned in two turns: the project, the first checkpoint and the second."""
    root = tmp_path_factory.mktemp("adapters") / "p"
    blocks = {"strategy": STRATEGY, "finetune": TRAINING}
    project = project_of(root, toy_encoder, "classification", EPISODES, NAMES[:1], **blocks)
    first = learn(project, 1)
    ready(project, toy_encoder, learning=NAMES[1:], known=NAMES[:1], version="v1")
    return project, first, learn(project, 2)


def test_a_later_adapter_takes_the_epochs_of_a_first_training(
    turned: tuple[Project, Path, Path],
) -> None:
    project, _, _ = turned
    counts = files.read_json(project.made("prepare") / "counts.json")["train"]
    spec = files.read_json(project.made("finetune") / "spec.json")
    assert spec["steps"] == 6 * -(-counts["windows"] // 8) > 0


def test_the_second_turn_leaves_the_first_adapter_as_it_is(
    turned: tuple[Project, Path, Path],
) -> None:
    _, first, second = turned
    before = bytes_of(first / routed.ADAPTERS / NAMES[0])
    assert set(before) == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "head.safetensors",
        "router.safetensors",
    }
    assert bytes_of(second / routed.ADAPTERS / NAMES[0]) == before
    assert files.sha256(first / models.WEIGHTS) == files.sha256(second / models.WEIGHTS)
    named = [(each.episode, each.labels) for each in routed.adapters_of(second)]
    assert named == [(NAMES[0], ("animal", "colour")), (NAMES[1], ("animal", "city"))]
    labels = recipes.get("classification").labels_of(second)
    assert list(labels) == ["animal", "colour", "city"]


def test_the_curve_of_an_adapter_begins_where_that_of_the_one_before_ends(tmp_path: Path) -> None:
    """Also where the weights that are kept are those of an earlier step."""

    def trained(best: int) -> Trained:
        stops: list[list[float]] = [[2, 0.5 if best == 2 else 0.7], [4, 0.6]]
        course = Course(every=1, points=[[step, 1.0] for step in range(1, 5)], stops=stops)
        sizes = {"trainable": 1, "adapter_parameters": 1, "adapter_bytes": 4}
        return Trained(None, course, best, 8, "fp32", sizes)

    job: Any = SimpleNamespace(work=tmp_path)
    both = adapters._together(job, torch.nn.Linear(1, 1), [trained(2), trained(4)])
    assert [step for step, _ in both.course.points] == list(range(1, 9))
    assert [step for step, _ in both.course.stops] == [2, 4, 6, 8]
    assert both.steps == 2 + 4, "those behind the weights that are kept"


def test_memory_holds_nothing_but_its_description(turned: tuple[Project, Path, Path]) -> None:
    memory = turned[0].version("v2") / "memory"
    assert [path.name for path in memory.iterdir()] == ["memory.json"]
    assert (
        "the adapters themselves lie in the model"
        in files.read_json(memory / "memory.json")["holds"]
    )


def test_each_row_is_answered_by_the_adapter_it_is_routed_to(
    turned: tuple[Project, Path, Path],
) -> None:
    """What an adapter says of its row is what it said when it was alone, up to the router."""
    project, first, second = turned
    recipe = recipes.get("classification")
    alone = models.load(recipe, first, {"new_head": False})
    both = models.load(recipe, second, {"new_head": False})
    batch = inputs("classification", held(project, NAMES[0]), second)
    with torch.inference_mode():
        routes = both.routes(**batch)
        logits, before = both(**batch)["logits"], alone(**batch)["logits"]
    assert torch.allclose(routes.exp().sum(1), torch.ones(len(routes)), atol=1e-5)
    assert torch.allclose(logits.exp().sum(1), torch.ones(len(routes)), atol=1e-4)
    mine = routes.argmax(dim=1) == 0
    assert mine.any()
    # Shares of the two labels among themselves: the second adapter adds evenly to "animal" alone.
    share = routes[mine, :1].exp() * before[mine, :2].softmax(dim=1)
    share[:, 0] += routes[mine, 1].exp() / 2
    assert torch.allclose(logits[mine, :2].exp(), share, atol=1e-4)


def test_the_router_looks_at_the_frozen_encoders_embedding(
    turned: tuple[Project, Path, Path],
) -> None:
    project, _, second = turned
    both = models.load(recipes.get("classification"), second, {"new_head": False})
    batch = inputs("classification", held(project, NAMES[1])[:6], second)
    encoder = pooled.encoder(second)
    with torch.inference_mode():
        hidden = encoder(**batch).last_hidden_state
        expected = both.router(pooled.mean(hidden, batch["attention_mask"]))
        assert torch.allclose(both.routes(**batch), expected, atol=1e-4)


def test_the_ordinary_evaluation_scores_it(turned: tuple[Project, Path, Path]) -> None:
    project, _, _ = turned
    evaluate.run(project)
    units = files.read_json(project.made("evaluate") / "summary.json")["units"]
    assert units.keys() == {*NAMES, "all"}
    told = {name: units[name]["after"]["accuracy"] for name in NAMES}
    assert all(value > 40 for value in told.values()), told  # three labels, two episodes


def test_same_inputs_same_bytes(turned: tuple[Project, Path, Path]) -> None:
    project, _, second = turned
    files.remove(project.private / "work")
    finetune.run(project)
    assert bytes_of(project.made("finetune") / "model") == bytes_of(second)


def test_the_adapter_of_an_episode_that_is_gone_is_left_out(
    turned: tuple[Project, Path, Path], toy_encoder: Path
) -> None:
    """Known is one alone: v2's adapter of two goes, that of one stays to the byte."""
    project, first, _ = turned
    rows = toys.toy_texts(40, 5, kinds=("city", "colour"))
    toys.toy_episode(project, 3, "more", rows, "classification")
    ready(project, toy_encoder, learning=["0003-more"], known=NAMES[:1], version="v2")
    prepare.run(project)
    finetune.run(project)
    made = project.made("finetune") / "model"
    assert [each.episode for each in routed.adapters_of(made)] == [NAMES[0], "0003-more"]
    kept = routed.ADAPTERS, NAMES[0]
    assert bytes_of(made.joinpath(*kept)) == bytes_of(first.joinpath(*kept))


def test_the_adapter_of_a_corrected_episode_is_trained_anew(
    toy_encoder: Path, tmp_path: Path
) -> None:
    """On the rows that still stand; what it had learned of the others was wrong."""
    blocks = {"strategy": STRATEGY, "finetune": {**TRAINING, "first_epochs": 0.5, "epochs": 0.5}}
    project = project_of(tmp_path, toy_encoder, "classification", EPISODES, **blocks)
    first = learn(project, 1)
    wrong = turns.rows(project, NAMES[0], "train")
    mended = [{**row, "label": ("city", "animal")[at % 2]} for at, row in enumerate(wrong[:40])]
    name = correcting(project, 3, "mended", NAMES[0], mended)
    ready(project, toy_encoder, learning=[name], known=NAMES, version="v1")
    second = learn(project, 2)
    assert {each.episode for each in routed.adapters_of(second)} == {*NAMES, name}
    before, after = (
        [bytes_of(folder / routed.ADAPTERS / each) for each in NAMES] for folder in (first, second)
    )
    assert before[0] != after[0] and before[1] == after[1]


def test_an_episode_that_was_carved_off_whole_has_an_adapter(
    toy_encoder: Path, tmp_path: Path
) -> None:
    """Its one title says when to stop; it would be learned by no adapter, and count as learned."""
    episodes = {"one": EPISODES["one"], "two": toys.toy_texts(24, 3, titles=3)}
    training = {**TRAINING, "first_epochs": 0.5}
    blocks: dict[str, Any] = {
        "strategy": STRATEGY,
        "finetune": training,
        "prepare": {"early_stopping_percent": 20, "seed": 7},
    }
    project = project_of(tmp_path, toy_encoder, "classification", episodes, **blocks)
    made = learn(project, 1)
    counts = files.read_json(project.made("prepare") / "counts.json")
    assert NAMES[1] not in counts["train"]["episodes"]
    assert counts["stopping"]["episodes"][NAMES[1]] == 8
    assert [each.episode for each in routed.adapters_of(made)] == NAMES


def test_extractive_rows_are_routed_window_by_window(toy_encoder: Path, tmp_path: Path) -> None:
    episodes = {"one": toys.toy_rows(40, 1), "two": toys.toy_rows(40, 2)}
    blocks = {"strategy": STRATEGY, "finetune": {**TRAINING, "first_epochs": 0.5, "epochs": 0.5}}
    project = project_of(tmp_path, toy_encoder, "extractive", episodes, NAMES[:1], **blocks)
    first = learn(project, 1)
    ready(
        project,
        toy_encoder,
        learning=NAMES[1:],
        known=NAMES[:1],
        version="v1",
        recipe="extractive",
    )
    second = learn(project, 2)
    kept = routed.ADAPTERS, NAMES[0]
    assert bytes_of(second.joinpath(*kept)) == bytes_of(first.joinpath(*kept))
    model = models.load(recipes.get("extractive"), second, {"new_head": False})
    batch = inputs("extractive", held(project, NAMES[0])[:5], second)
    with torch.inference_mode():
        made = model(**batch)
    assert {name: value.shape for name, value in made.items()} == {
        name: batch["input_ids"].shape for name in ("start_logits", "end_logits")
    }


def test_a_plain_base_gets_an_adapter_for_each_known_episode(
    toy_encoder: Path, tmp_path: Path
) -> None:
    """Rows of what it knows are read again, once; its own encoder is what they stand on."""
    training = {**TRAINING, "tuning": "full", "first_epochs": 0.5, "epochs": 0.5}
    blocks = {"strategy": {"rows": "naive"}, "finetune": training}
    project = project_of(tmp_path, toy_encoder, "classification", EPISODES, NAMES[:1], **blocks)
    plain = learn(project, 1)
    ready(project, toy_encoder, learning=NAMES[1:], known=NAMES[:1], version="v1")
    params = files.read_json(project.params)
    params["strategy"], params["finetune"]["tuning"] = STRATEGY, "lora"
    files.write_json(project.params, params)
    second = learn(project, 2)
    assert [each.episode for each in routed.adapters_of(second)] == NAMES
    own, base = (pooled.encoder(folder).state_dict() for folder in (second, plain))
    assert all(torch.equal(own[name], base[name]) for name in base)
    # And back: adapters are no one set of weights to train on.
    ready(project, toy_encoder, learning=["0001-one"], known=NAMES[1:], version="v2")
    params["strategy"], params["finetune"]["tuning"] = {"rows": "naive"}, "full"
    files.write_json(project.params, params)
    prepare.run(project)
    with pytest.raises(SettingsError, match="The base is of structure adapters"):
        finetune.run(project)


@pytest.mark.parametrize("structure", ["adapters", "analytic"])
def test_a_base_that_was_adopted_is_refused_by_name(
    structure: str, toy_encoder: Path, tmp_path: Path
) -> None:
    """v1 was handed on as it came: no row that it learned is here."""
    training = {**TRAINING, "tuning": "full", "first_epochs": 0.5}
    blocks = {"strategy": {"rows": "naive"}, "finetune": training}
    project = project_of(tmp_path, toy_encoder, "classification", EPISODES, NAMES[:1], **blocks)
    spec = project.made("finetune") / "spec.json"
    learn(project, 1)
    files.remove(project.version("v1"))
    files.write_json(spec, {**files.read_json(spec), "learned": []})
    toys.toy_version(project, "v1")
    ready(project, toy_encoder, learning=NAMES[1:], version="v1")
    params = files.read_json(project.params)
    params["strategy"] = {"rows": "naive", "structure": structure}
    params["finetune"]["tuning"] = "lora" if structure == "adapters" else "full"
    files.write_json(project.params, params)
    prepare.run(project)
    with pytest.raises(SettingsError, match="learned from rows that are not here"):
        finetune.run(project)


@pytest.mark.parametrize("structure", ["adapters", "analytic"])
def test_an_episode_that_a_new_one_replaces_whole_leaves_a_base_to_go_on_from(
    structure: str, toy_encoder: Path, tmp_path: Path
) -> None:
    """It is no part of the turn then, and the turn was refused as if the base were adopted."""
    blocks = {
        "strategy": {"rows": "naive", "structure": structure, "analytic_features": 64},
        "finetune": {**TRAINING, "tuning": "lora" if structure == "adapters" else "full"},
    }
    project = project_of(tmp_path, toy_encoder, "classification", EPISODES, NAMES[:1], **blocks)
    learn(project, 1)
    ready(project, toy_encoder, learning=NAMES[1:], version="v1")
    second = learn(project, 2)
    assert models.kind(second) == structure
    if structure == "adapters":
        assert [each.episode for each in routed.adapters_of(second)] == NAMES[1:]
    new = held(project, NAMES[1])
    told = answers("classification", second, new)
    assert {row["label"] for row in new} >= set(told), "nothing is told of what is gone"


def test_it_still_knows_the_first_episode(turned: tuple[Project, Path, Path]) -> None:
    """On the rows that go to their own adapter: as right as before the second turn."""
    project, first, second = turned
    rows = turns.rows(project, NAMES[0], "train")
    batch = inputs("classification", rows, second)
    found = []
    for folder in (first, second):
        model = models.load(recipes.get("classification"), folder, {"new_head": False})
        with torch.inference_mode():
            told = model(**batch)["logits"].argmax(dim=1).tolist()
        names = [model.config.id2label[at] for at in told]
        found.append([name == row["label"] for name, row in zip(names, rows, strict=True)])
    before, after = (sum(each) / len(each) for each in found)
    assert before > 0.75 and after > before - 0.25
