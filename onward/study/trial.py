"""One combination with one seed over the sequence: a project of its own, a turn for each episode.

Each turn is the product's own: prepare, finetune, evaluate on a `Turn`, then a version folder with
checkpoint, memory and spec, from which the next turn starts. There is no gate and no package. What
a turn measured is sealed in DONE/KEY, KEY being the digest of all that decides it, so that a killed
study goes on after the last sealed turn, or (its project lost) makes the same again.

    run(folder, trial)
    results = [read(folder, key) for key in trial.keys()]
"""

from __future__ import annotations

import gc
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from onward import files, locks, recipes
from onward.config import Finetune
from onward.episodes import rows as parquet
from onward.episodes.turn import Base, Data, Named, Turn
from onward.errors import IntegrityError, MissingFiles
from onward.evaluation import ledger
from onward.learning.job import afresh
from onward.project import Project
from onward.study.combinations import Blocks
from onward.study.sequence import Episodes, standing
from onward.study.start import Start

SCHEMA = 2
RESULT, ROWS = "result.json", "rows.parquet"
STAGES = ("prepare", "finetune", "evaluate")
SIZES = ("parameters", "trainable", "adapter_parameters", "adapter_bytes")
"""Of spec.json."""
WAIT = 120.0
"""Seconds to wait for an orphan of a killed study to save its checkpoint and end."""

Steps = Literal["naive", "joint", "own"]
"""naive's: over the new rows alone; joint's: over all rows so far; own: what the settings give."""


@dataclass(frozen=True)
class Trial:
    """All that decides the results of one combination with one seed."""

    combination: str
    seed: int
    steps: Steps
    """Whose optimizer steps each turn takes."""
    blocks: Blocks
    sequence: Episodes
    encoder: str
    """The fingerprint of the pretrained encoder."""
    code: str
    """The digest of the code that makes the results."""
    start: Start | None = None
    """What it begins with in place of the encoder; the sequence is then learned in one turn."""
    prompt: str = ""
    """The text of the template that `finetune.prompt` names."""

    @property
    def label(self) -> str:
        """For people and for the trial's folder: combination and seed."""
        return f"{self.combination} seed {self.seed}"

    def keys(self) -> list[str]:
        """The key of each turn: what came before it is part of it."""
        settings = {name: block for name, block in self.blocks.items() if name != "project"}
        value = {
            "schema": SCHEMA,
            "seed": self.seed,
            "steps": self.steps,
            "settings": settings,
            "recipe": self.blocks["project"]["recipe"],
            "encoder": self.encoder,
            "code": self.code,
            **({"prompt": self.prompt} if self.prompt else {}),
        }
        learned = [named.model_dump() for named in self.sequence.named]
        if self.start is not None:
            return [files.digest({**value, "start": self.start.key, "learned": learned})]
        return [files.digest({**value, "learned": learned[:n]}) for n in _counted(learned)]

    def work(self, folder: Path) -> Path:
        """Its project, which goes when the last turn is sealed."""
        return folder / "work" / f"{self.combination}-{self.seed}-{self.keys()[-1][:12]}"


def _counted(values: list[Any]) -> range:
    return range(1, len(values) + 1)


def sealed(folder: Path, key: str) -> bool:
    """Whether the results of a turn are there; the manifest comes last."""
    return (folder / "done" / key / files.MANIFEST).is_file()


def read(folder: Path, key: str) -> dict[str, Any]:
    """What a turn measured. Raises MissingFiles, IntegrityError."""
    found: dict[str, Any] = files.read_json(folder / "done" / key / RESULT)
    return found


def statistics(folder: Path, key: str) -> ledger.LedgerPart:
    """The statistics of each row of each unit after a turn, without the predictions."""
    (part,) = ledger.read_parts(folder / "done" / key / ROWS)
    return part


