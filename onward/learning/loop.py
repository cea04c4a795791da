"""transformers' Trainer, made durable: what it reads, guards, saves and resumes.

`Loop` and `Watch` are mixed into Trainer and TrainerCallback by `assemble`, when torch is loaded.
Beyond Trainer they give: an order of windows that depends on seed and epoch alone, so that a
resumed training sees what the undisturbed one saw; the exact mean over a batch cut into
micro-batches (but for padding, which a reader's loss looks at, too); a stop at the first number
that is not finite; checkpoints that are complete or not there; early stopping at the ends of
epochs; and a stop when whoever started it is gone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from onward import files
from onward.errors import NotFinite
from onward.learning import checkpoints
from onward.learning.curves import Course
from onward.learning.features import Collate, Features
from onward.learning.orphan import Starter
from onward.progress import Progress
from onward.recipes.shapes import NOTHING

if TYPE_CHECKING:
    from transformers import Trainer, TrainerCallback
else:
    Trainer = TrainerCallback = object

_ABOUT = ("rows", "window", "recalled")
"""What of a batch is about it and not for the model."""


@dataclass
class Run:
    """What one training works on, beside what Trainer itself keeps."""

    data: Numbered
    stopping: Features | None
    work: Path
    course: Course
    batch: int
    patience: int
    save_every: int
    collate: Collate
    seed: int
    name_rows: Callable[[list[int]], list[str]]
    """Numbers of training rows -> their ids."""
    rate_key: str
    """The setting that the rate is of."""
    term: Callable[[Any, Any, Any, Any], Any]
    """model, batch, outputs and `past` -> what the strategy adds to the batch's mean loss"""
    past: Any = None
    """What the term works on; None: it adds nothing"""
    starter: Starter = field(default_factory=Starter)
    orphaned: bool = False
    step_loss: float = 0.0
    step_rows: list[int] = field(default_factory=list)
    step_targets: int = 0
    sampler: ByLength | None = None


class Numbered:
    """Windows that know their number and whether their row was recalled from memory."""

    def __init__(self, data: Features, recalled: NDArray[np.bool_] | None) -> None:
        self.data, self.lengths = data, data.lengths
        self.recalled = np.zeros(len(data), dtype=np.bool_) if recalled is None else recalled

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> dict[str, Any]:
        recalled = int(self.recalled[index])
        return {**self.data[index], "window": index, "recalled": recalled}


class ByLength:
    """Windows in an order that depends on seed and epoch alone, alike lengths side by side."""

    def __init__(self, run: Run) -> None:
        self.run, self.epoch = run, 0

    def __len__(self) -> int:
        return len(self.run.data)

    def __iter__(self) -> Iterator[int]:
        import torch
        from transformers.trainer_pt_utils import get_length_grouped_indices

        draw = torch.Generator().manual_seed(self.run.seed * 1_000_003 + self.epoch)
        lengths = self.run.data.lengths.tolist()
        return iter(get_length_grouped_indices(lengths, self.run.batch, generator=draw))


