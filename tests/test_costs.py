"""Seconds and memory of the stages that ran."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from onward import costs, files
from onward.errors import DataError
from tests.report import projects


def test_stages_of_a_turn_add_up_and_the_largest_peak_counts(tmp_path: Path) -> None:
    project = projects.empty(tmp_path)
    made = projects.turn(project, [], ["0001-a"])
    for stage, seconds, peak in (("prepare", 30.0, 200.0), ("finetune", 90.0, 900.0),
                                 ("prepare", 60.0, 100.0)):  # fmt: skip
        line = {"schema": 1, "stage": stage, "turn": made.id, "seconds": seconds, "peak_mb": peak}
        files.append_line(project.private / "costs.jsonl", line)
    found = costs.by_turn(project)[made.id]
    assert (found.minutes, found.peak_mb, found.stages) == (3.0, 900.0, ("prepare", "finetune"))


def test_a_stage_that_failed_has_no_line(tmp_path: Path) -> None:
    project = projects.empty(tmp_path)
    made = projects.turn(project, [], ["0001-a"])
    with pytest.raises(DataError), costs.measured(project, "validate"):
        raise DataError("no rows")
    assert costs.by_turn(project) == {}
    with costs.measured(project, "validate"):
        pass
    assert costs.by_turn(project)[made.id].peak_mb > 5


def test_the_turn_that_ran_last_is_the_last(tmp_path: Path) -> None:
    project = projects.empty(tmp_path)
    for turn in ("a", "b", "a"):
        line = {"schema": 1, "stage": "prepare", "turn": turn, "seconds": 1.0, "peak_mb": 1.0}
        files.append_line(project.private / "costs.jsonl", line)
    assert list(costs.by_turn(project)) == ["b", "a"]


def test_the_peak_is_the_stage_s_own_and_not_its_parent_s(tmp_path: Path) -> None:
    """A large parent must not show in a small child, and a child's own use must."""
    project = projects.empty(tmp_path)
    projects.turn(project, [], ["0001-a"])
    code = (
        "import sys; from pathlib import Path; from onward import costs\n"
        "from onward.project import Project\n"
        "with costs.measured(Project(Path(sys.argv[1])), sys.argv[2]):\n"
        "    held = b'x' * int(sys.argv[3])\n"
    )
    ours = b"x" * 400_000_000
    for stage, size in (("prepare", "0"), ("finetune", "200000000")):
        subprocess.run([sys.executable, "-c", code, str(tmp_path), stage, size], check=True)
    lines = (project.private / "costs.jsonl").read_text().splitlines()
    small, large = (json.loads(line)["peak_mb"] for line in lines)
    assert len(ours) / 1e6 > small
    assert large - small == pytest.approx(200, abs=20)
