"""How a stage starts and ends."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from onward.errors import DiskFull
from onward.project import Project
from onward.stages.entry import failed, start
from tests.test_allocation import FAULTS

STAGE = """
import sys
from pathlib import Path
from onward.errors import TrainingError
from onward.stages.entry import start

def run(project):
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(3):
        print(f"step {number}", flush=True)
        print("a warning", file=sys.stderr, flush=True)
    Path("done").write_text("all three")
    if "fail" in sys.argv:
        raise TrainingError("Training stopped", where="here", fix="run again")

start("finetune", run)
"""


def _unread(folder: Path, *words: str) -> int:
    """The exit code of a stage whose reader goes away after its first line."""
    child = subprocess.Popen(
        [sys.executable, "-c", STAGE, *words],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout and child.stderr and child.stdin
    assert child.stdout.readline() == "ready\n"
    child.stdout.close()
    child.stderr.close()
    child.stdin.write("\n")
    child.stdin.close()
    return child.wait(timeout=60)


def test_f01_a_stage_outlives_whoever_read_its_output(tmp_path: Path) -> None:
    assert _unread(tmp_path) == 0
    assert (tmp_path / "done").read_text() == "all three"
    assert not Project(tmp_path).error("finetune").exists()


def test_f01_its_own_error_is_the_one_that_is_kept(tmp_path: Path) -> None:
    assert _unread(tmp_path, "fail") == 1
    error = failed(Project(tmp_path), "finetune", "")
    assert error is not None and error.what == "Training stopped"


def test_f04_a_full_disk_is_no_defect_whoever_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not all that a stage writes goes through onward/files.py: libraries write, too."""

    def run(_project: Project) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "a library's own file")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    with pytest.raises(SystemExit) as ended:
        start("finetune", run)
    assert ended.value.code == 1
    error = failed(Project(tmp_path), "finetune", "")
    assert isinstance(error, DiskFull) and "needed" not in error.what


CORES = """
import os, sys
from onward.stages.entry import start

def run(project):
    print("torch" in sys.modules, os.environ.get("GOMP_SPINCOUNT"))

start(sys.argv[1], run)
"""


@pytest.mark.parametrize(
    ("stage", "given", "found"),
    [
        ("finetune", {}, "1000"),
        ("benchmark", {}, "None"),
        ("finetune", {"GOMP_SPINCOUNT": "7"}, "7"),
        ("finetune", {"OMP_WAIT_POLICY": "ACTIVE"}, "None"),
    ],
)
def test_threads_that_wait_leave_the_cores_to_others(
    tmp_path: Path, stage: str, given: dict[str, str], found: str
) -> None:
    """Before torch is loaded, which is when it is read."""
    done = subprocess.run(
        [sys.executable, "-c", CORES, stage],
        cwd=tmp_path,
        env=given,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["False", found]


KEEPS = f"""
import sys
from onward.stages.entry import start
{FAULTS}
start(sys.argv[1], lambda project: print(again()))
"""


@pytest.mark.parametrize(("stage", "kept"), [("finetune", "True"), ("benchmark", "False")])
def test_a_stage_keeps_the_memory_that_it_frees(tmp_path: Path, stage: str, kept: str) -> None:
    """But the one whose memory is measured."""
    done = subprocess.run(
        [sys.executable, "-c", KEEPS, stage],
        cwd=tmp_path,
        env={},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == kept


def test_no_stage_loads_torch_as_it_is_imported() -> None:
    stages = ("prepare", "finetune", "evaluate", "export")
    code = f"import sys; {'; '.join(f'import onward.stages.{s}' for s in stages)}"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; print('torch' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"
