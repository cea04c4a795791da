"""The sequence of episodes that a study learns one after the other.

Either episodes of a project as they lie in data/, or rows that are sealed in the study's own folder
in the same form. A part of the training rows can be carved off to stand for the test rows while
settings are chosen.

    sequence = of_project(project)
    chosen_on = carved(sequence, folder / "data", recipe, percent=20, seed=0)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onward import files, recipes
from onward.episodes import near, signatures, split
from onward.episodes import rows as parquet
from onward.episodes import turn as turns
from onward.episodes.turn import Named, Turn
from onward.errors import UsageError
from onward.learning.prepare import carve
from onward.project import Project
from onward.recipes.shapes import Row, each_text


@dataclass(frozen=True)
class Delivered:
    """One episode's rows before they are sealed."""

    name: str
    train: Sequence[Row]
    heldout: Sequence[Row]


@dataclass(frozen=True)
class Episodes:
    """Sealed episodes in the order in which they are learned."""

    data: Path
    """The folder in which they lie."""
    named: tuple[Named, ...]

    @property
    def id(self) -> str:
        """sha256 over names and contents, in their order."""
        return files.digest([one.model_dump() for one in self.named])


def of_project(project: Project) -> Episodes:
    """The episodes of the present turn, known ones first, in the order of opening.

    Raises:
        UsageError: there are fewer than two, or one has nothing to learn or to score on.
    """
    turn = Turn.read(project)
    turns.check(project, turn)
    named = sorted((*turn.known, *turn.learning), key=lambda one: one.episode)
    if len(named) < 2:
        raise UsageError(
            f"A study needs two episodes or more; this project has {len(named)}",
            where=str(project.turn),
            fix="open another, or name a file that lists a sequence",
        )
    for one in named:
        train = project.episode(one.episode) / "train.parquet"
        _require(one.episode, "learn", parquet.count(train))
        held = turns.stream(project, one.episode, "heldout")
        _require(one.episode, "score on", next(held, None) is not None)
    return Episodes(project.data, tuple(named))


def _require(episode: str, what: str, rows: int | bool) -> None:
    if not rows:
        raise UsageError(
            f"The episode {episode} has no row to {what}: a study needs rows for both",
            where=episode,
            fix="list a sequence without it, or give it a file of its own under `test`",
        )


def standing(project: Project, episode: str) -> float:
    """The share of an episode's training rows that no later one of the present turn replaces."""
    if episode not in turns.replacing(project):
        return 1.0
    kept = sum(1 for _ in turns.stream(project, episode, "train"))
    return kept / parquet.count(project.episode(episode) / "train.parquet")


def store(data: Path, recipe_name: str, delivered: Iterable[Delivered]) -> Episodes:
    """Seal rows as episodes under DATA/DIGEST; what is there already is taken.

    A training row whose texts are those of a test row of the sequence is left out, and counted in
    the episode's manifest as `leaked`.

    Raises:
        UsageError: an episode has nothing to learn or to score on.
    """
    recipe = recipes.get(recipe_name)
    every = list(delivered)
    tested = {_compared(recipe, row) for one in every for row in one.heldout}
    content = [
        [one.name, *([parquet.row_hash(row) for row in side] for side in (one.train, one.heldout))]
        for one in every
    ]
    place = data / files.digest([recipe_name, content])[:16]
    named = []
    for number, one in enumerate(every, start=1):
        folder = f"{number:04d}-{one.name}"
        if not (place / folder / files.MANIFEST).is_file():
            kept = [row for row in one.train if _compared(recipe, row) not in tested]
            _require(one.name, "learn", len(kept))
            _require(one.name, "score on", len(one.heldout))
            about: dict[str, Any] = {"number": number, "name": one.name, "recipe": recipe_name}
            about["leaked"] = len(one.train) - len(kept)
            _seal(place / folder, {"train": kept, "heldout": one.heldout}, recipe, about)
        named.append(_named(place, folder))
    return Episodes(place, tuple(named))


