"""Train a model on encoded windows: resumable, guarded, the same bytes every time.

`fit` is the one way in: the stage finetune calls it, and so does the benchmark of quality.
"""

from __future__ import annotations

import gc
import logging
import math
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onward import files
from onward.config import Finetune
from onward.errors import OutOfMemory, TrainingError
from onward.learning import checkpoints, loop, models, packing, precision, tunings
from onward.learning.curves import Course
from onward.learning.features import Collate, Features
from onward.learning.terms import none
from onward.progress import Progress

_SCHEDULES = {"linear": "linear", "cosine": "cosine", "constant": "constant_with_warmup"}
_NO_MEMORY = (
    *("can't allocate memory", "not enough memory", "out of memory", "cannot allocate"),
    "alloc_failed",  # as cuBLAS and cuDNN say it
)
MOMENTUM = 0.9
"""Of SGD."""


@dataclass(frozen=True)
class Task:
    """What to train on and how long; the settings say how."""

    build: Callable[[], Any]
    """A new model from the base, its head drawn from torch's generator."""
    data: Features
    stopping: Features | None
    rate: float
    epochs: float
    collate: Collate
    work: Path
    name_rows: Callable[[list[int]], list[str]] = lambda rows: [str(row) for row in rows]
    recalled: NDArray[np.bool_] | None = None
    """Which windows are of rows recalled from memory, [N]; None: none."""
    term: ModuleType = none
    """Of onward/learning/terms."""
    past: Callable[[Any, str], Any] = lambda model, device: None
    """The new model and its device -> what the term works on; None: it has nothing to keep."""
    name: str = "fine-tune"
    """What its progress is called."""
    rate_key: str = "finetune.learning_rate"
    """The setting that `rate` is of, for messages; so are those of its memory."""
    size_keys: str = "finetune.micro_batch and prepare.max_length"

    def steps(self, batch: int) -> int:
        """Optimizer steps of the whole training, as Trainer counts them."""
        return math.ceil(self.epochs * math.ceil(len(self.data) / batch))


@dataclass(frozen=True)
class Trained:
    """The end of a training: the model without adapters, in evaluation mode, on the CPU."""

    model: Any
    course: Course
    steps: int
    micro_batch: int
    precision: str
    sizes: dict[str, int]
    kept: bool = False
    """Whether the task's term had something of the base to keep."""
    seconds: float = 0.0
    """From the first step to the sealed end in this process; never written to an output."""
    save: Callable[[Path], None] | None = None
    """Writes the model's folder (not there before); None: `models.save`."""

    def write(self, source: Path, folder: Path) -> None:
        """Write the model's folder; the tokenizer is that of `source`."""
        if self.save is None:
            models.save(self.model, source, folder)
        else:
            self.save(folder)


def fit(task: Task, settings: Finetune) -> Trained:
    """Train, or go on where an interrupted training of the same inputs stopped.

    Out of memory, it tries once more with half the micro-batch and the same batch. What goes on
    begins with the micro-batch that fitted before.

    Args:
        task: the data, the model and the work folder, in which checkpoints are found and left.
        settings: the block finetune.

    Raises:
        NotFinite: a loss, gradient or weight is NaN or infinite; the last checkpoint is kept.
        OutOfMemory: also half the micro-batch does not fit.
        TrainingError: the process that started this one is gone; a checkpoint was saved.
        DiskFull: the checkpoints would not fit.
    """
    problem = ""
    for micro in _micro_batches(settings, task.work):
        if problem:
            print(f"{problem}: once more in micro-batches of {micro}", flush=True)  # noqa: T201
            _free()
        try:
            return _attempt(task, settings, micro)
        except (MemoryError, RuntimeError) as error:
            if not _is_memory(error):
                raise
            problem = f"Out of memory in micro-batches ({' '.join(str(error).split())[:200]})"
    raise OutOfMemory(
        problem,
        where=f"params.yaml, {task.size_keys}",
        fix="make them smaller, or train on a machine with more memory; a checkpoint is kept",
    )


