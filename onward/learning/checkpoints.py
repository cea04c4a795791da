"""Unfinished training on disk: each checkpoint is complete, or it is not there.

A work folder is .onward/work/KEY, KEY the digest of all that decides the result. In it lie
checkpoint-STEP folders, sealed like every durable folder, and at the end `finished`. The weights
are safetensors; the optimizer's, the schedule's and the random generators' states are Trainer's own
files, read with `weights_only` after their sha256 was checked.

What this does not cover: somebody who changes a state file and its manifest together.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from onward import files
from onward.errors import IntegrityError, MissingFiles
from onward.project import Project

FINISHED = "finished"
WEIGHTS = "weights.safetensors"
COURSE = "course.json"
_NAME = re.compile(r"checkpoint-([0-9]+)")


def folder(work: Path, step: int) -> Path:
    """Where the checkpoint of a step lies."""
    return work / f"checkpoint-{step}"


def only(project: Project, key: str) -> Path:
    """The work folder of these inputs, made if needed; those of other inputs are removed."""
    work = project.work(key)
    work.mkdir(parents=True, exist_ok=True)
    files.sweep(work.parent)
    for other in sorted(work.parent.iterdir()):
        if other != work:
            files.remove(other)
    files.sweep(work)
    return work


def latest(work: Path) -> Path | None:
    """The newest checkpoint whose every byte is as it was written; damaged ones are removed."""
    for _, path in sorted(_all(work), reverse=True):
        if _whole(path):
            return path
    return None


def finished(work: Path) -> Path | None:
    """The end of this training, where it was reached; a damaged one is removed."""
    path = work / FINISHED
    return path if path.is_dir() and _whole(path) else None


def keep(work: Path, steps: set[int]) -> None:
    """Remove the checkpoints of all other steps."""
    for step, path in list(_all(work)):
        if step not in steps:
            files.remove(path)


def _all(work: Path) -> Iterator[tuple[int, Path]]:
    for path in work.iterdir():
        found = _NAME.fullmatch(path.name)
        if found:
            yield int(found[1]), path


def _whole(path: Path) -> bool:
    try:
        files.verify(path)
    except (IntegrityError, MissingFiles) as error:
        print(f"{path.name} is damaged and is left out: {error}", flush=True)  # noqa: T201
        files.remove(path)
        return False
    return True


def save_weights(model: Any, path: Path) -> None:
    """Write what moves in training: trainable weights and buffers. The rest is the base's."""
    from safetensors.torch import save_file

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in _moving(model).items()}
    files.operation("write", path)
    save_file(tensors, path, metadata={"format": "pt"})


def load_weights(model: Any, path: Path) -> None:
    """Put saved weights into a model built from the same base and settings.

    Raises:
        IntegrityError: the file holds other tensors than the model moves.
    """
    import torch
    from safetensors.torch import load_file

    saved, here = load_file(path), _moving(model)
    wrong = sorted(set(saved) ^ set(here))
    wrong += [n for n in set(saved) & set(here) if saved[n].shape != here[n].shape]
    if wrong:
        raise IntegrityError(
            f"The checkpoint does not fit the model: {wrong[0]}",
            where=str(path),
            fix="delete the folder .onward/work and run again",
        )
    with torch.no_grad():
        for name, tensor in here.items():
            tensor.copy_(saved[name])


def _moving(model: Any) -> dict[str, Any]:
    """Trainable parameters and buffers that are part of the state, by name; shared ones once."""
    moving = {name: p for name, p in model.named_parameters() if p.requires_grad}
    state = model.state_dict()
    return moving | {name: buffer for name, buffer in model.named_buffers() if name in state}
