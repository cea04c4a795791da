"""The matrix of versions and episodes: what each version answered on each episode's held-out rows.

    models/registry/vN/matrix.parquet   version, unit, row, statistics
    models/registry/vN/matrix.json      vN's average, forgetting and transfer when it was promoted

A version's rows are those of its final verdict: its own package and the champion's before it, on
every unit that was judged, so that both sides of a change are of one scorer. The other rows of that
champion's matrix are carried along, so a version's whole line can be shown where its folder is the
only one on this machine. The trivial baseline stands among the versions as `baseline`.

What was never scored has no rows and stays blank.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from onward import config, files, recipes
from onward.errors import MissingFiles, UsageError
from onward.evaluation import cells, transfer
from onward.evaluation.cells import Found
from onward.evaluation.evidence import Evidence
from onward.evaluation.gate import score_of
from onward.evaluation.transfer import Line, Measure
from onward.project import Project
from onward.registry import journal, versions

MEASURES_FILE = "matrix.json"
SCHEMA = 1


@dataclass(frozen=True)
class Version:
    """One row of the matrix: a promoted version, also one that was rolled back from."""

    name: str
    seq: int
    before: str | None
    """The version that served before it."""
    learned: tuple[str, ...]
    """The units of its own turn."""
    forced: bool = False
    serves: bool = False
    on_line: bool = False
    """Whether it is the champion or one that the champion was made after."""
    promoted_with: tuple[Measure, ...] = ()
    """Its measures when it was promoted; empty where its files are not on this machine."""


@dataclass(frozen=True, eq=False)
class Matrix:
    """Versions by units, oldest first both, and the measures of the champion's line."""

    metric: str
    versions: tuple[Version, ...]
    units: tuple[str, ...]
    withdrawn: dict[str, str]
    """Unit -> why it was withdrawn."""
    line: Line
    measures: tuple[Measure, ...] = ()
    joint: str = ""
    """The version that the gap is measured to; empty: none was named."""
    scores: dict[tuple[str, str], float] = field(default_factory=dict)

    def rows(self, version: str, unit: str) -> int:
        """How many rows a cell rests on; 0 where it is blank."""
        cell = self.line.cells.get((version, unit))
        return len(cell.rows) if cell else 0

    def knew(self, version: Version, unit: str) -> bool:
        """Whether a version or one before it had learned a unit."""
        by_name = {one.name: one for one in self.versions}
        at: Version | None = version
        while at is not None:
            if unit in at.learned:
                return True
            at = by_name.get(at.before or "")
        return False

    def to_json(self) -> dict[str, Any]:
        """Plain values; a blank cell is null."""
        return {
            "metric": self.metric,
            "units": list(self.units),
            "withdrawn": self.withdrawn,
            "versions": [
                {
                    **{k: v for k, v in asdict(one).items() if k != "promoted_with"},
                    "learned": list(one.learned),
                    "scores": {unit: self.scores.get((one.name, unit)) for unit in self.units},
                    "rows": {unit: self.rows(one.name, unit) for unit in self.units},
                }
                for one in self.versions
            ],
            "measures": {one.name: asdict(one) for one in self.measures},
            "joint": self.joint or None,
        }


def write(
    project: Project,
    folder: Path,
    *,
    version: str,
    before: str | None,
    learned: Sequence[str],
    evidence: Evidence | None,
) -> dict[str, dict[str, float]]:
    """Write matrix.parquet and matrix.json into a version's folder that is being built.

    Args:
        project: whose version.
        folder: the version's, its package and ledger.parquet already inside.
        version: its name.
        before: the champion that it was judged against; None: there was none.
        learned: the units of its turn.
        evidence: of the final verdict; None: its own rows are read from its ledger.

    Returns:
        The version's own metrics, as `cells.metrics` has them.
    """
    found = cells.stored(project.version(before), before) if before else {}
    found |= cells.baseline(project.made("evaluate") / "ledger.parquet")
    found |= cells.judged(evidence, version, before)
    if not any(name == version for name, _ in found):
        found |= cells.from_ledger(folder, version)
    files.write_bytes(folder / cells.ROWS_FILE, cells.to_bytes(found))
    turn = files.read_json(project.turn)
    recipe = str(turn["recipe"])
    taught = () if turn["base"]["kind"] == "adopted" else tuple(learned)
    known = [*_versions(project), Version(version, 0, before, taught)]
    gone = frozenset(journal.withdrawn_episodes(project))
    line = _line(known, version, cells.fitting(found, recipe), recipe, gone)
    told = {one.name: asdict(one) for one in transfer.measures(line)}
    files.write_json(
        folder / MEASURES_FILE,
        {"schema": SCHEMA, "version": version, "metric": _metric(recipe), "measures": told},
    )
    return cells.metrics(found, version, recipe)


