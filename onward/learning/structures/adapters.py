"""A LoRA and a head of its own for each episode: what one learned, no later one can change.

Each episode of the turn is trained by itself, on its own rows, from the same frozen encoder, by the
same trainer as `tuning: lora`. The folders of earlier episodes are carried along byte by byte. An
episode that the base knows and has no adapter for (the base is of another structure) is trained,
too, and so is one of which a new episode corrects rows; the adapter of one that is gone is left
out. Reading is onward/learning/routed.py.

The memory holds nothing: the adapters are all there is to carry forward.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onward import files
from onward.episodes import turn as turns
from onward.errors import SettingsError
from onward.learning import checkpoints, models, pooled, routed, trainer, tunings
from onward.learning.curves import Course
from onward.learning.features import Features
from onward.learning.job import Job
from onward.learning.remember import describe
from onward.learning.routed import ADAPTERS, Adapter
from onward.learning.router import Sums
from onward.learning.structures import own, single
from onward.learning.structures.own import Part
from onward.learning.trainer import Task, Trained


@dataclass(frozen=True)
class Lesson:
    """One episode to train an adapter on."""

    episode: str
    part: Part
    data: Features
    stopping: Features | None

    @property
    def parts(self) -> list[Features]:
        """All its windows."""
        return [self.data] if self.stopping is None else [self.data, self.stopping]


def fit(job: Job) -> Trained:
    """Train an adapter for each episode of the turn that has none that stands.

    Raises:
        SettingsError: what the base knows was learned elsewhere.
        TrainingError: as `onward.learning.trainer.fit`.
    """
    if own.adopted(job):
        raise SettingsError(
            "What the base knows was learned from rows that are not here: no adapter can hold it",
            where=f"params.yaml, strategy.structure: adapters; base {job.turn.base.name}",
            fix="set strategy.structure to single, or start over with `onward run --fresh`",
        )
    root = _root(job)
    standing = set(job.turn.known_episodes) - turns.corrected(job.project, job.turn)
    kept = [each for each in routed.adapters_of(root) if each.episode in standing]
    encoder = pooled.encoder(root)
    made: list[tuple[Adapter, Trained]] = []
    with files.building(job.work / "model", replace=True) as folder:
        for each in kept:
            files.copy_folder(root / ADAPTERS / each.episode, folder / ADAPTERS / each.episode)
        for lesson in _lessons(job, {each.episode for each in kept}):
            made.append(_learn(job, root, encoder, lesson, folder / ADAPTERS / lesson.episode))
        routed.finish(folder, root, [*kept, *(each for each, _ in made)], job.labels)
    model = routed.load(job.recipe, job.work / "model")
    return _together(job, model, [trained for _, trained in made])


def _root(job: Job) -> Path:
    """The folder of encoder and projection: the base's own, or one with its encoder alone.

    Weights that the base lacks and a head may read, such as a pooler's, are drawn once, so that
    every adapter stands on the same ones.
    """
    models.require_no_parts(job.source)
    if models.kind(job.source) == "adapters":
        return job.source
    import transformers
    from transformers import AutoModel

    transformers.set_seed(job.seed)
    model = AutoModel.from_pretrained(
        job.source,
        dtype="float32",
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
    )
    vars(model.config).pop("drawn", None)  # it moves with no single adapter's head
    with files.building(job.work / "encoder", replace=True) as folder:
        models.save(model, job.source, folder)
        routed.write_projection(folder, model.config.hidden_size)
    return job.work / "encoder"


def _lessons(job: Job, learned: set[str]) -> Iterator[Lesson]:
    """The episodes without an adapter, known ones first; one without a row is left.

    One whose every row was carved off to say when to stop is learned from these rows.
    """
    lacking = [episode for episode in job.turn.known_episodes if episode not in learned]
    for part in own.known(job, lacking):
        yield Lesson(part.rows[0][0], part, part.data, None)
    parts = list(own.prepared(job))
    for episode in job.turn.learning_episodes:
        found = [(part, data) for part in parts if len(data := part.of(episode))]
        if found:
            (part, data), beside = found[0], [data for _, data in found[1:]]
            yield Lesson(episode, part, data, beside[0] if beside else None)


def _learn(
    job: Job, root: Path, encoder: Any, lesson: Lesson, folder: Path
) -> tuple[Adapter, Trained]:
    """Train one adapter and write it."""
    import peft
    import torch

    numbers = _numbers(job, lesson)
    labels = tuple(job.labels[number] for number in numbers)
    parts = [_renumbered(job, part, numbers) for part in lesson.parts]
    spec = {"dropout": job.settings.dropout, "new_head": True, "labels": list(labels)}
    work = job.work / lesson.episode
    work.mkdir(exist_ok=True)
    task: Task = replace(
        single.task(job),
        build=lambda: job.recipe.build(root, spec),
        data=parts[0],
        stopping=parts[1] if len(parts) > 1 else None,
        work=work,
        name_rows=lesson.part.ids,
        recalled=None,
    )
    trained = trainer.fit(task, job.settings)
    # `fit` gives the adapter merged into the weights; its sealed end has it apart.
    ended = checkpoints.finished(work)
    assert ended is not None  # noqa: S101 - `fit` has just sealed or read it
    with torch.random.fork_rng(devices=[]):
        model = tunings.apply(task.build(), job.settings)
    checkpoints.load_weights(model, ended / checkpoints.WEIGHTS)
    weights = peft.get_peft_model_state_dict(model)
    adapter = Adapter(lesson.episode, labels)
    config = model.peft_config["default"]
    routed.write(
        folder, adapter, config, weights, _sums(job, encoder, parts, routed.projection(root))
    )
    return adapter, trained


def _target(job: Job) -> str | None:
    """The key of a window that holds its label's number; None for a recipe without labels."""
    return next((key for key, one in job.recipe.TARGETS.items() if one.kind == "class"), None)