def _micro_batches(settings: Finetune, work: Path) -> list[int]:
    """The micro-batch, and the largest one up to half of it that divides the batch.

    What has gone further with the smaller one goes on with it: the same sums, the same spec.
    """
    half = settings.micro_batch // 2
    smaller = [size for size in range(half, 0, -1) if settings.batch_size % size == 0]
    held = checkpoints.finished(work) or checkpoints.latest(work)
    fitted = files.read_json(held / checkpoints.COURSE).get("micro_batch") if held else None
    return smaller[:1] if smaller[:1] == [fitted] else [settings.micro_batch, *smaller[:1]]


def _is_memory(error: BaseException) -> bool:
    said = str(error).lower()
    return isinstance(error, MemoryError) or any(words in said for words in _NO_MEMORY)


def _free() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _attempt(task: Task, settings: Finetune, micro: int) -> Trained:
    import transformers

    _quiet(settings)
    transformers.set_seed(settings.seed)
    model = tunings.apply(task.build(), settings)
    caches = getattr(model.config, "use_cache", None)
    steps, sizes = task.steps(settings.batch_size), tunings.sizes(model)
    number = precision.resolve(settings.precision)
    past = _past(task, model)
    task = replace(task, collate=_kept_apart(task.collate, model))
    started = time.monotonic()
    with precision.attention(model, number):
        course = _finish(task, model) or _train(task, settings, micro, model, past, number)
    seconds = time.monotonic() - started
    model = tunings.plain(model).cpu().eval()
    if caches is not None:
        model.config.use_cache = caches  # Trainer turns it off; the candidate keeps its base's
    done = course.best_step() or steps
    return Trained(model, course, done, micro, number, sizes, past is not None, seconds)


def _kept_apart(collate: Collate, model: Any) -> Collate:
    """Windows share a line only where the model keeps them apart."""
    if not collate.line or packing.apart(model):
        return collate
    kind = model.config.model_type
    print(f"A {kind} model reads on across windows: each has a line to itself", flush=True)  # noqa: T201
    return replace(collate, line=0)


def _past(task: Task, model: Any) -> Any:
    """What the term works on; making it draws no number that the training would have drawn."""
    import torch

    with torch.random.fork_rng(devices=[]):
        return task.past(model, "cuda" if torch.cuda.is_available() else "cpu")


def _quiet(settings: Finetune) -> None:
    """Threads, determinism, and no line of the libraries among ours."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    import torch
    import transformers

    torch.set_num_threads(settings.threads)
    # Warnings only: masked attention has no deterministic backward on every GPU.
    torch.use_deterministic_algorithms(torch.cuda.is_available(), warn_only=True)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    # What they tell each other about releases to come.
    warnings.filterwarnings(
        "ignore", category=FutureWarning, module=r"(transformers|peft|accelerate)\b"
    )
    logging.getLogger("accelerate").setLevel(logging.ERROR)


def _finish(task: Task, model: Any) -> Course | None:
    """Load the end of this training into the model, where an earlier process reached it."""
    done = checkpoints.finished(task.work)
    if done is None:
        return None
    checkpoints.load_weights(model, done / checkpoints.WEIGHTS)
    checkpoints.keep(task.work, set())  # a death after the seal left some
    print(f"{task.name} was finished before; its weights are taken", flush=True)  # noqa: T201
    return Course.from_json(files.read_json(done / checkpoints.COURSE))


def _train(
    task: Task, settings: Finetune, micro: int, model: Any, past: Any, number: str
) -> Course:
    """Run Trainer from the newest checkpoint to the end, and seal the end."""
    steps = task.steps(settings.batch_size)
    _ensure_space(task, model)
    start = checkpoints.latest(task.work)
    done = files.read_json(start / files.MANIFEST)["step"] if start else 0
    course = (
        Course.from_json(files.read_json(start / checkpoints.COURSE))
        if start
        else Course.over(steps)
    )
    course.micro_batch = micro
    run = _run(task, settings, course, past)
    ended = start is not None and (done >= steps or course.exhausted(settings.patience))
    if start is not None and not ended:
        print(f"{task.name} goes on after step {done} of {steps}", flush=True)  # noqa: T201
    with Progress(task.name, total=steps - done) as progress:
        args = _arguments(task, settings, micro, steps, number)
        trainer = loop.assemble(model, args, run, progress, **_optimizer(settings, task.rate))
        if start is not None and ended:
            checkpoints.load_weights(model, start / checkpoints.WEIGHTS)
        else:
            trainer.train(resume_from_checkpoint=str(start) if start else None)
        if run.orphaned:
            raise _orphaned(run, trainer.state.global_step)
    _seal(task, model, course)
    return course


def _run(task: Task, settings: Finetune, course: Course, past: Any) -> loop.Run:
    return loop.Run(
        data=loop.Numbered(task.data, task.recalled),
        stopping=task.stopping,
        work=task.work,
        course=course,
        batch=settings.batch_size,
        patience=settings.patience,
        save_every=settings.save_every,
        collate=task.collate,
        seed=settings.seed,
        name_rows=task.name_rows,
        rate_key=task.rate_key,
        term=task.term.loss,
        past=past,
    )


def _optimizer(settings: Finetune, rate: float) -> dict[str, Any]:
    """SGD with momentum; AdamW is Trainer's own, by name."""
    if settings.optimizer == "adamw":
        return {}
    import torch

    return {"optimizer_cls_and_kwargs": (torch.optim.SGD, {"lr": rate, "momentum": MOMENTUM})}