class Loop(Trainer):
    """The overrides of transformers.Trainer."""

    run: Run
    loss_is_scaled_for_ga = True  # `compute_loss` weighs each micro-batch by its share

    def _get_train_sampler(self, train_dataset: Any = None) -> ByLength:
        self.run.sampler = ByLength(self.run)
        return self.run.sampler

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> tuple[list[Any], None]:
        """The micro-batches of one step; which rows they hold is noted for messages."""
        batches, _ = super().get_batch_samples(*args, **kwargs)
        self.run.step_rows = [int(row) for batch in batches for row in batch["rows"]]
        self.run.step_targets = sum(self.targets(batch) for batch in batches)
        self.run.step_loss = 0.0
        return batches, None

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
        """Forward and backward of a micro-batch. Raises NotFinite before anything is changed."""
        loss = super().training_step(model, inputs, num_items_in_batch)
        value = loss.item()
        if not math.isfinite(value):
            raise self.not_finite("loss", value)
        self.run.step_loss += value
        return loss

    def compute_loss(
        self,
        model: Any,
        inputs: Any,
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """The loss of a micro-batch, as its share of the batch's mean, and the strategy's term."""
        own = {name: value for name, value in inputs.items() if name not in _ABOUT}
        loss, outputs = super().compute_loss(model, own, return_outputs=True)
        loss = loss * (self.targets(inputs) / max(self.run.step_targets, 1))
        if self.run.past is not None:
            with self.accelerator.autocast():  # a teacher multiplies as its pupil does
                added = self.run.term(model, inputs, outputs, self.run.past)
            loss = loss + added * (len(inputs["rows"]) / max(len(self.run.step_rows), 1))
        return (loss, outputs) if return_outputs else loss

    def targets(self, batch: Any) -> int:
        """Of how many losses the model's own is the mean: of windows, or of tokens to be learned.

        A model that only decodes tells each token from those before it: it is not asked the first.
        """
        kind = next(iter(self.run.collate.targets.values())).kind
        if kind not in ("tags", "tokens"):
            return len(batch["rows"])
        told = kind == "tokens" and not self.model.config.is_encoder_decoder
        return int((batch["labels"][:, int(told) :] != NOTHING).sum())

    def _clip_grad_norm(self, model: Any) -> Any:
        norm = super()._clip_grad_norm(model)
        if not math.isfinite(float(norm)):
            raise self.not_finite("gradient", float(norm))
        return norm

    def not_finite(self, what: str, value: float) -> NotFinite:
        """The error for a loss, gradient or weight of the present step."""
        step = self.state.global_step + (what != "weight")
        rows = self.run.name_rows(sorted(set(self.run.step_rows)))
        shown = ", ".join(rows[:8]) + (" ..." if len(rows) > 8 else "")
        return NotFinite(
            f"A {what} became {value} in step {step}; training stopped",
            where=f"rows of the batch: {shown}",
            fix=f"lower {self.run.rate_key}, or look at these rows; "
            "the last good checkpoint is kept",
            details={"step": step, "what": what, "rows": rows},
        )

    def check_weights(self, model: Any) -> None:
        """Raise NotFinite where a weight is NaN or infinite."""
        import torch

        moving = [p.detach() for p in model.parameters() if p.requires_grad]
        # A sum is finite only if its parts are, and reads each weight once.
        if not math.isfinite(float(torch.stack([p.sum().float() for p in moving]).sum())):
            raise self.not_finite("weight", math.nan)

    def stopping_loss(self) -> float:
        """Mean loss on the early-stopping part, without drawing a random number.

        Over windows, or over tokens to be learned, as in training: whatever the batch.
        """
        import torch

        data = self.run.stopping
        assert data is not None  # noqa: S101 - only asked where a part was carved
        order = data.lengths.argsort(kind="stable")
        self.model.eval()
        total, count = 0.0, 0
        for first in range(0, len(order), self.run.batch):
            part = order[first : first + self.run.batch]
            batch = self.run.collate([data[int(at)] for at in part])
            targets = self.targets(batch)
            if not targets:  # their mean would be none
                continue
            batch.pop("rows")
            with torch.no_grad(), self.compute_loss_context_manager():
                loss = self.model(**self._prepare_inputs(batch))["loss"]
            total, count = total + float(loss) * targets, count + targets
        self.model.train()
        return total / max(count, 1)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        step, run = self.state.global_step, self.run
        place = checkpoints.folder(run.work, step)
        with files.building(place, replace=True, step=step) as folder:
            checkpoints.save_weights(self.model, folder / checkpoints.WEIGHTS)
            self._save_optimizer_and_scheduler(str(folder))
            self._save_rng_state(str(folder))
            self.state.save_to_json(str(folder / "trainer_state.json"))
            files.write_json(folder / checkpoints.COURSE, run.course.to_json())
        checkpoints.keep(run.work, {step, run.course.best_step() or step})

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        weights = Path(resume_from_checkpoint) / checkpoints.WEIGHTS
        checkpoints.load_weights(self.model if model is None else model, weights)


class Watch(TrainerCallback):
    """What happens between steps: progress, checks, when to save and when to stop."""

    def __init__(self, trainer: Any, run: Run, progress: Progress) -> None:
        self.trainer, self.run, self.progress = trainer, run, progress

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Give the epoch its own order."""
        if self.run.sampler is not None:
            self.run.sampler.epoch = int(state.epoch or 0)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Check the weights, show progress, save every so often, stop without a starter."""
        run, step = self.run, state.global_step
        self.trainer.check_weights(self.trainer.model)
        run.course.record(step, run.step_loss)
        self.progress.advance(1, note=f"loss {run.step_loss:.3f}")
        run.orphaned = run.starter.gone()
        if run.orphaned:
            control.should_training_stop = True
        # Where an epoch's end judges, it also saves: a checkpoint before it would skip the judging.
        due = run.orphaned or step % run.save_every == 0
        # The last step's weights are sealed as the end, but not by an orphan.
        left = step < state.max_steps or run.orphaned
        control.should_save = due and left and not self._judged(state)

    def _judged(self, state: Any) -> bool:
        """Whether this step ends an epoch, or the training, that is judged."""
        ends = state.epoch == int(state.epoch) or state.global_step >= state.max_steps
        return self.run.stopping is not None and ends

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Judge the epoch on the early-stopping part and save it."""
        run = self.run
        if not self._judged(state):
            return
        loss = self.trainer.stopping_loss()
        if not math.isfinite(loss):
            raise self.trainer.not_finite("weight", loss)
        run.course.stops.append([state.global_step, loss])
        if run.course.exhausted(run.patience):
            control.should_training_stop = True
        control.should_save = True


def assemble(model: Any, args: Any, run: Run, progress: Progress, **more: Any) -> Any:
    """A Trainer with the overrides above; `more` goes to transformers.Trainer."""
    import transformers
    from transformers.trainer_callback import PrinterCallback

    made: Any = type("Loop", (Loop, transformers.Trainer), {"run": run})
    watch: Any = type("Watch", (Watch, transformers.TrainerCallback), {})
    trainer = made(
        model=model,
        args=args,
        train_dataset=run.data,
        data_collator=run.collate,
        **more,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(watch(trainer, run, progress))
    return trainer
