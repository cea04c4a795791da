"""The training rows of a turn as structures other than `single` read them: by episode, and anew.

What a structure keeps by itself (sums, adapters) is made from each episode's rows once. They come
from turn/prepare; rows of known episodes only where the base has nothing of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onward.config import Prepare
from onward.episodes import turn as turns
from onward.learning import base, features, memory
from onward.learning.features import Features
from onward.learning.job import Job
from onward.learning.rows import Labelled


@dataclass(frozen=True)
class Part:
    """Windows, and the rows that they were encoded from: `row` of a window is a place in them."""

    data: Features
    rows: list[Labelled]

    def of(self, episode: str) -> Features:
        """The windows of one episode's rows."""
        theirs = np.array([found == episode for found, _ in self.rows], dtype=bool)
        return pick(self.data, theirs[self.data.single["row"]])

    def ids(self, numbers: Sequence[int]) -> list[str]:
        """The ids of rows by their places."""
        return [self.rows[number][1]["id"] for number in numbers]


def trained(job: Job) -> Part:
    """The part of turn/prepare to train on."""
    return Part(job.features(), list(job.rows()))


def stopping(job: Job) -> Part | None:
    """The part of turn/prepare that says when to stop, where one was carved off."""
    data = job.stopping()
    if data is None:
        return None
    return Part(data, list(memory.read_rows(job.prepared.folder / "stopping.parquet")))


def prepared(job: Job) -> Iterator[Part]:
    """Both parts of turn/prepare, for what learns without stopping early."""
    yield trained(job)
    held = stopping(job)
    if held is not None:
        yield held


def known(job: Job, episodes: Sequence[str] | None = None) -> Iterator[Part]:
    """The training rows of known episodes, a part each, read and encoded anew.

    An episode of whose rows later ones replaced every one to train on has no part.

    Args:
        job: whose turn it is.
        episodes: which of them; all by default.
    """
    window = Prepare.model_validate(job.prepared.manifest["window"])
    tokenizer, path = job.tokenizer(), job.work / "known.parquet"
    for episode in job.turn.known_episodes if episodes is None else episodes:
        rows = list(turns.stream(job.project, episode, "train"))
        windows = features.encode(rows, job.recipe, tokenizer, window, job.labels)
        if features.write(path, windows)["windows"]:
            yield Part(Features.load(path), [(episode, row) for row in rows])


def adopted(job: Job) -> bool:
    """Whether the base is a version that was adopted: what it knows, no episode has taught it.

    One whose episodes were all replaced by new ones knows nothing that is not learned anew.
    """
    return job.turn.base.kind == "version" and not base.spec(job.project, job.turn).get("learned")


def pick(data: Features, windows: NDArray[np.bool_]) -> Features:
    """Some of the windows, in their order.

    Args:
        data: N windows.
        windows: [N], which of them.
    """
    lists = {}
    for name, (values, ends) in data.lists.items():
        lengths = np.diff(ends)
        kept = np.concatenate([[0], np.cumsum(lengths[windows])]).astype(np.int64)
        lists[name] = (values[np.repeat(windows, lengths)], kept)
    return Features({name: numbers[windows] for name, numbers in data.single.items()}, lists)
