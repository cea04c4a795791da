"""The two sides of a gate: which ledger rows, artifacts and timings are challenger and champion.

    sides = Final(project, candidate)
    new = sides.challenger()                          # from this turn's ledger
    old = sides.champion(champion, recipe, rows, new) # from its version's ledger, or scored now

Both sides of one gate are answered by the same kind of provider.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from onward import config, files
from onward.errors import MissingFiles
from onward.evaluation.evidence import Budgets
from onward.evaluation.runner import fingerprint, resolve
from onward.project import Project
from onward.recipes.shapes import Row
from onward.registry.versions import Champion

if TYPE_CHECKING:
    from onward.evaluation.ledger import LedgerPart


class Accuracy:
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

    def challengers(self) -> dict[int, LedgerPart | None]:
        """Seed -> what the stage evaluate made of it, the candidate's first; None: nothing.

        Empty where one seed alone was trained.
        """
        finetuned = self.project.made("finetune")
        trained = files.read_json(finetuned / "spec.json").get("challengers", [])
        if len(trained) < 2:
            return {}
        parts = {
            part.artifact: part
            for part in _parts(self.made, "evaluate")
            if part.provider.startswith("torch")
        }
        return {
            int(one["seed"]): parts.get(fingerprint(finetuned / one["model"])) for one in trained
        }

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


class Final:
    """The packages, by ONNX Runtime, in the variants that serve."""

    def __init__(self, project: Project, candidate: str) -> None:
        self.project, self.candidate = project, candidate
        self.made = project.made("export")
        report = project.made("benchmark") / "report.json"
        if not report.exists():
            raise _not_made("benchmark", report)
        self.report = files.read_json(report)
        self.variant = str(self.report["variant"])
        self.subject = f"{self.variant} package"

    def challengers(self) -> dict[int, LedgerPart | None]:
        """The checkpoints of all seeds, as `Accuracy` has them: one alone was exported."""
        return Accuracy(self.project, self.candidate).challengers()

    def challenger(self) -> LedgerPart:
        """The rows that the stage export made of the variant that was chosen to serve."""
        packaged = self.made / "package" / "package.json"
        if not packaged.exists():
            raise _not_made("export", packaged)
        spec = files.read_json(packaged)
        artifact = str(spec["variants"][self.variant]["artifact"])
        part = _part(self.made, {artifact}, "onnx-", "export")
        answered, timed = part.provider.removeprefix("onnx-"), str(self.report["provider"])
        other = "" if timed == answered else f", timed on {timed.upper()}"
        self.subject = f"{self.variant} package, {answered.upper()}{other}"
        return part

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


def _parts(made: Path, stage: str) -> list[LedgerPart]:
    """A stage's ledger, verified."""
    from onward.evaluation.ledger import read_parts

    if not (made / files.MANIFEST).exists():
        raise _not_made(stage, made)
    files.verify(made)
    return read_parts(made / "ledger.parquet")


def _part(made: Path, artifacts: set[str], provider: str, stage: str) -> LedgerPart:
    """The part of a stage's ledger that belongs to this candidate."""
    for part in _parts(made, stage):
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
