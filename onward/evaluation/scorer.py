"""Score one artifact on held-out rows: encode, run in batches, decode, count.

    part = score(recipe, runner, {"0001-faq": rows}, tokenizer=runner.tokenizer, prepare=prepare,
                 evaluate=evaluate, cache=project.cache / "ledger", label="score candidate")

The result depends on the artifact, the provider, the settings and the rows, and on nothing else:
not on what the cache held, nor on which units are scored together. The last bits of a logit depend
on how far its batch is padded (MiniLM, torch, CPU: 2.5e-7; the other members of a batch of equal
lengths change nothing there, which no library promises). So the batches of a unit are always cut
from all of its rows in one order (`_batches`), and of these only those are run that hold a row
which the cache lacks. For the same reason the cache keeps what was scored in one set of rows apart
from what was scored in another.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from onward import files
from onward.config import Evaluate, Prepare
from onward.errors import NotFinite
from onward.evaluation.ledger import Entry, LedgerPart, entry, part, row_hash
from onward.evaluation.row_cache import RowCache
from onward.progress import Progress
from onward.recipes.shapes import Feature, Row

FLUSH = 256
"""Rows between two writes to the cache: what a killed scoring loses at most."""

AT_ONCE = 64
"""Rows encoded together."""

HELD = 2_000_000
"""Tokens of a unit's windows that are held, some 100 MB."""

Outputs = dict[str, NDArray[Any]]


class Runner(Protocol):
    """Whatever predicts batches: torch, ONNX Runtime."""

    @property
    def artifact(self) -> str:
        """sha256 of all that can change an output."""

    @property
    def provider(self) -> str:
        """torch, onnx-cpu, onnx-cuda."""

    @property
    def labels(self) -> tuple[str, ...]:
        """What the outputs stand for, in their order; empty where the recipe has no labels."""

    def predict(self, batch: list[Feature], settings: Evaluate | None = None) -> list[Outputs]:
        """The outputs of each feature, unpadded, in order; `settings` are for what generates."""


def score(
    recipe: ModuleType,
    runner: Runner,
    rows_by_unit: Mapping[str, Sequence[Row]],
    *,
    tokenizer: Any,
    prepare: Prepare,
    evaluate: Evaluate,
    cache: Path | None,
    label: str,
) -> LedgerPart:
    """A prediction and statistics for every row of every unit.

    Args:
        recipe: the recipe's module.
        runner: what answers.
        rows_by_unit: unit -> its canonical rows. Give all rows of a unit, also those already
            scored: the batches are cut from them.
        tokenizer: the artifact's own.
        prepare, evaluate: as `runner.resolve` gives them.
        cache: .onward/cache/ledger, or None to run everything.
        label: shown beside the progress, which counts rows.

    Raises:
        NotFinite: an output is NaN or infinite.
    """
    scorer = recipe.scorer(evaluate, prepare)
    setup = _Setup(recipe, runner, tokenizer, prepare, evaluate)
    hashed = {unit: _by_hash(recipe, rows) for unit, rows in sorted(rows_by_unit.items())}
    found: dict[str, dict[str, Entry]] = {}
    with Progress(label, sum(len(rows) for rows in hashed.values())) as progress:
        for unit, rows in hashed.items():
            key = files.digest([runner.artifact, runner.provider, scorer, list(rows)])
            kept = RowCache(cache / key) if cache else None
            found[unit] = _score_unit(setup, rows, kept, progress)
    return part(runner.artifact, runner.provider, scorer, found)


class _Setup(NamedTuple):
    recipe: ModuleType
    runner: Runner
    tokenizer: Any
    prepare: Prepare
    evaluate: Evaluate


def _by_hash(recipe: ModuleType, rows: Sequence[Row]) -> dict[str, Row]:
    """The rows in the order of their hashes."""
    return dict(sorted(((row_hash(recipe, row), row) for row in rows), key=lambda pair: pair[0]))


def _score_unit(
    setup: _Setup, rows: dict[str, Row], kept: RowCache | None, progress: Progress
) -> dict[str, Entry]:
    done = kept.read() if kept else {}
    progress.advance(len(done))
    pending: dict[str, Entry] = {}
    for hashed, answered in _answers(setup, rows, rows.keys() - done.keys()):
        pending[hashed] = done[hashed] = answered
        progress.advance()
        if kept and len(pending) == FLUSH:
            kept.add(pending)
            pending = {}
    if kept and pending:
        kept.add(pending)
    return done


