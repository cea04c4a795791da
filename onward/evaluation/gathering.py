"""Gather a turn's evidence: which rows count, and what challenger and champion made of them.

The test set is fixed first (`tests`), from the turn, the champion's card and the journal. Then the
ledgers of this turn and of the champion's version are read, and champion rows that neither holds
are scored, through the cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from onward import config, files, recipes
from onward.episodes import turn as turns
from onward.episodes.turn import Turn
from onward.errors import MissingFiles, NotFinite
from onward.evaluation.evidence import Budgets, Evidence, Kind, Side, Unit
from onward.evaluation.runner import fingerprint, resolve
from onward.project import Project
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


def tests(project: Project, turn: Turn, champion: Champion | None) -> list[Heldout]:
    """The units of this turn: not withdrawn, and known to champion or base, or in learning."""
    from onward.evaluation.ledger import row_hash

    recipe = recipes.get(turn.recipe)
    learned = {item["episode"] for item in champion.card["learned"]} if champion else set()
    known = learned | set(turn.known_episodes)
    gone = journal.withdrawn_episodes(project)
    named = {*turn.known_episodes, *turn.learning_episodes}
    found = []
    for episode in sorted((known | named) - set(gone)):
        rows = {row_hash(recipe, r): r for r in turns.rows(project, episode, "heldout")}
        if rows or episode in named:  # else a later episode has replaced every row of it
            learning = episode in turn.learning_episodes
            found.append(Heldout(episode, episode in known, learning, rows))
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
    sides = _Final(project, candidate) if kind == "final" else _Accuracy(project, candidate)
    new = sides.challenger()
    evidence = Evidence(
        kind=kind,
        turn=turn.id,
        candidate=candidate,
        champion=champion.version if champion else None,
        units=tuple(_unit(test, new) for test in units),
        budgets=sides.budgets(champion),
        recipe=turn.recipe,
        statistics=tuple(recipe.STATISTICS),
        metric=str(recipe.PRIMARY).upper(),
        subject=sides.subject,
        tries=tries(project, turn.id, candidate),
    )
    if champion is None:
        return replace(evidence, units=_with_baselines(recipe, evidence.units, units))
    rows = {test.episode: list(test.rows.values()) for test in units if test.rows}
    try:
        old = sides.champion(champion, recipe, rows, new)
    except NotFinite as error:
        return replace(evidence, problems=(f"the champion cannot be scored: {error.what}",))
    return replace(evidence, units=_with_champion(evidence.units, old))


def tries(project: Project, turn: str, candidate: str) -> int:
    """How many other candidates were judged in this turn already."""
    judged = {
        line["candidate"]
        for line in journal.lines(project)
        if line["what"] in journal.VERDICTS and line.get("turn") == turn
    }
    return len(judged - {candidate})


def _unit(test: Heldout, part: LedgerPart) -> Unit:
    rows = tuple(sorted(test.rows))
    return Unit(test.episode, test.known, test.learning, rows, _side(part, test.episode, rows))


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


def _with_baselines(
    recipe: ModuleType, units: tuple[Unit, ...], given: Sequence[Heldout]
) -> tuple[Unit, ...]:
    measured = []
    for unit, test in zip(units, given, strict=True):
        made = [recipe.statistics(row, recipe.baseline(row)) for row in test.rows.values()]
        total = np.sum(made, axis=0) if made else np.zeros(len(recipe.STATISTICS))
        measured.append(replace(unit, baseline=float(recipe.metrics(total)[recipe.PRIMARY])))
    return tuple(measured)


class _Accuracy:
    """The checkpoints, by torch."""

    subject = "checkpoint"

    def __init__(self, project: Project, candidate: str) -> None:
        self.project, self.candidate = project, candidate
        self.made = project.made("evaluate")
        self.settings = config.read(project.params, config.Evaluate)

    def challenger(self) -> LedgerPart:
        """The rows that the stage evaluate made of this candidate."""
        named = {self.candidate, fingerprint(self.project.made("finetune") / "model")}
        return _part(self.made, named, "torch", "evaluate")

    def budgets(self, champion: Champion | None) -> Budgets:
        """None are asked for at this gate."""
        return Budgets()

    def champion(
        self, champion: Champion, recipe: ModuleType, rows: dict[str, list[Row]], new: LedgerPart
    ) -> LedgerPart:
        """The champion's rows, from the ledgers or scored now."""
        checkpoint = champion.folder / "checkpoint"
        spec = files.read_json(champion.folder / "spec.json")
        prepare, evaluate = resolve(spec, self.settings)
        named = {champion.candidate, fingerprint(checkpoint)}
        scorer = recipe.scorer(evaluate, prepare)
        places = [self.made / "ledger.parquet", champion.folder / "ledger.parquet"]
        stored = _stored(recipe, places, named, new.provider, scorer, rows)
        if stored is not None:
            return stored
        from onward.evaluation.evaluate import score_model

        label = f"score {champion.version}"
        return score_model(
            self.project, recipe, checkpoint, champion.folder, rows, self.settings, label
        )


