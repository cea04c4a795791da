"""Claim: every recipe reaches its target on a public set, and its ONNX graph answers as torch does.

    python -m benchmarks.recipes [--record] [--seeds 0 1 2] [--only NAME[:SEED] ...]
        [--minutes M] [--threads 2] [--folder DIR] [--smoke]

Each entry of recipe_entries.py goes through the product's own stages (prepare, finetune, evaluate,
export), from the pretrained encoder, on all training rows of its set, three seeds. Where an entry
has settings to choose from, each is trained once on four fifths of the training rows and scored on
the fifth (whole texts, by hash); the best is then measured. Test rows are read for that one alone.
Training rows whose text a test row repeats are left out.

Targets: the entry's own, as the mean over seeds, and the ONNX score of each seed within 0.3 points
of torch's. What is finished stays in the folder, by the digest of all that decides it: killed, the
same command goes on, and --only and --minutes measure in parts; the table is of what is finished.
"""

from __future__ import annotations

import argparse
import copy
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import record, studies
from benchmarks.recipe_entries import ENTRIES, Entry
from onward import allocation, files, fingerprints, recipes
from onward.episodes import turn as turns
from onward.episodes.turn import Base, Data, Turn
from onward.errors import MissingFiles, UsageError
from onward.evaluation import ledger
from onward.evaluation.ledger import LedgerPart
from onward.project import Project
from onward.study import schedule, sequence
from onward.study.sequence import Delivered, Episodes

NEAR = 0.3
"""Points that the ONNX score may differ from torch's."""

ASIDE = 20.0
"""Percent of the training rows that settings are chosen on."""

SMOKE = {"train": 96, "test": 48}


def main() -> int:
    """Measure, print, record."""
    return begin(__doc__, "recipes", _measured)


def begin(doc: str | None, name: str, measured: Callable[[argparse.Namespace, Path], int]) -> int:
    """Read the options of a benchmark of recipes, and measure where its results are kept.

    Args:
        doc: of the script.
        name: of its folder in .onward/bench; a smoke run has one that goes away.
        measured: options and folder -> exit code.
    """
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", default=[], help="NAME or NAME:SEED to run now")
    parser.add_argument("--minutes", type=float, default=math.inf, help="then begin no more")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path, help=f"of results; default .onward/bench/{name}")
    parser.add_argument("--datasets", type=Path, default=studies.SHARED)
    parser.add_argument("--record", action="store_true", help="keep the run in results.jsonl")
    parser.add_argument("--smoke", action="store_true", help="a few rows: whether it runs at all")
    options = parser.parse_args()
    allocation.keep()  # as a stage does
    if not options.smoke:
        return measured(options, options.folder or studies.ROOT / ".onward" / "bench" / name)
    options.seeds = [0]
    with tempfile.TemporaryDirectory(prefix=f"{name}-") as folder:
        return measured(options, Path(folder))


def _measured(options: argparse.Namespace, place: Path) -> int:
    parts = measure(options, place, ENTRIES)
    met = sum(part["met"] for part in parts.values())
    found = record.result(
        "recipes",
        met,
        "entries that reach their target",
        len(ENTRIES),
        met=met == len(ENTRIES),
        **finished(parts),
        smoke=options.smoke,
    )
    return record.finish(found, record=options.record)


def measure(
    options: argparse.Namespace, place: Path, entries: Sequence[Entry]
) -> dict[str, dict[str, Any]]:
    """What is known of each entry once what the options ask for is measured; printed, too."""
    until = time.monotonic() + 60 * options.minutes
    wanted = asked(options, entries)
    parts = {}
    for entry in entries:
        try:
            bench = Bench(entry, place / entry.name, options)
        except MissingFiles as error:  # an encoder that not every machine has
            print(*error.lines(), sep="\n", flush=True)
            parts[entry.name] = {"seeds": {}, "met": False}
            continue
        for seed in options.seeds:
            if time.monotonic() < until and (entry.name, seed) in wanted:
                bench.run(seed)
        parts[entry.name] = bench.part()
        print(f"{entry.name}: {parts[entry.name]}", flush=True)
    return parts