def run(folder: Path, trial: Trial, told: Callable[[str], None] = lambda _: None) -> None:
    """Learn every episode whose results are not sealed yet.

    Args:
        folder: the study's.
        trial: what to learn, and how.
        told: hears of each sealed turn.

    Raises:
        OnwardError: as the stages do; what was sealed is kept.
        Busy: another process runs this trial.
    """
    keys = trial.keys()
    if all(sealed(folder, key) for key in keys):
        return
    root = trial.work(folder)
    with locks.held(root.with_suffix(".lock"), trial.label, wait=WAIT):
        project = _project(root, trial)
        _load_libraries()
        first = _resume(folder, project, keys)
        for number in range(first, len(keys) + 1):
            result = _turn(folder, project, trial, number, keys[number - 1])
            told(f"{trial.label}: {number} of {len(keys)}, {result['seconds']['all']:.0f} s")
        files.remove(root)


def _load_libraries() -> None:
    """Import what a training imports, before a clock runs: seconds are those of the stages."""
    import transformers

    _ = transformers.Trainer  # it is loaded, and torch with it, when it is named


def _project(root: Path, trial: Trial) -> Project:
    """A project for the trial, without an episode yet."""
    project = Project(root)
    root.mkdir(parents=True, exist_ok=True)
    files.sweep(root)
    _settle(project, trial.blocks)
    if trial.prompt:
        files.write_text(project.prompt(trial.blocks["finetune"]["prompt"]), trial.prompt)
    files.write_text(project.pipeline, "stages: {}\n")
    # Whether the rows are right was settled when they were opened.
    files.write_json(project.made("validate") / "report.json", {"schema": 1, "passed": True})
    return project


def _settle(project: Project, blocks: Blocks) -> None:
    """Write the settings; what answers are worth beside the recipe's metric is not asked here."""
    files.write_json(project.params, {**blocks, "quality": {"measure": {"answers": "off"}}})


def _resume(folder: Path, project: Project, keys: list[str]) -> int:
    """The number of the first turn to run: after the last one that is sealed with its version."""
    for number in range(len(keys), 0, -1):
        if not sealed(folder, keys[number - 1]):
            continue
        try:
            files.verify(project.version(f"v{number}"), read(folder, keys[number - 1])["version"])
        except (MissingFiles, IntegrityError):
            continue
        return number + 1
    return 1


def _turn(folder: Path, project: Project, trial: Trial, number: int, key: str) -> dict[str, Any]:
    """One turn; its results are sealed."""
    turn = _compose(project, trial, number)
    turn.write(project)
    _forget_peak()
    before = _cached_before(project, number)
    new = 0
    spent: dict[str, tuple[float, float]] = {}
    for stage in STAGES:
        if stage == "finetune":
            new = _hold_steps(folder, project, trial, turn)
        spent[stage] = _timed(stage, project, trial, turn)
    scored = cached_rows(project) - before
    version = "" if trial.start else _keep(project, f"v{number}")
    part = _part(project)
    result = {
        "schema": SCHEMA,
        "combination": trial.combination,
        "seed": trial.seed,
        "episode": trial.sequence.named[number - 1].episode,
        "scores": _scores(trial, part),
        "seconds": _summed({stage: wall for stage, (wall, _) in spent.items()}),
        "processor_seconds": _summed({stage: busy for stage, (_, busy) in spent.items()}),
        "peak_mb": round(_peak() / 1e6, 1),
        **_sizes(project, turn),
        "windows": new,
        "scored": scored,
        "version": version,
    }
    if not sealed(folder, key):
        with files.building(folder / "done" / key, replace=True) as at:
            files.write_json(at / RESULT, result)
            ledger.write_parts(at / ROWS, [part])
    if number > 1:
        files.remove(project.version(f"v{number - 1}"))
    return result


