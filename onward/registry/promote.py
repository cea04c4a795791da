"""Promotion: verdict, version, pointer, journal line, in this order and each of them durable.

    judged, seq = judge(project, "final"), journal.next_seq(project)
    gate.keep(project, seq, judged, ...)
    promote(project, judged, seq, keep=put_under_dvc)

The pointer, models/champion.json, is moved last but one and only if nobody else moved it since.
It carries the journal's line, so a death before that line is written loses nothing
(`onward.registry.finish`).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from onward import files, locks
from onward.episodes.turn import Turn
from onward.errors import Conflict, IntegrityError, UsageError, Withdrawn
from onward.project import Project
from onward.registry import journal, lineage, versions
from onward.registry.finish import finish
from onward.registry.lineage import Judged
from onward.registry.versions import Champion, Pointer

Keep = Callable[[Path], object]
"""Puts a folder under DVC."""
Probe = Callable[[Path], object]
"""Loads and queries a package in a fresh process; raises where it does not answer as exported."""


def promote(
    project: Project,
    verdict: Judged,
    seq: int,
    *,
    keep: Keep,
    by: str = "",
    reason: str = "",
    revision: str | None = None,
    probe: Probe | None = None,
) -> Champion:
    """Make this turn's candidate the champion.

    Args:
        project: whose turn.
        verdict: promoted or forced, already kept in models/verdicts/SEQ.
        seq: the number that the verdict was kept under; the journal's next.
        keep: puts a folder (the verdict's, the version's) under DVC.
        by: who; default the user's name.
        reason: why, where the verdict was forced.
        revision: Git's sha, for the card.
        probe: tries the package in a fresh process; default `onward.runtime.probe.probe`.

    Returns:
        The new champion; the present one where this candidate serves already.

    Raises:
        UsageError: the verdict does not promote.
        Conflict: the champion, the journal or the candidate changed since it was judged, or the
            package lacks a label of the champion and was not forced.
        Withdrawn: the candidate was withdrawn.
        Busy: another process changes the registry.
        DiskFull: it cannot fit; nothing was begun.
    """
    with locks.held(project.run_lock, f"promotion {seq}"):
        finish(project, judging=seq)
        serving = versions.champion(project)
        if serving is not None and serving.candidate == verdict.candidate:
            return serving
        before = versions.pointer(project)
        _check(project, verdict, seq, before)
        if serving is not None and verdict.outcome != "forced":
            _labels(project, serving)
        name = following(project)
        keep(project.verdict(seq))
        manifest = build(project, name, verdict, seq, revision)
        (probe or in_a_fresh_process)(project.version(name) / "package")
        keep(project.version(name))
        fields = lineage.line(project, verdict, seq, before.version if before else None)
        fields.update(version=name, manifest=manifest)
        line = journal.entry(seq, verdict.outcome, by=by, reason=reason, **fields)
        move(project, before, Pointer(name, seq, manifest, line))
        found = versions.champion(project, check=False)
        assert found is not None  # noqa: S101 - `move` has just written it
        return found


def record(project: Project, verdict: Judged, seq: int, *, keep: Keep, by: str = "") -> int:
    """Journal a verdict that does not promote; its folder goes under DVC, too. Returns SEQ.

    Raises:
        UsageError: the verdict promotes.
        Conflict: the journal went on since the verdict was kept.
    """
    if verdict.outcome in journal.PROMOTING:
        raise UsageError(
            f"Verdict {seq} promotes", where=str(project.verdict(seq)), fix="promote it instead"
        )
    with locks.held(project.run_lock, f"verdict {seq}"):
        finish(project, judging=seq)
        _announced(project, seq)
        keep(project.verdict(seq))
        at = versions.pointer(project)
        fields = lineage.line(project, verdict, seq, at.version if at else None)
        return journal.append(project, verdict.outcome, seq=seq, by=by, **fields)


def following(project: Project) -> str:
    """The next version's name: one above the highest that the journal names."""
    named = [line["version"] for line in journal.promotions(project)]
    return f"v{max((int(name[1:]) for name in named), default=0) + 1}"


def move(project: Project, before: Pointer | None, after: Pointer) -> None:
    """Compare-and-swap of the pointer, then the journal line it carries.

    Raises:
        Conflict: the pointer is not `before` any more.
        IntegrityError: the version's bytes are not those of the new pointer.
    """
    files.verify(project.version(after.version), after.manifest)
    if versions.pointer(project) != before:
        raise Conflict(
            "The champion changed while this ran",
            where=str(project.champion),
            fix="run the command again: the candidate is then judged against the new champion",
        )
    _announced(project, after.seq)
    value: dict[str, Any] = {"schema": versions.SCHEMA, **after.__dict__}
    files.write_json(project.champion, value)
    journal.write(project, after.line)


