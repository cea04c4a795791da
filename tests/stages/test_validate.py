"""The stage `validate` as DVC starts it: its exit code, its error for others, its report."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from onward import files
from onward.errors import ValidationFailed
from onward.project import Project
from onward.stages.entry import RUN, failed
from tests.validation.episodes import deliver, project, sides


def _stage(at: Project) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "onward.stages.validate"]
    return subprocess.run(
        command, cwd=at.root, env={RUN: "run-1"}, capture_output=True, text=True, timeout=200
    )


def test_i4_a_failure_is_typed_and_a_later_pass_clears_it(tmp_path: Path) -> None:
    at = project(tmp_path, validate="{min_train_rows: 31}")
    deliver(at, learning={"new": sides(7)})
    done = _stage(at)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-3:] == [
        "Expected: enough training rows. 1 of 1 episodes failed (train_delivered at least 31, "
        "found 30), for example 0001-new",
        str(at.private / "reports" / "validate.json"),
        "withdraw the episode and open a file with more rows (`onward episode --help`), or change "
        "validate.min_train_rows in params.yaml",
    ]
    error = failed(at, "validate", "run-1")
    assert isinstance(error, ValidationFailed)
    assert error.details["expectations"][0]["sample_ids"] == ["0001-new"]
    files.write_text(at.params, "validate: {min_train_rows: 30}\n")
    done = _stage(at)
    assert (done.returncode, done.stderr) == (0, "")
    assert failed(at, "validate", "run-1") is None
    assert files.read_json(at.made("validate") / "report.json")["passed"]
