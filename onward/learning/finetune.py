"""The stage finetune: from turn/prepare and the turn's base to a candidate.

Writes turn/finetune: model/ (config, model.safetensors, tokenizer), memory/, spec.json (what it
takes to make it again) and the manifest, whose sha256 is the candidate's id; and turn/curves. With
finetune.challengers above 1 the models of the other seeds lie in challengers/SEED/model: they say
how far the candidate's scores are luck, and only they do. The trainer holds the project's training
lock itself, for as long as it runs.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from onward import config, files, locks, recipes
from onward.config import Finetune, Strategy
from onward.episodes.turn import Turn
from onward.errors import IntegrityError, SettingsError
from onward.learning import base, checkpoints, curves, models, prompts, table, tunings
from onward.learning.job import Job, Prepared
from onward.learning.structures import prompted, single
from onward.learning.structures.named import STRUCTURES
from onward.learning.trainer import Trained
from onward.project import Project

SCHEMA = 1


def run(project: Project) -> None:
    """Train the candidate of this turn and write turn/finetune and turn/curves.

    Raises:
        Busy: another process trains in this project.
        IntegrityError, MissingFiles: turn/prepare or the base is not what the turn names.
        SettingsError: recipe, tuning and strategy may not be combined, or settings contradict.
        TrainingError: as `onward.learning.trainer.fit`.
    """
    with locks.held(project.train_lock, "fine-tuning"):
        turn = Turn.read(project)
        settings = config.read(project.params, Finetune)
        strategy = config.read(project.params, Strategy)
        table.check(turn.recipe, settings.tuning, strategy)
        prepared = read_prepared(project, turn)
        _check_stopping(settings, prepared)
        source = base.source(project, turn)
        work = checkpoints.only(project, key(project, turn, prepared, settings, strategy))
        job = _job(project, turn, prepared, settings, strategy, source, work)
        structure = _structure(job)
        trained = handed_on(job) if job.adopted else structure.fit(_of_seed(job, settings.seed))
        _write(job, structure, trained)


def _structure(job: Job) -> ModuleType:
    if job.adopted:
        return single
    return prompted if job.settings.tuning == "none" else STRUCTURES[job.strategy.structure]


def _job(
    project: Project,
    turn: Turn,
    prepared: Prepared,
    settings: Finetune,
    strategy: Strategy,
    source: Path,
    work: Path,
) -> Job:
    named = files.read_json(prepared.folder / "labels.json")
    return Job(
        recipe=recipes.get(turn.recipe),
        turn=turn,
        settings=settings,
        strategy=strategy,
        source=source,
        memory=base.memory(project, turn),
        prepared=prepared,
        work=work,
        labels=tuple(named["labels"]),
        base_labels=named["base"],
        project=project,
    )


def _of_seed(job: Job, seed: int) -> Job:
    """The training of one seed; several have a work folder each."""
    work = job.work
    if job.settings.challengers > 1:
        work = job.work / f"seed-{seed}"
        work.mkdir(exist_ok=True)
    return replace(job, settings=job.settings.model_copy(update={"seed": seed}), work=work)


def handed_on(job: Job) -> Trained:
    """An adopted model as it is: nothing is trained.

    Raises:
        IntegrityError: it has no head.
        SettingsError: it is of another structure than single.
    """
    models.require_single(job.source)
    model = job.recipe.build(job.source, {"new_head": False}).eval()
    course = curves.Course(every=1, points=[[0, 0.0]], last=0.0)
    return Trained(model, course, 0, 0, "fp32", tunings.sizes(model))


def read_prepared(project: Project, turn: Turn) -> Prepared:
    """turn/prepare, its bytes checked against its manifest and that against the turn.

    Raises:
        MissingFiles: the stage prepare has not run.
        IntegrityError: it is damaged, or was made for another turn.
    """
    folder = project.made("prepare")
    files.verify(folder)
    manifest = files.read_json(folder / files.MANIFEST)
    if manifest.get("turn") != turn.id:
        raise IntegrityError(
            "turn/prepare was made for another turn",
            where=str(folder),
            fix="`dvc repro prepare` or `onward run` makes it anew",
        )
    return Prepared(folder, manifest, files.read_json(folder / "counts.json"))


def _check_stopping(settings: Finetune, prepared: Prepared) -> None:
    if settings.patience and not prepared.stopping:
        raise SettingsError(
            "finetune.patience needs rows that say when to stop, and none were carved off",
            where="params.yaml, finetune.patience and prepare.early_stopping_percent",
            fix="set prepare.early_stopping_percent above 0, or finetune.patience to 0",
        )


def key(
    project: Project, turn: Turn, prepared: Prepared, settings: Finetune, strategy: Strategy
) -> str:
    """The digest of all that decides the candidate's bytes: the name of the work folder."""
    inputs = [project.made("inputs") / name for name in ("finetune.json", "machine.json")]
    value = {
        "turn": turn.id,
        "prepare": files.sha256(prepared.folder / files.MANIFEST),
        "finetune": settings.model_dump(),
        "strategy": strategy.model_dump(),
        "inputs": {path.name: files.sha256(path) for path in inputs if path.is_file()},
    }
    return files.digest(value)


