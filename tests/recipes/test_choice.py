"""The recipe choice: columns, encoding, the loss over a row's options, answers, trivial answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from onward import recipes
from onward.config import Evaluate, Finetune, Prepare
from onward.learning import encoder, features, passes
from onward.learning.features import Collate, Features
from onward.recipes import choice, options
from onward.recipes.shapes import Feature
from onward.watch import profile
from tests import toys
from tests.recipes.readers import byte_tokenizer

SMALL = Prepare(max_length=32, stride=0)


@pytest.fixture(scope="module")
def tokenizer(toy_encoder: Path) -> Any:
    return encoder.tokenizer(toy_encoder)


@pytest.fixture(scope="module")
def model(toy_encoder: Path) -> Any:
    import torch

    torch.manual_seed(1)
    return choice.build(toy_encoder, {}).eval()


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (["question", "choices", "answer"], {"question": "question", "options": "choices"}),
        (["Question", "Options", "Label"], {"question": "Question", "options": "Options"}),
        (["id", "question", "answerKey"], {"id": "id", "question": "question"}),
        (["passage", "question", "choices", "target"], {"context": "passage"}),
        (["article", "question", "options", "answer"], {"context": "article"}),
        (["article", "passage", "question", "options", "answer"], {"title": "article"}),
        (["question", "answer"], None),
        (["question", "context", "answers"], None),
        (["choices", "answer"], None),
    ],
)
def test_guess(columns: list[str], expected: dict[str, str] | None) -> None:
    """D03: other names, case and order."""
    found = choice.guess(columns)
    assert found == choice.guess(columns[::-1])
    if expected is None or found is None:
        assert found is expected
    else:
        assert found | expected == found and found["answer"] == columns[-1]


def test_rows_fit_the_schema() -> None:
    rows = toys.toy_choices(20, seed=1)
    table = pa.Table.from_pylist(rows, schema=recipes.get("choice").SCHEMA)
    assert table.to_pylist() == rows
    assert choice.slices(rows[0])["right option"] == options.letter(rows[0]["answer"])
    assert [options.letter(place) for place in (0, 26, 51, 52)] == ["A", "AA", "AZ", "BA"]


def test_an_option_is_read_with_question_and_context(tokenizer: Any) -> None:
    row = {"context": None, "question": "which city?", "options": ["oslo", "lima"], "answer": 1}
    made = choice.encode([row, {**row, "context": "a note"}], tokenizer, SMALL, labels=None)
    assert [(one["row"], one["option"]) for one in made] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    told = [tokenizer.decode(one["input_ids"]) for one in made]
    assert told[1] == "[CLS] which city? [SEP] lima [SEP]"
    assert told[2] == "[CLS] a note [SEP] which city? oslo [SEP]"
    long = {**row, "context": "note " * 60}
    assert choice.inputs_cut([row, long], tokenizer, SMALL) == 1
    cut = choice.encode([long], tokenizer, SMALL, labels=None)
    assert [len(one["input_ids"]) for one in cut] == [32, 32]
    assert tokenizer.decode(cut[1]["input_ids"]).endswith("which city? lima [SEP]")


TALE = {
    "context": "the note says that it was seen near a box " * 9,
    "question": "one two three four which city",
    "options": ["oslo", "lima", "oslo and lima"],
    "answer": 1,
}


@pytest.mark.parametrize("context", [TALE["context"], "a note", None])
@pytest.mark.parametrize("times", [0, 1, 5, 40])
def test_whatever_is_cut_the_options_stay_apart(
    context: str | None, times: int, tokenizer: Any
) -> None:
    """Under two tokenizers: the context's end goes first, then the question's beginning."""
    row = {**TALE, "context": context, "question": "near the box " * times + TALE["question"]}
    for reads in (tokenizer, byte_tokenizer()):
        settings = Prepare(max_length=32 if reads is tokenizer else 64, stride=0)
        made = choice.encode([row], reads, settings, labels=None)
        assert len({tuple(one["input_ids"]) for one in made}) == 3
        whole = choice.encode([row], reads, Prepare(max_length=8_192, stride=0), labels=None)
        for one, all_, option in zip(made, whole, row["options"], strict=True):
            assert len(one["input_ids"]) == min(len(all_["input_ids"]), settings.max_length)
            assert {len(one[name]) for name in reads.model_input_names} == {len(one["input_ids"])}
            told = reads.decode(one["input_ids"], skip_special_tokens=True)
            assert told.endswith(f"city {option}") or told.endswith(f"city{option}")
            if len(all_["input_ids"]) <= settings.max_length:
                assert one == all_
        cut = any(len(one["input_ids"]) > settings.max_length for one in whole)
        assert choice.inputs_cut([row], reads, settings) == cut


def test_a_row_that_fits_is_read_as_the_tokenizer_reads_two_texts(tokenizer: Any) -> None:
    row = {**TALE, "context": "a note"}
    made = choice.encode([row], tokenizer, SMALL, labels=None)
    for one, option in zip(made, row["options"], strict=True):
        pair = tokenizer("a note", f"{TALE['question']} {option}")
        assert {name: one[name] for name in pair} == dict(pair)


def test_of_a_context_that_is_too_long_the_beginning_is_read(tokenizer: Any) -> None:
    """As the tokenizer itself cuts the longer of two texts."""
    made = choice.encode([TALE], tokenizer, SMALL, labels=None)
    for one, option in zip(made, TALE["options"], strict=True):
        pair = tokenizer(
            TALE["context"], f"{TALE['question']} {option}", truncation="only_first", max_length=32
        )
        assert {name: one[name] for name in pair} == dict(pair)


def test_an_option_longer_than_the_window_loses_its_end(tokenizer: Any) -> None:
    row = {**TALE, "options": ["oslo " * 40, "lima " * 40]}
    made = choice.encode([row, {**row, "context": None}], tokenizer, SMALL, labels=None)
    told = [tokenizer.decode(one["input_ids"], skip_special_tokens=True) for one in made]
    assert [set(one.split()) for one in told] == [{"oslo"}, {"lima"}] * 2
    assert {len(one["input_ids"]) for one in made} == {32}


def test_a_row_to_learn_from_holds_all_its_options(tokenizer: Any, tmp_path: Path) -> None:
    rows = toys.toy_choices(12, seed=2)
    parts = features.encode(rows, choice, tokenizer, SMALL)
    counted = features.write(tmp_path / "f.parquet", parts)
    windows = Features.load(tmp_path / "f.parquet")
    assert counted["windows"] == len(windows) == 12
    batch = Collate(0, choice.TARGETS)([windows[at] for at in range(12)])
    apart = choice.encode(rows, tokenizer, SMALL, labels=None)
    assert batch["groups"].tolist() == [len(row["options"]) for row in rows]
    assert batch["labels"].tolist() == [row["answer"] for row in rows]
    assert batch["input_ids"].shape[0] == len(apart) and batch["rows"].shape[0] == 12
    for line, mask, one in zip(batch["input_ids"], batch["attention_mask"], apart, strict=True):
        assert line[mask.bool()].tolist() == one["input_ids"]


def test_the_loss_is_the_cross_entropy_over_each_rows_options(tokenizer: Any, model: Any) -> None:
    import torch

    rows = toys.toy_choices(7, seed=3)
    made = choice.encode(rows, tokenizer, SMALL, labels=())
    kept = [{name: one[name] for name in one if name != "attention_mask"} for one in made]
    batch = Collate(0, choice.TARGETS)(kept)
    batch.pop("rows")
    with torch.no_grad():
        found = model(**batch)
        plain = model(**{k: v for k, v in batch.items() if k not in ("groups", "labels")})
    assert plain["logits"].shape == (sum(len(row["options"]) for row in rows), 1)
    of_rows = plain["logits"].squeeze(-1).split(batch["groups"].tolist())
    each = [
        -torch.log_softmax(scores, 0)[row["answer"]]
        for scores, row in zip(of_rows, rows, strict=True)
    ]
    assert float(found["loss"]) == pytest.approx(float(torch.stack(each).mean()), rel=1e-5)
    assert found["logits"].shape == (7, max(len(row["options"]) for row in rows))


def test_a_saved_model_is_read_back_and_a_bare_encoder_is_refused(
    model: Any, toy_encoder: Path, tmp_path: Path
) -> None:
    from onward.errors import IntegrityError

    model.save_pretrained(tmp_path / "m")
    assert "BertForSequenceClassification" in (tmp_path / "m" / "config.json").read_text()
    again = choice.build(tmp_path / "m", {"new_head": False})
    before, after = model.state_dict(), again.state_dict()
    assert all((before[name] == after[name]).all() for name in before)
    with pytest.raises(IntegrityError, match="lacks"):
        choice.build(toy_encoder, {"new_head": False})


def _features(rows: list[dict[str, Any]]) -> list[Feature]:
    return [
        {"row": at, "option": n} for at, row in enumerate(rows) for n in range(len(row["options"]))
    ]


def test_the_most_probable_option_is_the_answer() -> None:
    rows = [{"options": ["a", "b", "c"], "answer": 2}, {"options": ["x", "y"], "answer": 0}]
    logits = [0.0, 1.0, 3.0, 2.0, 2.0]
    made = [{"logits": np.array([value], np.float32)} for value in logits]
    order = [4, 2, 0, 1, 3]
    placed = _features(rows)
    told = list(
        choice.decode(rows, [placed[n] for n in order], [made[n] for n in order], Evaluate())
    )
    assert [(one["text"], one["option"]) for one in told] == [("c", 2), ("x", 0)]
    assert told[0]["probability"] == pytest.approx(
        np.exp(3) / (1 + np.exp(1) + np.exp(3)), abs=1e-6
    )
    assert [one["text"] for one in told[0]["n_best"]] == ["c", "b", "a"]
    total = sum(choice.statistics(row, one) for row, one in zip(rows, told, strict=True))
    assert float(choice.metrics(total)["accuracy"]) == 100.0
    made_report = choice.report(rows, told)
    assert [one["label"] for one in made_report["classes"]] == ["A", "C"]


def test_the_trivial_answer_is_the_most_frequent_place() -> None:
    rows = [{"options": list("abcd"), "answer": at} for at in (2, 2, 0)]
    assert choice.common(rows) == 2 and choice.common([]) == 0
    assert choice.baseline(rows[0], 2)["text"] == "c"
    assert choice.baseline({"options": ["a", "b"]}, 2)["option"] == 1


def test_embeddings_and_logits_of_rows_of_options_are_one_a_row(
    toy_encoder: Path, model: Any, tmp_path: Path
) -> None:
    from onward.config import Finetune, Strategy
    from onward.episodes.turn import Turn
    from onward.learning import finetune, prepare

    project = toys.toy_project(
        tmp_path, toy_encoder, {"one": toys.toy_choices(24, 1)}, recipe="choice"
    )
    prepare.run(project)
    turn = Turn.read(project)
    prepared = finetune.read_prepared(project, turn)
    job = finetune._job(
        project, turn, prepared, Finetune(), Strategy(), toy_encoder, tmp_path / "work"
    )
    rows = toys.toy_choices(9, seed=5)
    assert passes.embeddings(job, model, rows).shape == (9, 32)
    assert passes.losses(job, model, rows).shape == (9,)
    widths = [[len(one["logits"]) for one in row] for row in passes.logits(job, model, rows)]
    assert widths == [[len(row["options"])] for row in rows]


def test_a_batch_in_micro_batches_is_the_batch(
    tokenizer: Any, toy_encoder: Path, tmp_path: Path
) -> None:
    """Rows of two to five options: each counts as one row, however many lines it has."""
    import torch

    from onward.learning import trainer

    features.write(
        tmp_path / "f.parquet",
        features.encode(toys.toy_choices(16, seed=4), choice, tokenizer, SMALL),
    )
    moved = []
    for micro in (8, 2):
        work = tmp_path / str(micro)
        work.mkdir()
        task = trainer.Task(
            build=lambda: choice.build(toy_encoder, {"dropout": 0.0}),
            data=Features.load(tmp_path / "f.parquet"),
            stopping=Features.load(tmp_path / "f.parquet"),
            rate=0.1,
            epochs=1,
            collate=Collate(0, choice.TARGETS),
            work=work,
        )
        settings = Finetune(
            batch_size=8, micro_batch=micro, threads=1, precision="fp32", optimizer="sgd"
        )
        trained = trainer.fit(task, settings)
        moved.append(torch.cat([weight.flatten() for weight in trained.model.parameters()]))
    assert torch.allclose(*moved, atol=1e-5) and moved[0].isfinite().all()
    start = choice.build(toy_encoder, {"dropout": 0.0}).bert.parameters()
    assert not torch.allclose(moved[0][:1000], torch.cat([w.flatten() for w in start])[:1000])


def test_the_watch_counts_places_and_lengths_of_texts() -> None:
    rows = [
        {"context": None, "question": "what", "options": ["a", "bb"], "answer": 1},
        {"context": "there", "question": "what", "options": ["a", "ccc"], "answer": 0},
    ]
    found = profile.of_rows(choice, rows)
    assert found.values == {0.0: 1, 1.0: 1} and not found.labels
    assert found.lengths == {"question": {4: 1}, "options": {1: 1, 2: 1, 3: 1}, "context": {5: 1}}
