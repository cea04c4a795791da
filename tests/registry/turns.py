"""A turn's outputs written by hand: small files, but whole, sealed and consistent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from onward import files
from onward.episodes.turn import Base, Data, Named, Turn
from onward.evaluation import ledger
from onward.evaluation.checks import FAILED, PASSED, Check, Verdict
from onward.evaluation.ledger import Entry
from onward.project import Project
from onward.registry import journal
from onward.registry.finish import finish
from onward.registry.promote import promote
from onward.registry.versions import Champion

EPISODES = ("0001-faq", "0002-legal")


def project(root: Path) -> Project:
    """A project with two sealed episodes and a turn that learns the first."""
    made = Project(root)
    files.write_text(made.params, "project:\n  name: toy\n")
    files.write_text(made.pipeline, "stages: {}\n")
    for number, folder in enumerate(EPISODES, start=1):
        about = {"number": number, "name": folder[5:], "recipe": "extractive"}
        with files.building(made.episode(folder), **about) as at:
            (at / "train.parquet").write_bytes(f"train rows of {folder}".encode())
            (at / "heldout.parquet").write_bytes(f"held-out rows of {folder}".encode())
    turn(made, learning=EPISODES[:1])
    return made


def turn(
    made: Project, *, learning: tuple[str, ...], base: str = "", recipe: str = "extractive"
) -> Turn:
    """Write the turn that learns these episodes, on a version or on a pretrained encoder."""
    origin = Base(kind="pretrained", name="toy", sha256="0" * 64)
    known: tuple[Named, ...] = ()
    if base:
        manifest = files.sha256(made.version(base) / files.MANIFEST)
        origin = Base(kind="version", name=base, sha256=manifest)
        card = files.read_json(made.version(base) / "card.json")
        known = tuple(Named(**line) for line in card["learned"])
    written = Turn(
        recipe=recipe,
        base=origin,
        known=known,
        learning=tuple(
            Named(episode=e, manifest=files.sha256(made.episode(e) / files.MANIFEST))
            for e in learning
        ),
        data=Data(md5="1.dir", size=1, nfiles=1),
    )
    written.write(made)
    return written


def candidate(made: Project, content: str, labels: tuple[str, ...] = ()) -> str:
    """Write the outputs of finetune, evaluate, export and benchmark. Returns the candidate's id."""
    with files.building(made.made("finetune"), replace=True) as folder:
        for name in ("config.json", "model.safetensors", "tokenizer.json"):
            files.write_text(folder / "model" / name, f"{name} of {content}")
        files.write_json(folder / "memory" / "memory.json", {"of": content})
        spec = {"schema": 1, "of": content, "labels": list(labels)}
        files.write_json(folder / "spec.json", spec)
    made_id = files.sha256(made.made("finetune") / files.MANIFEST)
    with files.building(made.made("evaluate"), replace=True) as folder:
        ledger.write_parts(folder / "ledger.parquet", [part(made_id, "torch"), part("0", "torch")])
    with files.building(made.made("export"), replace=True) as folder:
        _package(folder / "package", content, labels)
        parts = [part(f"{kind} of {content}", "onnx-cpu") for kind in ("fp32", "int8")]
        ledger.write_parts(folder / "ledger.parquet", parts)
    with files.building(made.made("benchmark"), replace=True) as folder:
        files.write_json(folder / "report.json", {"variant": "int8", "provider": "cpu"})
    files.write_json(made.made("scores.json"), {"0001-faq": {"f1": 61.0}})
    return made_id


def _package(folder: Path, content: str, labels: tuple[str, ...] = ()) -> None:
    models = {"fp32": "model.onnx", "int8": "model.int8.onnx"}
    for name in ("tokenizer.json", "tokenizer_config.json", *models.values()):
        files.write_text(folder / name, f"{name} of {content}")
    variants = {kind: {"file": f, "artifact": f"{kind} of {content}"} for kind, f in models.items()}
    spec = {"schema": 1, "variants": variants, **({"labels": list(labels)} if labels else {})}
    files.write_json(folder / "package.json", spec)
    files.seal(folder)


def part(artifact: str, provider: str) -> ledger.LedgerPart:
    """A ledger part of two rows."""
    rows = {name: Entry('{"text":"x"}', (1.0, 0.0)) for name in ("row1", "row2")}
    return ledger.part(artifact, provider, "scorer", {"0001-faq": rows})


def verdict(made: Project, outcome: Any = "promoted", champion: str | None = None) -> Verdict:
    """A verdict on the candidate that lies in turn/finetune."""
    turn_id = Turn.read(made).id
    candidate_id = files.sha256(made.made("finetune") / files.MANIFEST)
    mark: Any = PASSED if outcome in journal.PROMOTING else FAILED
    return Verdict(
        outcome=outcome,
        kind="final",
        checks=(
            Check("gain", "learning", mark, rows=200, old=60.0, new=64.0, change=4.0, limit=1.0),
            Check("harm", "0001-faq", PASSED, rows=200, old=60.0, new=59.5, change=-0.5, limit=-5),
        ),
        reasons=(),
        level=0.05,
        candidate=candidate_id,
        champion=champion,
        turn=turn_id,
        learning=("0001-faq",),
        key=files.digest([candidate_id, champion, outcome]),
    )


def keep_verdict(made: Project, seq: int, judged: Verdict) -> None:
    """What `evaluation.verdicts.keep` leaves, without rows."""
    with files.building(made.verdict(seq)) as folder:
        files.write_json(folder / "verdict.json", judged.to_json())


def kept(folder: Path) -> None:
    """Put under DVC: a .dvc file beside the folder that names its manifest."""
    sha256 = files.sha256(folder / files.MANIFEST)
    files.write_json(folder.with_name(f"{folder.name}.dvc"), {"manifest": sha256})


def answers(package: Path) -> None:
    """A probe that looks at the package without a runtime."""
    files.verify(package)


def promoted(
    made: Project,
    content: str,
    *,
    outcome: str = "promoted",
    keep: Callable[[Path], object] = kept,
    probe: Callable[[Path], object] = answers,
) -> Champion:
    """A new candidate, then the whole command."""
    candidate(made, content)
    return promoted_as_made(made, outcome=outcome, keep=keep, probe=probe)


def promoted_as_made(
    made: Project,
    *,
    outcome: str = "promoted",
    keep: Callable[[Path], object] = kept,
    probe: Callable[[Path], object] = answers,
) -> Champion:
    """The whole command: finish what was begun, judge, keep the verdict, promote."""
    from onward.registry import versions

    finish(made)
    serving = versions.champion(made)
    if serving is not None and serving.candidate == files.sha256(
        made.made("finetune") / files.MANIFEST
    ):
        return serving
    judged = verdict(made, outcome, serving.version if serving else None)
    seq = journal.next_seq(made)
    keep_verdict(made, seq, judged)
    return promote(made, judged, seq, keep=keep, by="gate", revision="abc", probe=probe)
