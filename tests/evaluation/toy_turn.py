"""A project whose stages have run, without a model: its predictions come from the gold answers."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from onward import files
from onward.config import Evaluate, Prepare
from onward.episodes import turn as turns
from onward.episodes.turn import Turn
from onward.evaluation.ledger import LedgerPart, entry, part, row_hash, write_parts
from onward.evaluation.runner import fingerprint, resolve
from onward.project import Project
from onward.recipes import extractive
from onward.registry import journal
from tests.validation.episodes import deliver, sides

SPEC = {"max_length": 64, "stride": 16, "no_answer": False}
PARAMS = """\
project: {recipe: extractive}
evaluate: {threads: 1}
gate: {margin: 10, gain: 5, floor: 45, min_rows: 20, resamples: 1000}
"""
DECODING = Evaluate.model_validate({"threads": 1, "no_answer": False})
SCORER = extractive.scorer(*resolve(SPEC, DECODING)[::-1])


def project(
    root: Path,
    *,
    known: tuple[str, ...] = (),
    learning: tuple[str, ...] = ("new",),
    heldout: int = 60,
) -> Project:
    """A project with a turn over toy episodes; no stage has run."""
    (root / "params.yaml").write_text(PARAMS)
    (root / "dvc.yaml").write_text("stages: {}\n")
    names = {name: sides(seed, heldout=heldout) for seed, name in enumerate((*known, *learning), 1)}
    deliver(
        Project(root),
        known={name: names[name] for name in known},
        learning={name: names[name] for name in learning},
    )
    return Project(root)


def answers(at: Project, right: float | dict[str, float], seed: int = 0) -> dict[str, Any]:
    """Unit -> row hash -> entry; a share of each unit's rows is right, the rest wrong."""
    chance = random.Random(seed)
    found: dict[str, Any] = {}
    turn = Turn.read(at)
    for unit in (*turn.known_episodes, *turn.learning_episodes):
        share = right if isinstance(right, float) else right[unit.partition("-")[2]]
        found[unit] = {}
        for row in turns.rows(at, unit, "heldout"):
            text = row["answers"][0] if chance.random() < share else "nothing of it"
            made = {"text": text, "start": 0, "end": 1, "probability": 1.0, "no_answer": False}
            prediction = {**made, "n_best": []}
            found[unit][row_hash(extractive, row)] = entry(extractive, row, prediction)
    return found


def ledger(at: Project, artifact: str, provider: str, right: Any, seed: int = 0) -> LedgerPart:
    return part(artifact, provider, SCORER, answers(at, right, seed))


def finetuned(at: Project, weights: str = "one") -> str:
    """turn/finetune with a stand-in for the weights. Returns the candidate's id."""
    with files.building(at.made("finetune"), replace=True) as made:
        (made / "model").mkdir()
        (made / "model" / "model.safetensors").write_text(weights)
        files.write_json(made / "spec.json", SPEC)
    return files.sha256(at.made("finetune") / files.MANIFEST)


def evaluated(at: Project, right: float | dict[str, float], *others: LedgerPart) -> None:
    artifact = fingerprint(at.made("finetune") / "model")
    with files.building(at.made("evaluate"), replace=True) as made:
        write_parts(made / "ledger.parquet", [ledger(at, artifact, "torch", right), *others])


def package(folder: Path, artifact: str, *others: str) -> None:
    variants = {"fp32": {"file": "model.onnx", "artifact": artifact}}
    variants |= {
        name: {"file": f"{name}.onnx", "artifact": f"{artifact}-{name}"} for name in others
    }
    encoding = {"max_length": SPEC["max_length"], "stride": SPEC["stride"]}
    files.write_json(
        folder / "package.json",
        {"variants": variants, "encoding": encoding, "decoding": DECODING.model_dump()},
    )


def exported(
    at: Project,
    right: float | dict[str, float],
    artifact: str = "onnx-new",
    others: dict[str, Any] | None = None,
) -> None:
    """turn/export; `others`: variants beside fp32, and the share of rows that they get right."""
    more = others or {}
    with files.building(at.made("export"), replace=True) as made:
        (made / "package").mkdir()
        package(made / "package", artifact, *more)
        parts = [ledger(at, artifact, "onnx-cpu", right)]
        parts += [ledger(at, f"{artifact}-{n}", "onnx-cpu", share) for n, share in more.items()]
        write_parts(made / "ledger.parquet", parts)


def benchmarked(
    at: Project, ms: float = 40.0, champion: str | None = None, variant: str = "fp32"
) -> None:
    timing = {"batch": 1, "length": 64, "samples_ms": [ms + n / 100 for n in range(100)]}
    shorter, longer = ({**timing, "length": n, "samples_ms": [9_999.0] * 100} for n in (32, 128))
    timed = (variant, "champion") if champion else (variant,)
    report = {
        "variant": variant,
        "provider": "cpu",
        "serving_shape": [1, 64],
        "champion": champion,
        "timings": [
            {**line, "variant": name} for name in timed for line in (shorter, timing, longer)
        ],
        "memory": {variant: {"mb": 300.0}},
    }
    files.write_json(at.made("benchmark") / "report.json", report)


def serving(
    at: Project,
    right: float | dict[str, float],
    *,
    learned: tuple[str, ...],
    weights: str = "champion",
    version: str = "v1",
) -> str:
    """A version that serves. Returns its candidate's id."""
    candidate = files.digest(weights)
    with files.building(at.version(version), version=version) as made:
        (made / "checkpoint").mkdir()
        (made / "checkpoint" / "model.safetensors").write_text(weights)
        files.write_json(made / "spec.json", SPEC)
        (made / "package").mkdir()
        package(made / "package", "onnx-old")
        files.write_json(made / "package" / "serving.json", {"variant": "fp32", "provider": "cpu"})
        artifact = fingerprint(made / "checkpoint")
        parts = [
            ledger(at, artifact, "torch", right, seed=1),
            ledger(at, "onnx-old", "onnx-cpu", right, seed=1),
        ]
        write_parts(made / "ledger.parquet", parts)
        named = [{"episode": episode, "manifest": "0"} for episode in learned]
        files.write_json(made / "card.json", {"candidate": candidate, "learned": named})
    point(at, version)
    return candidate


def point(at: Project, version: str) -> None:
    manifest = files.sha256(at.version(version) / files.MANIFEST)
    pointer = {"schema": 1, "version": version, "seq": 1, "manifest": manifest}
    files.write_json(at.champion, pointer)


def journaled(at: Project, what: str, verdict: Any) -> int:
    """A line as the loop writes it."""
    return journal.append(
        at, what, by="gate", turn=verdict.turn, candidate=verdict.candidate, key=verdict.key
    )


def prepare() -> Prepare:
    return resolve(SPEC, DECODING)[0]
