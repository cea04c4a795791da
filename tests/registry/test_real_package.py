"""One promotion and rollback with nothing injected: a trained toy, exported, probed, under DVC."""

from __future__ import annotations

import functools
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from onward import files
from onward.errors import IntegrityError
from onward.project import Project
from onward.registry import journal, versions
from onward.registry.promote import promote
from onward.registry.rollback import rollback, targets
from onward.registry.verify import verify_all
from onward.runtime.session import Session
from tasks import versions as dvc
from tests.registry import turns
from tests.runtime import projects


@pytest.fixture(scope="module")
def exported(toy_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose candidate is trained, evaluated and exported; read only."""
    from onward.runtime import export

    made = projects.make(tmp_path_factory.mktemp("real") / "project", toy_encoder)
    export.run(made)
    with files.building(made.made("benchmark")) as folder:
        files.write_json(folder / "report.json", {"variant": "fp32", "provider": "cpu"})
    return made.root


@pytest.fixture
def project(exported: Path, tmp_path: Path) -> Project:
    return Project(Path(shutil.copytree(exported, tmp_path / "project")))


def promoting(project: Project, **options: Any) -> versions.Champion:
    at = versions.pointer(project)
    judged = turns.verdict(project, "promoted", at.version if at else None)
    seq = journal.next_seq(project)
    turns.keep_verdict(project, seq, judged)
    keep = functools.partial(dvc.add, project)
    return promote(project, judged, seq, **{"keep": keep, "by": "gate", **options})


def another(project: Project) -> None:
    """The same weights under another spec: another candidate, with ledgers of its own."""
    spec = files.read_json(project.made("finetune") / "spec.json")
    files.write_json(project.made("finetune") / "spec.json", {**spec, "note": "another"})
    files.seal(project.made("finetune"))


def test_promote_ask_roll_back_and_everything_is_as_recorded(project: Project) -> None:
    champion = promoting(project)
    probes = json.loads((champion.package / "package.json").read_text())["probes"]
    session = Session(champion.package, threads=1)
    for probe in probes:
        asked = {name: probe[name] for name in ("question", "context")}
        assert session.answer(asked)["text"] == probe["answers"]["fp32"]
    another(project)
    assert promoting(project).version == "v2"
    assert [target.problem for target in targets(project)] == [None]
    assert rollback(project, "v1", "slow").version == "v1"
    assert verify_all(project) == []


def test_i1_a_package_whose_probe_answers_otherwise_is_not_promoted(project: Project) -> None:
    package = project.made("export") / "package"
    spec = json.loads((package / "package.json").read_text())
    spec["probes"][0]["answers"]["fp32"] = "never said"
    files.write_json(package / "package.json", spec)
    files.seal(package)
    files.seal(project.made("export"))
    with pytest.raises(IntegrityError, match="answered differently in a fresh process"):
        promoting(project)
    assert versions.pointer(project) is None


def test_f05_a_corrupt_cache_object_of_a_version_is_noticed_and_repaired(project: Project) -> None:
    promoting(project)
    model = project.version("v1") / "package" / "model.onnx"
    true = model.read_bytes()
    cache = project.root / ".dvc" / "cache" / "files" / "md5"
    (cached,) = (p for p in cache.rglob("*") if p.is_file() and p.read_bytes() == true)
    cached.chmod(0o644)
    cached.write_bytes(b"x" + true[1:])
    cached.chmod(0o444)
    model.unlink()
    dvc.fetch(project, [project.version("v1")])
    with pytest.raises(IntegrityError, match="onnx in v1 is changed"):
        versions.champion(project)
    done = dvc.repair_version(project, project.version("v1"))
    # The candidate's own package still has the bytes, but a folder is repaired from its own.
    assert done.missing == ["package/model.onnx"] and len(done.dropped) == 1
    shutil.copyfile(project.made("export") / "package" / "model.onnx", model)
    assert dvc.repair_version(project, project.version("v1")).missing == []
    assert verify_all(project) == []


def test_f02_death_after_dvc_took_the_version(project: Project) -> None:
    def dies(path: Path) -> None:
        dvc.add(project, path)
        if path.name == "v1":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        promoting(project, keep=dies)
    assert versions.pointer(project) is None
    files.remove(project.verdict(1))  # what the next start's `finish` does before it judges
    assert promoting(project).version == "v1"
    assert verify_all(project) == []
    with dvc.opened(project) as repo:
        assert repo.status() == {}
