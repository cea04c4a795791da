"""A head in closed form over statistics that only ever grow: nothing is forgotten.

After McDonnell et al. 2023, RanPAC, and Zhuang et al. 2022, ACIL. The encoder stays as it is, so a
row of the past adds today what it added then, and all that is kept of it are two sums: G of
h h^T and C of h y^T, h its features and y its label. Learning episode by episode is therefore
learning all of them at once, up to rounding, in whatever order they come, and the tenth turn reads
its own rows alone, as the second did. The stopping part is learned, too: nothing is stopped.

The memory is statistics.safetensors: the lower half of G and all of C, summed and solved in fp64
and stored in fp32, and a sample of SAMPLE embeddings that the temperature is fitted to. With M
features, D the encoder's width and C labels that is 2 M (M + 1) + 4 M C + 2,048 D bytes, 36 MB for
4,096 features of MiniLM and 77 labels, however many rows there were. Rounding to fp32 moves an
eigenvalue of G by far less than the ridge. The sample is the rows with the smallest hashes, which
does not depend on the order either. All else that the next turn needs, the projection and the
encoder, lies in the model.

What this does not cover: who may see the sample. An embedding says a good deal about its text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from onward.episodes import turn as turns
from onward.errors import DataError, IntegrityError, SettingsError
from onward.learning import closed_form, memory, models, pooled
from onward.learning.curves import Course
from onward.learning.job import Job
from onward.learning.remember import describe
from onward.learning.rows import Labelled, rank
from onward.learning.structures import own
from onward.learning.structures.own import Part
from onward.learning.trainer import Trained

SAMPLE = 512
"""Rows whose embeddings are kept to fit the temperature."""

STATISTICS = "statistics.safetensors"
_ROWS_AT_ONCE = 512


@dataclass
class Statistics:
    """The sums over all rows learned so far, and a sample of them."""

    gram: Any
    """G, [M, M] in fp64."""
    cross: Any
    """C, [M, C] in fp64."""
    ranks: Any
    """Of the sample, uint8 [S, 32], ascending: each row's hash."""
    embedded: Any
    """Of the sample, [S, D] in fp32."""
    classes: Any
    """Of the sample, int64 [S]."""

    @staticmethod
    def empty(features: int, width: int) -> Statistics:
        """Of no rows and no labels."""
        import torch

        return Statistics(
            gram=torch.zeros(features, features, dtype=torch.float64),
            cross=torch.zeros(features, 0, dtype=torch.float64),
            ranks=torch.zeros(0, 32, dtype=torch.uint8),
            embedded=torch.zeros(0, width),
            classes=torch.zeros(0, dtype=torch.int64),
        )

    def extend(self, labels: int) -> None:
        """Make room for so many labels; those that are there stay as they are."""
        import torch

        self.cross = torch.nn.functional.pad(self.cross, (0, labels - self.cross.shape[1]))

    def add(self, embedded: Any, classes: Any, ranks: Any, projection: Any) -> None:
        """Count rows in.

        Args:
            embedded: [N, D] in fp32.
            classes: int64 [N].
            ranks: uint8 [N, 32].
            projection: [D, M].
        """
        import torch

        for first in range(0, len(embedded), _ROWS_AT_ONCE):
            part = slice(first, first + _ROWS_AT_ONCE)
            rows = closed_form.features(embedded[part], projection).double()
            self.gram.addmm_(rows.T, rows)
            right = torch.nn.functional.one_hot(classes[part], self.cross.shape[1])
            self.cross.addmm_(rows.T, right.double())
        self.ranks = torch.cat([self.ranks, ranks])
        self.embedded = torch.cat([self.embedded, embedded])
        self.classes = torch.cat([self.classes, classes])
        self._thin()

    def _thin(self) -> None:
        """Keep the rows with the smallest hashes, equal ones once."""
        keys = [bytes(key) for key in self.ranks.numpy()]
        order = sorted(range(len(keys)), key=lambda at: (keys[at], int(self.classes[at])))
        once = [at for n, at in enumerate(order) if n == 0 or keys[order[n - 1]] != keys[at]]
        kept = once[:SAMPLE]
        self.ranks, self.embedded = self.ranks[kept], self.embedded[kept]
        self.classes = self.classes[kept]

    def save(self, path: Path) -> None:
        """Write them; of G, which is symmetric, the lower half."""
        import torch

        below = torch.tril_indices(*self.gram.shape)
        models.write_tensors(
            path,
            {
                "gram": self.gram[below[0], below[1]].float(),
                "cross": self.cross.float(),
                "sample.ranks": self.ranks,
                "sample.embedded": self.embedded,
                "sample.classes": self.classes,
            },
        )

    @staticmethod
    def load(path: Path) -> Statistics:
        """What `save` wrote. Raises IntegrityError: it is missing or not safetensors."""
        import torch

        found = models.read_tensors(path)
        size = found["cross"].shape[0]
        gram = torch.zeros(size, size, dtype=torch.float64)
        below = torch.tril_indices(size, size)
        gram[below[0], below[1]] = found["gram"].double()
        gram.T[below[0], below[1]] = found["gram"].double()
        sample = (found[f"sample.{name}"] for name in ("ranks", "embedded", "classes"))
        return Statistics(gram, found["cross"].double(), *sample)


