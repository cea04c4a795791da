"""`verify_all`: each kind of damage is found, named, and told from what is merely not here."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from onward import files
from onward.errors import IntegrityError, MissingFiles
from onward.project import Project
from onward.registry import journal
from onward.registry.rollback import rollback
from onward.registry.verify import verify_all
from tests.registry import turns


@pytest.fixture
def two(project: Project) -> Project:
    turns.promoted(project, "first")
    turns.promoted(project, "second")
    return project


def test_all_is_as_recorded(project: Project) -> None:
    assert verify_all(project) == []
    turns.promoted(project, "first")
    assert verify_all(project) == []


def test_also_after_a_rollback(two: Project) -> None:
    rollback(two, "v1", "slow", probe=turns.answers)
    assert verify_all(two) == []


def edit(*names: str) -> Callable[[Project], None]:
    def edited(project: Project) -> None:
        for name in names:
            (project.root / "models" / name).write_text("edited")

    return edited


def pointer(**changes: object) -> Callable[[Project], None]:
    def changed(project: Project) -> None:
        files.write_json(project.champion, {**files.read_json(project.champion), **changes})

    return changed


def cut(project: Project) -> None:
    lines = project.journal.read_bytes().splitlines(keepends=True)
    project.journal.write_bytes(b"".join(lines[:-1]))


def extra(project: Project) -> None:
    (project.version("v1") / "extra").touch()


def resealed(project: Project) -> None:
    (project.version("v1") / "spec.json").write_text("edited")
    files.seal(project.version("v1"))


def stranger(project: Project) -> None:
    (project.version("v7")).mkdir()


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (edit("registry/v1/package/model.onnx"), "package/model.onnx in v1 is changed"),
        (extra, "extra in v1 is extra"),
        (resealed, "manifest of v1 is not the one"),
        (edit("verdicts/1/verdict.json"), "verdict.json in 1 is changed"),
        (edit("champion.json"), "champion.json is not readable"),
        (edit("journal.jsonl"), ""),
        (pointer(version="v1"), "champion.json says v1 in 2, the journal says v2 in 2"),
        (pointer(seq=1), "champion.json says v2 in 1"),
        (pointer(manifest="0" * 64), "champion.json says v2 in 2"),
        (lambda project: project.champion.unlink(), "champion.json says none"),
        (cut, "champion.json says v2 in 2, the journal says v1 in 1"),
        (stranger, "v7 is in the registry but not in the journal"),
    ],
)
def test_each_damage_is_found(two: Project, damage: Callable[[Project], None], says: str) -> None:
    damage(two)
    found = verify_all(two)
    assert found and all(isinstance(problem, IntegrityError) for problem in found)
    assert any(says in problem.what for problem in found)


def test_a_journal_that_cannot_be_read_is_the_one_finding(two: Project) -> None:
    two.journal.write_bytes(b"[]\n" + two.journal.read_bytes())
    (problem,) = verify_all(two)
    assert problem.where.endswith("journal.jsonl:1")


def test_a_champion_that_nobody_promoted(project: Project) -> None:
    value = {"schema": 1, "version": "v1", "seq": 1, "manifest": "0"}
    files.write_json(project.champion, value)
    (problem,) = verify_all(project)
    assert "the journal says none" in problem.what


def test_what_was_not_pulled_is_missing_not_corrupt(two: Project) -> None:
    files.remove(two.version("v1"))
    files.remove(two.verdict(2))
    found = verify_all(two)
    assert [type(problem) for problem in found] == [MissingFiles, MissingFiles]
    assert all("dvc pull" in problem.fix for problem in found)


@pytest.mark.parametrize("place", ["adopted", "pretrained"])
def test_a_model_that_was_brought_in_is_looked_at_too(project: Project, place: str) -> None:
    folder = project.root / "models" / place / "reader"
    with files.building(folder) as at:
        files.write_text(at / "config.json", "{}")
    files.write_text(folder.with_suffix(".dvc"), "outs: []\n")
    assert verify_all(project) == []
    (folder / "config.json").chmod(0o644)
    (folder / "config.json").write_text('{"edited": true}')
    (problem,) = verify_all(project)
    assert isinstance(problem, IntegrityError) and "config.json" in " ".join(problem.lines())
    files.remove(folder)
    (problem,) = verify_all(project)
    assert isinstance(problem, MissingFiles) and "dvc pull" in problem.fix


def test_it_changes_nothing(two: Project) -> None:
    two.journal.open("ab").write(b'{"torn')
    before = two.journal.read_bytes()
    verify_all(two)
    assert two.journal.read_bytes() == before
    assert journal.next_seq(two) == 3
