"""`onward compare`: tunings, and any named settings, on equal data in one run.

    entries = of_tunings(["full", "lora"], settings) + of_file(Path("settings.yaml"))
    table = compare(Comparison(folder, settings, entries, start, {0: episodes}, threads=2), jobs=1)

Each entry trains the same rows from the same base, and is scored on the same rows, which none of
them is trained on. A trial is the study's, of one turn: sealed when it is done, so that a killed
comparison goes on. Learning rates that suit one tuning do nothing for another, so an entry that
names none begins with the project's rate times FACTORS of its tuning; `choose` tries some around
it on rows carved from the training rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from onward import config, files, locks
from onward.config import Evaluate, Finetune, Identity, Prepare, Strategy
from onward.errors import OnwardError, SettingsError, UsageError
from onward.learning import prompts
from onward.learning import table as allowed
from onward.learning.job import afresh
from onward.project import Project, safe_name
from onward.study import choosing, schedule, used
from onward.study.choosing import Choice
from onward.study.combinations import FROZEN, Blocks
from onward.study.sequence import Episodes, carved
from onward.study.start import Start
from onward.study.trial import Trial

FACTORS = {
    "full": 1.0,
    "last": 2.0,
    "lora": 5.0,
    "dora": 5.0,
    "bottleneck": 5.0,
    "bitfit": 10.0,
    "ia3": 50.0,
    "prefix": 50.0,
    "prompt": 100.0,
}
"""Of the project's learning rate: few weights must each go further."""

SPREAD = (1.0, 1 / 3, 3.0)
"""Of an entry's rate: what `choose` tries."""

PERCENT = 20.0
"""Of the training rows: what is scored on, and of the rest what rates are chosen on."""

UNASKED: tuple[type[OnwardError], ...] = (SettingsError, *schedule.OF_VALUES)
"""What leaves out a tuning that nobody named: the model cannot have it, or its rate, which nobody
named either, is no good."""

KINDS: tuple[type[config.Settings], ...] = (Identity, Prepare, Finetune, Strategy, Evaluate)


@dataclass(frozen=True)
class Entry:
    """One way to tune."""

    name: str
    values: Mapping[str, Any]
    """block.key -> value, over params.yaml."""


@dataclass(frozen=True)
class Comparison:
    """What is compared, in a folder of its own."""

    folder: Path
    settings: Mapping[str, Any]
    """Blocks of params.yaml."""
    entries: Sequence[Entry]
    start: Start
    episodes: Episodes
    seeds: Sequence[int]
    threads: int
    encoder: str
    """The fingerprint of the pretrained encoder."""
    code: str
    """The digest of the code that makes the results (`plan.code`)."""
    chosen: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Name of an entry -> block.key -> value that was chosen for it."""
    project: Project | None = None
    """Whose prompt templates an entry may name; None: nobody's."""
    spared: tuple[type[OnwardError], ...] = ()
    """Errors that leave an entry out: none of one that a person named, see UNASKED."""

    @property
    def recipe(self) -> str:
        """The recipe's name."""
        return str(Identity.model_validate(self.settings.get("project") or {}).recipe)

    def afresh(self, values: Mapping[str, Any]) -> bool:
        """Whether a training with these block.key -> value begins with pretrained weights.

        The structure decides, and each entry and each try has one of its own.
        """
        own = Strategy.model_validate(self.settings.get("strategy") or {}).structure
        return afresh(self.start.base.kind, str(values.get("strategy.structure", own)))

    def rate(self, values: Mapping[str, Any]) -> str:
        """The key of the learning rate that such a training reads."""
        return "finetune.first_learning_rate" if self.afresh(values) else "finetune.learning_rate"

    def trial(self, entry: Entry, seed: int, values: Mapping[str, Any], on: Episodes) -> Trial:
        """One entry with one seed.

        Raises:
            SettingsError: a value, or the table refuses it, or the template that it names.
            MissingFiles: there is no such template.
        """
        blocks = self.blocks(entry, seed, values)
        prompt = self.template(blocks["finetune"]["prompt"])
        own = (self.encoder, self.code, self.start, prompt)
        return Trial(entry.name, seed, "own", blocks, on, *own)

    def template(self, name: str) -> str:
        """The text of the project's prompt template of this name; "" without one.

        Raises:
            SettingsError, MissingFiles: as `trial`.
        """
        if not name or self.project is None:
            return ""
        prompts.read(self.project, name)  # says what is wrong with it
        return self.project.prompt(name).read_text(encoding="utf-8")

    def blocks(self, entry: Entry, seed: int, values: Mapping[str, Any]) -> Blocks:
        """The settings of one trial. Raises as `trial`."""
        over: Blocks = {kind.block: {} for kind in KINDS}
        over["finetune"] = {"seed": seed, "challengers": 1, "threads": self.threads}
        over["evaluate"] = {"threads": self.threads}
        said = {**entry.values, **values}
        own = {**_own(entry, self.settings, self.rate(said)), **said}
        for key, value in own.items():
            block, _, name = key.partition(".")
            over[block][name] = value
        found = {
            kind.block: config.parse(
                {**(self.settings.get(kind.block) or {}), **over[kind.block]},
                kind,
                where=entry.name,
            )
            for kind in KINDS
        }
        tuning, strategy = found["finetune"].tuning, found["strategy"]  # type: ignore[attr-defined]
        allowed.check(self.recipe, tuning, strategy)  # type: ignore[arg-type]
        return {name: values.model_dump(mode="json") for name, values in found.items()}

    def trials(self) -> dict[tuple[str, int], Trial]:
        """(name, seed) -> trial, all entries of a seed before the next seed."""
        return {
            (one.name, seed): self.trial(one, seed, self.chosen.get(one.name, {}), self.episodes)
            for seed in self.seeds
            for one in self.entries
        }


