"""DVC and Git as they are: real repositories in temporary folders."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from onward import files
from onward.errors import (
    Busy,
    Conflict,
    DataError,
    DiskFull,
    InternalError,
    MissingFiles,
    UsageError,
    ValidationFailed,
)
from onward.project import Project
from tasks import child, dead_locks, versions

PIPELINE = """\
# kept as it is
stages:
  good:
    cmd: python stage.py good
    deps: [data, stage.py]
    outs: [out.txt]
  after:
    cmd: python stage.py after
    deps: [out.txt, stage.py]
    outs: [after.txt]
  bad:
    cmd: python stage.py bad
    deps: [stage.py]
    outs: [bad.txt]
  typed:
    cmd: python stage.py typed
    outs: [typed.txt]
  hangs:
    cmd: python stage.py hangs
    outs: [hangs.txt]
  hungry:
    cmd: python stage.py good
    deps: [absent]
    outs: [hungry.txt]
  full:
    cmd: python stage.py full
    outs: [full.txt]
  always:
    cmd: python stage.py always
    always_changed: true
    outs: [always.txt]
"""

STAGE = """\
import os, sys, time
from pathlib import Path
what = sys.argv[1]
print("begin", what)
print("to stderr", file=sys.stderr)
if what == "bad":
    print("a last word")
    sys.exit(7)
if what == "full":
    raise OSError(28, "No space left on device")
if what == "typed":
    from onward.errors import ValidationFailed
    from onward.stages.entry import start
    def run(project):
        raise ValidationFailed("3 rows are blank", where="rows 1-3", fix="mend them")
    start("typed", run)
if what == "hangs":
    Path("pid").write_text(str(os.getpid()))
    print("hanging")
    while True:
        time.sleep(60)
Path(sys.argv[1] + ".txt" if what != "good" else "out.txt").write_text("made")
"""


def make(root: Path) -> Project:
    """A project with a small pipeline and two files of data."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "params.yaml").write_text("project:\n  name: toy_qa\n")
    (root / "dvc.yaml").write_text(PIPELINE)
    (root / "stage.py").write_text(STAGE)
    (root / "data" / "0001-a").mkdir(parents=True)
    (root / "data" / "0001-a" / "train.txt").write_text("train rows\n")
    (root / "data" / "0001-a" / "heldout.txt").write_text("held-out rows\n")
    return Project(root)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make(tmp_path / "project")