def _seal(
    folder: Path, sides: Mapping[str, Sequence[Row]], recipe: Any, about: Mapping[str, Any]
) -> None:
    """Write an episode with the keys and signatures by which memories are guarded from leaks."""
    keys = [
        {"kind": "context", "key": key, "side": side}
        for side, rows in sides.items()
        for key in sorted({parquet.side_key(parquet.split_text(row)).hex() for row in rows})
    ]
    with files.building(folder, **about) as at:
        for side, rows in sides.items():
            parquet.write(at / f"{side}.parquet", rows, recipe.SCHEMA)
        parquet.write(at / "sides.parquet", keys, split.SCHEMA)
        parquet.write(at / signatures.NAME, _signed(sides), signatures.SCHEMA)


def _signed(sides: Mapping[str, Sequence[Row]]) -> Iterator[dict[str, Any]]:
    """A line for each different text of a side and kind of shingle."""
    for side, rows in sides.items():
        first: dict[str, int] = {}
        for number, row in enumerate(rows):
            first.setdefault(parquet.split_text(row), number)
        for text, number in first.items():
            for kind, signature in near.signed(text):
                yield {"side": side, "kind": kind, "row": number, "signature": signature}


def _named(place: Path, folder: str) -> Named:
    return Named(episode=folder, manifest=files.sha256(place / folder / files.MANIFEST))


def _compared(recipe: Any, row: Row) -> str:
    """The texts of a row in the form leaks are found by."""
    return "\0".join(parquet.normalised(text) for _, text in each_text(recipe.inputs(row)))


def carved(
    sequence: Episodes, data: Path, recipe_name: str, *, percent: float, seed: int, first: int
) -> Episodes:
    """The first episodes of a sequence, a part of their training rows in place of the test rows.

    Whole titles or texts go to one side, by hash (`prepare.carve`), in all of the episodes alike.
    An episode of which that would leave nothing to learn keeps what it alone keeps apart. Test rows
    are not read.

    Args:
        sequence: what to carve.
        data: where the result lies, by the digest of all that decides it.
        recipe_name: whose rows they are.
        percent: of each episode's training rows, at most, by its own titles.
        seed: of the draw.
        first: how many episodes to take.

    Raises:
        UsageError: no part can be kept apart: the rows of each episode share one title or text.
    """
    taken = sequence.named[:first]
    key = ["carved", 4, [one.model_dump() for one in taken], recipe_name, percent, seed]
    place = data / files.digest(key)[:16]
    if not all((place / one.episode / files.MANIFEST).is_file() for one in taken):
        _carve(sequence.data, taken, place, recipe_name, percent, seed)
    return Episodes(place, tuple(_named(place, one.episode) for one in taken))


def _carve(
    source: Path, taken: Sequence[Named], place: Path, recipe_name: str, percent: float, seed: int
) -> None:
    """Seal the episodes that `carved` returns."""
    recipe = recipes.get(recipe_name)
    own: dict[str, set[str]] = {}
    for one in taken:
        files.verify(source / one.episode, one.manifest)
        rows = parquet.read_all(source / one.episode / "train.parquet")
        own[one.episode] = carve(Counter(recipe.split_key(row) for row in rows), percent, seed)
    every: set[str] = set().union(*own.values())
    if not every:
        raise UsageError(
            "There is nothing to score on: no part of the training rows can be kept apart",
            where=", ".join(own),
            fix="whole titles or texts are kept apart, so an episode needs two of them",
        )
    for one in taken:
        rows = parquet.read_all(source / one.episode / "train.parquet")
        keys = {recipe.split_key(row) for row in rows}
        aside = every if keys - every else own[one.episode]
        sides = {
            side: [row for row in rows if (recipe.split_key(row) in aside) is inside]
            for side, inside in (("train", False), ("heldout", True))
        }
        number, name = int(one.episode.partition("-")[0]), one.episode.partition("-")[2]
        about: dict[str, Any] = {"number": number, "name": name, "recipe": recipe_name}
        about["carved"] = True
        if corrects := files.read_json(source / one.episode / files.MANIFEST).get("replaces"):
            about["replaces"] = corrects
        if not (place / one.episode / files.MANIFEST).is_file():
            _seal(place / one.episode, sides, recipe, about)
