"""An encoder that goes on reading: unlabelled texts in, a sealed folder out.

    models/pretrained/NAME/
      config.json  model.safetensors  tokenizer files    an encoder like the one that was read from
      texts.parquet  heldout.parquet                     the texts learned from, and those kept back
      earlier.parquet                                    what its encoder had learned from before
      lineage.json                                       see `_lineage`
      manifest.json                                      sha256 of every file, written last

`project.encoder: models/pretrained/NAME` makes it what `onward run --fresh` starts from: the turn
names it by the hash of its files. It is a plain call and no stage of a turn, because a turn names
its base before any stage runs, and a new episode must not set off hours of reading
(docs/decisions/0020). The trainer is the one that fine-tunes: checkpoints, the same bytes from the
same inputs, a stop at the first number that is not finite.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from onward import config, files, fingerprints, locks, recipes
from onward.config import Episode, Finetune, Identity, Pretrain, Validate
from onward.episodes import rows as parquet
from onward.episodes.folders import folders
from onward.episodes.rows import normalised
from onward.errors import DataError, UsageError
from onward.learning import encoder, features, models, trainer
from onward.learning.features import Collate, Features
from onward.learning.trainer import Task, Trained
from onward.pretraining import blocks, language, overlap
from onward.pretraining.blocks import Told
from onward.pretraining.perplexity import perplexity
from onward.pretraining.sources import Texts
from onward.project import Project, safe_name
from onward.validation import unknown

SCHEMA = 1
LINEAGE = "lineage.json"
HELD_OUT = "heldout.parquet"
_TEXT = pa.schema([pa.field("text", pa.string(), nullable=False)])
_CODE = ("blocks", "language", "overlap", "pretrain", "sources")
_DECIMALS = 4


@dataclass(frozen=True)
class Reading:
    """One pretraining: from what, with what, where it is under way."""

    project: Project
    name: str
    source: Path
    settings: Pretrain
    encoder: str
    folder: Path
    """The encoder's."""
    asked: dict[str, Any]
    """What decides the result but the code and the machine: the same again is there already."""

    @property
    def work(self) -> Path:
        """Unfinished training of exactly this."""
        here = Path(__file__).parent
        code = {name: files.sha256(here / f"{name}.py") for name in _CODE}
        held = {folder.folder: folder.sha256 for folder in folders(self.project)}
        key = {**self.asked, "code": code, "held out": held, "machine": fingerprints.machine()}
        return self.project.private / "pretraining" / files.digest(key)


def pretrain(
    project: Project, name: str, source: Path, *, keep: Callable[[Path], object]
) -> dict[str, Any]:
    """Let the project's encoder read a file of texts, and return the lineage of the result.

    Killed, the same command goes on from the last checkpoint. The same name, texts, encoder and
    settings again: nothing is done.

    Args:
        project: its encoder is read from; its held-out rows are kept away.
        name: of the result.
        source: the file of texts; see `onward.pretraining.sources`.
        keep: puts the result under DVC.

    Returns:
        What lineage.json says, and `already` where nothing had to be done.

    Raises:
        UsageError: the name is taken by another result.
        DataError, FormatError, MissingFiles: the file cannot be taken, the tokenizer cannot read
            it, or nothing of it is left; or the encoder has read what an episode holds out.
        SettingsError: the encoder cannot be trained on text alone.
        TrainingError: as `onward.learning.trainer.fit`.
        Busy: another process trains in this project.
    """
    safe_name(name, "pretraining")
    with locks.held(project.train_lock, f"pretraining {name}"):
        reading = _reading(project, name, source)
        made = encoder.pretrained(project.root, name)
        if made.exists():
            found = _again(reading, made)
            keep(made)
            return {**found, "already": True}
        recipe = config.read(project.params, Identity).recipe
        overlap.refuse_overlap(project, recipe, reading.folder)
        with files.building(reading.work / "texts", replace=True) as folder:
            counted = _texts(reading, folder)
        found = _trained(reading, counted, made)
        keep(made)
        files.remove(reading.work)
        return {**found, "already": False}


def _reading(project: Project, name: str, source: Path) -> Reading:
    settings = config.read(project.params, Pretrain)
    named = config.read(project.params, Identity).encoder
    folder = encoder.locate(named, project.root)
    encoder.check_window(folder, settings.max_length, "pretrain.max_length")
    if not source.is_file():
        raise DataError("There is no such file", where=str(source), fix="check the path")
    asked = {
        "encoder": {"name": named, "sha256": encoder.fingerprint(folder, project.cache)},
        "source": {"name": source.name, "sha256": files.sha256(source)},
        "settings": settings.model_dump(),
    }
    return Reading(project, name, source, settings, named, folder, asked)