def _own(entry: Entry, settings: Mapping[str, Any], rate: str) -> dict[str, Any]:
    """What a tuning needs beside its name, where the entry does not say it."""
    held = settings.get("finetune") or {}
    tuning = str(entry.values.get("finetune.tuning", held.get("tuning", "full")))
    frozen = int(held.get("frozen_layers") or FROZEN) if tuning == "last" else 0
    base = config.parse(held, Finetune, where="params.yaml")
    prompt = held.get("prompt") or "" if tuning == "none" else ""
    own = float(getattr(base, rate.partition(".")[2]))
    if tuning != base.tuning:
        factor = FACTORS.get(tuning, 1.0) / FACTORS.get(base.tuning, 1.0)
        own = _rate(own * factor)
    return {"finetune.frozen_layers": frozen, "finetune.prompt": prompt, rate: own}


def _rate(wanted: float) -> float:
    """A learning rate of three digits, none above what it may be."""
    return min(1.0, float(f"{wanted:.3g}"))


def of_tunings(names: Sequence[str]) -> list[Entry]:
    """An entry for each tuning. Raises UsageError: there is no such tuning."""
    wrong = [name for name in names if name not in allowed.TUNINGS]
    if wrong:
        raise UsageError(
            f"There is no tuning {wrong[0]!r}",
            where="onward compare --tunings",
            fix=f"tunings are {', '.join(allowed.TUNINGS)}",
        )
    return [Entry(name, {"finetune.tuning": name}) for name in dict.fromkeys(names)]


def of_recipe(recipe: str, strategy: Strategy) -> list[str]:
    """The tunings that train and that the table allows with a recipe and a strategy.

    Without bitfit for a recipe that writes: most such models, Llama and T5 among them, have no
    biases. It is compared where it is named.
    """
    rest = (strategy.rows, strategy.term, strategy.structure)
    found = [one for one in FACTORS if allowed.reason(allowed.Cell(recipe, one, *rest)) is None]
    return [one for one in found if one != "bitfit" or recipe not in allowed.GENERATED]


