"""DVC as it is: real repositories in temporary folders."""

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
    DataError,
    DiskFull,
    InternalError,
    MissingFiles,
    ValidationFailed,
)
from onward.project import Project
from tasks import child, dead_locks, versions
from tests.tasks.pipelines import git, make

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
