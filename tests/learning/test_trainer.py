"""The training itself: what moves, what stops it, and that a cut batch is the same batch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from onward import files, recipes
from onward.config import Finetune, Prepare
from onward.errors import DiskFull, NotFinite, OutOfMemory, SettingsError, TrainingError
from onward.learning import checkpoints, encoder, features, loop, orphan, trainer
from onward.learning.features import Features
from onward.learning.terms import none
from onward.learning.trainer import Task, fit
from onward.recipes import extractive
from tests import toys
from tests.learning import writing

COLLATE = features.Collate(0, extractive.TARGETS)
QUICK = Finetune(threads=1, precision="fp32", save_every=4)


def windows(folder: Path, name: str, rows: list[dict[str, Any]], source: Path) -> Features:
    path = folder / f"{name}.parquet"
    tokenizer, window = encoder.tokenizer(source), Prepare(max_length=64, stride=16)
    features.write(path, features.encode(rows, extractive, tokenizer, window))
    return Features.load(path)


def alike(n: int, seed: int) -> list[dict[str, Any]]:
    """Rows that have equally many tokens."""
    rows = [r for r in toys.toy_rows(900, seed) if len(r["context"].split()) == 16]
    return [r for r in rows if len(r["id"]) == len("toy-1-100")][:n]


@pytest.fixture
def task(toy_encoder: Path, tmp_path: Path) -> Task:
    """Forty windows of training of one length, so without padding: an epoch of five steps."""
    rows = alike(40, 1)
    work = tmp_path / "work"
    work.mkdir()
    return Task(
        build=lambda: extractive.build(toy_encoder, {"dropout": 0.0}),
        data=windows(tmp_path, "train", rows, toy_encoder),
        stopping=None,
        rate=0.005,
        epochs=1,
        collate=COLLATE,
        work=work,
        name_rows=lambda numbers: [rows[number]["id"] for number in numbers],
    )


def weights(model: Any) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def moved(task: Task, trained: trainer.Trained, settings: Finetune) -> set[str]:
    """Names of the weights that are not the base's any more."""
    import transformers

    transformers.set_seed(settings.seed)
    before, after = weights(task.build()), weights(trained.model)
    assert before.keys() == after.keys()
    return {name for name in before if not torch.equal(before[name], after[name])}


def settings(**values: Any) -> Finetune:
    return Finetune(**{**QUICK.model_dump(), **values})


def test_it_learns(task: Task, toy_encoder: Path, tmp_path: Path) -> None:
    data = windows(tmp_path, "more", toys.toy_rows(200, 1), toy_encoder)
    trained = fit(replace(task, data=data, rate=0.01, epochs=4), QUICK)
    assert trained.steps == 100 and len(trained.course.points) == 100
    first, last = trained.course.points[0][1], trained.course.points[-5:]
    assert sum(loss for _, loss in last) / 5 < 0.5 < 2 < first


def test_full_moves_all_weights_but_the_unused(task: Task) -> None:
    still = set(weights(task.build())) - moved(task, fit(task, QUICK), QUICK)
    assert not still


def test_last_moves_upper_layers_and_head_alone(task: Task) -> None:
    last = settings(tuning="last", frozen_layers=1)
    names = moved(task, fit(task, last), last)
    assert names
    assert all("layer.1." in name or "qa_outputs" in name for name in names)


def test_last_may_leave_the_head_alone(task: Task) -> None:
    last = settings(tuning="last", frozen_layers=2)
    names = moved(task, fit(task, last), last)
    assert names == {"qa_outputs.weight", "qa_outputs.bias"}


def test_more_frozen_layers_than_there_are_is_refused(task: Task) -> None:
    with pytest.raises(SettingsError, match="the model has 2 layers"):
        fit(task, settings(tuning="last", frozen_layers=3))


def test_lora_is_merged_and_its_size_reported(task: Task) -> None:
    lora = settings(tuning="lora", lora_rank=4)
    trained = fit(task, lora)
    names = moved(task, trained, lora)
    assert "qa_outputs.weight" in names
    rest = names - {"qa_outputs.weight", "qa_outputs.bias"}
    assert rest and all(name.endswith(("query.weight", "value.weight")) for name in rest)
    # Two matrices of 4 x 32 for query and value in each of 2 layers.
    assert trained.sizes["adapter_parameters"] == 2 * 2 * 2 * 4 * 32
    assert trained.sizes["adapter_bytes"] == 4 * trained.sizes["adapter_parameters"]
    assert trained.sizes["trainable"] == trained.sizes["adapter_parameters"] + 2 * 32 + 2
    assert trained.sizes["parameters"] == sum(p.numel() for p in trained.model.parameters())