def of_file(path: Path) -> list[Entry]:
    """Named settings: name -> {block.key: value}.

    Raises:
        SettingsError: the file is not of this form, or names a block that no trial reads.
    """
    try:
        found = YAML(typ="safe", pure=True).load(path.read_bytes())
    except (OSError, YAMLError) as error:
        raise _unread(path, " ".join(str(error).split())[:200]) from error
    if not isinstance(found, dict) or not all(isinstance(one, dict) for one in found.values()):
        raise _unread(path, "it is not a mapping of names to settings")
    blocks = [kind.block for kind in KINDS if kind is not Identity]
    for name, values in found.items():
        safe_name(str(name), "settings")
        pairs = {key: str(key).partition(".") for key in values}
        wrong = [key for key, (block, _, own) in pairs.items() if block not in blocks or not own]
        if wrong:
            raise _unread(path, f"{wrong[0]!r} of {name} is no key of {', '.join(blocks)}")
    return [Entry(str(name), values) for name, values in found.items()]


def _unread(path: Path, why: str) -> SettingsError:
    return SettingsError(
        f"{path.name} does not name settings: {why}",
        where=str(path),
        fix="as in `lora-small: {finetune.tuning: lora, finetune.lora_rank: 2}`, a line each",
    )


def compare(
    made: Comparison,
    *,
    jobs: int,
    select: bool = False,
    only: Sequence[str] = (),
    minutes: float = math.inf,
) -> dict[str, Any]:
    """Run what is not sealed yet, and return the table (`compared.describe`) of what is.

    Args:
        made: what to compare.
        jobs: trials at a time.
        select: choose a learning rate for each entry first.
        only: NAME or NAME:SEED of the trials to run now; all by default.
        minutes: after these no further trial is begun.

    Raises:
        Busy: another process works in this folder.
        UsageError: `only` names no trial, or two entries have one name.
        OnwardError: the first error of a trial that does not leave its entry out, or of the first
            one where all are left out; after all others were run.
    """
    from onward.study import compared

    names = [one.name for one in made.entries]
    if len(set(names)) < len(names) or not names:
        raise UsageError(
            "Settings to compare have a name each, and there is at least one",
            where=", ".join(names),
            fix="rename one, or leave it out",
        )
    _asked(made, only)  # refused before hours of choosing, and before there is a folder
    with locks.held(made.folder / "study.lock", "a comparison"):
        for inside in ("done", "data", "work"):
            files.sweep(made.folder / inside)
        choices = choose(made, jobs) if select else {}
        made = replace(made, chosen={name: one.values for name, one in choices.items()})
        trials = _asked(made, only)
        failed = schedule.run_all(made.folder, trials, jobs, "compare", minutes, spared=made.spared)
        if failed and len(failed) == len(trials):
            raise next(iter(failed.values()))
        return compared.make(made, choices, failed)


def choose(made: Comparison, jobs: int) -> dict[str, Choice]:
    """A learning rate for each entry that trains, by its score on a part of the training rows."""
    seed, first = made.seeds[0], len(made.episodes.named)
    inner = carved(
        made.episodes, made.folder / "data", made.recipe, percent=PERCENT, seed=seed, first=first
    )
    tries: dict[str, list[tuple[Trial, dict[str, Any]]]] = {}
    for one in made.entries:
        read, blocks = made.rate(one.values), made.blocks(one, seed, {})
        if not used.trained(blocks, made.start.base.kind):
            continue
        block, _, key = read.partition(".")
        every = [{read: _rate(blocks[block][key] * share)} for share in SPREAD]
        tries[one.name] = [(made.trial(one, seed, values, inner), values) for values in every]
    trials = [trial for of_one in tries.values() for trial, _ in of_one]
    spared: tuple[type[OnwardError], ...] = (*schedule.OF_VALUES, *made.spared)
    failed = schedule.run_all(made.folder, trials, jobs, "choose rates", spared=spared)
    return {
        name: choosing.best(made.folder, of_one, failed)
        for name, of_one in tries.items()
        # Of an entry that is left out the comparison itself says why.
        if not (made.spared and all(one.keys()[-1] in failed for one, _ in of_one))
    }


def _asked(made: Comparison, only: Sequence[str]) -> list[Trial]:
    every = made.trials()
    return [every[pair] for pair in schedule.named(every, only)]