def _compose(project: Project, trial: Trial, number: int) -> Turn:
    """The turn, and a link to each episode so far: later ones have not been delivered yet."""
    named = trial.sequence.named
    project.data.mkdir(exist_ok=True)
    if trial.start is not None:
        return trial.start.compose(project, str(trial.blocks["project"]["recipe"]), trial.sequence)
    for one in named[:number]:
        link = project.episode(one.episode)
        if not link.is_symlink():
            link.symlink_to((trial.sequence.data / one.episode).resolve(), target_is_directory=True)
    name = str(trial.blocks["project"]["encoder"])
    base = Base(kind="pretrained", name=name, sha256=trial.encoder)
    if number > 1:
        manifest = files.sha256(project.version(f"v{number - 1}") / files.MANIFEST)
        base = Base(kind="version", name=f"v{number - 1}", sha256=manifest)
    return Turn(
        recipe=trial.blocks["project"]["recipe"],
        base=base,
        known=named[: number - 1],
        learning=named[number - 1 : number],
        data=Data(md5=f"{trial.sequence.id[:32]}.dir", size=0, nfiles=0),
    )


def _summed(of_stage: dict[str, float]) -> dict[str, float]:
    return {**of_stage, "all": round(sum(of_stage.values()), 3)}


def _timed(stage: str, project: Project, trial: Trial, turn: Turn) -> tuple[float, float]:
    """Seconds of a stage of the product, by the clock and of the processor."""
    from onward.evaluation import evaluate
    from onward.learning import finetune, prepare

    if stage == "evaluate" and trial.start is not None:
        # What is new alone is scored: the held-out rows of known episodes are the gate's.
        alone = Base(kind="pretrained", name="none", sha256=trial.encoder)
        turn.model_copy(update={"base": alone, "known": ()}).write(project)
    started, busy = time.monotonic(), time.process_time()
    {"prepare": prepare, "finetune": finetune, "evaluate": evaluate}[stage].run(project)
    return round(time.monotonic() - started, 3), round(time.process_time() - busy, 3)


def _hold_steps(folder: Path, project: Project, trial: Trial, turn: Turn) -> int:
    """Set the epochs so that this turn takes the steps it is held to. Returns its new windows."""
    settings = Finetune.model_validate(trial.blocks["finetune"])
    structure = str(trial.blocks["strategy"]["structure"])
    key = "first_epochs" if afresh(turn.base.kind, structure) else "epochs"
    epochs, new = getattr(settings, key), 0
    if trial.steps != "own":
        theirs = settings.first_epochs if turn.base.kind == "pretrained" else settings.epochs
        windows = _windows(project.made("prepare"))
        new = sum(windows[named.episode] for named in turn.learning)
        held_to = new
        if trial.steps == "joint":
            for episode, one in zip(turn.known_episodes, trial.keys(), strict=False):
                held_to += round(standing(project, episode) * read(folder, one)["windows"])
        epochs = held_epochs(theirs, held_to, windows.total(), settings.batch_size)
    block = {**trial.blocks["finetune"], key: epochs}
    _settle(project, {**trial.blocks, "finetune": block})
    return new