def _write(job: Job, structure: ModuleType, trained: Trained) -> None:
    """Seal the candidate, then its curves."""
    project, seed = job.project, job.settings.seed
    with files.building(project.made("finetune"), replace=True, stage="finetune") as folder:
        trained.write(job.source, folder / "model")
        (folder / "memory").mkdir()
        structure.remember(_of_seed(job, seed), trained, folder / "memory")
        spec = _spec(job, trained) | prompts.described(folder / "model")
        # A reader that once learned to give no answer keeps on giving none.
        spec["no_answer"] |= bool(base.spec(project, job.turn).get("no_answer"))
        for other in [] if job.adopted else range(seed + 1, seed + job.settings.challengers):
            name = f"challengers/{other}/model"
            print(f"fine-tune once more, with seed {other}", flush=True)  # noqa: T201
            (folder / name).parent.mkdir(parents=True)
            structure.fit(_of_seed(job, other)).write(job.source, folder / name)
            spec["challengers"].append({"seed": other, "model": name})
        files.write_json(folder / "spec.json", spec)
    with files.building(project.made("curves"), replace=True) as folder:
        curves.write(folder, trained.course, trained.steps)


def _spec(job: Job, trained: Trained) -> dict[str, Any]:
    """What it takes to make this candidate again; no times."""
    turn, prepared, settings = job.turn, job.prepared, job.settings
    known = [named.model_dump() for named in turn.known]
    learning = [named.model_dump() for named in turn.learning]
    adopted = job.adopted  # trained elsewhere, on rows that we do not know
    return {
        "schema": SCHEMA,
        "recipe": turn.recipe,
        "base": turn.base.model_dump(),
        "known": known,
        "learning": learning,
        "learned": [] if adopted else known + learning,
        "tuning": "adopted" if adopted else settings.tuning,
        "strategy": job.strategy.model_dump(),
        "term": _term(job, trained),
        "labels": list(job.labels),
        **prepared.manifest["window"],
        "no_answer": prepared.counts["train"]["no_answer"] > 0,
        "rows": prepared.counts["train"]["rows"],
        "windows": prepared.counts["train"]["windows"],
        "steps": trained.steps,
        "epochs": job.epochs,
        "learning_rate": job.rate,
        "batch_size": settings.batch_size,
        "micro_batch": trained.micro_batch,
        "precision": trained.precision,
        "seed": job.seed,
        "challengers": [{"seed": job.seed, "model": "model"}],
        **trained.sizes,
    }


def _term(job: Job, trained: Trained) -> str:
    """What the strategy's term did, in words."""
    idle = job.strategy.term != "none" and not trained.kept
    return f"{job.strategy.term} added 0: nothing to keep" if idle else job.strategy.term