def _again(reading: Reading, made: Path) -> dict[str, Any]:
    """The lineage of what is there, where it was made from the same. Raises UsageError."""
    files.verify(made)
    found: dict[str, Any] = files.read_json(made / LINEAGE)
    differs = [name for name, value in reading.asked.items() if found.get(name) != value]
    if differs:
        raise UsageError(
            f"{reading.name} is there already, with other {' and '.join(differs)}",
            where=str(made),
            fix="a result never changes: give this one a name of its own",
        )
    return found


def _texts(reading: Reading, folder: Path) -> dict[str, Any]:
    """Write both sides of the texts and their blocks; returns what was counted."""
    recipe = recipes.get(config.read(reading.project.params, Identity).recipe)
    limits = config.read(reading.project.params, Episode)
    held = overlap.held_out(reading.project, recipe)
    found = Texts(reading.source, limits.max_field_chars, held)
    counts = {"texts": 0, "heldout": 0}
    with (
        parquet.Writer(folder / overlap.TEXTS, _TEXT) as learned,
        parquet.Writer(folder / HELD_OUT, _TEXT) as kept,
    ):
        for text in found:
            aside = _aside(text, reading.settings)
            (kept if aside else learned).write({"text": text})
            counts["heldout" if aside else "texts"] += 1
    counted = {**counts, "seen": found.seen, "left_out": dict(sorted(found.left_out.items()))}
    _refuse(reading, found, counted, limits.max_quarantined_percent)
    _require_known(reading, folder / overlap.TEXTS, counted)
    tokenizer, objective = language.objective(reading.folder, reading.settings.objective)
    for name in (overlap.TEXTS, HELD_OUT):
        texts = (row["text"] for row in parquet.read(folder / name))
        made = blocks.encode(texts, tokenizer, objective, reading.settings.max_length)
        written = features.write(folder / f"blocks-{name}", made)["windows"]
        if not written:
            raise _too_little(reading, counted)
        counted["blocks" if name == overlap.TEXTS else "heldout_blocks"] = written
    return counted


def _aside(text: str, settings: Pretrain) -> bool:
    """Whether a text is kept back to measure on: by its hash, so its place in the file is one."""
    drawn = hashlib.sha256(f"{settings.seed}:{normalised(text)}".encode()).digest()[:8]
    return int.from_bytes(drawn) < settings.heldout_percent / 100 * 2**64


_FAULTLESS = ("duplicate", "held-out")
"""Reasons to leave a text out that do not speak against the file."""


def _refuse(reading: Reading, found: Texts, counted: dict[str, Any], limit: float) -> None:
    bad = sum(n for reason, n in found.left_out.items() if reason not in _FAULTLESS)
    percent = 100.0 * bad / max(found.seen, 1)
    if percent > limit:
        raise DataError(
            f"{bad:,} of {found.seen:,} texts cannot be taken: {percent:.1f}%, the limit is "
            f"{limit:g}%",
            where=str(reading.source),
            fix="mend the file, or raise episode.max_quarantined_percent",
            details={**counted, "samples": found.samples},
        )
    if not (counted["texts"] and counted["heldout"]):
        raise _too_little(reading, counted)


def _require_known(reading: Reading, texts: Path, counted: dict[str, Any]) -> None:
    """Refuse texts that the tokenizer cannot read, by the measure of the stage validate."""
    wanted = set(unknown.spread(counted["texts"], unknown.LOOKED_AT))
    looked_at = (row["text"] for at, row in enumerate(parquet.read(texts)) if at in wanted)
    percent = unknown.Reader(reading.folder / "tokenizer.json").percent(looked_at)
    limit = config.read(reading.project.params, Validate).max_unknown_percent
    if percent > limit:
        raise DataError(
            f"The tokenizer of {reading.encoder} reads {percent:.1f}% of the texts' characters as "
            f"unknown, the limit is {limit:g}%",
            where=str(reading.source),
            fix="name an encoder that knows the script in project.encoder, or raise "
            "validate.max_unknown_percent",
            details={**counted, "looked_at": len(wanted)},
        )


def _too_little(reading: Reading, counted: dict[str, Any]) -> DataError:
    return DataError(
        f"Too little text is left: {counted['texts']:,} to learn from and {counted['heldout']:,} "
        f"to measure on, of {counted['seen']:,} ({counted['left_out'] or 'none left out'})",
        where=str(reading.source),
        fix="send more texts, or raise pretrain.heldout_percent",
        details=counted,
    )


