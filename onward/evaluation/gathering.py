"""Gather a turn's evidence: which rows count, and what challenger and champion made of them.

The test set is fixed first (`tests`), from the turn, the champion's card and the journal. Then the
ledgers of this turn and of the champion's version are read, and champion rows that neither holds
are scored, through the cache.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from onward import files, recipes
from onward.episodes import turn as turns
from onward.episodes.folders import manifest_of
from onward.episodes.turn import Turn
from onward.errors import NotFinite
from onward.evaluation import baseline
from onward.evaluation.evidence import Evidence, Kind, Side, Unit
from onward.evaluation.sides import Accuracy, Final
from onward.project import Project
from onward.quality import gathered
from onward.recipes.shapes import Row
from onward.registry import journal
from onward.registry.versions import Champion

if TYPE_CHECKING:
    from onward.evaluation.ledger import LedgerPart


@dataclass(frozen=True)
class Heldout:
    """One episode's held-out rows by their hash, and why they are tested."""

    episode: str
    known: bool
    learning: bool
    rows: dict[str, Row]
    group: str | None = None
    """The group of small episodes that it was opened in."""


def tests(project: Project, turn: Turn, champion: Champion | None) -> list[Heldout]:
    """The units of this turn: not withdrawn, and known to champion or base, or in learning.

    An episode whose held-out rows were all replaced is none: those that replace them are tested.
    """
    from onward.evaluation.ledger import row_hash

    recipe = recipes.get(turn.recipe)
    learned = {item["episode"] for item in champion.card["learned"]} if champion else set()
    known = learned | set(turn.known_episodes)
    gone = journal.withdrawn_episodes(project)
    named = {*turn.known_episodes, *turn.learning_episodes}
    found = []
    for episode in sorted((known | named) - set(gone)):
        rows = {row_hash(recipe, r): r for r in turns.rows(project, episode, "heldout")}
        if rows or not _replaced(project, episode, named):
            learning = episode in turn.learning_episodes
            group = manifest_of(project, episode).get("group")
            found.append(Heldout(episode, episode in known, learning, rows, group))
    return found


def _replaced(project: Project, episode: str, named: Collection[str]) -> bool:
    """Whether a later episode of the turn replaces rows of this one."""
    return any(episode in manifest_of(project, later).get("replaces", []) for later in named)


def baselines(project: Project, turn: Turn, units: Sequence[Heldout]) -> dict[str, float]:
    """By episode, the trivial baseline's score in percent. Rows alone are read, and no model."""
    recipe = recipes.get(turn.recipe)
    learned = baseline.common(project, recipe, (*turn.known_episodes, *turn.learning_episodes))
    found = {}
    for test in units:
        made = [recipe.statistics(row, recipe.baseline(row, learned)) for row in test.rows.values()]
        total = np.sum(made, axis=0) if made else np.zeros(len(recipe.STATISTICS))
        found[test.episode] = float(recipe.metrics(total)[recipe.PRIMARY])
    return found


def gather(
    project: Project,
    kind: Kind,
    turn: Turn,
    champion: Champion | None,
    candidate: str,
    units: Sequence[Heldout],
) -> Evidence:
    """Everything that `decide` looks at.

    Raises:
        MissingFiles: a stage of this turn has not run on this candidate, or files must be pulled.
        IntegrityError: files differ from their manifests.
    """
    recipe = recipes.get(turn.recipe)
    sides = Final(project, candidate) if kind == "final" else Accuracy(project, candidate)
    new, seeds = sides.challenger(), sides.challengers()
    rows = {test.episode: list(test.rows.values()) for test in units if test.rows}
    evidence = Evidence(
        kind=kind,
        turn=turn.id,
        candidate=candidate,
        champion=champion.version if champion else None,
        units=tuple(_unit(recipe, test, new, list(seeds.values())) for test in units),
        budgets=sides.budgets(champion),
        recipe=turn.recipe,
        statistics=tuple(recipe.STATISTICS),
        metric=recipes.shown(recipe.PRIMARY),
        subject=sides.subject,
        tries=tries(project, turn.id, candidate),
        right_or_wrong=bool(recipe.RIGHT_OR_WRONG),
        challengers=tuple(seeds),
        vanished=_vanished(project, turn, champion) if champion else (),
    )
    if champion is None:
        told = baselines(project, turn, units)
        measured = tuple(replace(unit, baseline=told[unit.name]) for unit in evidence.units)
        evidence = replace(evidence, units=measured)
        return gathered.added(project, evidence, rows, new=new, old=None, champion=None)
    try:
        old = sides.champion(champion, recipe, rows, new)
    except NotFinite as error:
        return replace(evidence, problems=(f"the champion cannot be scored: {error.what}",))
    evidence = replace(evidence, units=_with_champion(evidence.units, old))
    return gathered.added(project, evidence, rows, new=new, old=old, champion=champion)


