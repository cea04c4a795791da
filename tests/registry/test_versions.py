"""The pointer and the versions it may name."""

from __future__ import annotations

from typing import Any

import pytest

from onward import files
from onward.errors import IntegrityError, MissingFiles, UsageError
from onward.project import Project
from onward.registry import versions
from tests.registry import turns


def test_no_champion_is_no_file(project: Project) -> None:
    assert versions.pointer(project) is None
    assert versions.champion(project) is None
    assert versions.versions(project) == []


def test_the_champion_is_what_the_pointer_names(project: Project) -> None:
    turns.promoted(project, "first")
    champion = versions.champion(project)
    assert champion is not None
    assert (champion.version, champion.seq, champion.folder) == ("v1", 1, project.version("v1"))
    assert champion.package == project.version("v1") / "package"
    assert champion.candidate == champion.card["candidate"]
    assert versions.verify(project, "v1") == champion.manifest


@pytest.mark.parametrize(
    "value",
    [
        [],
        {},
        {"schema": 2, "version": "v1", "seq": 1, "manifest": "0"},
        {"schema": 1, "version": "v0", "seq": 1, "manifest": "0"},
        {"schema": 1, "version": "../v1", "seq": 1, "manifest": "0"},
        {"schema": 1, "version": "v1", "seq": "one", "manifest": "0"},
        {"schema": 1, "version": "v1", "seq": 1},
    ],
)
def test_s04_a_pointer_that_is_none_is_refused(project: Project, value: Any) -> None:
    files.write_json(project.champion, value)
    with pytest.raises(IntegrityError, match="not a pointer"):
        versions.pointer(project)


def test_i1_a_changed_byte_of_the_champion_is_noticed(project: Project) -> None:
    turns.promoted(project, "first")
    (project.version("v1") / "package" / "model.onnx").write_text("other weights")
    with pytest.raises(IntegrityError, match="onnx in v1 is changed"):
        versions.champion(project)
    with pytest.raises(IntegrityError):
        versions.verify(project, "v1")


def test_s12_an_edited_version_with_a_manifest_of_its_own_is_noticed(project: Project) -> None:
    turns.promoted(project, "first")
    (project.version("v1") / "checkpoint" / "model.safetensors").write_text("other weights")
    files.seal(project.version("v1"))
    with pytest.raises(IntegrityError, match="not the one that was recorded"):
        versions.champion(project)


def test_s12_an_older_version_that_was_resealed_is_noticed(project: Project) -> None:
    turns.promoted(project, "first")
    turns.promoted(project, "second")
    (project.version("v1") / "checkpoint" / "model.safetensors").write_text("other weights")
    files.seal(project.version("v1"))
    with pytest.raises(IntegrityError, match="not the one that was recorded"):
        versions.verify(project, "v1")


def test_a_version_that_is_not_here_is_missing_not_corrupt(project: Project) -> None:
    turns.promoted(project, "first")
    files.remove(project.version("v1"))
    with pytest.raises(MissingFiles, match="not on this machine"):
        versions.champion(project)
    with pytest.raises(MissingFiles):
        versions.card(project, "v1")
    assert versions.versions(project) == ["v1"]
    found = versions.pointer(project)
    assert found is not None and found.version == "v1"


def test_versions_are_listed_by_number_and_strangers_are_not(project: Project) -> None:
    for name in ("v10", "v2", ".v3.abcd_123.tmp", "notes", "v02"):
        (project.registry / name).mkdir(parents=True)
    (project.registry / "v9.dvc").touch()
    assert versions.versions(project) == ["v2", "v9", "v10"]


@pytest.mark.parametrize("name", ["../../etc", "v", "v0", "V1", "v1/..", "v1\n"])
def test_s04_a_version_is_never_a_path(project: Project, name: str) -> None:
    with pytest.raises(UsageError):
        versions.card(project, name)


def test_a_version_that_no_journal_names_is_checked_by_its_own_manifest(project: Project) -> None:
    with files.building(project.version("v3")) as folder:
        (folder / "weights").write_text("1 2 3")
    sha256 = files.sha256(project.version("v3") / files.MANIFEST)
    assert versions.verify(project, "v3") == sha256
