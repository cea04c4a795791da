"""models/verdicts/SEQ: what every verdict rests on, refusals too, so that any can be replayed.

    rows.parquet    unit, row, side, statistics, quality, prediction, artifact, provider, scorer;
                    side is new, old, or a challenger's place among the seeds that were trained
    slices.parquet  unit, row, slice, value: which rows belong to which slice
    bias.parquet    rows answered in two forms, where they were; see onward/quality/bias.py
    evidence.json   the rest of the evidence: units, budgets, tries, problems; null: none was taken
    settings.json   the blocks `gate` and `quality.gate`, the level, hashes of the code that decided
    verdict.json    what came out
    manifest.json   the sha256 of each

`replay` decides again from the first four and compares with the fifth, number by number. Folders
of schema 1 (before groups, seeds and slices) are read as they are; the rule has changed since, so
their replay says which numbers differ, and the outcome is to be the same.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from onward import config, files, recipes
from onward.config import Evaluate, Gate, Prepare, QualityGate
from onward.errors import IntegrityError
from onward.evaluation import gate
from onward.evaluation.checks import Check, Verdict
from onward.evaluation.evidence import Budgets, Evidence, Side, Unit
from onward.evaluation.rule import decide
from onward.project import Project
from onward.quality import bias
from onward.registry import journal

SCHEMA = 3
READ = (1, 2, 3)
ROWS = pa.schema(
    [
        pa.field(name, pa.string(), nullable=False)
        for name in ("unit", "row", "side", "prediction", "artifact", "provider", "scorer")
    ]
    + [
        pa.field("statistics", pa.list_(pa.float64()), nullable=False),
        pa.field("quality", pa.list_(pa.float64())),
    ]
)
SLICES = pa.schema(
    [pa.field(name, pa.string(), nullable=False) for name in ("unit", "row", "slice", "value")]
)
_NAMED = ("artifact", "provider", "scorer")


@dataclass(frozen=True)
class Replay:
    """A verdict computed again from its kept rows and settings."""

    seq: int
    kept: Verdict
    again: Verdict | None
    """None: the candidate had been withdrawn, so there is no evidence, or the rows hold other
    statistics than this release computes with."""
    differences: tuple[str, ...] = ()
    """What differs, a sentence each; empty: every number is bit-identical."""
    notes: tuple[str, ...] = ()
    """What changed since it was decided: the gate's code, the recipe's, numpy."""

    @property
    def same(self) -> bool:
        """Whether everything came out bit-identical."""
        return not self.differences


def keep(project: Project, seq: int, verdict: Verdict, evidence: Evidence | None = None) -> str:
    """Write models/verdicts/SEQ. Returns the sha256 of its manifest.

    Args:
        project: whose verdict.
        seq: the journal's next number.
        verdict: what was decided.
        evidence: what it rests on; default `verdict.evidence`.

    Raises:
        IntegrityError: the folder is there already.
    """
    evidence = evidence or verdict.evidence
    with files.building(project.verdict(seq), kind="verdict") as folder:
        _write(_table(evidence), folder / "rows.parquet")
        _write(_slices(evidence), folder / "slices.parquet")
        if evidence and evidence.swapped:
            bias.write(folder / bias.FILE, evidence.swapped, evidence.candidate)
        described = _describe(evidence) if evidence else None
        files.write_json(folder / "evidence.json", {"schema": SCHEMA, "evidence": described})
        files.write_json(folder / "settings.json", _settings(verdict, evidence))
        files.write_json(folder / "verdict.json", {"schema": SCHEMA, **verdict.to_json()})
    return files.sha256(project.verdict(seq) / files.MANIFEST)


def read(project: Project, seq: int) -> Verdict:
    """The verdict as it was kept, with its evidence, its folder verified.

    Raises:
        MissingFiles: it is not on this machine (`dvc pull`).
        IntegrityError: a file differs from the manifest, or the manifest from the journal.
    """
    folder = project.verdict(seq)
    line = next((found for found in journal.lines(project) if found["seq"] == seq), {})
    files.verify(folder, line.get("verdict"))
    value = files.read_json(folder / "verdict.json")
    if value.pop("schema", None) not in READ:
        raise IntegrityError(
            f"Verdict {seq} is of a kind this version does not know",
            where=str(folder / "verdict.json"),
            fix="use the release of Onward that wrote it",
        )
    described = files.read_json(folder / "evidence.json")["evidence"]
    evidence = _restore(described, folder) if described else None
    return Verdict(**{**vars(Verdict.from_json(value)), "evidence": evidence})


def replay(project: Project, seq: int) -> Replay:
    """Decide again from the kept rows and settings. Raises as `read` does."""
    kept = read(project, seq)
    settings = files.read_json(project.verdict(seq) / "settings.json")
    notes = tuple(_changed(settings, kept))
    if kept.evidence is None:
        return Replay(seq, kept, None, (), notes)
    other = _other_statistics(kept.evidence)
    if other:
        return Replay(seq, kept, None, other, notes)
    limits = config.parse(settings["gate"], Gate, where=str(project.verdict(seq)))
    quality = config.parse(
        settings.get("quality", {}), QualityGate, where=str(project.verdict(seq))
    )
    score = gate.score_of(kept.evidence.recipe)
    sizes = recipes.sizes(recipes.get(kept.evidence.recipe))
    again = decide(kept.evidence, limits, settings["level"], score, quality, sizes)
    return Replay(seq, kept, again, tuple(_differences(kept, again)), notes)


def _settings(verdict: Verdict, evidence: Evidence | None) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "gate": verdict.settings,
        "quality": verdict.quality,
        "level": verdict.level,
        "code": gate.code(),
        "recipe": _recipe_code(evidence.recipe) if evidence else None,
        "numpy": np.__version__,
    }


def _recipe_code(recipe: str) -> str:
    """The scorer's hash under default settings, so that it changes with the code alone."""
    return str(recipes.get(recipe).scorer(Evaluate.model_validate({}), Prepare.model_validate({})))


