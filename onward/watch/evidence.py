"""What is known before a turn is begun, gathered from the project.

Nothing is trained and nothing but caches is written. The champion's package answers the new
held-out rows, through the cache that the final gate reads, too: what is scored here is not scored
there again. A second look at the same turn reads one small file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from onward import config, costs, files, fingerprints, recipes
from onward.config import Watch
from onward.episodes import turn as turns
from onward.episodes.turn import Turn
from onward.evaluation import statistics
from onward.evaluation.comparing import worth
from onward.evaluation.gate import score_of
from onward.evaluation.resampling import Draws
from onward.project import Project
from onward.registry import journal, versions
from onward.registry.versions import Champion
from onward.watch import profile, shift
from onward.watch.decision import Error, Evidence

SCHEMA = 2


def gather(project: Project, settings: Watch) -> Evidence:
    """The evidence of the present turn.

    Raises:
        MissingFiles: an episode or the champion's package is not on this machine.
        IntegrityError: a file of them is changed.
        NotFinite: the champion answers with NaN or infinity.
    """
    champion = versions.champion(project, check=False)
    name = champion.version if champion else None
    if not project.turn.exists():
        return Evidence(name, (), settled="no episode is open")
    turn = Turn.read(project)
    learned = {line["episode"] for line in champion.card["learned"]} if champion else set()
    new = tuple(sorted({*turn.known_episodes, *turn.learning_episodes} - learned))
    if settled := _settled(project, turn):
        return Evidence(name, new, settled=settled)
    known = sorted({*turn.known_episodes, *turn.learning_episodes} & learned)
    minutes, memory = _last_cost(project, turn)
    return Evidence(
        name,
        new,
        **_measured(_Asked(project, turn, champion, new, known, settings.level)),
        minutes=minutes,
        memory_mb=memory,
        asked=_asked(project, turn, champion),
    )


def _settled(project: Project, turn: Turn) -> str:
    """Why nothing is left of this turn; empty where something is."""
    judged = _judged(project, turn)
    if judged and not journal.returned(project, judged):
        promoted = judged["what"] in journal.PROMOTING
        left = promoted and judged.get("candidate") in journal.withdrawn_candidates(project)
        became = f"{judged['what']}{' and rolled back' if left else ''}"
        return f"turn {judged['seq']} was {became}, and no episode came since"
    return "" if turn.learning else turns.ALL_LEARNED


def _judged(project: Project, turn: Turn) -> dict[str, Any] | None:
    """The line of the turn's last verdict, where it has one."""
    lines = reversed(journal.lines(project))
    judged = (line for line in lines if line["what"] in journal.VERDICTS)
    return next((line for line in judged if line.get("turn") == turn.id), None)


def _asked(project: Project, turn: Turn, champion: Champion | None) -> str:
    """What a person did that makes a turn worth it without new rows."""
    judged = _judged(project, turn)
    if judged and journal.returned(project, judged):
        return f"the candidate of turn {judged['seq']} was reinstated and is to be judged again"
    if turn.base.kind == "adopted":
        return f"{turn.base.name} was adopted and is to be judged"
    if champion is not None and turn.base.kind == "pretrained":
        return f"the turn starts anew from {turn.base.name}"
    return ""


def _last_cost(project: Project, turn: Turn) -> tuple[float | None, float | None]:
    """Minutes and peak memory of the last other turn that was trained here, where known."""
    known = [
        cost
        for of, cost in costs.by_turn(project).items()
        if of != turn.id and "finetune" in cost.stages
    ]
    return (known[-1].minutes, known[-1].peak_mb) if known else (None, None)


class _Asked(NamedTuple):
    """What is measured, and of what."""

    project: Project
    turn: Turn
    champion: Champion | None
    new: Sequence[str]
    known: Sequence[str]
    level: float


def _measured(asked: _Asked) -> dict[str, Any]:
    """rows, heldout, error, labels and lengths of the evidence, kept by what they rest on."""
    project, turn, champion, new, known, level = asked
    named = {one.episode: one.manifest for one in (*turn.known, *turn.learning)}
    manifest = champion.manifest if champion else ""
    units = [list(new), list(known)]
    # An error that other code or another setting measured is no evidence any more.
    scored = fingerprints.code("evaluate", turn.recipe)
    settings = config.read(project.params, config.Evaluate).model_dump()
    key = files.digest([SCHEMA, turn.recipe, named, manifest, *units, level, scored, settings])
    kept = project.cache / "watch" / f"{key}.json"
    if not kept.exists():
        files.write_json(kept, _measure(asked))
    found = dict(files.read_json(kept))
    return {**found, "error": Error(**found["error"]) if found["error"] else None}


def _measure(asked: _Asked) -> dict[str, Any]:
    project, turn, champion, new, known, level = asked
    recipe = recipes.get(turn.recipe)
    turns.check(project, turn)
    fresh = profile.of_episodes(project, turn, recipe, new)
    rows = {unit: turns.rows(project, unit, "heldout") for unit in new}
    found: dict[str, Any] = {
        "rows": fresh.rows,
        "heldout": sum(map(len, rows.values())),
        "error": None,
        "labels": None,
        "lengths": None,
    }
    if champion is None or not new:
        return found
    old = profile.of_episodes(project, turn, recipe, known)
    numbers = shift.values(old.values, fresh.values) if fresh.values else None
    found["labels"] = shift.labels(old.labels, fresh.labels) if numbers is None else numbers
    found["lengths"] = shift.lengths(old.lengths, fresh.lengths)
    if found["heldout"]:
        found["error"] = _error(project, turn, rows, level)
    return found


def _error(
    project: Project, turn: Turn, rows: dict[str, list[dict[str, Any]]], level: float
) -> dict[str, float] | None:
    """100 minus the champion's score on these rows, by its package; None where bounds fail."""
    from onward.evaluation.scorer import score
    from onward.serving.ask import open_champion

    settings = config.read(project.params, config.Evaluate)
    session = open_champion(project, threads=settings.threads)
    part = score(
        recipes.get(turn.recipe),
        session,
        {unit: given for unit, given in rows.items() if given},
        tokenizer=session.tokenizer,
        prepare=session.prepare,
        evaluate=session.evaluate,
        cache=project.cache / "ledger",
        label="score the champion on the new rows",
    )
    answered = [part.statistics(unit)[1] for unit in part.units()]
    alike = worth(answered, recipes.sizes(recipes.get(turn.recipe)))
    found = statistics.single(answered, score_of(turn.recipe), Draws(level=level), unseen=alike)
    if found.flag:  # one row alone, or no number: nothing is shown by it
        return None
    return {"value": 100 - found.value, "low": 100 - found.high, "high": 100 - found.low}
