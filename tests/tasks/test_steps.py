"""The steps as Prefect sees them, the stage runner's filter, and what goes onto the dashboard."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect.cache_policies import NO_CACHE
from prefect.states import Failed
from ruamel.yaml import YAML

from cli import run
from cli.summary import _latency
from flows import improve
from onward import files
from onward.errors import (
    Busy,
    InternalError,
    OnwardError,
    ServerError,
    SettingsError,
    ValidationFailed,
)
from onward.evaluation.checks import Check, Verdict
from onward.project import Project
from tasks import artifacts, stage, steps, verdicts
from tasks.study import with_pictures
from tests.evaluation import toy_turn

ROOT = Path(__file__).parents[2]
ALL = [*stage.STEPS, "inputs", "judge", "promote"]


@pytest.mark.parametrize("name", ALL)
def test_every_step_is_a_task_with_a_timeout_and_no_cache(name: str) -> None:
    step = getattr(steps, name)
    assert step.name == name
    assert step.cache_policy == NO_CACHE
    assert step.timeout_seconds and step.timeout_seconds >= 3600
    assert step.fn.__doc__


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (ServerError("away"), True),
        (ConnectionResetError("away"), True),
        (Busy("held"), False),
        (InternalError("ours"), False),
        (TimeoutError("too long"), False),
        (ValueError("ours"), False),
    ],
)
def test_only_named_transient_errors_are_tried_again(error: Exception, again: bool) -> None:
    for name in ALL:
        step = getattr(steps, name)
        assert step.retry_condition_fn(step, None, Failed(data=error)) is again


def test_I4_a_step_that_takes_too_long_is_no_defect() -> None:
    from prefect.task_engine import TaskRunTimeoutError

    state = Failed(data=TaskRunTimeoutError("Scope timed out after 3600.0 second(s)."))
    error = run._why(state, "a-run")
    assert isinstance(error, OnwardError) and not isinstance(error, InternalError)
    assert "longer than it may" in error.what and "dvc repro" in error.fix


def test_a_floor_that_shows_nothing_ends_a_run_before_it_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = toy_turn.project(tmp_path)
    monkeypatch.setattr(steps, "_run", lambda *_: "kept")
    assert steps.validate.fn(project) == "kept"
    project.params.write_text(toy_turn.PARAMS.replace("floor: 45", "floor: 1"))
    with pytest.raises(SettingsError, match=r"gate\.floor is 1, but the trivial baseline reaches"):
        steps.validate.fn(project)


def test_the_flow_goes_in_the_order_of_the_pipeline() -> None:
    stages = list(YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"])
    assert ["inputs", *stage.STEPS] == stages
    source = inspect.getsource(improve._turn)
    at = [source.index(f" {name}(project)") for name in stages]
    assert at == sorted(at)
    assert source.index('"accuracy"') < source.index(" export(")
    assert source.index(" benchmark(") < source.index('"final"') < source.index(" promote(")


def test_the_flows_docstring_is_the_sentence() -> None:
    words = (improve.__doc__ or "").split("\n\n")[0].replace("-", "").lower()
    named = ["validate", "prepare", "finetune", "evaluate", "accuracy gate", "export", "benchmark"]
    at = [words.index(name) for name in [*named, "final gate", "promote"]]
    assert at == sorted(at)


def _run(
    project: Project, monkeypatch: pytest.MonkeyPatch, child: Callable[..., None]
) -> tuple[str, list[str]]:
    monkeypatch.setattr(stage.versions, "stale", lambda _project, _name: True)
    monkeypatch.setattr(stage.versions, "reproduce", child)
    heard: list[str] = []
    return stage.run_stage(project, "finetune", heard.append), heard


def test_a_stages_own_lines_are_heard_and_dvcs_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = [
        "Running stage 'finetune':",
        "> python -u -m onward.stages.finetune",
        "fine-tune 42% 42/100 1:23 left loss 0.4",
        "WARNING: a row is long",
        "",
        "Updating lock file 'dvc.lock'",
        "To track the changes with git, run:",
        "\tgit add dvc.lock",
        "Use `dvc push` to send your updates to remote storage.",
    ]

    def child(
        _project: Project, _stage: str, *, on_line: Callable[[str], None], run_id: str
    ) -> None:
        assert run_id
        for line in said:
            on_line(line)

    outcome, heard = _run(Project(tmp_path), monkeypatch, child)
    assert outcome == "made"
    assert heard == [said[2], said[3]]


def test_an_error_is_raised_and_not_also_streamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project(tmp_path)
    files.write_json(project.error("finetune"), {"of": "an earlier run"})
    heard: list[str] = []

    def child(
        _project: Project, _stage: str, *, on_line: Callable[[str], None], run_id: str
    ) -> None:
        on_line("before")
        files.write_json(project.error("finetune"), {"run": run_id})
        on_line("what\nwhere\nfix")
        raise InternalError("what")

    monkeypatch.setattr(stage.versions, "stale", lambda _project, _name: True)
    monkeypatch.setattr(stage.versions, "reproduce", child)
    with pytest.raises(OnwardError, match="what"):
        stage.run_stage(project, "finetune", heard.append)
    assert heard == ["before"]


def test_a_stage_that_is_up_to_date_costs_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage.versions, "stale", lambda _project, _name: False)
    monkeypatch.setattr(stage.versions, "reproduce", None)
    assert stage.run_stage(Project(tmp_path), "export", print) == "kept"


@pytest.mark.parametrize(
    ("as_locked", "current", "outcome"),
    [(True, True, "kept"), (True, False, "made"), (False, True, "made")],
)
def test_the_inputs_run_only_where_they_would_write_something_else(
    as_locked: bool,
    current: bool,
    outcome: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stage.versions, "as_locked", lambda _project, _name: as_locked)
    monkeypatch.setattr(stage.inputs, "current", lambda _project: current)
    monkeypatch.setattr(stage.versions, "reproduce", lambda *_given, **_how: None)
    assert stage.run_stage(Project(tmp_path), "inputs", print) == outcome


def test_stages_after_a_stale_one_count_as_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage.versions, "stale", lambda _project, name: name == "evaluate")
    assert stage.stale(Project(tmp_path)) == ["evaluate", "export", "benchmark"]


def test_progress_lines_move_one_artifact_each(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    monkeypatch.setattr(
        artifacts, "create_progress_artifact", lambda at, **how: made.append((at, how["key"])) or 7
    )
    monkeypatch.setattr(artifacts, "update_progress_artifact", lambda of, at: made.append((of, at)))
    bar = artifacts.ProgressBar("evaluate")
    for line in (
        "score candidate 42% 42/100 1:23 left",
        "no progress at all",
        "score candidate 100% 100/100 done in 2:00",
        "score v1's package 5% 1/20 0:10 left",
    ):
        bar.follow(line)
    assert made == [
        (42.0, "progress-evaluate-score-candidate"),
        (7, 100.0),
        (5.0, "progress-evaluate-score-v1-s-package"),
    ]


def test_F11_a_lost_server_does_not_end_the_stage_that_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = []

    def lost(_at: float, **_how: Any) -> None:
        calls.append(1)
        raise httpx.ConnectError("away")

    monkeypatch.setattr(artifacts, "create_progress_artifact", lost)
    bar = artifacts.ProgressBar("finetune")
    bar.follow("fine-tune 1% 1/100 1:23 left")
    bar.follow("fine-tune 2% 2/100 1:22 left")
    assert calls == [1]


def verdict(**changes: Any) -> Verdict:
    fields: dict[str, Any] = {
        "outcome": "refused",
        "kind": "final",
        "checks": (Check("harm", "0001-a", "✗", rows=9, old=70.0, new=60.0, change=-10.0),),
        "reasons": ("a is forgotten",),
        "level": 0.05,
        "candidate": "c",
        "champion": "v1",
        "turn": "t",
        "key": "k",
    }
    return Verdict(**{**fields, **changes})


def test_the_verdicts_page_has_every_check_and_reason() -> None:
    page = artifacts.verdict_page(verdict(learning=("0002-b",)))
    assert page.startswith("**REFUSED** · b against v1\n")
    assert "F1 in points" in page and "90% intervals" in page
    assert "| | | rows | v1 | new |" in page
    assert "| ✗ | 0001-a | 9 | 70.0 | 60.0 | -10.0 | — | — | — |" in page
    assert "- a is forgotten" in page


def test_a_label_s_own_words_are_no_markup_of_the_verdicts_page() -> None:
    """A label with a pipe ended its line's cells; one with a tag was the dashboard's to render."""
    said = "label: yes|no <b>\nnew *line*"
    page = artifacts.verdict_page(
        verdict(checks=(Check("slice", said, "✗", rows=9, change=-9.0),), reasons=(said,))
    )
    (line,) = [line for line in page.splitlines() if line.startswith("| ✗")]
    assert len(re.findall(r"(?<!\\)\|", line)) == 10
    for bare in ("<b>", " *line*", "yes|no"):
        assert bare not in page


def test_expectations_read_as_words_and_what_failed_is_first() -> None:
    line = {
        "name": "enough rows", "frame": "episodes", "column": "n", "kind": "expectation",
        "severity": "critical", "limit": {"min": 20, "max": None},
        "observed": {"min": 538.0, "max": 646.0}, "checked": 2, "failed": 0, "passed": True,
        "sample_ids": [],
    }  # fmt: skip
    failed = {**line, "passed": False, "failed": 1, "observed": None, "sample_ids": ["a", "b"]}
    first, second = artifacts.expectations([line, failed])
    assert (first["passed"], first["failed"], first["such as"]) == ("✗", "1 of 2", "a, b")
    assert (second["found"], second["limit"]) == ("538 to 646", "at least 20")
    most = {**line, "limit": {"min": None, "max": 60.0}, "observed": {"min": 3.0, "max": 3.0}}
    (told,) = artifacts.expectations([most])
    assert (told["found"], told["limit"]) == ("3", "at most 60")


def test_expectations_that_stop_a_turn_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table was made of those alone that all passed."""
    shown: list[Any] = []

    def fails(*_given: Any, **_how: Any) -> str:
        failed = {"name": "enough rows", "frame": "episodes", "severity": "critical",
                  "limit": {"min": 20, "max": None}, "observed": {"min": 3.0, "max": 3.0},
                  "checked": 1, "failed": 1, "passed": False, "sample_ids": []}  # fmt: skip
        raise ValidationFailed("Expected: enough rows", details={"expectations": [failed]})

    monkeypatch.setattr(steps, "_run", fails)
    monkeypatch.setattr(
        artifacts, "create_table_artifact", lambda table, **how: shown.append((table, how["key"]))
    )
    with pytest.raises(ValidationFailed):
        steps.validate.fn(Project(tmp_path))
    ((table, key),) = shown
    assert key == "validation" and [one["expectation"] for one in table] == ["enough rows"]


