"""What a trained model says of rows: losses, embeddings and logits, row by row.

Rows are encoded as for training, in parts, alike lengths side by side; nothing is trained. Equal
rows and weights give equal numbers on one kind of machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from onward.config import Prepare
from onward.learning import features, outputs, pooled
from onward.learning.features import READ, Features
from onward.learning.job import Job
from onward.recipes.shapes import INPUTS, Row

BATCH = 32
"""Windows looked at together."""


def losses(job: Job, model: Any, rows: Iterable[Row]) -> NDArray[np.float64]:
    """The loss on each row, the mean over its windows, [n]; 0 of a row without a window.

    No answer is looked for in padding: how much there is depends on the other windows of a batch.
    """
    kind = outputs.kind(job.recipe)

    def look(found: Any, batch: Any) -> list[float]:
        if kind == "position":
            away = batch["attention_mask"] == 0
            found = {n: found[n].masked_fill(away, outputs.OUT) for n in outputs.NAMES[kind]}
        return [float(each) for each in outputs.losses(kind, found, batch)]

    each = (np.mean(found) if found else 0.0 for found in over(job, model, rows, look))
    return np.array(list(each), dtype=np.float64)


def embeddings(job: Job, model: Any, rows: Iterable[Row]) -> NDArray[np.float64]:
    """The encoder's mean-pooled embedding of each row, of length one, [n, d].

    Zeros for a row without a window.
    """

    def look(found: Any, batch: Any) -> list[Any]:
        means = pooled.mean(found.last_hidden_state.float(), batch["attention_mask"])
        parts = means.double().cpu().numpy()
        if "groups" not in batch:
            return list(parts)
        ends = np.cumsum(batch["groups"].cpu().numpy())
        return [part.sum(axis=0) for part in np.split(parts, ends[:-1])]

    # Summed over windows, then scaled: the mean's direction.
    sums = [np.sum(each, axis=0) for each in over(job, model.base_model, rows, look, INPUTS)]
    width = max((np.size(each) for each in sums), default=0)
    table = np.array([np.zeros(width) + each for each in sums]).reshape(len(sums), width)
    return table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-12)


def logits(job: Job, model: Any, rows: Iterable[Row]) -> Iterator[list[dict[str, list[float]]]]:
    """The outputs for each window of each row, by name, without those of padding."""
    kind = outputs.kind(job.recipe)

    def look(found: Any, batch: Any) -> list[dict[str, list[float]]]:
        inside = batch["groups"] if kind == "choice" else batch["attention_mask"].sum(dim=1)
        widths = inside.tolist()
        return [
            {
                name: found[name][at][: width if kind in ("position", "choice") else None].tolist()
                for name in outputs.NAMES[kind]
            }
            for at, width in enumerate(widths)
        ]

    return over(job, model, rows, look)


def over(
    job: Job,
    model: Any,
    rows: Iterable[Row],
    look: Callable[[Any, Any], list[Any]],
    names: Sequence[str] = READ,
) -> Iterator[list[Any]]:
    """For each row the list of what `look` gives for its windows, in their order.

    A row may have no window to learn from: of tagging, where its tokenizer drops every character.

    Args:
        job: how rows are encoded.
        model: a module in evaluation mode.
        rows: any number; as many as are encoded together are held.
        look: outputs and batch [B, ...] -> B values.
        names: what of a batch the model reads.
    """
    import torch

    collate = job.collate()
    device = next(model.parameters()).device
    told = seen = 0

    def counted() -> Iterator[Row]:
        nonlocal seen
        for row in rows:
            seen += 1
            yield row

    for windows in encoded(job, counted()):
        found: list[Any] = [None] * len(windows)
        order = windows.lengths.argsort(kind="stable")
        for first in range(0, len(order), BATCH):
            part = [int(at) for at in order[first : first + BATCH]]
            batch = collate([windows[at] for at in part])
            batch = {name: value.to(device) for name, value in batch.items()}
            with torch.inference_mode():
                inputs = {name: batch[name] for name in names if name in batch}
                values = look(model(**inputs), batch)
            for at, value in zip(part, values, strict=True):
                found[at] = value
        groups = {int(windows.single["row"][group[0]]): group for group in by_row(windows)}
        for number in range(told, seen):
            yield [found[at] for at in groups.get(number, ())]
        told = seen
    yield from ([] for _ in range(told, seen))


def encoded(job: Job, rows: Iterable[Row]) -> Iterator[Features]:
    """The windows of rows with their targets, in parts of whole rows."""
    settings = Prepare(**job.prepared.manifest["window"])
    parts = features.encode(rows, job.recipe, job.tokenizer(), settings, job.labels)
    for part in filter(None, parts):
        yield Features.of(pa.Table.from_pylist(part, schema=features.schema(part[0])))


def by_row(windows: Features) -> Iterator[list[int]]:
    """The numbers of each row's windows, in their order."""
    rows = windows.single["row"].tolist()
    for _, group in groupby(range(len(rows)), key=rows.__getitem__):
        yield list(group)


@contextmanager
def at_work(model: Any) -> Iterator[Any]:
    """The model on the accelerator, where there is one, and back on the CPU afterwards."""
    import torch

    if not torch.cuda.is_available():
        yield model
        return
    try:
        yield model.to("cuda")
    finally:
        model.cpu()
