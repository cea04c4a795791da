"""What an episode's training rows are like: labels, values and lengths of texts, as counts.

Counted once an episode and kept in .onward/cache/watch, so a later look rereads no old rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from onward import files
from onward.episodes import turn as turns
from onward.episodes.turn import Turn
from onward.project import Project
from onward.recipes.shapes import Row, each_text

SCHEMA = 2
ANSWERED, UNANSWERED = "an answer", "no answer"
UNLABELLED = ""
"""Stands for no label of all, where a row may have none; no label is empty."""


@dataclass(frozen=True)
class Profile:
    """Counts over rows; those of two episodes add up."""

    rows: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    """Label -> rows that have it; of questions, whether there is an answer.

    Empty where answers are written: each row's is its own.
    """
    values: Counter[float] = field(default_factory=Counter)
    """Number to be learned, or place of the right option -> rows; empty in other recipes."""
    lengths: dict[str, Counter[float]] = field(default_factory=dict)
    """Name of a text -> its length in characters -> texts. A repeated text counts once."""

    def __add__(self, other: Profile) -> Profile:
        names = sorted({*self.lengths, *other.lengths})
        return Profile(
            self.rows + other.rows,
            self.labels + other.labels,
            self.values + other.values,
            {n: self.lengths.get(n, Counter()) + other.lengths.get(n, Counter()) for n in names},
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values; numbers as pairs, because JSON's keys are texts."""
        return {
            "rows": self.rows,
            "labels": dict(self.labels),
            "values": sorted(self.values.items()),
            "lengths": {name: sorted(counts.items()) for name, counts in self.lengths.items()},
        }


def parse(value: dict[str, Any]) -> Profile:
    """What `to_json` made."""
    return Profile(
        rows=value["rows"],
        labels=Counter(value["labels"]),
        values=Counter(dict(map(tuple, value["values"]))),
        lengths={
            name: Counter(dict(map(tuple, pairs))) for name, pairs in value["lengths"].items()
        },
    )


def of_rows(recipe: ModuleType, rows: Iterable[Row]) -> Profile:
    """The profile of some rows, read once, in the memory of their counts and texts' hashes."""
    kinds = {target.kind for target in recipe.TARGETS.values()}
    found, seen = Profile(), set()
    count = 0
    for row in rows:
        count += 1
        if "number" in kinds:
            found.values[float(row["value"])] += 1
        elif "choice" in kinds:
            found.values[float(row["answer"])] += 1
        elif "tags" in kinds:
            found.labels.update(set(row["tags"]) or [UNLABELLED])
        elif "position" in kinds:
            found.labels[ANSWERED if recipe.gold(row) else UNANSWERED] += 1
        elif "tokens" not in kinds:
            found.labels.update(recipe.gold(row) or [UNLABELLED])
        for name, text in each_text(recipe.inputs(row)):
            once = hash((name, text))
            if once not in seen:
                seen.add(once)
                found.lengths.setdefault(name, Counter())[len(text)] += 1
    return Profile(count, found.labels, found.values, found.lengths)


def of_episodes(
    project: Project, turn: Turn, recipe: ModuleType, episodes: Iterable[str]
) -> Profile:
    """The training rows of some episodes of the turn together.

    Raises:
        MissingFiles, DataError: an episode that was not counted yet cannot be read.
    """
    return sum((_episode(project, turn, recipe, one) for one in sorted(episodes)), Profile())


def _episode(project: Project, turn: Turn, recipe: ModuleType, episode: str) -> Profile:
    # Rows that a later episode of the turn corrects do not count.
    named = {one.episode: one.manifest for one in (*turn.known, *turn.learning)}
    corrected = [named[folder] for folder in sorted(turns.replacing(project).get(episode, ()))]
    key = files.digest([SCHEMA, turn.recipe, named[episode], corrected])
    kept = project.cache / "watch" / f"{key}.json"
    if kept.exists():
        return parse(files.read_json(kept))
    found = of_rows(recipe, turns.stream(project, episode, "train"))
    files.write_json(kept, found.to_json())
    return found
