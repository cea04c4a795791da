"""The heat map's squares, the points, what turns took, and where a version comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from onward import costs, files
from onward.evaluation import matrix
from onward.registry import journal
from onward.report.heat import DARK, PALE, heat, shade
from onward.report.lineage import lineage
from onward.report.scatter import HEIGHT, scatter
from onward.report.turns import Counts, turns
from tests.report import projects


def test_better_is_darker_and_a_blank_is_no_zero(tmp_path: Path) -> None:
    drawn = heat(matrix.collect(projects.lively(tmp_path)))
    scored = sorted((float(one.score), one.shade) for one in drawn.squares if one.score)
    assert [shade for _, shade in scored] == sorted(shade for _, shade in scored)
    assert (scored[0][1], scored[-1][1]) == (PALE, DARK)
    blank = [one for one in drawn.squares if one.tone == "blank"]
    assert all(one.score == "" and one.shade == 0 for one in blank)
    assert {one.spoken.split(":")[0] for one in blank} >= {"v5 on support", "v1 on support"}
    assert len(drawn.squares) == len(drawn.versions) * len(drawn.units) == 5 * 3
    assert shade(50, 50, 50) == DARK


def test_squares_stand_in_their_row_and_column(tmp_path: Path) -> None:
    drawn = heat(matrix.collect(projects.lively(tmp_path)))
    fourth = drawn.versions[3]
    assert fourth.text == "v4 ● !"
    assert [one.score for one in drawn.row(fourth)] == ["74.0", "77.0", "63.0"]
    assert [one.x for one in drawn.row(fourth)] == [unit.at for unit in drawn.units]
    assert max(one.x for one in drawn.squares) < drawn.width
    assert "forced against the rule" in fourth.title


def test_a_withdrawn_episode_is_marked(tmp_path: Path) -> None:
    project = projects.lively(tmp_path)
    projects.append(project, "withdrawn", episode="0002-science", reason="wrong labels")
    drawn = heat(matrix.collect(project))
    science = drawn.units[1]
    assert science.title == "science, 200 held-out rows, withdrawn: wrong labels"
    assert {one.tone for one in drawn.squares if one.x == science.at} == {"gone", "blank"}
    assert all("2 episodes" in one.basis for one in drawn.told if one.name == "average")


def test_better_is_higher_and_slower_is_further_right(tmp_path: Path) -> None:
    project = projects.lively(tmp_path)
    other = {**projects.CARD, "latency": {"serving_p95_ms": 20.0, "serving_memory_mb": 500.0},
             "environment": {"machine": {"cpu": "another"}}}  # fmt: skip
    at = files.read_json(project.champion)
    projects.version(project, "v3", {"0001-encyclopedia": 75.0}, 6, **other)
    files.write_json(project.champion, at)
    drawn = scatter(project, matrix.collect(project))
    assert drawn.episodes == 3  # of v3 and v4; v1 and v2 have no card here, so they count not
    latency, memory = drawn.plots
    third, fourth = latency.points
    assert (third.one.version, fourth.one.version) == ("v3", "v4")
    assert third.x < fourth.x and third.y < fourth.y <= HEIGHT
    assert memory.points[0].x > memory.points[1].x
    assert fourth.one.serves and fourth.one.same_machine and not third.one.same_machine
    assert drawn.absent == ("v1", "v2", "v5")


def test_no_tick_is_above_what_a_metric_can_be(tmp_path: Path) -> None:
    """A version with 100 alone stood in the middle between 90 and 110."""
    project = projects.empty(tmp_path)
    projects.append(project, "promoted", version="v1", episodes=["0001-a"], candidate="c" * 64)
    shown = {("v1", "0001-a"): 100.0}
    projects.version(project, "v1", {"0001-a": 100.0}, 1, shown, **projects.CARD)
    (latency, _) = scatter(project, matrix.collect(project)).plots
    assert [label for _, label in latency.up] == ["90", "95", "100"]


def test_what_a_turn_took(tmp_path: Path) -> None:
    project = projects.lively(tmp_path)
    made = projects.turn(project, [], ["0004-faq", "0005-legal"], quarantined=12)
    for folder, accepted in (("0004-faq", 700), ("0005-legal", 500)):
        path = project.episode(folder) / files.MANIFEST
        counts = {"accepted": accepted, "repaired": 3, "quarantined": 6}
        files.write_json(path, {**files.read_json(path), "counts": counts})
    projects.append(project, "undecided", episodes=["0004-faq", "0005-legal"], turn=made.id)
    projects.append(project, "promoted", episodes=["0004-faq", "0005-legal"], turn=made.id,
                    version="v6")  # fmt: skip
    with costs.measured(project, "finetune"):
        pass
    files.write_bytes(project.version("v6") / "model.onnx", b"x" * 1_000_000)
    newest, before = turns(project, journal.lines(project))[:2]
    assert newest.seqs == (10, 11) and newest.what == "promoted"
    assert newest.rows == Counts(1200, 6, 12)
    assert newest.cost is not None and newest.cost.stages == ("finetune",)
    assert newest.size == "1.0 MB"
    assert before.seqs == (9,) and before.cost is None and before.bytes


def test_a_turn_that_made_a_version_is_told_by_that_whatever_came_later(tmp_path: Path) -> None:
    """After a rollback its candidate is refused in the same turn: "forced" stood nowhere then."""
    project = projects.empty(tmp_path)
    lines = [
        {"seq": seq, "what": what, "turn": "t", "version": version}
        for seq, what, version in ((1, "refused", None), (2, "forced", "v1"), (4, "refused", None))
    ]
    (one,) = turns(project, lines)
    assert (one.seqs, one.what) == ((1, 2, 4), "forced")


@pytest.mark.parametrize("text", ["outs:\n- md5: a.dir\n  size: 2500000\n  path: v6\n"])
def test_the_size_of_what_is_not_here_is_what_dvc_says(text: str, tmp_path: Path) -> None:
    project = projects.lively(tmp_path)
    projects.append(project, "promoted", episodes=[], turn="x", version="v6")
    files.write_text(project.registry / "v6.dvc", text)
    (newest, *_) = turns(project, journal.lines(project))
    assert newest.size == "2.5 MB" and newest.rows is None


def test_a_damaged_file_of_costs_leaves_minutes_blank(tmp_path: Path) -> None:
    project = projects.lively(tmp_path)
    files.write_text(project.private / "costs.jsonl", "no json\n{}\n")
    assert all(one.cost is None for one in turns(project, journal.lines(project)))


def test_a_line_ends_at_the_pretrained_encoder_or_says_why_not(tmp_path: Path) -> None:
    project = projects.lively(tmp_path)
    found = lineage(project)
    assert found is not None
    assert [one.version for one in found.made] == ["v4"]
    assert "v3 is not on this machine" in found.left_off
    at = files.read_json(project.champion)
    base = {"kind": "pretrained", "name": "toy", "sha256": "0" * 64}
    projects.version(project, "v3", {"0001-encyclopedia": 75.0}, 6, base=base)
    files.write_json(project.champion, at)
    found = lineage(project)
    assert found is not None and found.left_off == ""
    assert [(one.version, one.base) for one in found.made] == [
        ("v4", "version v3"), ("v3", "pretrained toy"),
    ]  # fmt: skip
    assert found.commands == ("git checkout 1af8080aa0c1", "dvc checkout", "dvc repro finetune")


@pytest.mark.parametrize(
    ("revision", "commands", "note"),
    [
        (None, 0, "Git was not used"),
        ("1af8080+", 3, "files had changes that were not committed"),
        ("1af8080", 3, "cccccccccccc… on a machine of the same kind"),
    ],
)
def test_what_makes_a_version_again(
    revision: str | None, commands: int, note: str, tmp_path: Path
) -> None:
    project = projects.empty(tmp_path)
    projects.version(project, "v1", {"0001-a": 70.0}, 1, **{**projects.CARD, "revision": revision})
    found = lineage(project)
    assert found is not None and len(found.commands) == commands
    assert note in found.note
    assert all("+" not in command for command in found.commands)


@pytest.mark.parametrize(
    ("kind", "finetune", "told"),
    [
        ("pretrained", {"tuning": "lora", "seed": 3}, ("support", "replay x single x lora", "3")),
        ("pretrained", {"tuning": "none", "prompt": "few-shot", "seed": 3},
         ("support", "not trained, prompt few-shot", "")),
        ("pretrained", {"tuning": "none", "seed": 3}, ("support", "not trained", "")),
        ("adopted", {"tuning": "full", "seed": 3}, ("", "as it came", "")),
    ],
)  # fmt: skip
def test_how_a_version_was_made_is_what_was_done(
    kind: str, finetune: dict[str, Any], told: tuple[str, ...], tmp_path: Path
) -> None:
    """Of what was not trained the settings of a training said nothing."""
    project = projects.empty(tmp_path)
    base = {"kind": kind, "name": "toy", "sha256": "0" * 64}
    settings = {**projects.CARD["parameters"], "finetune": finetune}
    card = {**projects.CARD, "base": base, "parameters": settings}
    projects.version(project, "v1", {"0001-a": 70.0}, 1, **card)
    found = lineage(project)
    assert found is not None
    (one,) = found.made
    assert (one.learned, one.strategy, one.seed) == told


def test_nothing_yet(tmp_path: Path) -> None:
    project = projects.empty(tmp_path)
    assert lineage(project) is None and turns(project, []) == []
    assert scatter(project, matrix.collect(project)).plots == ()