@pytest.mark.parametrize(
    "change",
    [
        {"optimizer": "sgd"},
        {"schedule": "cosine"},
        {"schedule": "constant"},
        {"warmup_percent": 60.0},
        {"weight_decay": 5.0},
        {"clip": 0.01, "optimizer": "sgd"},
        {"seed": 7},
        {"dropout": 0.3},
        {"precision": "bf16"},
        {"batch_size": 16},
    ],
    ids=str,
)
def test_each_setting_changes_the_result(
    change: dict[str, Any], task: Task, toy_encoder: Path, tmp_path: Path
) -> None:
    optimizer = "sgd" if "clip" in change else "adamw"  # AdamW's steps are of one size
    before = weights(fit(task, settings(warmup_percent=0, optimizer=optimizer)).model)
    other = settings(**{"warmup_percent": 0, **change})
    build = lambda: extractive.build(toy_encoder, {"dropout": other.dropout})  # noqa: E731
    (tmp_path / "other").mkdir()
    after = weights(fit(replace(task, work=tmp_path / "other", build=build), other).model)
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert all(torch.isfinite(tensor).all() for tensor in after.values())


def far(found: Any, weight: float) -> Any:
    return weight * (found["start_logits"] ** 2 + found["end_logits"] ** 2).mean()


