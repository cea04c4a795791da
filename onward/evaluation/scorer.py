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
    features = setup.recipe.encode(list(rows.values()), setup.tokenizer, setup.prepare, labels=None)
    hashes = list(rows)
    windows: dict[str, list[int]] = {hashed: [] for hashed in hashes}
    for number, feature in enumerate(features):
        windows[hashes[feature["row"]]].append(number)
    outputs: dict[int, Outputs] = {}
    for batch in _batches(features, setup.evaluate.batch_size):
        touched = {hashes[features[number]["row"]] for number in batch} & missing
        if not touched:
            continue
        made = setup.runner.predict([features[number] for number in batch], setup.evaluate)
        pairs = zip(batch, made, strict=True)
        outputs |= {n: out for n, out in pairs if hashes[features[n]["row"]] in missing}
        for hashed in sorted(touched):
            if all(number in outputs for number in windows[hashed]):
                own = [features[number] for number in windows[hashed]]
                logits = [outputs.pop(number) for number in windows[hashed]]
                yield hashed, _entry(setup, rows[hashed], own, logits)


def _batches(features: Sequence[Feature], size: int) -> Iterator[list[int]]:
    """Numbers of features, `size` at a time: rows with long windows first, a row's own together.

    So a batch is padded little, a row is done soon after it was begun (a killed scoring loses few,
    and few logits wait in memory), and what does not fit the memory fails at once.
    """
    longest: Counter[int] = Counter()
    for feature in features:
        length = len(feature["input_ids"])
        longest[feature["row"]] = max(length, longest[feature["row"]])
    rows = [feature["row"] for feature in features]
    order = sorted(range(len(features)), key=lambda n: (-longest[rows[n]], rows[n], n))
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