def _arguments(task: Task, settings: Finetune, micro: int, steps: int, number: str) -> Any:
    import torch
    from transformers import TrainingArguments

    args = TrainingArguments(
        output_dir=str(task.work),
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=settings.batch_size // micro,
        learning_rate=task.rate,
        num_train_epochs=task.epochs,
        lr_scheduler_type=_SCHEDULES[settings.schedule],
        # The first step of a warm-up is at rate 0: an only step would move nothing.
        warmup_steps=max(min(math.ceil(steps * settings.warmup_percent / 100), steps - 1), 0),
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.clip,
        optim="adamw_torch_fused",
        seed=settings.seed,
        bf16=number == "bf16",
        # `Watch` says when to save, judge and log; windows keep their row number to the end.
        save_strategy="no",
        eval_strategy="no",
        logging_strategy="no",
        logging_nan_inf_filter=False,
        remove_unused_columns=False,
        use_cpu=not torch.cuda.is_available(),
        dataloader_num_workers=0,
        dataloader_pin_memory=torch.cuda.is_available(),
        report_to=[],
        disable_tqdm=True,
        log_level="error",
    )
    # Of several GPUs Trainer would take all and split each micro-batch; what a strategy adds to the
    # loss is computed beside one model.
    if args.n_gpu > 1:
        args._n_gpu = 1
    return args


def _ensure_space(task: Task, model: Any) -> None:
    """Room for the checkpoints that lie side by side, and for the candidate twice."""
    moving = sum(p.numel() for p in model.parameters() if p.requires_grad)
    every = sum(p.numel() for p in model.parameters())
    beside = 3 if task.stopping is not None else 2
    files.ensure_space(task.work, beside * 12 * moving + 4 * moving + 8 * every + 2**25)


def _seal(task: Task, model: Any, course: Course) -> None:
    """Put the best weights into the model and keep them as the end of this training."""
    best = course.best_step()
    kept = checkpoints.folder(task.work, best) if best is not None else None
    if kept is not None and best != course.stops[-1][0]:
        files.verify(kept)
        checkpoints.load_weights(model, kept / checkpoints.WEIGHTS)
    with files.building(task.work / checkpoints.FINISHED, replace=True) as folder:
        checkpoints.save_weights(model, folder / checkpoints.WEIGHTS)
        files.write_json(folder / checkpoints.COURSE, course.to_json())
    checkpoints.keep(task.work, set())


def _orphaned(run: loop.Run, step: int) -> TrainingError:
    return TrainingError(
        f"Training stopped after step {step}: whoever started it is gone",
        where=f"{run.starter.name()}; checkpoint in {run.work}",
        fix="run the same command again; it goes on from there",
        details={"step": step},
    )