class _Final:
    """The packages, by ONNX Runtime, in the variants that serve."""

    def __init__(self, project: Project, candidate: str) -> None:
        self.project, self.candidate = project, candidate
        self.made = project.made("export")
        report = project.made("benchmark") / "report.json"
        if not report.exists():
            raise _not_made("benchmark", report)
        self.report = files.read_json(report)
        self.variant = str(self.report["variant"])
        device = str(self.report["provider"]).removeprefix("onnx-")
        self.subject = f"{self.variant} package, {device.upper()}"

    def challenger(self) -> LedgerPart:
        """The rows that the stage export made of the variant that was chosen to serve."""
        spec = files.read_json(self.made / "package" / "package.json")
        artifact = str(spec["variants"][self.variant]["artifact"])
        return _part(self.made, {artifact}, "onnx-", "export")

    def budgets(self, champion: Champion | None) -> Budgets:
        """Timings at the serving shape and memory, from the benchmark's report."""
        return budgets(self.report, champion)

    def champion(
        self, champion: Champion, recipe: ModuleType, rows: dict[str, list[Row]], new: LedgerPart
    ) -> LedgerPart:
        """The champion's rows, from its ledger or scored now by its own package."""
        spec = files.read_json(champion.package / "package.json")
        serving = files.read_json(champion.package / "serving.json")
        prepare = config.Prepare.model_validate(spec["encoding"])
        evaluate = config.Evaluate.model_validate(spec["decoding"])
        named = {str(spec["variants"][serving["variant"]]["artifact"])}
        scorer = recipe.scorer(evaluate, prepare)
        places = [champion.folder / "ledger.parquet"]
        stored = _stored(recipe, places, named, new.provider, scorer, rows)
        if stored is not None:
            return stored
        from onward.evaluation.scorer import score
        from onward.runtime.session import Session

        device = new.provider.removeprefix("onnx-")
        session = Session(champion.package, provider=device, threads=evaluate.threads)
        return score(
            recipe,
            session,
            rows,
            tokenizer=session.tokenizer,
            prepare=session.prepare,
            evaluate=session.evaluate,
            cache=self.project.cache / "ledger",
            label=f"score {champion.version}'s package",
        )


def _part(made: Path, artifacts: set[str], provider: str, stage: str) -> LedgerPart:
    """The part of a stage's ledger that belongs to this candidate."""
    from onward.evaluation.ledger import read_parts

    if not (made / files.MANIFEST).exists():
        raise _not_made(stage, made)
    files.verify(made)
    for part in read_parts(made / "ledger.parquet"):
        if part.artifact in artifacts and part.provider.startswith(provider):
            return part
    raise _not_made(stage, made / "ledger.parquet")


def _not_made(stage: str, where: Path) -> MissingFiles:
    return MissingFiles(
        f"turn/{stage} was not made from the candidate in turn/finetune",
        where=str(where),
        fix="`dvc repro` (or `onward run`) makes it; nothing was judged",
    )


def _stored(
    recipe: ModuleType,
    places: Sequence[Path],
    artifacts: set[str],
    provider: str,
    scorer: str,
    rows: dict[str, list[Row]],
) -> LedgerPart | None:
    """The first stored part of these artifacts under this scorer that holds every row asked for."""
    from onward.evaluation.ledger import read_parts, row_hash

    wanted = {unit: [row_hash(recipe, row) for row in given] for unit, given in rows.items()}
    for place in places:
        for part in read_parts(place) if place.exists() else []:
            named = part.artifact in artifacts and part.provider == provider
            if named and part.scorer == scorer and not part.missing(wanted):
                return part
    return None


def budgets(report: dict[str, Any], champion: Champion | None) -> Budgets:
    """What the gate weighs of a benchmark's report: the serving shape's timings, and memory."""
    batch, length = report["serving_shape"]
    timed = {
        line["variant"]: tuple(float(ms) for ms in line["samples_ms"])
        for line in report["timings"]
        if (line["batch"], line["length"]) == (batch, length)
    }
    memory = report["memory"].get(report["variant"], {}).get("mb")
    version = champion.version if champion else None
    return Budgets(
        new_ms=timed.get(report["variant"], ()),
        old_ms=timed.get("champion", ()) if report["champion"] == version else (),
        memory_mb=None if memory is None else float(memory),
        compared=version is not None and report["champion"] == version,
    )
