"""Dark experience replay (DER++): replayed rows keep the logits that they had when they came in.

After Buzzega et al. 2020, section 3.2. On replayed rows, as the sum over them by the size of the
batch:

    alpha * (outputs - stored outputs)^2 + beta * loss

New rows count with their loss alone. Of a grown head the outputs that were stored are compared.
A row with several windows has the outputs of each stored, without those of padding. They are
those of the model that first remembered the row, and stay so for as long as the row does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from onward.episodes import rows as parquet
from onward.learning import outputs as kinds
from onward.learning import passes
from onward.learning.job import Job
from onward.learning.rows import Labelled

FILE = "logits.parquet"

Stored = dict[str, list[float]]
"""The outputs of one window by name."""


@dataclass(frozen=True)
class Past:
    """The stored outputs of the windows that were recalled."""

    stored: dict[int, Stored]
    """By the window's number."""
    kind: str
    alpha: float
    beta: float


def past(job: Job, model: Any, device: str) -> Past | None:
    """The stored outputs of every recalled window; None where none was recalled."""
    recalled = job.recalled()
    if job.memory is None or not recalled.any():
        return None
    held, windows = _held(job.memory), job.features()
    digests = [parquet.row_hash(row) for _, row in job.rows()]
    stored: dict[int, Stored] = {}
    for group in passes.by_row(windows):
        if recalled[group[0]]:
            row = digests[windows.single["row"][group[0]]]
            stored |= dict(zip(group, held[row], strict=True))
    return Past(stored, kinds.kind(job.recipe), job.strategy.der_alpha, job.strategy.der_beta)


def loss(model: Any, batch: Any, outputs: Any, past: Past) -> Any:
    """The replayed rows' part; beta - 1, for the batch's loss holds each once already."""
    recalled = batch["recalled"].bool()
    if not recalled.any():
        return 0.0
    names = kinds.NAMES[past.kind]
    new = {name: outputs[name][recalled] for name in names}
    # A row of several sequences has more lines of tokens; no loss looks at them.
    of_windows = {name: value for name, value in batch.items() if len(value) == len(recalled)}
    targets = {name: value[recalled] for name, value in of_windows.items()}
    stored = [past.stored[window] for window in targets["window"].tolist()]
    old, there = _together(stored, names, new[names[0]].device)
    each = past.alpha * kinds.squared(new, old, there)
    each = each + (past.beta - 1) * kinds.losses(past.kind, new, targets)
    return each.sum() / len(recalled)


def _together(stored: Sequence[Stored], names: Sequence[str], device: Any) -> tuple[Any, Any]:
    """Stored outputs [B, widest] by name, and which of them there are."""
    import torch

    widths = torch.tensor([len(each[names[0]]) for each in stored])
    there = torch.arange(int(widths.max()))[None, :] < widths[:, None]
    old = {name: torch.zeros(there.shape) for name in names}
    for name in names:
        old[name][there] = torch.tensor([value for each in stored for value in each[name]])
    return {name: value.to(device) for name, value in old.items()}, there.to(device)


def remember(job: Job, model: Any, rows: Sequence[Labelled], folder: Path) -> None:
    """Write the outputs of every remembered row: as stored, or the model's where the row is new."""
    names = kinds.NAMES[kinds.kind(job.recipe)]
    columns = [pa.field("row", pa.string(), nullable=False)]
    columns += [pa.field(name, pa.list_(pa.float32()), nullable=False) for name in names]
    parquet.write(folder / FILE, _windows(job, model, rows), pa.schema(columns))


def _windows(job: Job, model: Any, rows: Sequence[Labelled]) -> Iterator[dict[str, Any]]:
    known = {parquet.row_hash(row) for _, row in job.old_rows()}
    held = _held(job.memory) if job.memory is not None and known else {}
    digests = [parquet.row_hash(row) for _, row in rows]
    new = [row for digest, (_, row) in zip(digests, rows, strict=True) if digest not in known]
    fresh = passes.logits(job, model, new)
    for digest in digests:
        for window in held[digest] if digest in known else next(fresh):
            yield {"row": digest, **window}


def _held(memory: Path) -> dict[str, list[Stored]]:
    """Hash of a row -> the stored outputs of its windows, in their order."""
    found: dict[str, list[Stored]] = defaultdict(list)
    for window in parquet.read(memory / FILE):
        found[window.pop("row")].append(window)
    return dict(found)