def test_a_study_s_page_holds_its_pictures_and_links_to_none(tmp_path: Path) -> None:
    """The links of the page on disk led nowhere on the dashboard."""
    names = ("matrices", "curves")
    for name in names:
        files.write_bytes(tmp_path / f"{name}.png", b"a picture")
    page = "".join(f"![{name}]({name}.png)\n" for name in names)
    made = with_pictures(page, tmp_path)
    assert ".png" not in made and made.count("(data:image/png;base64,") == 2


def test_before_and_after_names_both_sides() -> None:
    side = {"f1": 50.0}
    summary = {
        "metric": "f1",
        "before": "v1",
        "units": {"0001-a": {"rows": 3, "before": side, "after": {"f1": 52.25}}},
    }
    page = artifacts.before_and_after(summary)
    assert page.startswith("F1, in points.\n")
    assert "| episode | rows | v1 | candidate | change |" in page
    assert "| 0001-a | 3 | 50.0 | 52.2 | +2.2 |" in page


def test_times_of_whole_answers_say_so() -> None:
    """Those of a model that writes were told as those of one reading."""
    times = {key: 7.0 for key in ("p50_ms", "p95_ms", "p99_ms")}
    timing = {"variant": "fp32", "batch": 1, "length": 8, **times, "tokens_per_s": 1200.0}
    report = {"variant": "fp32", "provider": "cpu", "why": "it is alone", "threads": 1}
    report |= {"serving_shape": [1, 8], "timed": "up to logits", "timings": [timing]}
    page = artifacts.latency(report)
    assert "Timed up to logits." in page
    assert "| variant | batch | length | p50 ms | p95 ms | p99 ms | tokens/s |" in page
    assert _latency(report) == "p50 7.0 ms, p95 7.0 ms at 1x8 (fp32, cpu, 1 thread)"
    report["timed"] = "up to the last of benchmark.new_tokens tokens"
    report["timings"] = [{**timing, "new_tokens": 64, "first_token_p95_ms": 2.0}]
    page = artifacts.latency(report)
    assert "Timed up to the last of benchmark.new_tokens tokens; benchmark.new_tokens: 64." in page
    assert "| p99 ms | first token p95 ms | tokens/s |\n| --- | --: | --: | --: | --: |" in page
    assert page.endswith("| fp32 | 1 | 8 | 7.0 | 7.0 | 7.0 | 2.0 | 1,200 |")
    assert "at 1x8, 64 tokens written (fp32, cpu, 1 thread)" in _latency(report)


def test_what_passed_is_not_journaled_by_settling(tmp_path: Path) -> None:
    project = Project(tmp_path)
    passed = verdict(outcome="promoted")
    assert verdicts.settle(project, passed) == verdicts.Settled(passed)
    assert not project.journal.exists()