def _numbers(job: Job, lesson: Lesson) -> NDArray[np.int64]:
    """The numbers of the labels that the episode has, ascending."""
    key = _target(job)
    if key is None:
        return np.zeros(0, dtype=np.int64)
    return np.unique(np.concatenate([part.single[key] for part in lesson.parts])).astype(np.int64)


def _renumbered(job: Job, data: Features, numbers: NDArray[np.int64]) -> Features:
    """Windows whose labels count among the episode's own."""
    key = _target(job)
    if key is None:
        return data
    own_number = np.searchsorted(numbers, data.single[key]).astype(np.int32)
    return Features({**data.single, key: own_number}, data.lists)


def _sums(job: Job, encoder: Any, parts: Sequence[Features], projection: Any) -> Sums:
    """The router's sums over windows with the episode's own numbers of labels."""
    import torch

    collate, threads = job.collate(), job.settings.threads
    embedded = torch.cat([pooled.embed(encoder, part, collate, threads) for part in parts])
    key = _target(job)
    if key is None:
        return Sums.of(embedded, torch.zeros(len(embedded), dtype=torch.int64), projection)
    groups = np.concatenate([part.single[key] for part in parts]).astype(np.int64)
    return Sums.of(embedded, torch.from_numpy(groups), projection)


def _together(job: Job, model: Any, trained: Sequence[Trained]) -> Trained:
    """The trainings of a turn as one: curves one after the other, counts added up."""
    course, first = Course(every=1), 0
    for each in trained:
        own = each.course
        course.points += [[first + step, loss] for step, loss in own.points]
        course.stops += [[first + step, loss] for step, loss in own.stops]
        # A curve goes on behind the step whose weights were kept.
        first += int(max([each.steps, *(step for step, _ in [*own.points, *own.stops])]))
        course.last = own.last
    added = ("trainable", "adapter_parameters", "adapter_bytes")
    sizes = {name: sum(each.sizes[name] for each in trained) for name in added}
    every = {id(tensor): tensor.numel() for tensor in model.state_dict().values()}
    return Trained(
        model=model,
        course=course,
        steps=sum(each.steps for each in trained),
        micro_batch=min((each.micro_batch for each in trained), default=0),
        precision=trained[-1].precision if trained else "fp32",
        sizes={"parameters": sum(every.values()), **sizes},
        save=lambda folder: _save(job.work / "model", folder),
    )


def _save(made: Path, folder: Path) -> None:
    """The finished model without the manifest of the folder it was finished in."""
    files.copy_folder(made, folder)
    (folder / files.MANIFEST).unlink()


def remember(job: Job, trained: Trained, folder: Path) -> None:
    """Write that there is nothing to carry forward beside the model."""
    describe(job, [], folder)