def git(project: Project, *arguments: str) -> str:
    command = ["git", "-C", str(project.root), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def in_git(project: Project) -> Project:
    project.root.joinpath(".gitignore").write_text("/data\n/.onward/\n/models/registry/?*/\n")
    git(project, "init", "--quiet", "--initial-branch", "main")
    git(project, "config", "user.name", "Ana")
    git(project, "config", "user.email", "ana@example.com")
    git(project, "add", "params.yaml", "dvc.yaml", "stage.py", ".gitignore")
    git(project, "commit", "--quiet", "--message", "Begin")
    return project


# ---- putting under DVC -------------------------------------------------------------------------


def test_add_data_names_what_data_dvc_names(project: Project) -> None:
    entry = versions.add_data(project)
    assert entry["md5"].endswith(".dir") and entry["nfiles"] == 2 and entry["size"] == 25
    before = project.data_pointer.read_bytes()
    versions.write_data_pointer(project, entry)
    assert project.data_pointer.read_bytes() == before
    assert versions.add_data(project) == entry


def test_outside_git_the_committed_configuration_still_works(project: Project) -> None:
    config = "[core]\n    analytics = false\n"
    files.write_text(project.root / ".dvc" / "config", config)
    versions.add_data(project)
    assert (project.root / ".dvc" / "config").read_text() == config
    git(project, "init", "--quiet")
    versions.ensure_initialised(project)
    assert "no_scm" not in (project.root / ".dvc" / "config.local").read_text()
    assert versions.add_data(project)["nfiles"] == 2


def test_a_project_inside_another_repository(in_git: Project) -> None:
    inner = make(in_git.root / "inner")
    assert versions.add_data(inner)["nfiles"] == 2
    assert (inner.root / ".dvc" / "config").exists()
    assert not (in_git.root / ".dvc").exists()


def test_a_version_folder_goes_under_dvc_on_its_own(in_git: Project) -> None:
    folder = in_git.version("v1")
    folder.mkdir(parents=True)
    (folder / "weights").write_text("1 2 3")
    assert versions.add(in_git, folder)["nfiles"] == 1
    assert (in_git.registry / "v1.dvc").exists()
    assert git(in_git, "status", "--porcelain", "--", "models") == "?? models/"


# ---- asking and running -------------------------------------------------------------------------


def test_stale_until_reproduced_and_again_after_a_change(project: Project) -> None:
    assert versions.stale(project, "good")
    lines: list[str] = []
    versions.reproduce(project, "good", on_line=lines.append, run_id="1")
    assert "begin good" in lines and "to stderr" in lines
    assert not versions.stale(project, "good")
    (project.root / "data" / "0001-a" / "train.txt").write_text("other rows\n")
    assert versions.stale(project, "good")


def test_foreseen_is_what_files_that_are_not_written_yet_would_change(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions.reproduce(project, "good", on_line=lambda line: None, run_id="1")
    path = "data/0001-a/train.txt"
    now = (project.root / path).read_bytes()
    monkeypatch.chdir("/")
    # `good` depends on the folder; a file of it is none of its dependencies.
    assert not versions.foreseen(project, "good", {path: b"other"})
    assert not versions.foreseen(project, "good", {"nowhere": b""})
    (project.root / path).write_bytes(now + b"more")
    assert versions.foreseen(project, "good", {path: now})


def test_a_stage_that_is_always_changed_is_always_stale(project: Project) -> None:
    versions.reproduce(project, "always", on_line=lambda line: None, run_id="1")
    assert versions.stale(project, "always")


def test_single_item_leaves_the_lock_that_a_plain_repro_leaves(project: Project) -> None:
    for stage in ("good", "after"):
        versions.reproduce(project, stage, on_line=lambda line: None, run_id="1")
    lock = (project.root / "dvc.lock").read_bytes()
    (project.root / "dvc.lock").unlink()
    command = [sys.executable, "-m", "dvc", "repro", "--force", "after"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(
        command, cwd=project.root, check=True, capture_output=True, env={**os.environ, "PATH": path}
    )
    assert (project.root / "dvc.lock").read_bytes() == lock


def test_i4_an_untyped_failure_carries_the_end_of_its_log(project: Project) -> None:
    with pytest.raises(InternalError) as caught:
        versions.reproduce(project, "bad", on_line=lambda line: None, run_id="1")
    assert "a last word" in caught.value.details["log"]
    assert "exited with 7" in caught.value.what


def test_i4_a_typed_failure_crosses_the_border(project: Project) -> None:
    with pytest.raises(ValidationFailed) as caught:
        versions.reproduce(project, "typed", on_line=lambda line: None, run_id="run-1")
    assert caught.value.lines() == ["3 rows are blank", "rows 1-3", "mend them"]
    record = json.loads(project.error("typed").read_text())
    assert record["run"] == "run-1"


def test_an_error_of_an_older_run_is_not_taken_for_this_one(project: Project) -> None:
    record = {"stage": "bad", "run": "old", **DataError("stale").to_json()}
    files.write_json(project.error("bad"), record)
    with pytest.raises(InternalError):
        versions.reproduce(project, "bad", on_line=lambda line: None, run_id="new")


def test_what_a_stage_reads_and_is_not_there(project: Project) -> None:
    with pytest.raises(MissingFiles, match="absent"):
        versions.reproduce(project, "hungry", on_line=lambda line: None, run_id="1")


def test_f04_a_full_disk_is_typed_wherever_it_is_met(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DiskFull, match="stage full could not write"):
        versions.reproduce(project, "full", on_line=lambda line: None, run_id="1")

    def no_space(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dvc.repo.Repo.add", no_space)
    with pytest.raises(DiskFull):
        versions.add_data(project)


class Listener(Exception):
    pass


def gone(pid: int) -> bool:
    """Ended: no such process, or one that only waits to be collected."""
    try:
        process = psutil.Process(pid)
        process.wait(30)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        return False
    return True


@pytest.mark.parametrize("raised", [Listener, KeyboardInterrupt])
def test_f03_whatever_ends_the_call_ends_the_group(
    project: Project, raised: type[BaseException]
) -> None:
    def listen(line: str) -> None:
        if line == "hanging":
            raise raised

    with pytest.raises(raised):
        versions.reproduce(project, "hangs", on_line=listen, run_id="1")
    assert gone(int((project.root / "pid").read_text()))
    assert not (project.root / "hangs.txt").exists()


def test_f01_sigterm_ends_the_group_and_the_next_run_is_unharmed(project: Project) -> None:
    def listen(line: str) -> None:
        if line == "hanging":
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(SystemExit) as caught:
        versions.reproduce(project, "hangs", on_line=listen, run_id="1")
    assert caught.value.code == 143
    assert gone(int((project.root / "pid").read_text()))
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    versions.reproduce(project, "good", on_line=lambda line: None, run_id="2")


def test_f01_a_child_that_ignores_sigterm_is_killed(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "GRACE", 0.01)
    script = "import signal,time; signal.signal(15, signal.SIG_IGN); print('up', flush=True)\n"
    command = [sys.executable, "-c", script + "while True: time.sleep(60)"]

    def listen(line: str) -> None:
        raise Listener

    with pytest.raises(Listener):
        from collections import deque

        child.run_group(command, project, listen, deque(), {})


def test_a_stage_runs_outside_the_main_thread_too(project: Project) -> None:
    errors: list[BaseException] = []

    def work() -> None:
        try:
            versions.reproduce(project, "good", on_line=lambda line: None, run_id="1")
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert errors == [] and not versions.stale(project, "good")


# ---- locks of dead processes --------------------------------------------------------------------


def entry(pid: int, command: str) -> dict[str, Any]:
    return {"pid": pid, "cmd": command}


@contextlib.contextmanager
def rwlock(project: Project, text: str) -> Iterator[Path]:
    versions.ensure_initialised(project)
    path = project.root / ".dvc" / "tmp" / "rwlock"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    yield path


def test_f03_a_half_written_lock_of_a_killed_process_is_dropped(project: Project) -> None:
    with rwlock(project, '{"write": {"/a') as path:
        versions.reproduce(project, "good", on_line=lambda line: None, run_id="1")
        assert not any(json.loads(path.read_text()).values())


def test_f03_a_number_that_another_program_has_now_is_dropped(project: Project) -> None:
    out = str(project.root / "out.txt")
    held = {"write": {out: entry(os.getpid(), "dvc repro --single-item good")}, "read": {}}
    with rwlock(project, json.dumps(held)):
        versions.reproduce(project, "good", on_line=lambda line: None, run_id="1")


def test_f10_a_living_process_is_not_robbed(project: Project) -> None:
    command = "import sys; sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", command, "repro"], stdin=subprocess.PIPE) as other:
        out = str(project.root / "out.txt")
        held = {
            "write": {out: entry(other.pid, f"dvc -c {command} repro")},
            "read": {out: [entry(other.pid, f"dvc -c {command} repro")]},
        }
        with rwlock(project, json.dumps(held)) as path:
            with pytest.raises(Busy):
                versions.reproduce(project, "good", on_line=lambda line: None, run_id="1")
            with pytest.raises(Busy, match=rf"is at work, process {other.pid}$"):
                versions.stale(project, "good")
            assert json.loads(path.read_text())["write"] == held["write"]
        other.communicate()


def test_f10_a_second_dvc_in_this_process_is_told(project: Project) -> None:
    import zc.lockfile

    versions.add_data(project)
    lock = zc.lockfile.LockFile(str(project.root / ".dvc" / "tmp" / "lock"))
    try:
        with pytest.raises(Busy, match=r"`dvc repro`, is at work$"):
            versions.stale(project, "good")
    finally:
        lock.close()


def test_a_lock_being_edited_is_left_alone(project: Project) -> None:
    import zc.lockfile

    with rwlock(project, "half") as path:
        lock = zc.lockfile.LockFile(str(path.with_name("rwlock.lock")))
        try:
            dead_locks.release(project.root)
            assert path.read_text() == "half"
        finally:
            lock.close()


# ---- fetching and repairing ---------------------------------------------------------------------


def turn(project: Project) -> dict[str, Any]:
    recorded = versions.add_data(project)
    files.write_json(project.turn, {"schema": 1, "data": recorded})
    return recorded


def objects(project: Project) -> list[Path]:
    cache = project.root / ".dvc" / "cache" / "files" / "md5"
    return sorted(path for path in cache.rglob("*") if path.is_file())


def object_of(project: Project, text: str) -> Path:
    return next(path for path in objects(project) if path.read_text() == text)


def corrupt(path: Path) -> None:
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(bytes(data))
    path.chmod(0o444)


def with_remote(project: Project, tmp_path: Path) -> None:
    remote = tmp_path / "remote"
    remote.mkdir()
    text = (project.root / ".dvc" / "config").read_text()
    text += f"    remote = here\n['remote \"here\"']\n    url = {remote}\n"
    files.write_text(project.root / ".dvc" / "config", text)
    with versions.opened(project) as repo:
        repo.push()


def test_fetch_checks_out_from_the_cache(project: Project) -> None:
    versions.add_data(project)
    (project.root / "data" / "0001-a" / "train.txt").unlink()
    (project.root / "data" / "0001-a" / "heldout.txt").unlink()
    versions.fetch(project, ["data"])
    assert (project.root / "data" / "0001-a" / "train.txt").read_text() == "train rows\n"


def test_fetch_says_what_is_nowhere(project: Project) -> None:
    versions.add_data(project)
    for path in [*objects(project), *project.data.rglob("*.txt")]:
        path.unlink()
    with pytest.raises(MissingFiles):
        versions.fetch(project)


def test_fetch_pulls_from_a_remote(project: Project, tmp_path: Path) -> None:
    versions.add_data(project)
    with_remote(project, tmp_path)
    for path in [*objects(project), *project.data.rglob("*.txt")]:
        path.unlink()
    versions.fetch(project, ["data"])
    assert (project.root / "data" / "0001-a" / "train.txt").exists()


def test_f05_dvc_itself_believes_a_corrupt_object(project: Project) -> None:
    """Why the repair hashes everything itself: were this to change, it could be simpler."""
    versions.add_data(project)
    corrupt(object_of(project, "train rows\n"))
    (project.root / "data" / "0001-a" / "train.txt").unlink()
    versions.fetch(project, ["data"])
    assert (project.root / "data" / "0001-a" / "train.txt").read_text() == "urain rows\n"


def test_a_hand_edited_file_and_a_rewritten_pointer_are_brought_back(project: Project) -> None:
    recorded = turn(project)
    true = project.data_pointer.read_bytes()
    (project.root / "data" / "0001-a" / "train.txt").write_text("edited\n")
    (project.root / "data" / "0001-a" / "extra.txt").write_text("extra\n")
    assert versions.add_data(project) != recorded
    done = versions.repair_data(project)
    assert (done.restored, done.removed, done.missing) == (
        ["0001-a/train.txt"],
        ["0001-a/extra.txt"],
        [],
    )
    assert project.data_pointer.read_bytes() == true
    assert versions.add_data(project) == recorded


def test_f05_a_corrupt_object_is_replaced_by_the_folders_own_bytes(project: Project) -> None:
    turn(project)
    damaged = object_of(project, "train rows\n")
    corrupt(damaged)
    done = versions.repair_data(project)
    assert len(done.dropped) == 1 and done.missing == []
    assert damaged.read_text() == "train rows\n"


def test_f05_a_corrupt_object_and_file_come_from_the_remote(
    project: Project, tmp_path: Path
) -> None:
    turn(project)
    with_remote(project, tmp_path)
    corrupt(object_of(project, "train rows\n"))
    (project.root / "data" / "0001-a" / "train.txt").write_text("urain rows\n")
    done = versions.repair_data(project)
    assert done.restored == ["0001-a/train.txt"] and done.missing == []
    assert (project.root / "data" / "0001-a" / "train.txt").read_text() == "train rows\n"


def test_f05_what_is_nowhere_is_named(project: Project) -> None:
    turn(project)
    corrupt(object_of(project, "train rows\n"))
    (project.root / "data" / "0001-a" / "train.txt").write_text("urain rows\n")
    done = versions.repair_data(project)
    assert done.missing == ["0001-a/train.txt"]


def test_f05_a_corrupt_list_is_made_again_from_an_undamaged_folder(project: Project) -> None:
    turn(project)
    (listing,) = (path for path in objects(project) if path.suffix == ".dir")
    corrupt(listing)
    assert versions.repair_data(project).missing == []
    corrupt(listing)
    (project.root / "data" / "0001-a" / "train.txt").write_text("edited\n")
    done = versions.repair_data(project)
    assert done.missing[0].startswith("data/ (its list of files")
    assert (project.root / "data" / "0001-a" / "train.txt").read_text() == "edited\n"


def test_a_version_is_repaired_by_its_own_pointer(project: Project) -> None:
    folder = project.version("v1")
    folder.mkdir(parents=True)
    (folder / "weights").write_text("1 2 3")
    with pytest.raises(MissingFiles, match="on record"):
        versions.repair_version(project, folder)
    versions.add(project, folder)
    (folder / "weights").unlink()
    assert versions.repair_version(project, folder).restored == ["weights"]
    assert (folder / "weights").read_text() == "1 2 3"


def test_s03_a_repair_writes_through_no_link(project: Project, tmp_path: Path) -> None:
    """It replaced files of the same names outside the project, and left the link as it was."""
    recorded = turn(project)
    episode, mine = project.root / "data" / "0001-a", tmp_path / "mine"
    mine.mkdir()
    (mine / "train.txt").write_text("of somebody else\n")
    shutil.rmtree(episode)
    episode.symlink_to(mine)
    (project.root / "data" / "nowhere").symlink_to(tmp_path / "gone")
    done = versions.repair_data(project)
    assert (mine / "train.txt").read_text() == "of somebody else\n"
    assert done.removed == ["0001-a", "nowhere"] and done.missing == []
    assert not episode.is_symlink() and (episode / "train.txt").read_text() == "train rows\n"
    assert versions.add_data(project) == recorded


def test_repair_survives_a_remote_that_does_not_answer(project: Project, tmp_path: Path) -> None:
    turn(project)
    with_remote(project, tmp_path)
    for path in sorted((tmp_path / "remote").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    object_of(project, "train rows\n").unlink()
    (project.root / "data" / "0001-a" / "train.txt").unlink()
    assert versions.repair_data(project).missing == ["0001-a/train.txt"]


# ---- Git ----------------------------------------------------------------------------------------


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


def served(project: Project, tmp_path: Path) -> str:
    """What `dvc artifacts get --stage prod` brings."""
    out = tmp_path / "got" / str(len(list(tmp_path.iterdir()))) / git(project, "rev-parse", "HEAD")
    out.parent.mkdir(parents=True)
    command = [sys.executable, "-m", "dvc", "artifacts", "get", str(project.root), "toy_qa"]
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