def _answers(setup: _Setup, rows: dict[str, Row], missing: Set[str]) -> Iterator[tuple[str, Entry]]:
    """Row hash and entry of each missing row, as soon as all of its windows have been run."""
    if not missing:
        return
    windows, hashes = _Windows(setup, list(rows.values())), list(rows)
    outputs: dict[int, Outputs] = {}
    for batch in _batches(windows.rows, windows.lengths, setup.evaluate.batch_size):
        touched = {hashes[windows.rows[number]] for number in batch} & missing
        if not touched:
            continue
        made = setup.runner.predict(windows.features(batch), setup.evaluate)
        pairs = zip(batch, made, strict=True)
        outputs |= {n: out for n, out in pairs if hashes[windows.rows[n]] in missing}
        for hashed in sorted(touched):
            numbers = windows.of(bisect_left(hashes, hashed))
            if all(number in outputs for number in numbers):
                logits = [outputs.pop(number) for number in numbers]
                yield hashed, _entry(setup, rows[hashed], windows.features(numbers), logits)


class _Windows:
    """The windows of a unit's rows, by number: those of the first row first.

    Where they are many, each is encoded once to know its length and again when it is run: held
    together, those of a large episode or of long contexts are more than any memory.
    """

    def __init__(self, setup: _Setup, given: Sequence[Row]) -> None:
        self._setup, self._given = setup, given
        self.rows: list[int] = []
        """The row of each window."""
        self.lengths: list[int] = []
        """The tokens of each window."""
        held, tokens = list[Feature](), 0
        for first in range(0, len(given), AT_ONCE):
            made = self._encoded(range(first, min(first + AT_ONCE, len(given))))
            self.rows += [feature["row"] for feature in made]
            lengths = [len(feature["input_ids"]) for feature in made]
            self.lengths += lengths
            tokens += sum(lengths)
            held.extend(made) if tokens <= HELD else held.clear()
        self._held = held if tokens <= HELD else None
        self._recent: dict[int, list[Feature]] = {}

    def of(self, row: int) -> range:
        """The numbers of a row's windows."""
        return range(bisect_left(self.rows, row), bisect_right(self.rows, row))

    def features(self, numbers: Sequence[int]) -> list[Feature]:
        """Windows as they are run."""
        if self._held is not None:
            return [self._held[number] for number in numbers]
        wanted = sorted({self.rows[number] for number in numbers})
        made: dict[int, list[Feature]] = {row: [] for row in wanted if row not in self._recent}
        if made:
            for feature in self._encoded(list(made)):
                made[feature["row"]].append(feature)
            # Those of the last rows: one is run, then told, and may go on in the next batch.
            self._recent = {row: made.get(row) or self._recent[row] for row in wanted}
        return [
            self._recent[self.rows[number]][number - self.of(self.rows[number]).start]
            for number in numbers
        ]

    def _encoded(self, which: Sequence[int]) -> list[Feature]:
        setup, given = self._setup, [self._given[row] for row in which]
        made = setup.recipe.encode(given, setup.tokenizer, setup.prepare, labels=None)
        return [{**feature, "row": which[feature["row"]]} for feature in made]


def _batches(rows: Sequence[int], lengths: Sequence[int], size: int) -> Iterator[list[int]]:
    """Numbers of windows, `size` at a time: rows with long windows first, a row's own together.

    So a batch is padded little, a row is done soon after it was begun (a killed scoring loses few,
    and few logits wait in memory), and what does not fit the memory fails at once.
    """
    longest: Counter[int] = Counter()
    for row, length in zip(rows, lengths, strict=True):
        longest[row] = max(length, longest[row])
    order = sorted(range(len(rows)), key=lambda n: (-longest[rows[n]], rows[n], n))
    for first in range(0, len(order), size):
        yield order[first : first + size]


def _entry(setup: _Setup, row: Row, own: list[Feature], logits: list[Outputs]) -> Entry:
    for output in logits:
        if not all(np.isfinite(values).all() for values in output.values()):
            raise NotFinite(
                "The model answers with numbers that are not finite",
                where=f"artifact {setup.runner.artifact[:12]}, row {row['id']}",
                fix="the weights are damaged or training diverged: fine-tune again",
            )
    placed = [{**feature, "row": 0} for feature in own]
    decoded = setup.recipe.decode(
        [row], placed, logits, setup.evaluate, setup.runner.labels, tokenizer=setup.tokenizer
    )
    prediction = next(iter(decoded))
    return entry(setup.recipe, row, prediction)