def build(project: Project, name: str, verdict: Judged, seq: int, revision: str | None) -> str:
    """Complete the version's folder from this turn's outputs. Returns its manifest's sha256."""
    from onward.evaluation import matrix

    made, exported = project.made("finetune"), project.made("export")
    _same(made, verdict.candidate)
    files.verify(exported)
    sizes = [files.inventory(folder) for folder in (made, exported)]
    total = sum(item["bytes"] for found in sizes for item in found.values())
    files.ensure_space(project.registry, 2 * total)  # once here, once in DVC's cache
    with files.building(project.version(name), version=name) as folder:
        files.copy_folder(made / "model", folder / "checkpoint")
        if (made / "memory").is_dir():
            files.copy_folder(made / "memory", folder / "memory")
        shutil.copyfile(made / "spec.json", folder / "spec.json")
        artifact = _package(project, folder / "package")
        _ledger(project, verdict.candidate, artifact, folder / "ledger.parquet")
        served = matrix.write(
            project,
            folder,
            version=name,
            before=verdict.champion,
            learned=verdict.learning,
            evidence=verdict.evidence,
        )
        card = lineage.card(project, name, verdict, seq, revision, served)
        files.write_json(folder / "card.json", card)
    return files.sha256(project.version(name) / files.MANIFEST)


def in_a_fresh_process(package: Path) -> None:
    """The default probe."""
    from onward.runtime import probe

    probe.probe(package)


def _package(project: Project, folder: Path) -> str:
    """Copy the package, note the variant that is to serve, and return that variant's artifact."""
    from onward.runtime import package

    files.copy_folder(project.made("export") / "package", folder)
    chosen = lineage.serving(project)
    package.choose(folder, chosen["variant"], chosen["provider"])
    spec = files.read_json(folder / package.SPEC)
    return str(spec["variants"][chosen["variant"]]["artifact"])


def _ledger(project: Project, candidate: str, artifact: str, target: Path) -> None:
    """The rows of the final gate: the candidate's by torch, the serving variant's by ONNX."""
    from onward.evaluation import ledger
    from onward.evaluation.runner import fingerprint

    named = {candidate, fingerprint(project.made("finetune") / "model")}
    found = ledger.read_parts(project.made("evaluate") / "ledger.parquet")
    parts = [part for part in found if part.artifact in named]
    exported = ledger.read_parts(project.made("export") / "ledger.parquet")
    served = [part for part in exported if part.artifact == artifact]
    if not parts or not served:
        raise IntegrityError(
            "The turn's ledgers hold no rows of " + ("the package" if parts else "the candidate"),
            where=str(project.made("evaluate" if not parts else "export") / "ledger.parquet"),
            fix="`dvc repro` makes them again",
        )
    ledger.write_parts(target, [*parts, *served])


def _check(project: Project, verdict: Judged, seq: int, before: Pointer | None) -> None:
    if verdict.outcome not in journal.PROMOTING:
        raise UsageError(
            f"Verdict {seq} is {verdict.outcome}; only a promoted or forced one promotes",
            where=str(project.verdict(seq)),
            fix=f"`onward gate --show {seq}` says why",
        )
    reason = journal.withdrawn_candidates(project).get(verdict.candidate)
    if reason is not None:
        raise Withdrawn(
            f"This candidate was withdrawn: {reason}",
            where=f"candidate {verdict.candidate[:12]}",
            fix="`onward reinstate` it with a reason, or learn something new",
        )
    _announced(project, seq)
    if verdict.champion != (before.version if before else None):
        raise Conflict(
            f"The candidate was judged against {verdict.champion or 'no champion'}; "
            f"now {before.version if before else 'none'} serves",
            where=str(project.champion),
            fix="run the command again: it is then judged against the new champion",
        )
    files.verify(project.verdict(seq))


def _labels(project: Project, serving: Champion) -> None:
    """Who asks for a label that the champion gives must not find it gone, whatever judged that.

    Labels that only withdrawn episodes had may go, as at the gate.
    """
    from onward.evaluation import gathering
    from onward.runtime import package

    offered = project.made("export") / "package" / package.SPEC
    has = files.read_json(offered).get("labels") or []
    gone = gathering.vanished(project, Turn.read(project).recipe, serving, has)
    if gone:
        raise Conflict(
            f"The package lacks {len(gone)} of {serving.version}'s labels, first {gone[0]!r}",
            where=str(offered),
            fix="learn from a base that has them; `onward promote --force` with a reason drops "
            "them",
        )


def _announced(project: Project, seq: int) -> None:
    """The journal's next number must still be the one the verdict was kept under."""
    if journal.next_seq(project) != seq:
        raise Conflict(
            f"The journal went on to SEQ {journal.next_seq(project)} since {seq} was announced",
            where=str(project.journal),
            fix="run the command again: nothing was changed",
        )


def _same(made: Path, candidate: str) -> None:
    if files.sha256(made / files.MANIFEST) != candidate:
        raise Conflict(
            "turn/finetune holds another candidate than the one that was judged",
            where=str(made),
            fix="run the command again: it judges what is there now",
        )
    files.verify(made, candidate)
