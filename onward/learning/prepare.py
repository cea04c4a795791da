"""The stage prepare: choose the rows of this turn, carve the early-stopping part, encode.

Writes turn/prepare: train.parquet and stopping.parquet (rows and the episode of each),
features.parquet and, where a part was carved, stopping_features.parquet (encoded windows),
labels.json (the model's labels, those of the base first), recalled.parquet (what the base
remembers), barred.json (rows that must not be remembered) and the manifest. Same turn,
parameters and code: same bytes.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from onward import config, files, recipes
from onward.config import Prepare, Strategy
from onward.episodes import leakage
from onward.episodes import rows as parquet
from onward.episodes import turn as turns
from onward.episodes.turn import Turn
from onward.errors import DataError, IntegrityError, MissingFiles
from onward.learning import base, encoder, features, memory, policies, rows, table
from onward.learning.rows import Labelled
from onward.pretraining import overlap
from onward.progress import Progress
from onward.project import Project
from onward.recipes.shapes import Row

SCHEMA = 1
_ASKED_AT_ONCE = 65_536
"""Rows that the guard looks at together: it reads every held-out signature for each such part."""


@dataclass(frozen=True)
class Chosen:
    """The rows of this turn; each call starts a new pass over them."""

    train: Callable[[], Iterator[Labelled]]
    stopping: Callable[[], Iterator[Labelled]]
    count: int
    labels: list[str]
    base_labels: int
    recalled: list[Labelled]
    """What the base remembers; of these the strategy has taken its share."""
    barred: list[str]
    """Hashes of rows that a held-out part holds, too, old or new: never to be remembered."""
    wanted: int
    """How many recalled rows would make the set share of the mix."""


def run(project: Project) -> None:
    """Write turn/prepare.

    Raises:
        IntegrityError: an episode, the base or the report is not the one that the turn names.
        Withdrawn: the turn names an episode that was withdrawn.
        DataError: the encoder that it all began with has read what an episode holds out.
        MissingFiles: something that it needs is not on this machine.
        SettingsError: this recipe and strategy may not be combined.
        DataError: there is no row to learn.
        DiskFull: rows and windows would not fit.
    """
    turn = Turn.read(project)
    turns.require_wanted(project, turn)
    turns.check(project, turn)
    settings = config.read(project.params, Prepare)
    strategy = config.read(project.params, Strategy)
    table.check(turn.recipe, None, strategy)
    _validated(project)
    source = base.source(project, turn)
    began = base.began(project, turn)
    if began is not None:
        overlap.refuse_overlap(project, turn.recipe, began)
    encoder.check_window(source, settings.max_length)
    recipe = recipes.get(turn.recipe)
    chosen = choose(project, turn, recipe, settings, strategy)
    tokenizer = encoder.tokenizer(source)
    _ensure_space(project, turn)
    about = {"stage": "prepare", "turn": turn.id, "window": _window(settings)}
    with files.building(
        project.made("prepare"), replace=True, seed=settings.seed, **about
    ) as folder:
        counts = write(folder, chosen, recipe, tokenizer, settings)
        if strategy.rows == "replay":
            counts["replay"] = _replayed(turn, chosen, counts, strategy)
            memory.write_rows(folder / "recalled.parquet", chosen.recalled, recipe.SCHEMA)
        files.write_json(folder / "barred.json", {"rows": chosen.barred})
        files.write_json(folder / "counts.json", {"schema": SCHEMA, **counts})
        named = {"labels": chosen.labels, "base": chosen.base_labels}
        files.write_json(folder / "labels.json", named)


def _validated(project: Project) -> None:
    """Refuse to go on without a validation report that passed."""
    path = project.made("validate") / "report.json"
    if not path.is_file():
        raise MissingFiles(
            "The episodes of this turn were not validated",
            where=str(path),
            fix="`dvc repro validate` or `onward run` does it",
        )
    if files.read_json(path).get("passed") is not True:
        raise DataError(
            "The episodes of this turn did not pass validation",
            where=str(path),
            fix="mend or withdraw the episode that the report names, then run again",
        )


def _ensure_space(project: Project, turn: Turn) -> None:
    """Room for rows and windows, each about as large as the compressed training rows at most."""
    episodes = (*turn.known_episodes, *turn.learning_episodes)
    sizes = [(project.episode(e) / "train.parquet").stat().st_size for e in episodes]
    files.ensure_space(project.made("prepare"), 6 * sum(sizes) + 2**24)


def _window(settings: Prepare) -> dict[str, int]:
    return {"max_length": settings.max_length, "stride": settings.stride}


def choose(
    project: Project, turn: Turn, recipe: Any, settings: Prepare, strategy: Strategy
) -> Chosen:
    """Recall what the base remembers, select the rows, and split off the early-stopping part.

    Raises:
        DataError: there is no row to learn.
        SettingsError: the base's memory lacks what the strategy keeps.
    """

    def known() -> Iterator[Labelled]:
        return _training(project, turn.known_episodes)

    def learning() -> Iterator[Labelled]:
        return _training(project, turn.learning_episodes)

    asked = memory.Asked(
        folder=base.memory(project, turn),
        settings=strategy,
        seed=settings.seed,
        covers=[named.model_dump() for named in turn.known],
        corrected=bool(turns.corrected(project, turn)),
        window=_window(settings),
    )
    guard = leakage.Guard(project) if strategy.rows == "replay" else None

    def memorable() -> Iterator[Labelled]:
        """Drawn anew, a memory is as full as one grown turn by turn: no leaking row takes room."""
        return known() if guard is None else _standing(guard, known())

    old = memory.recall(asked, memorable, policies.group_of(recipe))
    barred: set[str] = set()
    if guard is not None:
        barred = {*_leaking(guard, old), *_leaking(guard, learning())}
        old = [each for each in old if parquet.row_hash(each[1]) not in barred]

    def selected() -> Iterator[Labelled]:
        # Each turn replays others: the same few of a large memory would be all that is ever seen.
        seed = settings.seed + len(turn.known)
        return rows.select(learning(), known(), old, strategy, seed)

    keys, new_rows = Counter[str](), 0
    for episode, row in selected():
        keys[recipe.split_key(row)] += 1
        new_rows += episode in turn.learning_episodes
    if not keys:
        raise _nothing(project)
    of_base = base.labels(project, turn, recipe)
    aside = carve(keys, settings.early_stopping_percent, settings.seed)
    return Chosen(
        train=lambda: (f for f in selected() if recipe.split_key(f[1]) not in aside),
        stopping=lambda: (f for f in selected() if recipe.split_key(f[1]) in aside),
        count=keys.total(),
        labels=recipe.vocabulary((row for _, row in selected()), of_base),
        base_labels=len(of_base),
        recalled=old,
        barred=sorted(barred),
        wanted=rows.wanted(new_rows, strategy),
    )


def _nothing(project: Project) -> DataError:
    return DataError(
        "There is no row to learn",
        where=str(project.turn),
        fix="open an episode with training rows, or withdraw the empty one",
    )


def _training(project: Project, episodes: Iterable[str]) -> Iterator[Labelled]:
    """The training rows of episodes, one after the other."""
    for episode in episodes:
        for row in turns.stream(project, episode, "train"):
            yield episode, row


def carve(keys: Counter[str], percent: float, seed: int) -> set[str]:
    """The split keys (titles, or contexts) whose rows only say when to stop.

    By hash, the first ones that hold at most `percent` of the rows together; at least one and
    never all. None where percent is 0 or there is but one key.
    """
    if not percent or len(keys) < 2:
        return set()
    order = sorted(keys, key=lambda key: hashlib.sha256(f"{seed}:{key}".encode()).digest())
    limit, held = keys.total() * percent / 100, 0
    aside: set[str] = set()
    for key in order[:-1]:
        if held + keys[key] <= limit:
            aside.add(key)
            held += keys[key]
    return aside or {min(order, key=lambda key: keys[key])}


def _leaking(guard: leakage.Guard, found: Iterable[Labelled]) -> Iterator[str]:
    """The hashes of those rows that repeat, or nearly repeat, a held-out row of any episode."""
    for (_, row), leaks in _asked(guard, found):
        if leaks:
            yield parquet.row_hash(row)


def _standing(guard: leakage.Guard, found: Iterable[Labelled]) -> Iterator[Labelled]:
    """The rows that repeat no held-out one."""
    return (labelled for labelled, leaks in _asked(guard, found) if not leaks)


def _asked(guard: leakage.Guard, found: Iterable[Labelled]) -> Iterator[tuple[Labelled, bool]]:
    """Each row and whether it repeats a held-out one."""
    rest = iter(found)
    while some := list(islice(rest, _ASKED_AT_ONCE)):
        leaks = guard.leaks([row for _, row in some])
        yield from ((labelled, at in leaks) for at, labelled in enumerate(some))


def _replayed(
    turn: Turn, chosen: Chosen, counts: dict[str, Any], strategy: Strategy
) -> dict[str, int]:
    """Recalled rows in the mix, those wanted, those memory holds; a shortfall is said."""
    sides = [counts[side]["episodes"] for side in ("train", "stopping")]
    mixed = sum(side.get(episode, 0) for side in sides for episode in turn.known_episodes)
    found = {"wanted": chosen.wanted, "rows": mixed, "memory": len(chosen.recalled)}
    if chosen.barred:
        print(  # noqa: T201
            f"memory: {len(chosen.barred):,} rows repeat a held-out row and are not remembered",
            flush=True,
        )
    if turn.known and mixed < chosen.wanted:
        print(  # noqa: T201
            f"replay: {mixed:,} of {chosen.wanted:,} rows that would be "
            f"{strategy.replay_percent:g}% of the mix; memory holds no more",
            flush=True,
        )
    return {**found, "barred": len(chosen.barred)}


def write(
    folder: Path, chosen: Chosen, recipe: Any, tokenizer: Any, settings: Prepare
) -> dict[str, Any]:
    """Write rows and windows into a folder and return what was counted.

    Raises:
        IntegrityError: a second pass over the episodes gave other rows than the first.
    """
    columns = recipe.SCHEMA.append(pa.field("episode", pa.string(), nullable=False))
    counts: dict[str, Any] = {}
    with Progress("prepare", total=chosen.count) as progress:
        for side, passes in (("train", chosen.train), ("stopping", chosen.stopping)):
            prefix = "" if side == "train" else "stopping_"
            with parquet.Writer(folder / f"{side}.parquet", columns) as out:
                passing = _Passing(passes(), out, progress)
                windows = features.encode(passing, recipe, tokenizer, settings, chosen.labels)
                found = features.write(folder / f"{prefix}features.parquet", windows)
            counts[side] = {**passing.counts(), **found}
    written = counts["train"]["rows"] + counts["stopping"]["rows"]
    if written != chosen.count:
        raise IntegrityError(
            f"{chosen.count:,} rows were counted and {written:,} written",
            where=str(folder),
            fix="another process changed data/ meanwhile; run again",
        )
    return counts


class _Passing:
    """Rows on their way to the encoder: each is written and counted as it passes."""

    def __init__(self, found: Iterator[Labelled], out: parquet.Writer, progress: Progress) -> None:
        self.found, self.out, self.progress = found, out, progress
        self.episodes: Counter[str] = Counter()
        self.no_answer = 0

    def __iter__(self) -> Iterator[Row]:
        for episode, row in self.found:
            self.out.write({**row, "episode": episode})
            self.episodes[episode] += 1
            self.no_answer += row.get("answers") == []
            self.progress.advance()
            yield row

    def counts(self) -> dict[str, Any]:
        """Rows, those that are questions without an answer, and rows by episode."""
        return {
            "rows": self.episodes.total(),
            "no_answer": self.no_answer,
            "episodes": dict(sorted(self.episodes.items())),
        }