def tries(project: Project, turn: str, candidate: str) -> int:
    """How many other candidates were judged in this turn already."""
    judged = {
        line["candidate"]
        for line in journal.lines(project)
        if line["what"] in journal.VERDICTS and line.get("turn") == turn
    }
    return len(judged - {candidate})


def _vanished(project: Project, turn: Turn, champion: Champion) -> tuple[str, ...]:
    has = files.read_json(project.made("finetune") / "spec.json").get("labels") or []
    return vanished(project, turn.recipe, champion, has)


def vanished(
    project: Project, recipe_name: str, champion: Champion, has: Sequence[str]
) -> tuple[str, ...]:
    """The champion's labels that are not in `has`, but those that only withdrawn episodes had.

    Rows are read only where a label is gone and an episode that the champion learned, too.
    """
    had = files.read_json(champion.folder / "spec.json").get("labels") or []
    gone = sorted(set(had) - set(has))
    learned = {str(line["episode"]) for line in champion.card["learned"]}
    withdrawn = learned & set(journal.withdrawn_episodes(project))
    if not gone or not withdrawn:
        return tuple(gone)
    rows = (
        row
        for episode in sorted(learned - withdrawn)
        for side in ("train", "heldout")
        for row in turns.rows(project, episode, side)
    )
    kept = set(recipes.get(recipe_name).vocabulary(rows, []))
    return tuple(label for label in gone if label in kept)


def _unit(
    recipe: ModuleType, test: Heldout, new: LedgerPart, seeds: Sequence[LedgerPart | None]
) -> Unit:
    rows = tuple(sorted(test.rows))
    return Unit(
        test.episode,
        test.known,
        test.learning,
        rows,
        new=_side(new, test.episode, rows),
        group=test.group,
        seeds=tuple(None if s is None else _side(s, test.episode, rows) for s in seeds),
        slices=_slices(recipe, [test.rows[hashed] for hashed in rows]),
    )


def _slices(recipe: ModuleType, rows: Sequence[Row]) -> dict[str, tuple[str, ...]]:
    """Slice -> its value of each row; "" where a row has none."""
    found = [recipe.slices(row) for row in rows]
    return {
        name: tuple(values.get(name, "") for values in found)
        for name in sorted({name for values in found for name in values})
    }


def _side(part: LedgerPart, unit: str, rows: tuple[str, ...]) -> Side | None:
    """The scored rows of a unit; a ledger may hold more rows than the test asks for."""
    hashes, statistics = part.statistics(unit)
    wanted = set(rows)
    kept = [at for at, row in enumerate(hashes) if row in wanted]
    if not kept:
        return None
    predictions = part.predictions(unit)
    return Side(
        rows=tuple(hashes[at] for at in kept),
        statistics=statistics[kept],
        predictions=tuple(files.canonical(predictions[hashes[at]]).decode() for at in kept),
        artifact=part.artifact,
        provider=part.provider,
        scorer=part.scorer,
    )


def _with_champion(units: tuple[Unit, ...], old: LedgerPart) -> tuple[Unit, ...]:
    return tuple(replace(unit, old=_side(old, unit.name, unit.rows)) for unit in units)