def finished(parts: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """The parts that have a seed, and the names of the `missing` ones: they have no number."""
    found = {name: part for name, part in parts.items() if part["seeds"]}
    return {**found, "missing": [name for name in parts if name not in found]}


def asked(options: argparse.Namespace, entries: Sequence[Entry]) -> list[tuple[str, int]]:
    """What --only names, every entry and seed by default; ends in one line what names nothing."""
    every = [(entry.name, seed) for entry in entries for seed in options.seeds]
    try:
        return schedule.named(every, options.only)
    except UsageError as error:
        raise SystemExit("; ".join(error.lines())) from None


class Bench:
    """The trainings of one entry, in a folder of its own."""

    few: Mapping[str, int] = SMOKE
    """Rows of each side in a smoke run."""

    def __init__(self, entry: Entry, place: Path, options: argparse.Namespace) -> None:
        from onward.learning import encoder, scratch

        self.entry, self.place, self.options = entry, place, options
        self.recipe = recipes.get(entry.recipe)
        train, test = entry.sides(options.datasets)
        if options.smoke:
            train, test = (
                studies.spread(side, self.few[name])
                for name, side in (("train", train), ("test", test))
            )
        delivered = [Delivered(entry.name.replace("_", "-"), train, test)]
        self.whole = sequence.store(place / "data", entry.recipe, delivered)
        found = encoder.locate(entry.encoder, self._home().root)
        self.encoder = encoder.fingerprint(found)
        self.base = str(found) if entry.encoder.startswith(scratch.PREFIX) else entry.encoder
        self.rows = {"train": len(train), "test": len(test)}
        stages = ("prepare", "finetune", "evaluate", "export")
        self.code = [fingerprints.code(stage, entry.recipe) for stage in stages]

    def _home(self) -> Project:
        """A project that holds the set alone, from whose rows a model from scratch is made."""
        home = Project(self.place / "home")
        _link(home, self.whole)
        return home

    def run(self, seed: int) -> dict[str, Any]:
        """A seed with the settings that were chosen; what is kept is not measured again."""
        return self._kept(self.whole, self.chosen(), seed, served=True)

    def chosen(self) -> Mapping[str, Any]:
        """Of the entry's choices the one with the best score on the part that was put aside."""
        choices = list(self.entry.choices)
        if len(choices) < 2 or self.options.smoke:
            return choices[0] if choices else {}
        aside = sequence.carved(
            self.whole, self.place / "data", self.entry.recipe, percent=ASIDE, seed=0, first=1
        )
        scores = [self._kept(aside, choice, 0, served=False)["torch"] for choice in choices]
        return choices[scores.index(max(scores))]

    def part(self) -> dict[str, Any]:
        """What is finished of the entry, as a part of the claim."""
        entry = self.entry
        done = self._finished()
        scores = [one["torch"] for one in done.values()]
        mean = statistics.mean(scores) if scores else 0.0
        apart = max((abs(one["onnx"] - one["torch"]) for one in done.values()), default=math.inf)
        whole = set(self.options.seeds) <= set(done) and not self.options.smoke
        return {
            "value": round(mean, 2),
            "unit": f"{entry.unit}, mean over seeds",
            "target": entry.target,
            "met": whole and mean >= entry.target and apart <= NEAR,
            "seeds": {str(seed): one["torch"] for seed, one in sorted(done.items())},
            "onnx_apart": round(apart, 3) if done else None,
            "chosen": next((one["choice"] for one in done.values()), None),
            "rows": self.rows,
            "minutes": round(sum(one["seconds"] for one in done.values()) / 60, 1),
            **entry.about,
        }

    def _finished(self) -> dict[int, dict[str, Any]]:
        """The seeds of the choice, read from the folder; none while the choice is open."""
        choices = list(self.entry.choices) or [{}]
        for choice in choices:
            keys = {seed: self._key(self.whole, choice, seed) for seed in self.options.seeds}
            found = {
                seed: files.read_json(self._result(key))
                for seed, key in keys.items()
                if self._result(key).is_file()
            }
            if found:
                return found
        return {}

    def _kept(
        self, data: Episodes, choice: Mapping[str, Any], seed: int, *, served: bool
    ) -> dict[str, Any]:
        key = self._key(data, choice, seed)
        if not self._result(key).is_file():
            found = self._trained(data, choice, seed, key, served=served)
            files.write_json(self._result(key), found)
        result: dict[str, Any] = files.read_json(self._result(key))
        shown = {name: result[name] for name in ("torch", "onnx", "seconds") if name in result}
        print(f"{self.entry.name} seed {seed} {dict(choice)}: {shown}", flush=True)
        return result

    def _result(self, key: str) -> Path:
        return self.place / "done" / f"{key}.json"

    def _key(self, data: Episodes, choice: Mapping[str, Any], seed: int) -> str:
        """All that decides a number but the machine."""
        about = [self._blocks(choice, seed), self.encoder, data.id, self.entry.measure, self.code]
        return files.digest(about)[:32]

    def _blocks(self, choice: Mapping[str, Any], seed: int) -> dict[str, dict[str, Any]]:
        """params.yaml of a training."""
        entry = self.entry
        blocks = copy.deepcopy({name: dict(block) for name, block in entry.settings.items()})
        for name, value in choice.items():
            block, _, key = name.partition(".")
            blocks.setdefault(block, {})[key] = value
        for block in ("finetune", "evaluate", "export"):
            blocks.setdefault(block, {})["threads"] = self.options.threads
        blocks["finetune"]["seed"] = seed
        if self.options.smoke:
            blocks["finetune"]["first_epochs"] = 1.0
        named = {"name": "bench", "recipe": entry.recipe, "encoder": entry.encoder}
        return {"project": named, **blocks}

    def _trained(
        self, data: Episodes, choice: Mapping[str, Any], seed: int, key: str, *, served: bool
    ) -> dict[str, Any]:
        """Learn the one episode: torch's score, where it is served the graph's, and seconds."""
        from onward.evaluation import evaluate
        from onward.learning import finetune, prepare
        from onward.runtime import export

        project = Project(self.place / "work" / key)
        self._begin(project, data, self._blocks(choice, seed))
        started = time.monotonic()
        for stage in (prepare, finetune, evaluate, *([export] if served else [])):
            stage.run(project)
        unit = data.named[0].episode
        made = {"torch": export.torch_part(project)}
        if served:
            (made["onnx"],) = ledger.read_parts(project.made("export") / "ledger.parquet")
        found = {name: self._score(project, unit, part) for name, part in made.items()}
        seconds = round(time.monotonic() - started, 1)
        files.remove(project.root)
        return {**found, "seconds": seconds, "choice": dict(choice), "seed": seed}

    def _begin(self, project: Project, data: Episodes, blocks: Mapping[str, Any]) -> None:
        """A project that has the episode; what an earlier, killed run trained in it is kept."""
        files.write_json(project.params, blocks)
        files.write_text(project.pipeline, "stages: {}\n")
        # The set was published as it is: nothing of it is validated away.
        files.write_json(project.made("validate") / "report.json", {"schema": 1, "passed": True})
        _link(project, data)
        Turn(
            recipe=self.entry.recipe,
            base=Base(kind="pretrained", name=self.base, sha256=self.encoder),
            learning=data.named,
            data=Data(md5=f"{data.id[:32]}.dir", size=0, nfiles=0),
        ).write(project)

    def _score(self, project: Project, unit: str, part: LedgerPart) -> float:
        """The entry's measure of the answers to the unit's rows."""
        named = self.entry.measure or self.recipe.PRIMARY
        if named in self.recipe.METRICS:
            return round(float(self.recipe.metrics(part.total(unit))[named]), 4)
        told = part.predictions(unit)
        rows = turns.rows(project, unit, "heldout")
        answers = [told[ledger.row_hash(self.recipe, row)] for row in rows]
        return float(self.recipe.report(rows, answers)[self.entry.measure])


def _link(project: Project, data: Episodes) -> None:
    """Put the episodes into a project, by links."""
    project.data.mkdir(parents=True, exist_ok=True)
    for one in data.named:
        link = project.episode(one.episode)
        if not link.is_symlink():
            link.symlink_to((data.data / one.episode).resolve(), target_is_directory=True)


if __name__ == "__main__":
    sys.exit(main())