@pytest.mark.parametrize("kept", [False, True], ids=["no term", "a term"])
def test_a_batch_in_micro_batches_is_the_same_batch(
    kept: bool, task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also the last one of 4 windows in parts of 3 and 1: each weighs what it holds."""
    if kept:  # what a strategy adds is a mean over the part's windows
        monkeypatch.setattr(none, "loss", lambda _, batch, found, past: far(found, past))
        task = replace(task, past=lambda model, device: 0.1)
    assert len(set(task.data.lengths)) == 1 and len(task.data) == 40
    whole = weights(fit(task, settings(batch_size=9, micro_batch=9, optimizer="sgd")).model)
    (tmp_path / "parts").mkdir()
    cut = settings(batch_size=9, micro_batch=3, optimizer="sgd")
    parts = weights(fit(replace(task, work=tmp_path / "parts"), cut).model)
    for name in whole:
        assert torch.allclose(whole[name], parts[name], atol=1e-5), name


@pytest.mark.parametrize("name", ["tagging", "chat", "translation"])
def test_a_batch_of_tokens_in_micro_batches_is_the_same_batch(
    name: str, toy_encoder: Path, toy_causal: Path, toy_writer: Path, tmp_path: Path
) -> None:
    """Its loss is the mean over tokens: a part weighs by those to be learned."""
    recipe = recipes.get(name)
    source = {"tagging": toy_encoder, "chat": toy_causal, "translation": toy_writer}[name]
    kinds = ("O", *(f"{at}-{kind}" for kind in toys.KINDS for at in "BI"))
    labels = kinds if name == "tagging" else ()
    tokenizer, window = encoder.tokenizer(source), Prepare(max_length=96, stride=16)
    path = tmp_path / "windows.parquet"
    features.write(path, features.encode(of_tokens(name), recipe, tokenizer, window, labels))
    data, found = Features.load(path), []
    for micro in (8, 2):
        work = tmp_path / str(micro)
        work.mkdir()
        task = Task(
            build=lambda: recipe.build(source, {"dropout": 0.0, "labels": labels}),
            data=data,
            stopping=None,
            rate=0.05,
            epochs=1,
            collate=features.Collate(0, recipe.TARGETS, len(labels)),
            work=work,
        )
        sgd = settings(batch_size=8, micro_batch=micro, optimizer="sgd", warmup_percent=0)
        found.append(weights(fit(task, sgd).model))
    for each, tensor in found[0].items():
        assert torch.allclose(tensor, found[1][each], atol=1e-5), each
    losses = []
    for batch in (8, 3):
        (still := tmp_path / f"still-{batch}").mkdir()
        one = replace(task, stopping=data, rate=1e-12, work=still)
        sgd = settings(batch_size=batch, micro_batch=batch, optimizer="sgd", warmup_percent=0)
        losses.append(fit(one, sgd).course.stops[0][1])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5), "of the rows, not of the batches"


def of_tokens(name: str) -> list[dict[str, Any]]:
    """Eight rows, some with far more to learn than others."""
    if name == "tagging":
        return [
            {**row, "text": row["text"] + " then a box" * 5 * (n % 3)}
            for n, row in enumerate(toys.toy_tagged(8, 1))
        ]
    if name == "chat":
        return [
            {**row, "references": [" ".join(["red"] * (1 + 5 * (n % 3)))]}
            for n, row in enumerate(toys.toy_talks(8, 1))
        ]
    return [
        {**row, "references": [" ".join(row["references"] * (1 + n % 3))]}
        for n, row in enumerate(writing.translated(8, 1))
    ]


def test_each_epoch_has_an_order_of_its_own(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    real = loop.Numbered.__getitem__

    def noted(self: Any, index: int) -> dict[str, Any]:
        seen.append(index)
        return real(self, index)

    monkeypatch.setattr(loop.Numbered, "__getitem__", noted)
    fit(replace(task, epochs=2), QUICK)
    first, second = seen[:40], seen[40:]
    assert sorted(first) == sorted(second) == list(range(40)) and first != second
    (task.work / "other").mkdir()
    fit(replace(task, work=task.work / "other"), settings(seed=1))
    assert sorted(seen[80:]) == list(range(40)) and seen[80:] not in (first, second)


def test_an_only_step_moves_the_weights(task: Task) -> None:
    """A warm-up's first step is at rate 0: of a small episode nothing was learned."""
    warm = settings(batch_size=40, micro_batch=8, warmup_percent=10)
    trained = fit(task, warm)
    assert trained.steps == 1 and moved(task, trained, warm)


def test_steps_are_counted_as_trainer_counts_them(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    real = loop.Watch.on_step_end

    def noted(self: Any, args: Any, state: Any, control: Any, **more: Any) -> None:
        seen.append((state.global_step, state.max_steps))
        real(self, args, state, control, **more)

    monkeypatch.setattr(loop.Watch, "on_step_end", noted)
    odd = replace(task, epochs=1.7)
    fit(odd, settings(batch_size=6, micro_batch=2))
    assert seen[-1] == (odd.steps(6), odd.steps(6)) == (12, 12)


def test_early_stopping_keeps_the_best_epoch(
    task: Task, toy_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([3.0, 1.0, 2.0, 1.5, 9.0])
    kept: list[dict[str, torch.Tensor]] = []

    def judged(self: Any) -> float:
        kept.append(weights(self.model))
        return next(losses)

    monkeypatch.setattr(loop.Loop, "stopping_loss", judged)
    aside = windows(tmp_path, "aside", toys.toy_rows(16, 3), toy_encoder)
    trained = fit(replace(task, stopping=aside, epochs=9), settings(patience=2))
    assert trained.course.stops == [[5, 3.0], [10, 1.0], [15, 2.0], [20, 1.5]]
    assert trained.steps == 10
    after = weights(trained.model)
    assert all(torch.equal(after[name], kept[1][name]) for name in after)
    assert not any(torch.equal(kept[3][n], after[n]) for n in after if "weight" in n)


def test_without_patience_all_epochs_run_and_the_best_is_kept(
    task: Task, toy_encoder: Path, tmp_path: Path
) -> None:
    aside = windows(tmp_path, "aside", toys.toy_rows(16, 3), toy_encoder)
    trained = fit(replace(task, stopping=aside, epochs=3), QUICK)
    losses = [loss for _, loss in trained.course.stops]
    assert len(losses) == 3 and trained.steps == 5 * (losses.index(min(losses)) + 1)


def test_part_of_an_epoch_at_the_end_is_judged_too(
    task: Task, toy_encoder: Path, tmp_path: Path
) -> None:
    aside = windows(tmp_path, "aside", toys.toy_rows(16, 3), toy_encoder)
    trained = fit(replace(task, stopping=aside, epochs=1.5), QUICK)
    assert [step for step, _ in trained.course.stops] == [5, 8]


def test_stopping_loss_is_the_mean_over_windows(
    task: Task, toy_encoder: Path, tmp_path: Path
) -> None:
    """And nothing is dropped out of it."""
    aside = windows(tmp_path, "aside", alike(13, 3), toy_encoder)
    noisy = replace(task, build=lambda: extractive.build(toy_encoder, {"dropout": 0.3}))
    trained = fit(replace(noisy, stopping=aside), QUICK)
    alone = []
    for at in range(13):
        batch = COLLATE([aside[at]])
        batch.pop("rows")
        with torch.no_grad():
            alone.append(float(trained.model(**batch).loss))
    assert trained.course.stops[0][1] == pytest.approx(sum(alone) / 13, abs=1e-5)


# F07: what is not finite


def poisoned(task: Task, how: Callable[[Any], None], at: int) -> Task:
    """The task with a model that is poisoned in its forward pass number `at`."""

    def build() -> Any:
        model = task.build()
        calls = iter(range(1, 10_000))

        def before(module: Any, *_: Any) -> None:
            if module.training and next(calls) == at:
                how(module)

        model.register_forward_pre_hook(before)
        return model

    return replace(task, build=build)


def bad_loss(model: Any) -> None:
    with torch.no_grad():
        model.qa_outputs.bias.fill_(math.inf)


def bad_gradient(model: Any) -> None:
    model.qa_outputs.weight.register_hook(lambda gradient: gradient * math.nan)


def bad_weight(model: Any) -> None:
    with torch.no_grad():  # a token that no window holds, so that loss and gradient stay finite
        model.bert.embeddings.word_embeddings.weight[4, 0] = math.nan


@pytest.mark.parametrize(
    ("what", "how"), [("loss", bad_loss), ("gradient", bad_gradient), ("weight", bad_weight)]
)
def test_F07_not_finite_stops_in_the_same_step(
    what: str, how: Callable[[Any], None], task: Task
) -> None:
    with pytest.raises(NotFinite) as caught:
        fit(poisoned(task, how, at=5), QUICK)
    error = caught.value
    assert error.details["what"] == what and error.details["step"] == 5
    assert len(error.details["rows"]) == 8 and error.details["rows"][0].startswith("toy-1-")
    assert error.details["rows"][0] in error.where
    kept = checkpoints.latest(task.work)
    assert kept == checkpoints.folder(task.work, 4)
    from safetensors.torch import load_file

    saved = load_file(kept / checkpoints.WEIGHTS)
    assert all(torch.isfinite(tensor).all() for tensor in saved.values())
    assert checkpoints.finished(task.work) is None


# F08: out of memory


def test_F01_a_death_after_the_end_leaves_no_checkpoint(task: Task) -> None:
    trainer.fit(task, settings())
    (task.work / "checkpoint-15").mkdir()
    again = trainer.fit(task, settings())
    assert again.steps and [path.name for path in task.work.iterdir()] == ["finished"]


def hungry(monkeypatch: pytest.MonkeyPatch, most: int, error: BaseException) -> list[int]:
    """Let each micro-batch of more than `most` windows fail; returns the sizes that were tried."""
    tried: list[int] = []
    real = loop.Loop.compute_loss

    def counted(self: Any, model: Any, inputs: Any, *args: Any, **more: Any) -> Any:
        tried.append(len(inputs["input_ids"]))
        if self.state.global_step == 2 and len(inputs["input_ids"]) > most:
            raise error
        return real(self, model, inputs, *args, **more)

    monkeypatch.setattr(loop.Loop, "compute_loss", counted)
    return tried


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate "
                     "memory: you tried to allocate 99 bytes. Error code 12"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        MemoryError(),
    ],
    ids=["device", "host", "library", "python"],
)  # fmt: skip
def test_F08_out_of_memory_is_tried_once_more_in_halves(
    error: BaseException,
    task: Task,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "whole").mkdir()
    # With SGD: AdamW blows rounding noise up where a gradient is zero in truth, as a key's bias.
    plain = settings(optimizer="sgd")
    undisturbed = weights(fit(replace(task, work=tmp_path / "whole"), plain).model)
    tried = hungry(monkeypatch, 4, error)
    trained = fit(task, plain)
    assert trained.micro_batch == 4 and tried[:3] == [8, 8, 8] and set(tried[3:]) == {4}
    assert "once more in micro-batches of 4" in capsys.readouterr().out
    after = weights(trained.model)
    assert all(torch.allclose(after[n], undisturbed[n], atol=1e-5) for n in after)


def test_F08_F01_what_fitted_in_halves_goes_on_in_halves(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same spec as without the death, whether that came before the end or after it."""
    tried = hungry(monkeypatch, 4, MemoryError())
    trained, first = fit(task, QUICK), len(tried)
    again = fit(task, QUICK)
    assert (trained.micro_batch, again.micro_batch, len(tried)) == (4, 4, first)
    # A death after the checkpoint of step 4.
    (task.work / "finished").rename(task.work / "checkpoint-4")
    course = files.read_json(task.work / "checkpoint-4" / checkpoints.COURSE)
    assert course["micro_batch"] == 4
    assert trainer._micro_batches(QUICK, task.work) == [4]
    assert trainer._micro_batches(QUICK.model_copy(update={"micro_batch": 4}), task.work) == [4, 2]


def test_F08_the_second_time_it_is_an_error(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = hungry(monkeypatch, 3, MemoryError())
    with pytest.raises(OutOfMemory) as caught:
        fit(task, QUICK)
    assert min(tried) == 4 and "finetune.micro_batch" in caught.value.where


def test_F08_another_error_is_not_taken_for_it(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    hungry(monkeypatch, 0, RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        fit(task, QUICK)


@pytest.mark.parametrize(("batch", "micro", "tried"), [(8, 8, [8, 4]), (5, 5, [5, 1]), (4, 1, [1])])
def test_halves_divide_the_batch(batch: int, micro: int, tried: list[int], tmp_path: Path) -> None:
    asked = Finetune(batch_size=batch, micro_batch=micro)
    assert trainer._micro_batches(asked, tmp_path) == tried


# Starting, resuming and stopping


def test_F04_what_cannot_fit_is_refused_first(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    from collections import namedtuple

    free = namedtuple("free", "total used free")
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: free(10**9, 10**9, 1000))
    with pytest.raises(DiskFull):
        fit(task, QUICK)
    assert not list(task.work.iterdir())


@pytest.mark.parametrize("last", [3, 5])
def test_an_orphan_saves_and_stops(last: int, task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in the last step, after which nothing is left to train."""
    answers = iter([*[False] * (last - 1), True])
    monkeypatch.setattr(orphan.Starter, "gone", lambda self: next(answers))
    with pytest.raises(TrainingError, match=f"after step {last}: whoever started it is gone"):
        fit(task, settings(save_every=100))
    assert checkpoints.latest(task.work) == checkpoints.folder(task.work, last)


def test_a_finished_training_is_not_run_again(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    first = weights(fit(task, QUICK).model)
    assert [path.name for path in task.work.iterdir()] == ["finished"]
    monkeypatch.setattr(trainer, "_train", None)
    again = weights(fit(task, QUICK).model)
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_a_damaged_checkpoint_is_left_out(task: Task, capsys: pytest.CaptureFixture[str]) -> None:
    undisturbed = weights(fit(task, QUICK).model)
    for place in task.work.iterdir():
        files.remove(place)
    with pytest.raises(NotFinite):
        fit(poisoned(task, bad_loss, at=5), QUICK)
    state = checkpoints.folder(task.work, 4) / "optimizer.pt"
    data = bytearray(state.read_bytes())
    data[len(data) // 2] ^= 1
    state.write_bytes(bytes(data))
    after = weights(fit(task, QUICK).model)
    assert "checkpoint-4 is damaged and is left out" in capsys.readouterr().out
    assert all(torch.equal(undisturbed[name], after[name]) for name in after)


def test_S01_a_pickle_among_the_state_files_is_not_run(task: Task, tmp_path: Path) -> None:
    """Sealed with a right sha256, even: torch reads it with weights_only."""
    import pickle

    with pytest.raises(NotFinite):
        fit(poisoned(task, bad_loss, at=5), QUICK)
    mark = tmp_path / "opened"

    class Trap:
        def __reduce__(self) -> object:
            return (Path.touch, (mark,))

    place = checkpoints.folder(task.work, 4)
    torch.save(Trap(), place / "optimizer.pt")
    files.seal(place, step=4)
    with pytest.raises(pickle.UnpicklingError):
        fit(task, QUICK)
    assert not mark.exists()


@pytest.mark.parametrize(("number", "used"), [("bf16", "eager"), ("fp32", "sdpa")])
def test_training_asks_for_the_attention_of_its_format(number: str, used: str, task: Task) -> None:
    seen: set[str] = set()

    def build() -> Any:
        model = task.build()
        model.register_forward_hook(lambda *_: seen.add(model.config._attn_implementation))
        return model

    trained = fit(replace(task, build=build), settings(precision=number))
    assert (
        seen == {"sdpa" if torch.cuda.is_available() else used}
        and trained.model.config._attn_implementation == "sdpa"
    )


def test_one_of_several_gpus_is_used(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers

    class TwoGpus:
        """What TrainingArguments say of a machine that has two."""

        def __init__(self, **asked: Any) -> None:
            self.asked, self._n_gpu = asked, 2

        @property
        def n_gpu(self) -> int:
            return self._n_gpu

    monkeypatch.setattr(transformers, "TrainingArguments", TwoGpus)
    args = trainer._arguments(task, settings(), micro=4, steps=5, number="fp32")
    assert args.n_gpu == 1 and args.asked["per_device_train_batch_size"] == 4


def test_the_library_takes_as_many_gpus_as_it_is_told(tmp_path: Path) -> None:
    """`_n_gpu` is not public: a release that renames it would take all GPUs again."""
    from transformers import TrainingArguments

    args = TrainingArguments(output_dir=str(tmp_path), use_cpu=True)
    assert args.n_gpu == 0
    args._n_gpu = 1
    assert args.n_gpu == 1
