"""What `onward gate --examples SEQ` shows: rows that a challenger lost and won, from the verdict.

The verdict keeps each row's hash, prediction and statistics; the texts are looked up in
the episodes, by that hash. For a first champion the trivial baseline stands for the old one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from onward import recipes
from onward.episodes.folders import folders
from onward.errors import UsageError
from onward.evaluation.baseline import common
from onward.evaluation.comparison import Comparison
from onward.evaluation.evidence import Evidence, Unit
from onward.evaluation.examples import examples
from onward.evaluation.ledger import row_hash
from onward.project import Project
from onward.wording import before, counted

SHOWN = 5


def lost_and_won(project: Project, seq: int) -> dict[str, Any]:
    """{seq, before, counts, score, lost, won, worst, ...}: the latter as `examples` has it.

    Raises:
        UsageError: it was given without evidence.
        MissingFiles: the verdict or its episodes are not on this machine.
    """
    from onward.evaluation import verdicts

    verdict = verdicts.read(project, seq)
    if verdict.evidence is None:
        raise UsageError(
            f"Verdict {seq} rests on no rows: {'; '.join(verdict.reasons)}",
            where=str(project.verdict(seq)),
            fix=f"`onward gate --show {seq}` shows all there is",
        )
    recipe = recipes.get(verdict.evidence.recipe)
    compared = _comparison(project, recipe, verdict.evidence)
    change = recipe.row_scores(compared.after) - recipe.row_scores(compared.before)
    return {
        "seq": seq,
        "before": before(verdict.champion or "baseline"),
        "counts": {"lost": int((change < 0).sum()), "won": int((change > 0).sum())},
        **examples(recipe, compared),
    }


def _comparison(project: Project, recipe: Any, evidence: Evidence) -> Comparison:
    found = sorted(_answers(project, recipe, evidence), key=lambda one: one[:2])
    columns = [list(column) for column in zip(*found, strict=True)] or [[] for _ in range(7)]
    units, hashes, rows, before, after, told_before, told_after = columns
    size = len(recipe.STATISTICS)
    old, new = (np.array(side, dtype=float).reshape(-1, size) for side in (before, after))
    return Comparison(units, hashes, rows, old, new, told_before, told_after)


def _answers(project: Project, recipe: Any, evidence: Evidence) -> Iterator[tuple[Any, ...]]:
    learned = _learned(project, recipe, evidence)
    for unit in evidence.units:
        rows = _rows(project, recipe, unit)
        new, old = unit.new, unit.old
        if new is None or not new.predictions:
            continue
        was = {hashed: at for at, hashed in enumerate(old.rows)} if old is not None else {}
        for at, hashed in enumerate(new.rows):
            row = rows.get(hashed)
            if row is None or (old is not None and hashed not in was):
                continue
            if old is not None:
                told, counted = (
                    json.loads(old.predictions[was[hashed]]),
                    old.statistics[was[hashed]],
                )
            else:
                told = recipe.baseline(row, learned)
                counted = recipe.statistics(row, told)
            after = json.loads(new.predictions[at])
            yield unit.name, hashed, row, counted, new.statistics[at], told, after


def _learned(project: Project, recipe: Any, evidence: Evidence) -> Any:
    """What the trivial baseline, where it stands for the old champion, took from training rows.

    What was corrected since counts as it did then.
    """
    if evidence.champion is not None:
        return None
    judged = {folder.folder for folder in folders(project)} & {unit.name for unit in evidence.units}
    return common(project, recipe, judged, among=judged)


def _rows(project: Project, recipe: Any, unit: Unit) -> dict[str, Any]:
    """Row hash -> row, of the held-out rows of the unit's episode."""
    from onward.episodes import rows as parquet

    if unit.name not in [folder.folder for folder in folders(project)]:
        return {}
    found = parquet.read(project.episode(unit.name) / "heldout.parquet")
    return {row_hash(recipe, row): row for row in found}


def lines(data: dict[str, Any]) -> list[str]:
    """The five most lost and most won, for people."""
    shown = []
    for kind in ("lost", "won"):
        rows = counted(data["counts"][kind], "row")
        shown.append(f"{kind.upper()} against {data['before']}: {rows}, by {data['score']}")
        for row in data[kind][:SHOWN]:
            shown += _example(row, data["placed"], data["nothing"])
    return shown


def _example(row: dict[str, Any], placed: str | None, nothing: str) -> list[str]:
    """Lines of a row; a text in which answers have a place is long and left out."""
    gold = " | ".join(dict.fromkeys(row["answers"])) or nothing
    return [
        f"  {row['unit']} · {row['id']}",
        *(_field(name, text) for name, text in row["inputs"].items() if name != placed),
        _field("gold", gold),
        _field("before", _told(row["before"], nothing)),
        _field("after", _told(row["after"], nothing)),
    ]


def _field(name: str, text: str) -> str:
    """A name and its text; the text's further lines stand under its first."""
    return f"    {name:<9} " + f"\n{'':14}".join(text.strip().splitlines())


def _told(side: dict[str, Any], nothing: str) -> str:
    # A number comes without a probability.
    sure = "" if side["probability"] is None else f", probability {side['probability']:.2f}"
    return f"{side['text'] or nothing}   (score {side['score']:.3g}{sure})"
