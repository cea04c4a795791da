"""Projects at different points of their life, with real verdicts over invented rows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from onward import files
from onward.config import Gate
from onward.episodes.turn import Base, Data, Named, Turn
from onward.evaluation import cells, verdicts
from onward.evaluation.checks import Verdict
from onward.evaluation.evidence import Budgets, Evidence, Side, Unit
from onward.evaluation.gate import score_of
from onward.evaluation.rule import decide
from onward.evaluation.transfer import BASELINE, Cell
from onward.project import Project
from onward.recipes.extractive import STATISTICS
from onward.registry import journal

NOW = datetime(2026, 11, 22, 14, 2, tzinfo=UTC)
CANDIDATE = "c" * 64
CARD = {
    "base": {"kind": "version", "name": "v3", "sha256": "0" * 64},
    "learning": [{"episode": "0003-support", "manifest": "0" * 64}],
    "data": {"md5": "5d41402abc4b2a76b9719d911017c592.dir", "size": 1, "nfiles": 1},
    "revision": "1af8080aa0c1",
    "parameters": {"strategy": {"rows": "replay", "term": "none", "structure": "single"},
                   "finetune": {"tuning": "lora", "seed": 3}},
    "latency": {"serving_p95_ms": 41.5, "serving_memory_mb": 310.0},
    "environment": {"machine": {"cpu": "a processor", "gpus": []}},
}  # fmt: skip
GATE = Gate(margin=1.0, gain=1.0, resamples=2_000)


def empty(root: Path, name: str = "qa-demo") -> Project:
    """A project where nothing was opened yet."""
    (root / "params.yaml").write_text(f"project: {{name: {name}}}\n")
    (root / "dvc.yaml").write_text("stages: {}\n")
    return Project(root)


def turn(project: Project, known: list[str], learning: list[str], quarantined: int = 0) -> Turn:
    """Write a turn, and episodes that hold a manifest alone."""
    for folder in (*known, *learning):
        counts = {"quarantined": quarantined if folder in learning else 0}
        with files.building(project.episode(folder), replace=True, counts=counts):
            pass
    made = Turn(
        recipe="extractive",
        base=Base(kind="pretrained", name="toy", sha256="0" * 64),
        known=tuple(Named(episode=e, manifest="0" * 64) for e in known),
        learning=tuple(Named(episode=e, manifest="0" * 64) for e in learning),
        data=Data(md5="0.dir", size=1, nfiles=1),
    )
    made.write(project)
    return made


def cell(percent: float, rows: int = 200) -> Cell:
    """Rows of which so many percent are answered rightly."""
    right = np.arange(rows) < percent / 100 * rows
    table = np.column_stack([np.ones(rows), right, right, np.zeros(rows), np.zeros(rows)])
    return Cell(tuple(f"{n:05}" for n in range(rows)), table.astype(float))


def version(
    project: Project,
    name: str,
    scores: dict[str, float],
    seq: int,
    matrix: dict[tuple[str, str], float] | None = None,
    **card: Any,
) -> str:
    """A version with a card, and the pointer at it. Returns its manifest's sha256.

    `matrix` is what it carries: (version, episode) -> percent right.
    """
    metrics: dict[str, Any] = {
        unit: {"f1": f1, "em": f1 - 9, "rows": 700} for unit, f1 in scores.items()
    }
    mean = sum(scores.values()) / len(scores)
    metrics["all"] = {"f1": mean, "em": mean - 9, "rows": 700 * len(scores)}
    with files.building(project.version(name)) as folder:
        described = {"candidate": CANDIDATE, "metrics": metrics, **card}
        files.write_json(folder / "card.json", described)
        found = {key: cell(percent) for key, percent in (matrix or {}).items()}
        files.write_bytes(folder / cells.ROWS_FILE, cells.to_bytes(found))
    manifest = files.sha256(project.version(name) / files.MANIFEST)
    pointer = {"schema": 1, "version": name, "seq": seq, "manifest": manifest, "line": {}}
    files.write_json(project.champion, pointer)
    return manifest


def scored(name: str, rows: int, change: float, *, known: bool, seed: int, no: float = 0.2) -> Unit:
    """A unit whose F1 changes by about `change` points between the two sides."""
    chance = np.random.default_rng(seed)
    empty_ = chance.random(rows) < no
    old_right = chance.random(rows) < 0.74
    moved = chance.random(rows) < abs(change) / 100 * 2
    new_right = np.where(moved, change > 0, old_right)
    hashes = tuple(f"{seed:04}-{n:05}" for n in range(rows))
    sides = []
    for right in (new_right, old_right):
        f1 = np.where(right, 1.0, 0.3 * chance.random(rows))
        has, none = (~empty_).astype(float), empty_.astype(float)
        table = np.column_stack([has, has * f1, has * (f1 == 1), none, none * right])
        sides.append(Side(hashes, table, tuple("{}" for _ in hashes)))
    made = Unit(name, known=known, learning=not known, rows=hashes, new=sides[0], old=sides[1])
    return replace(made, slices={"answer": tuple("none" if gone else "some" for gone in empty_)})


def judged(units: list[Unit], *, champion: str | None, level: float = 0.05) -> Verdict:
    """The rule's own verdict on these units."""
    chance = np.random.default_rng(5)
    old = tuple(float(ms) for ms in chance.normal(36, 1.5, 60))
    evidence = Evidence(
        kind="final",
        turn="t" * 64,
        candidate=CANDIDATE,
        champion=champion,
        units=tuple(units),
        budgets=Budgets(tuple(ms + 3 for ms in old), old if champion else (), 310.0),
        statistics=STATISTICS,
        subject="fp32 package, CPU",
    )
    found = decide(evidence, GATE, level, score_of("extractive"))
    return replace(found, evidence=evidence, settings=GATE.model_dump(mode="json"))