def _changed(settings: dict[str, Any], kept: Verdict) -> list[str]:
    notes = []
    if settings["code"] != gate.code():
        notes.append("the gate's code has changed since")
    if kept.evidence and settings["recipe"] != _recipe_code(kept.evidence.recipe):
        notes.append("the scorer's code has changed since; the kept rows are as they were scored")
    if settings["numpy"] != np.__version__:
        notes.append(f"numpy was {settings['numpy']}, is {np.__version__}")
    return notes


def _other_statistics(evidence: Evidence) -> tuple[str, ...]:
    """Why this release cannot decide on these rows; empty: it can."""
    now = recipes.get(evidence.recipe).STATISTICS
    if not any(unit.new or unit.old for unit in evidence.units) or evidence.statistics == now:
        return ()
    names = ", ".join(evidence.statistics), ", ".join(now)
    return (
        f"the recipe's statistics of a row were {names[0]}, are {names[1]}: "
        "only the release that scored them can decide again",
    )


def _differences(kept: Verdict, again: Verdict) -> list[str]:
    found = []
    if not kept.forced and kept.outcome != again.outcome:
        found.append(f"the outcome was {kept.outcome}, is {again.outcome}")
    if len(kept.checks) != len(again.checks):
        found.append(f"there were {len(kept.checks)} checks, are {len(again.checks)}")
    for old, new in zip(kept.checks, again.checks, strict=False):
        found += _check_differences(old, new)
    if kept.reasons != again.reasons:
        found.append("the reasons read differently")
    return found


def _check_differences(kept: Check, again: Check) -> list[str]:
    before, after = asdict(kept), asdict(again)
    return [
        f"{kept.kind} of {kept.unit}: {name} was {before[name]!r}, is {after[name]!r}"
        for name in before
        if before[name] != after[name]
    ]


def _write(table: pa.Table, path: Path) -> None:
    pq.write_table(table, path, compression="zstd", row_group_size=8192, write_page_checksum=True)


def _table(evidence: Evidence | None) -> pa.Table:
    rows = [
        {
            "unit": unit.name,
            "row": row,
            "side": which,
            "statistics": side.statistics[at].tolist(),
            "quality": None if side.quality is None else side.quality[at].tolist(),
            "prediction": side.predictions[at] if side.predictions else "",
            **{name: getattr(side, name) for name in _NAMED},
        }
        for unit in (evidence.units if evidence else ())
        for which, side in _sides(unit).items()
        for at, row in enumerate(side.rows)
    ]
    rows.sort(key=lambda r: (r["unit"], r["row"], r["side"]))
    return pa.Table.from_pylist(rows, schema=ROWS)


def _sides(unit: Unit) -> dict[str, Side]:
    """The sides that were scored: new, old, and seeds by their place."""
    every = {"new": unit.new, "old": unit.old, **{str(at): s for at, s in enumerate(unit.seeds)}}
    return {which: side for which, side in every.items() if side is not None}


