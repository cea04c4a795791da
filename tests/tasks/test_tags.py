"""Git as it is: commits and tags in real repositories."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from onward import files
from onward.errors import (
    Conflict,
    InternalError,
    UsageError,
)
from onward.project import Project
from tasks import versions
from tests.tasks.pipelines import PIPELINE, git


def promote(project: Project, version: str, seq: int) -> str:
    """What a promotion leaves, as far as Git and DVC can see it."""
    folder = project.version(version)
    (folder / "package").mkdir(parents=True)
    (folder / "package" / "model.onnx").write_text(f"weights of {version}")
    versions.add(project, folder)
    files.write_json(project.champion, {"version": version, "seq": seq})
    return versions.commit_promotion(project, version, seq, f"Promote {version}")


def rolled_back(project: Project, version: str, seq: int) -> str:
    files.write_json(project.champion, {"version": version, "seq": seq})
    return versions.commit_promotion(project, version, seq, f"Roll back to {version}")


def served(project: Project, tmp_path: Path, name: str = "toy_qa") -> str:
    """What `dvc artifacts get --stage prod` brings."""
    out = tmp_path / "got" / str(len(list(tmp_path.iterdir()))) / git(project, "rev-parse", "HEAD")
    out.parent.mkdir(parents=True)
    command = [sys.executable, "-m", "dvc", "artifacts", "get", str(project.root), name]
    command += ["--stage", "prod", "--out", str(out), "--force"]
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path)
    return (out / "model.onnx").read_text()


def shown(project: Project) -> dict[str, Any]:
    """What `gto show` says: the latest version and the one in stage prod."""
    gto = str(Path(sys.executable).with_name("gto"))
    command = [gto, "show", "--json", "--repo", str(project.root)]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return dict(json.loads(found)["toy_qa"])


def test_gto_and_dvc_read_the_champion_also_after_a_rollback(
    in_git: Project, tmp_path: Path
) -> None:
    first = promote(in_git, "v1", 1)
    promote(in_git, "v2", 2)
    assert shown(in_git)["stage"] == {"prod": "v2.0.0"}
    assert served(in_git, tmp_path) == "weights of v2"
    assert rolled_back(in_git, "v1", 3) == first
    assert shown(in_git)["stage"] == {"prod": "v1.0.0"}
    assert served(in_git, tmp_path) == "weights of v1"
    assert git(in_git, "tag").split() == [
        "toy_qa#prod#1",
        "toy_qa#prod#2",
        "toy_qa#prod#3",
        "toy_qa@v1.0.0",
        "toy_qa@v2.0.0",
    ]


def test_f09_assignments_are_dated_in_order_whatever_the_clock_says(
    in_git: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seq, now in enumerate([2_000_000_000, 2_000_000_000, 1_000_000_000], start=1):
        monkeypatch.setattr("tasks.tags.time.time", lambda now=now: now)
        promote(in_git, f"v{seq}", seq)
    form = "--format=%(refname:short) %(taggerdate:unix)"
    dates = dict(line.split() for line in git(in_git, "tag", form).splitlines())
    assert [int(dates[f"toy_qa#prod#{k}"]) - 2_000_000_000 for k in (1, 2, 3)] == [1, 3, 5]


def test_the_same_call_again_does_nothing(in_git: Project) -> None:
    promote(in_git, "v1", 1)
    before = git(in_git, "for-each-ref")
    versions.commit_promotion(in_git, "v1", 1, "Promote v1")
    assert git(in_git, "for-each-ref") == before


def test_what_changed_since_waits_for_the_next_promotion(in_git: Project) -> None:
    promote(in_git, "v1", 1)
    before = git(in_git, "rev-parse", "HEAD")
    (in_git.root / "params.yaml").write_text("project:\n  name: toy_qa\nepisode: {}\n")
    versions.commit_promotion(in_git, "v1", 1, "Promote v1")
    assert git(in_git, "rev-parse", "HEAD") == before
    promote(in_git, "v2", 2)
    assert "params.yaml" in git(in_git, "show", "--name-only", "--format=", "HEAD").split()


def test_a_run_killed_between_commit_and_tags_is_completed(in_git: Project) -> None:
    commit = promote(in_git, "v1", 1)
    git(in_git, "tag", "--delete", "toy_qa@v1.0.0", "toy_qa#prod#1")
    assert versions.commit_promotion(in_git, "v1", 1, "Promote v1") == commit
    assert git(in_git, "tag").split() == ["toy_qa#prod#1", "toy_qa@v1.0.0"]


def test_tags_of_other_people_are_no_assignments(in_git: Project) -> None:
    """One whose end was no number stopped every promotion after it, the pointer moved already."""
    promote(in_git, "v1", 1)
    for tag in ("toy_qa#stage1", "toy_qa#prod", "toy_qa#x#²"):
        git(in_git, "tag", tag)
    promote(in_git, "v2", 2)
    assert shown(in_git)["stage"]["prod"] == "v2.0.0"
    assert "toy_qa#prod#2" in git(in_git, "tag").split()


def test_only_our_files_are_committed(in_git: Project) -> None:
    (in_git.root / "notes.txt").write_text("mine")
    git(in_git, "add", "notes.txt")
    promote(in_git, "v1", 1)
    changed = git(in_git, "show", "--name-only", "--format=", "HEAD").split()
    assert changed[-3:] == ["dvc.yaml", "models/champion.json", "models/registry/v1.dvc"]
    assert changed[:-3] == [".dvc/.gitignore", ".dvc/config"]
    assert git(in_git, "status", "--porcelain", "notes.txt") == "A  notes.txt"


def test_what_a_clone_needs_is_committed_too(in_git: Project) -> None:
    """Without .gitignore the next promotion of a clone would put pulled weights into Git."""
    (in_git.root / ".gitignore").write_text("/data\n/.onward/\n/models/registry/?*/\n/turn/\n")
    in_git.prompt("short").parent.mkdir()
    in_git.prompt("short").write_text("shots: 1")
    promote(in_git, "v1", 1)
    changed = git(in_git, "show", "--name-only", "--format=", "HEAD").split()
    assert {".gitignore", "prompts/short.yaml"} <= set(changed)
    in_git.prompt("short").unlink()
    promote(in_git, "v2", 2)


def test_other_bytes_of_dvc_yaml_stay(in_git: Project) -> None:
    promote(in_git, "v1", 1)
    text = in_git.pipeline.read_text()
    assert text.startswith(PIPELINE.rstrip())
    files.write_text(
        in_git.pipeline, text.replace("artifacts:\n", "artifacts:\n  other:\n    path: x\n")
    )
    promote(in_git, "v2", 2)
    assert "  other:\n    path: x\n" in in_git.pipeline.read_text()
    assert "path: models/registry/v2/package\n" in in_git.pipeline.read_text()
    assert "v1/package" not in in_git.pipeline.read_text()


def test_another_artifact_that_was_there_first_stays(in_git: Project) -> None:
    files.write_text(in_git.pipeline, PIPELINE + "artifacts:\n  other:\n    path: x\n")
    promote(in_git, "v1", 1)
    tail = (
        "artifacts:\n  toy_qa:\n    path: models/registry/v1/package\n    type: model\n  other:\n"
    )
    assert tail in in_git.pipeline.read_text()


def test_the_artifact_is_found_whatever_else_people_say_of_it(in_git: Project) -> None:
    """Where its path did not stand first, it was declared twice, which no YAML reader takes."""
    mine = (
        "artifacts:\n  toy_qa:\n    type: model\n    desc: mine\n    path: old\n    labels: [a]\n"
    )
    files.write_text(in_git.pipeline, PIPELINE + mine)
    promote(in_git, "v1", 1)
    told = mine.replace("old", "models/registry/v1/package")
    assert in_git.pipeline.read_text().endswith(told)


def test_a_name_that_yaml_reads_as_a_number_is_one_all_the_same(
    in_git: Project, tmp_path: Path
) -> None:
    """DVC reads no pipeline with an artifact whose name is a number."""
    params = in_git.params.read_text().replace("toy_qa", '"2026"')
    in_git.params.write_text(params)
    promote(in_git, "v1", 1)
    promote(in_git, "v2", 2)
    assert served(in_git, tmp_path, "2026") == "weights of v2"


def test_a_name_that_no_tag_can_have_is_refused_before_anything_serves(in_git: Project) -> None:
    in_git.params.write_text(in_git.params.read_text().replace("toy_qa", "My support"))
    with pytest.raises(UsageError, match="'My support' cannot name a project's tags") as caught:
        versions.require_committer(in_git)
    assert "project.name" in caught.value.fix


def test_a_tag_of_another_line_of_history_is_a_conflict(in_git: Project) -> None:
    git(in_git, "checkout", "--quiet", "-b", "other")
    promote(in_git, "v1", 1)
    git(in_git, "checkout", "--quiet", "main")
    with pytest.raises(Conflict, match="toy_qa@v1"):
        rolled_back(in_git, "v1", 1)


def test_commit_needs_a_repository_and_a_name(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.write_json(project.champion, {"version": "v1"})
    for refused in (versions.require_committer, _promoted):
        with pytest.raises(UsageError, match="not a Git repository"):
            refused(project)
    git(project, "init", "--quiet")
    git(project, "config", "user.useConfigOnly", "true")
    for name in (
        "GIT_AUTHOR_NAME",
        "GIT_AUTHOR_EMAIL",
        "GIT_COMMITTER_NAME",
        "GIT_COMMITTER_EMAIL",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    monkeypatch.delenv("EMAIL", raising=False)
    for refused in (versions.require_committer, _promoted):
        with pytest.raises(UsageError, match="does not know who commits"):
            refused(project)
    monkeypatch.setenv("PATH", "")
    for refused in (versions.require_committer, _promoted):
        with pytest.raises(UsageError, match="Git is not on this machine"):
            refused(project)
    assert versions.revision(project) is None


def _promoted(project: Project) -> None:
    versions.commit_promotion(project, "v1", 1, "Promote v1")


def test_a_committer_who_is_known_is_let_through(in_git: Project) -> None:
    versions.require_committer(in_git)


def test_revision_says_whether_the_code_differs(in_git: Project) -> None:
    sha = git(in_git, "rev-parse", "HEAD")
    assert versions.revision(in_git) == (sha, False)
    files.write_json(in_git.turn, {"written": "by a run"})
    assert versions.revision(in_git) == (sha, False)
    (in_git.root / "params.yaml").write_text("project:\n  name: other\n")
    assert versions.revision(in_git) == (sha, True)


def test_revision_without_git(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    assert versions.revision(project) is None
    git(project, "init", "--quiet")
    assert versions.revision(project) is None
    monkeypatch.setenv("PATH", "")
    assert versions.revision(project) is None


def test_a_failing_git_is_an_error(in_git: Project) -> None:
    (in_git.root / ".git" / "index.lock").touch()
    with pytest.raises(InternalError, match="git add failed"):
        promote(in_git, "v1", 1)


AGAIN = """
import sys
from pathlib import Path
from onward.project import Project
from tasks import versions

versions.commit_promotion(Project(Path(sys.argv[1])), "v1", 1, "Promote v1")
"""


def test_a_reason_in_any_letters_is_committed_once_in_any_locale(in_git: Project) -> None:
    """Git's UTF-8 was read as the locale's: never the same, so it was committed again and again."""
    promote(in_git, "v1", 1)
    reason = {"version": "v1", "seq": 1, "line": {"reason": "zu groß"}}
    files.write_json(in_git.champion, reason)
    versions.commit_promotion(in_git, "v1", 1, "Promote v1")
    before = git(in_git, "for-each-ref")
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-c", AGAIN, str(in_git.root)]
    root = Path(versions.__file__).parents[1]
    done = subprocess.run(
        command, cwd=root, env={**os.environ, **plain}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert git(in_git, "for-each-ref") == before


def test_what_a_hook_says_is_told(in_git: Project) -> None:
    hook = in_git.root / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho the linter found a tab\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(InternalError, match="git commit failed: the linter found a tab"):
        promote(in_git, "v1", 1)