@dataclass(frozen=True)
class Counted(Trained):
    """A solved head and the statistics behind it."""

    statistics: Statistics | None = None


def fit(job: Job) -> Trained:
    """Count the rows of this turn in and solve for the head.

    Where the base has no statistics of exactly the rows that it knows (it is of another structure,
    a new episode corrects some of them, or texts are cut at another length now), those of all known
    rows are made anew.

    Raises:
        SettingsError: the base has another number of features, or labels that no known episode
            can tell anything about.
        DataError: all rows have one label.
        IntegrityError: the base's statistics do not fit its labels.
    """
    require_labels(job)
    encoder = pooled.encoder(job.source)
    projection, statistics, parts = _start(job, encoder.config.hidden_size)
    statistics.extend(len(job.labels))
    (target,) = job.recipe.TARGETS
    collate = job.collate()
    for part in parts:
        single = part.data.single
        embedded = pooled.embed(encoder, part.data, collate, job.settings.threads)
        ranks = _ranks(part.rows)[_whole(single["row"])]
        statistics.add(embedded, _whole(single[target]), ranks, projection)
    return _solved(job, encoder, projection, statistics)


def require_labels(job: Job) -> None:
    """Raise DataError where all rows have one label."""
    if len(job.labels) < 2:
        raise DataError(
            f"All rows have one label, {job.labels[0]!r:.80}: there is nothing to tell apart",
            where=str(job.prepared.folder),
            fix="open an episode with rows of a second label",
        )


def _whole(numbers: Any) -> Any:
    """Integers as a tensor of int64."""
    import torch

    return torch.from_numpy(np.asarray(numbers, dtype=np.int64))


def _ranks(rows: Iterable[Labelled]) -> Any:
    """The hash of each row, uint8 [N, 32]."""
    import torch

    found = b"".join(rank(row, 0).to_bytes(32, "big") for _, row in rows)
    return torch.frombuffer(bytearray(found), dtype=torch.uint8).reshape(-1, 32)


def _start(job: Job, width: int) -> tuple[Any, Statistics, Iterator[Part]]:
    """Projection, statistics to go on from, and the windows and rows that they lack."""
    count, parts = job.strategy.analytic_features, own.prepared(job)
    if job.first:
        return closed_form.draw(width, count, job.seed), Statistics.empty(count, width), parts
    if own.adopted(job):
        raise SettingsError(
            "The base's labels were learned from rows that are not here: a closed-form head "
            "cannot take them over",
            where=f"params.yaml, strategy.structure: analytic; base {job.turn.base.name}",
            fix="set strategy.structure to single, or start over with `onward run --fresh`",
        )
    models.require_no_parts(job.source)
    if models.kind(job.source) != "analytic" or models.describe(job.source).get("similarity"):
        projection = closed_form.draw(width, count, job.seed)
        return projection, Statistics.empty(count, width), chain(own.known(job), parts)
    projection, _ = closed_form.head(job.source)
    if projection.shape[1] != count:
        raise SettingsError(
            f"strategy.analytic_features is {count}, the base has {projection.shape[1]}",
            where="params.yaml, strategy.analytic_features",
            fix=f"set it to {projection.shape[1]}, or start over with `onward run --fresh`",
        )
    covered = [named.model_dump() for named in job.turn.known]
    if job.memory is not None and not turns.corrected(job.project, job.turn):
        about, longest = memory.read(job.memory), job.prepared.manifest["window"]["max_length"]
        # A text that is cut elsewhere adds another embedding than it did.
        if about["covers"] == covered and about["window"]["max_length"] == longest:
            return projection, _read(job, job.memory), parts
    return projection, Statistics.empty(count, width), chain(own.known(job), parts)


def _read(job: Job, folder: Path) -> Statistics:
    found = Statistics.load(folder / STATISTICS)
    if found.cross.shape[1] != job.base_labels:
        raise IntegrityError(
            f"The statistics are of {found.cross.shape[1]} labels, the base has {job.base_labels}",
            where=str(folder / STATISTICS),
            fix="`onward repair` brings the recorded files back",
        )
    return found


def _solved(job: Job, encoder: Any, projection: Any, statistics: Statistics) -> Trained:
    ridge = job.strategy.analytic_ridge
    sample = closed_form.features(statistics.embedded, projection)
    found = closed_form.solve(statistics.gram, statistics.cross, ridge, sample, statistics.classes)
    model = closed_form.assemble(encoder, projection, found.weight, job.labels)
    about = {
        "features": projection.shape[1],
        "ridge": ridge,
        "temperature": found.temperature,
    }
    every = sum(tensor.numel() for tensor in model.state_dict().values())
    return Counted(
        model=model,
        course=Course(every=1, points=[[1, found.loss]], last=found.loss),
        steps=0,
        micro_batch=0,
        precision="fp32",
        sizes={"parameters": every, "trainable": found.weight.numel()},
        save=lambda folder: closed_form.save(model, job.source, folder, about),
        statistics=statistics,
    )


def remember(job: Job, trained: Trained, folder: Path) -> None:
    """Write the statistics beside the weights."""
    assert isinstance(trained, Counted) and trained.statistics is not None  # noqa: S101 - of `fit`
    describe(job, [], folder)
    trained.statistics.save(folder / STATISTICS)