def _slices(evidence: Evidence | None) -> pa.Table:
    rows = sorted(
        (unit.name, row, name, value)
        for unit in (evidence.units if evidence else ())
        for name, values in unit.slices.items()
        for row, value in zip(unit.rows, values, strict=True)
        if value
    )
    columns = zip(*rows, strict=True) if rows else ([] for _ in SLICES)
    return pa.table([pa.array(list(column), pa.string()) for column in columns], schema=SLICES)


def _describe(evidence: Evidence) -> dict[str, Any]:
    parted = ("units", "swapped")
    plain = {name: value for name, value in vars(evidence).items() if name not in parted}
    units = [
        {
            "name": unit.name,
            "known": unit.known,
            "learning": unit.learning,
            "rows": sorted(unit.rows),
            "baseline": _number(unit.baseline),
            "sides": list(_sides(unit)),
            "group": unit.group,
            "seeds": len(unit.seeds),
        }
        for unit in evidence.units
    ]
    given = evidence.budgets
    budgets = {
        "new_ms": [_number(ms) for ms in given.new_ms],
        "old_ms": [_number(ms) for ms in given.old_ms],
        "memory_mb": _number(given.memory_mb),
        "compared": given.compared,
    }
    return {
        **plain,
        "units": units,
        "budgets": budgets,
        "statistics": list(evidence.statistics),
        "problems": list(evidence.problems),
        "challengers": list(evidence.challengers),
        "vanished": list(evidence.vanished),
        "quality": list(evidence.quality),
        "swapped": evidence.swapped is not None,
    }


def _number(value: float | None) -> float | str | None:
    """JSON has no NaN and no infinity; `float` reads their names back."""
    return value if value is None or math.isfinite(value) else str(value)


def _restore(value: dict[str, Any], folder: Path) -> Evidence:
    """The evidence; what schema 1 did not hold yet is left at its default."""
    table = pq.read_table(folder / "rows.parquet", page_checksum_verification=True)
    sides: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in table.to_pylist():
        sides.setdefault((row["unit"], row["side"]), []).append(row)
    slices = _read_slices(folder / "slices.parquet")
    given = value["budgets"]
    budgets = Budgets(
        new_ms=tuple(float(ms) for ms in given["new_ms"]),
        old_ms=tuple(float(ms) for ms in given["old_ms"]),
        memory_mb=None if given["memory_mb"] is None else float(given["memory_mb"]),
        compared=given["compared"],
    )
    return Evidence(
        **{
            **value,
            "units": tuple(_unit(unit, sides, slices) for unit in value["units"]),
            "budgets": budgets,
            "statistics": tuple(value["statistics"]),
            "problems": tuple(value["problems"]),
            "challengers": tuple(value.get("challengers", ())),
            "vanished": tuple(value.get("vanished", ())),
            "quality": tuple(value.get("quality", ())),
            "swapped": bias.read(folder / bias.FILE) if value.get("swapped") else None,
        }
    )


def _read_slices(path: Path) -> dict[tuple[str, str], dict[str, str]]:
    """(unit, slice) -> row -> value."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    if path.exists():
        for row in pq.read_table(path, page_checksum_verification=True).to_pylist():
            found.setdefault((row["unit"], row["slice"]), {})[row["row"]] = row["value"]
    return found


def _unit(
    value: dict[str, Any],
    sides: dict[tuple[str, str], list[dict[str, Any]]],
    slices: dict[tuple[str, str], dict[str, str]],
) -> Unit:
    name, rows = value["name"], tuple(value["rows"])
    given = {w: _side(sides.get((name, w), [])) for w in value["sides"]}
    baseline = value["baseline"]
    return Unit(
        name=name,
        known=value["known"],
        learning=value["learning"],
        rows=rows,
        baseline=None if baseline is None else float(baseline),
        new=given.get("new"),
        old=given.get("old"),
        group=value.get("group"),
        seeds=tuple(given.get(str(at)) for at in range(value.get("seeds", 0))),
        slices={
            kind: tuple(values.get(row, "") for row in rows)
            for (unit, kind), values in slices.items()
            if unit == name
        },
    )


def _side(rows: list[dict[str, Any]]) -> Side:
    return Side(
        rows=tuple(row["row"] for row in rows),
        statistics=np.array([row["statistics"] for row in rows], dtype=np.float64),
        predictions=tuple(row["prediction"] for row in rows),
        quality=_quality([row.get("quality") for row in rows]),
        **({name: rows[0][name] for name in _NAMED} if rows else {}),
    )


def _quality(rows: list[list[float] | None]) -> NDArray[np.float64] | None:
    kept = [row for row in rows if row is not None]
    return np.array(kept, dtype=np.float64) if rows and len(kept) == len(rows) else None