def held_epochs(epochs: float, held_to: int, every: int, batch: int) -> float:
    """The epochs over `every` window that take as many steps as `epochs` over `held_to` windows.

    >>> held_epochs(2, 100, 100, 10), held_epochs(2, 100, 200, 10), held_epochs(2, 200, 100, 10)
    (2, 0.975, 3.95)

    Half a step is left open, since the number of steps is rounded up.
    """
    if every == held_to:
        return epochs
    steps = -(-(epochs * -(-held_to // batch)) // 1)
    return float((steps - 0.5) / -(-every // batch))


def _windows(prepared: Path) -> Counter[str]:
    """Training windows by the episode of their row."""
    episodes = [row["episode"] for row in parquet.read(prepared / "train.parquet", ["episode"])]
    windows = parquet.read(prepared / "features.parquet", ["row"])
    return Counter(episodes[window["row"]] for window in windows)


def _keep(project: Project, name: str) -> str:
    """The candidate as a version that the next turn starts from. Returns its manifest's sha256."""
    made = project.made("finetune")
    with files.building(project.version(name), replace=True, version=name) as folder:
        files.copy_folder(made / "model", folder / "checkpoint")
        if (made / "memory").is_dir():
            files.copy_folder(made / "memory", folder / "memory")
        shutil.copyfile(made / "spec.json", folder / "spec.json")
    return files.sha256(project.version(name) / files.MANIFEST)


def _part(project: Project) -> ledger.LedgerPart:
    """The candidate's statistics from turn/evaluate; predictions are left out for their size."""
    from onward.evaluation.runner import fingerprint

    name = fingerprint(project.made("finetune") / "model")
    found = ledger.read_parts(project.made("evaluate") / "ledger.parquet")
    part = next(part for part in found if part.artifact == name)
    units: dict[str, dict[str, ledger.Entry]] = {}
    for unit in part.units():
        hashes, values = part.statistics(unit)
        pairs = zip(hashes, values.tolist(), strict=True)
        units[unit] = {hashed: ledger.Entry("", tuple(found)) for hashed, found in pairs}
    return ledger.part(part.artifact, part.provider, part.scorer, units)


def _scores(trial: Trial, part: ledger.LedgerPart) -> dict[str, float]:
    recipe = recipes.get(trial.blocks["project"]["recipe"])
    totals = {unit: recipe.metrics(part.total(unit))[recipe.PRIMARY] for unit in part.units()}
    return {unit: round(float(value), 4) for unit, value in totals.items()}


def _sizes(project: Project, turn: Turn) -> dict[str, Any]:
    """Steps, rows trained on, rows and bytes of the memory, and the model's bytes."""
    made = project.made("finetune")
    spec = files.read_json(made / "spec.json")
    counts = files.read_json(project.made("prepare") / "counts.json")["train"]
    stored = made / "memory" / "memory.json"
    held = files.inventory(made)
    weights = {part: _bytes(held, f"{part}/") for part in ("memory", "model")}
    return {
        "steps": int(spec["steps"]),
        **{name: int(spec.get(name, 0)) for name in SIZES},
        "rows": int(counts["rows"]),
        "recalled": sum(counts["episodes"].get(name, 0) for name in turn.known_episodes),
        "stored_rows": int(files.read_json(stored).get("rows", 0)) if stored.is_file() else 0,
        "stored_bytes": weights["memory"],
        "model_bytes": weights["model"],
        "heldout": _heldout(project, (*turn.known, *turn.learning)),
        "new_heldout": _heldout(project, turn.learning),
    }


def _heldout(project: Project, episodes: Iterable[Named]) -> int:
    paths = [project.episode(named.episode) / "heldout.parquet" for named in episodes]
    return sum(parquet.count(path) for path in paths)


def _bytes(inventory: dict[str, dict[str, Any]], prefix: str) -> int:
    return sum(entry["bytes"] for name, entry in inventory.items() if name.startswith(prefix))


def _cached_before(project: Project, number: int) -> int:
    """Rows in the cache as a turn began: the first time, if it was killed and goes on."""
    path = project.private / "begun.json"
    begun = files.read_json(path) if path.is_file() else {}
    if begun.get("turn") != number:
        begun = {"turn": number, "rows": cached_rows(project)}
        files.write_json(path, begun)
    return int(begun["rows"])


def cached_rows(project: Project) -> int:
    """Rows in the cache of scored rows: what an evaluation adds is what it had to score."""
    return sum(parquet.count(path) for path in (project.cache / "ledger").rglob("*.parquet"))


def _forget_peak() -> None:
    """Let the kernel count peak memory anew; where it does not, the peak is the process's."""
    gc.collect()
    with suppress(OSError):
        descriptor = os.open("/proc/self/clear_refs", os.O_WRONLY)
        try:
            os.write(descriptor, b"5")
        finally:
            os.close(descriptor)


def _peak() -> int:
    from onward.runtime.memory import resident_peak

    return resident_peak()