def _trained(reading: Reading, counted: dict[str, Any], made: Path) -> dict[str, Any]:
    """Train and seal the result; returns its lineage."""
    settings, folder = reading.settings, reading.work / "texts"
    tokenizer, objective = language.objective(reading.folder, settings.objective)
    data = Features.load(folder / f"blocks-{overlap.TEXTS}")
    aside = Told(
        Features.load(folder / f"blocks-{HELD_OUT}"),
        tokenizer,
        objective,
        share=settings.mask_percent / 100,
        seed=settings.seed,
    )
    pad = tokenizer.pad_token_id or 0
    start, new_head = _begun(reading, tokenizer, objective, data)
    before = perplexity(start, aside, pad)
    done = trainer.fit(
        _task(reading, "all", lambda: deepcopy(start), tokenizer, objective, data),
        _settings(settings),
    )
    after = perplexity(done.model, aside, pad)
    files.ensure_space(made, 3 * sum(p.nbytes for p in done.model.parameters()))
    lineage = _lineage(reading, objective, counted, done) | {
        "perplexity": {"before": round(before, _DECIMALS), "after": round(after, _DECIMALS)},
        "new_head": new_head,
    }
    with files.building(made) as built:
        models.save(language.bare(done.model, reading.folder, objective), reading.folder, built)
        for name in (overlap.TEXTS, HELD_OUT):
            parquet.write(built / name, parquet.read(folder / name), _TEXT)
        if (reading.folder / overlap.TEXTS).is_file():
            earlier = ({"text": text} for text in overlap.learned(reading.folder))
            parquet.write(built / overlap.EARLIER, earlier, _TEXT)
        files.write_json(built / LINEAGE, lineage)
    return lineage


def _begun(reading: Reading, tokenizer: Any, objective: str, data: Features) -> tuple[Any, bool]:
    """The model to go on from, and whether its head is new.

    A new head is learned first, with all else as it is: its gradients would be noise to the rest,
    and what the encoder told before could not be measured.
    """
    import torch

    settings = reading.settings
    torch.manual_seed(settings.seed)
    model, lacking = language.load(reading.folder, objective)
    if not lacking:
        return model, False
    for name, weight in model.named_parameters():
        weight.requires_grad_(name in lacking)
    task = _task(reading, "head", lambda: deepcopy(model), tokenizer, objective, data)
    found = trainer.fit(task, _settings(settings)).model
    return found.requires_grad_(True), True


def _task(
    reading: Reading,
    part: str,
    build: Callable[[], Any],
    tokenizer: Any,
    objective: str,
    data: Features,
) -> Task:
    """What the trainer is to do: the head's passes, or those of all."""
    settings = reading.settings
    of_head = part == "head"
    epochs = settings.head_epochs if of_head else settings.epochs
    passes = -int(-epochs // 1)
    work = reading.work / part
    work.mkdir(parents=True, exist_ok=True)
    told = Told(
        data,
        tokenizer,
        objective,
        passes=passes,
        share=settings.mask_percent / 100,
        seed=settings.seed + 1 + of_head,
    )
    return Task(
        build=build,
        data=told,
        stopping=None,
        rate=settings.head_learning_rate if of_head else settings.learning_rate,
        rate_key=f"pretrain.{'head_' if of_head else ''}learning_rate",
        size_keys="pretrain.micro_batch and pretrain.max_length",
        epochs=epochs / passes,
        collate=Collate(tokenizer.pad_token_id or 0, blocks.TARGETS),
        work=work,
        name_rows=lambda rows: [f"block {row}" for row in rows],
        name="pretrain, its head" if of_head else "pretrain",
    )


def _settings(settings: Pretrain) -> Finetune:
    """As the trainer takes them."""
    names = set(Finetune.model_fields) & set(Pretrain.model_fields)
    return Finetune(**{name: getattr(settings, name) for name in names})


def _lineage(
    reading: Reading, objective: str, counted: dict[str, Any], done: Trained
) -> dict[str, Any]:
    """Where the result comes from: encoder and source by sha256, settings, counts; no times."""
    return {
        "schema": SCHEMA,
        "name": reading.name,
        **reading.asked,
        "objective": objective,
        "counts": counted,
        "compared_with": {one.folder: one.sha256 for one in folders(reading.project)},
        "steps": done.steps,
        "micro_batch": done.micro_batch,
        "precision": done.precision,
        "parameters": done.sizes["parameters"],
    }