def collect(project: Project, joint: str | None = None) -> Matrix:
    """The matrix of all versions that the journal names, from what is on this machine.

    Args:
        project: whose versions.
        joint: a version that was trained on everything at once, to measure the gap to.

    Raises:
        UsageError: `joint` is not a version, has no rows on this machine, learned from a base and
            not from everything, or learned nothing.
        IntegrityError: the journal, the pointer or a matrix cannot be read.
    """
    recipe = config.read(project.params, config.Identity).recipe
    at = versions.pointer(project)
    known = _versions(project)
    found: Found = {}
    for one in reversed(known):  # the newest carries the rows of those before it
        if not any(name == one.name for name, _ in found):
            found = {**cells.stored(project.version(one.name), one.name), **found}
    shown = cells.fitting(found, recipe)
    gone = journal.withdrawn_episodes(project)
    line = _line(known, at.version if at else "", shown, recipe, frozenset(gone))
    reference = {unit: cell for (name, unit), cell in shown.items() if name == joint}
    if joint and not reference:
        raise UsageError(
            f"There are no rows of {joint} to compare with",
            where=str(project.registry),
            fix=f"versions are {', '.join(one.name for one in known) or 'none yet'}",
        )
    if joint:
        _require_joint(project, joint)
    scores = {
        key: transfer.value(cell, line.score)
        for key, cell in shown.items()
        if key[0] != transfer.BASELINE
    }
    return Matrix(
        metric=_metric(recipe),
        versions=tuple(_described(project, one, line, at.version if at else "") for one in known),
        units=tuple(_ordered(known, {unit for _, unit in shown})),
        withdrawn=gone,
        line=line,
        measures=tuple(transfer.measures(line, reference)),
        joint=joint or "",
        scores={key: score for key, score in scores.items() if score is not None},
    )


_JOINT = "name a version of `onward run --fresh`, or of strategy.rows: joint"


def _require_joint(project: Project, name: str) -> None:
    """Whether a version learned everything at once is on its card, which may lie elsewhere."""
    try:
        card = versions.card(project, name)
    except MissingFiles:
        return
    given = card.get("parameters") or {}
    elsewhere = card["base"]["kind"] == "adopted"
    if elsewhere or (given.get("finetune") or {}).get("tuning") == "none":
        how = "trained elsewhere" if elsewhere else "made without training"
        raise UsageError(
            f"{name} did not learn these episodes: it was {how}", where="--joint", fix=_JOINT
        )
    rows = (given.get("strategy") or {}).get("rows", config.Strategy.model_fields["rows"].default)
    if card["known"] and rows != "joint":
        before = ", ".join(each["episode"] for each in card["known"])
        raise UsageError(
            f"{name} did not learn everything at once: its base knew {before:.200}, and of that it "
            f"was given what strategy.rows {rows!r} leaves",
            where="--joint",
            fix=_JOINT,
        )


def _metric(recipe: str) -> str:
    return recipes.shown(recipes.get(recipe).PRIMARY)


def _versions(project: Project) -> list[Version]:
    """What the journal made versions of, in order. An adopted model learned no unit here."""
    lines = journal.lines(project)
    adopted = {line.get("turn") for line in lines if line["what"] == "adopted"}
    return [
        Version(
            name=line["version"],
            seq=line["seq"],
            before=line.get("champion"),
            learned=() if line.get("turn") in adopted else tuple(line.get("episodes") or ()),
            forced=line["what"] == "forced",
        )
        for line in lines
        if line["what"] in journal.PROMOTING
    ]


def _described(project: Project, one: Version, line: Line, champion: str) -> Version:
    path = project.version(one.name) / MEASURES_FILE
    told = files.read_json(path)["measures"] if path.exists() else {}
    return Version(
        **{
            **vars(one),
            "serves": one.name == champion,
            "on_line": one.name in line.versions,
            "promoted_with": tuple(Measure(**told[n]) for n in transfer.NAMES if n in told),
        }
    )


def _line(
    known: Sequence[Version], last: str, found: Found, recipe: str, gone: frozenset[str]
) -> Line:
    """From the first version to `last`, each the champion that the next was judged against."""
    by_name = {one.name: one for one in known}
    names: list[str] = []
    at = by_name.get(last)
    while at is not None and at.name not in names:
        names.append(at.name)
        at = by_name.get(at.before or "")
    learned = {one.name: one.learned for one in known}
    return Line(tuple(reversed(names)), learned, found, score_of(recipe), gone)


def _ordered(known: Sequence[Version], units: set[str]) -> list[str]:
    """Units in the order in which they were learned; those that none learned last."""
    order = [unit for one in known for unit in sorted(one.learned)]
    place = {unit: at for at, unit in reversed(list(enumerate(order)))}
    return sorted(units, key=lambda unit: (place.get(unit, len(order)), unit))