def keep(
    project: Project, verdict: Verdict, *, version: str | None, turn_id: str, **more: Any
) -> int:
    """Keep a verdict and journal it."""
    seq = journal.next_seq(project)
    manifest = verdicts.keep(project, seq, verdict)
    line = {**verdict.summary(), "turn": turn_id, "version": version, "verdict": manifest, **more}
    return append(project, verdict.outcome, **line)


def append(project: Project, what: str, *, day: int = 22, **fields: Any) -> int:
    """A journal line with a date of its own."""
    line = journal.entry(journal.next_seq(project), what, by=fields.pop("by", "gate"), **fields)
    line["at"] = f"2026-11-{day:02}T02:14:00+00:00"
    journal.write(project, line)
    return int(line["seq"])


def example(name: str, *, question: str = "", context: str = "", **changes: Any) -> dict[str, Any]:
    """One row of examples.json."""
    answer = {"text": "in 1066", "score": 100.0, "probability": 0.8, "no_answer": False}
    return {
        "unit": "0001-encyclopedia",
        "row": "r" * 64,
        "id": name,
        "title": "Normans",
        "inputs": {
            "question": question or "When did the Normans win at Hastings?",
            "context": context
            or "…Duke William II of Normandy conquered England at the Battle of Hastings in 1066, "
            "and was crowned on Christmas Day of that year in Westminster Abbey.…",
        },
        "answers": ["1066"],
        "marked": None,
        "before": answer,
        "after": {**answer, "text": "on Christmas Day", "score": 0.0},
        **changes,
    }


def examples(project: Project, lost: list[dict[str, Any]], won: list[dict[str, Any]]) -> None:
    """turn/evaluate of the judged candidate."""
    folder = project.made("evaluate")
    files.write_json(folder / "summary.json", {"candidate": CANDIDATE})
    files.write_json(
        folder / "examples.json",
        {"schema": 3, "before": "v7", "placed": "context", "lost": lost, "won": won, "worst": []},
    )


def lively(root: Path) -> Project:
    """A project with seven versions' history, whose last turn was refused."""
    project = empty(root)
    known = ["0001-encyclopedia", "0002-science", "0003-support"]
    made = turn(project, known, ["0004-faq", "0005-legal"], quarantined=12)
    first = [replace(scored("0001-encyclopedia", 300, 0, known=False, seed=1), baseline=9.0)]
    keep(project, judged(first, champion=None), version="v1", turn_id="a", day=1)
    append(
        project,
        "promoted",
        day=3,
        version="v2",
        episodes=[known[1]],
        champion="v1",
        learning_change=5.2,
        worst_unit=known[0],
        worst_change=0.4,
    )
    append(
        project,
        "refused",
        day=5,
        version=None,
        learning_change=0.2,
        worst_unit=known[0],
        worst_change=-3.4,
        because="forgot",
    )
    append(
        project,
        "promoted",
        day=6,
        version="v3",
        episodes=[known[2]],
        champion="v2",
        learning_change=2.0,
        worst_unit=known[1],
        worst_change=-0.2,
    )
    append(
        project,
        "forced",
        day=8,
        version="v4",
        episodes=[],
        champion="v3",
        by="li",
        reason="law change",
        learning_change=3.0,
        worst_unit=known[1],
        worst_change=-1.2,
    )
    append(
        project,
        "undecided",
        day=9,
        version=None,
        learning_change=0.9,
        rows_needed=410,
        because="too few rows",
    )
    append(
        project,
        "promoted",
        day=12,
        version="v5",
        episodes=[],
        champion="v4",
        learning_change=2.2,
        worst_unit=known[1],
        worst_change=-0.3,
    )
    append(
        project,
        "rollback",
        day=13,
        by="ana",
        reason="p95 doubled",
        champion="v5",
        version="v4",
        withdraws=["d" * 64],
    )
    matrix = {
        **{("v1", known[0]): 70.0, ("v1", known[1]): 21.0, (BASELINE, known[1]): 6.0},
        **{("v2", known[0]): 71.5, ("v2", known[1]): 75.5, ("v2", known[2]): 30.0},
        **{("v3", known[0]): 75.5, ("v3", known[1]): 76.0, ("v3", known[2]): 64.0},
        **{("v4", known[0]): 74.0, ("v4", known[1]): 77.0, ("v4", known[2]): 63.0},
    }
    scores = {known[0]: 74.2, known[1]: 77.0, known[2]: 63.0}
    version(project, "v4", scores, 8, matrix, **CARD)
    units = [
        scored("0001-encyclopedia", 812, -4, known=True, seed=2),
        scored("0002-science", 700, 0.2, known=True, seed=3),
        scored("0003-support", 150, -0.4, known=True, seed=4),
        scored("0004-faq", 320, 8, known=False, seed=5),
        scored("0005-legal", 320, 6, known=False, seed=6),
    ]
    keep(project, judged(units, champion="v4"), version=None, turn_id=made.id)
    lost = [example(f"lost-{n}") for n in range(6)]
    lost[1]["after"] = {**lost[1]["after"], "no_answer": True, "text": ""}
    lost[2].update(question="Which abbey was he crowned in?", answers=["Westminster Abbey"])
    place = lost[2]["inputs"]["context"].index("Westminster Abbey")
    lost[2]["marked"] = [place, place + len("Westminster Abbey")]
    lost[2]["before"] = {**lost[2]["before"], "text": "Westminster Abbey"}
    won = [example(f"won-{n}") for n in range(5)]
    for row in won:
        row["before"], row["after"] = row["after"], row["before"]
    examples(project, lost, won)
    return project
