"""The course of a training and the files that DVC plots it from."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from onward import files
from onward.learning import curves
from onward.learning.curves import Course


def course() -> Course:
    made = Course.over(400)
    for step in range(1, 401):
        made.record(step, 4.0 / step)
    made.stops = [[200, 2.0], [400, 1.5]]
    return made


def test_a_course_has_about_so_many_points() -> None:
    assert len(course().points) == 200
    assert course().points[0] == [2, (4.0 + 2.0) / 2]
    assert Course.over(3).every == 1


def test_a_course_goes_on_to_the_last_bit() -> None:
    whole, part = Course(every=3), Course(every=3)
    for step in range(1, 11):
        whole.record(step, 1 / step)
        part = Course.from_json(json.loads(json.dumps(part.to_json(), allow_nan=True)))
        part.record(step, 1 / step)
    assert part == whole and len(whole.points) == 3


@pytest.mark.parametrize(
    ("losses", "patience", "best", "exhausted"),
    [
        ([], 2, None, False),
        ([3, 2, 1], 1, 3, False),
        ([1, 2], 1, 1, True),
        ([1, 2], 2, 1, False),
        ([1, 2, 1], 2, 1, True),  # as good is not better
        ([1, 2, 3, 4], 0, 1, False),
    ],
)
def test_best_and_exhausted(
    losses: list[float], patience: int, best: int | None, exhausted: bool
) -> None:
    made = Course(every=1, stops=[[step, loss] for step, loss in enumerate(losses, start=1)])
    assert made.best_step() == best and made.exhausted(patience) is exhausted


def test_the_files_of_a_course(tmp_path: Path) -> None:
    curves.write(tmp_path, course(), 400)
    found = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file())
    assert found == [
        "metrics.json",
        "plots/metrics/stopping/loss.tsv",
        "plots/metrics/train/loss.tsv",
    ]
    lines = (tmp_path / "plots/metrics/stopping/loss.tsv").read_text().splitlines()
    assert lines == ["step\tloss", "200\t2.0", "400\t1.5"]
    summary = files.read_json(tmp_path / "metrics.json")
    assert summary["step"] == 400 and summary["stopping"] == {"loss": 1.5}


def test_a_short_training_still_has_a_point(tmp_path: Path) -> None:
    short = Course(every=5)
    short.record(1, 2.5)
    curves.write(tmp_path, short, 1)
    assert (tmp_path / "plots/metrics/train/loss.tsv").read_text() == "step\tloss\n1\t2.5\n"


def test_dvc_reads_them(tmp_path: Path) -> None:
    """`dvc plots show` and `dvc metrics show` with the pipeline's own plots and metrics."""
    curves.write(tmp_path / "turn" / "curves", course(), 400)
    pipeline = (
        "metrics:\n  - turn/curves/metrics.json\n"
        "plots:\n  - turn/curves/plots/metrics:\n      x: step\n"
    )
    real = (Path(__file__).parents[2] / "dvc.yaml").read_text()
    assert all(line in real for line in pipeline.splitlines())
    (tmp_path / "dvc.yaml").write_text(pipeline)
    code = (
        "import json; from dvc.repo import Repo\n"
        "repo = Repo.init('.', no_scm=True)\n"
        "from dvc.render.match import match_defs_renderers\n"
        "plots = repo.plots.show(revs=['workspace'])['workspace']\n"
        "found = {name: len(data['data']) for name, data in plots['sources']['data'].items()}\n"
        "metrics = repo.metrics.show()['']['data']\n"
        "print(json.dumps([found, {k: v['data'] for k, v in metrics.items()}]))\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found, metrics = json.loads(done.stdout.splitlines()[-1])
    assert found == {
        "turn/curves/plots/metrics/train/loss.tsv": 200,
        "turn/curves/plots/metrics/stopping/loss.tsv": 2,
    }
    assert metrics["turn/curves/metrics.json"]["stopping"] == {"loss": 1.5}
