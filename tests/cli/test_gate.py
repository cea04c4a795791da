"""What `onward gate` prints of a kept verdict."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from cli import main
from onward.episodes.turn import Turn
from onward.errors import UsageError
from onward.evaluation import gate, verdicts
from onward.evaluation.baseline import common
from onward.evaluation.evidence import Evidence, Unit
from onward.project import Project
from onward.recipes import extractive, regression
from onward.registry import journal
from tasks import stage
from tasks import verdicts as judged
from tests import loop, toys
from tests.evaluation import toy_turn


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """v1 knows `old`; the challenger answers `new` much better and quietly loses `old`."""
    at = toy_turn.project(tmp_path, known=("old",), heldout=200)
    toy_turn.serving(at, {"old": 0.9, "new": 0.3}, learned=("0001-old",))
    toy_turn.finetuned(at)
    toy_turn.evaluated(at, {"old": 0.6, "new": 0.9})
    verdict = gate.judge(at, "accuracy")
    kept = verdicts.keep(at, 1, verdict)
    journal.append(at, verdict.outcome, by="gate", version=None, verdict=kept, **verdict.summary())
    monkeypatch.chdir(at.root)
    monkeypatch.setenv("COLUMNS", "100")
    return at


def test_a_quiet_loss_is_refused_with_episode_number_and_p_value(
    refused: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.start(["gate", "--show", "1"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("REFUSED  1 · new against v1")
    (learned,) = re.findall(r"^✓ learning .*$", shown, re.M)
    assert " 200 " in learned and "p same" in shown
    (lost,) = re.findall(r"^✗ old .*$", shown, re.M)
    assert lost.split()[-1] == "<.001"
    told = " ".join(shown.split())
    assert re.search(
        r"Why old is forgotten: −\d+\.\d F1 on 200 rows, limit −10\.0; "
        r"p <\.001 against no change",
        told,
    )
    assert "Then nothing changed; v1 serves" in told


def test_what_comes_next_is_a_command_that_shows_something(refused: Project) -> None:
    from cli.summary import _next

    assert _next(refused, {"outcome": "Refused", "seq": 1}) == "onward gate --examples 1"
    verdict = replace(gate.judge(refused, "accuracy"), evidence=None)
    verdicts.keep(refused, 2, verdict)
    assert _next(refused, {"outcome": "Refused", "seq": 2}) == "onward gate --show 2"


def test_an_example_says_nothing_that_its_recipe_has_not() -> None:
    """A number had the probability 1.00, and a row without labels "no answer"."""
    from cli.examples import lines

    number = {"text": "0.5", "score": -0.25, "probability": None}
    none = {"text": "", "score": 0.0, "probability": 0.7}
    told = {"inputs": {"text": "a b"}, "answers": [], "before": number, "after": none}
    row = {"unit": "0001-a", "id": "t1", **told}
    data = {"before": "v1", "counts": {"lost": 1, "won": 0}, "placed": None, "nothing": "no label"}
    assert lines({**data, "score": "R2", "lost": [row], "won": []})[2:6] == [
        "    text      a b",
        "    gold      no label",
        "    before    0.5   (score -0.25)",
        "    after     no label   (score 0, probability 0.70)",
    ]


def test_a_kept_verdict_s_trivial_baseline_stays_what_it_was(
    tmp_path: Path, toy_encoder: Path
) -> None:
    """After a correction, examples of an earlier verdict had another answer before."""
    from cli.examples import _learned

    project = loop.begun(tmp_path / "project", toy_encoder, "regression")
    rows = toys.toy_texts(120, 1, "regression", titles=12)
    loop.opened(project, "first", toys.write_jsonl(tmp_path / "first.jsonl", rows))
    unit = Unit("0001-first", known=False, learning=True, rows=())
    first = Evidence("final", "t", "c", None, (unit,), recipe="regression")
    before = _learned(project, regression, first)
    mended = [{**row, "value": row["value"] + 5} for row in rows[::2]]
    source = toys.write_jsonl(tmp_path / "mended.jsonl", mended)
    loop.opened(project, "mended", source, corrects="first")
    assert _learned(project, regression, first) == before
    later = replace(first, units=(unit, replace(unit, name="0002-mended")))
    again = common(project, regression, ["0001-first", "0002-mended"])
    assert _learned(project, regression, later) == again > before + 1


@pytest.mark.parametrize(("metric", "name"), [("accuracy", "accuracy"), ("rouge_l", "ROUGE-L")])
def test_a_run_ends_with_the_metric_s_name_as_everywhere(metric: str, name: str) -> None:
    from cli.summary import _scores

    units = {"all": {"rows": 20, "before": {metric: 31.0}, "after": {metric: 64.5}}}
    before, after = _scores({"metric": metric, "before": "baseline", "units": units})
    assert before == f"Before     {name} 31.0 on 20 held-out rows (the trivial baseline)"
    assert after == f"After      {name} 64.5"


@pytest.mark.parametrize(("kind", "learned"), [("pretrained", ["0001-new"]), ("adopted", [])])
def test_a_run_ends_without_episodes_that_an_adopted_model_did_not_learn(
    tmp_path: Path, kind: Literal["pretrained", "adopted"], learned: list[str]
) -> None:
    from cli.summary import lines, result

    at = toy_turn.project(tmp_path)
    turn = Turn.read(at)
    turn.model_copy(update={"base": turn.base.model_copy(update={"kind": kind})}).write(at)
    found = result(at, "Promoted")
    assert found["learned"] == learned
    told = lines(at, {**found, "champion": "v1", "report": "r", "run": "r"})
    assert f"Learned    {', '.join(learned) or 'nothing here: '}" in told[1]


def test_status_names_an_old_episode_only_where_it_lost() -> None:
    from cli.status import _last

    line = {"seq": 3, "what": "refused", "at": "2026-11-22T15:00:00+00:00", "because": "no gain"}
    assert _last({**line, "worst_unit": "0001-faq", "worst_change": 0.0}).endswith("ago · no gain")
    lost = {**line, "because": "forgot", "worst_unit": "0001-faq", "worst_change": -1.94}
    assert _last(lost).endswith("ago · faq −1.9")


def test_forcing_says_what_is_not_made_yet(
    refused: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "stale", lambda *_: ["export", "benchmark"])
    with pytest.raises(UsageError, match="no package to promote yet: export, benchmark") as caught:
        judged.whole(refused, forced="law change")
    assert "`dvc repro`" in caught.value.fix


def test_forcing_past_the_accuracy_gate_alone_is_marked_too(
    refused: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package keeps what the checkpoint lost, so that the final gate says promote."""
    toy_turn.exported(refused, {"old": 0.9, "new": 0.9})
    toy_turn.benchmarked(refused, champion="v1")
    monkeypatch.setattr(stage, "stale", lambda *_: [])
    monkeypatch.setattr(judged, "_keep", lambda *_: lambda _path: None)
    assert gate.judge(refused, "final").outcome == "promoted"
    found = judged.whole(refused, forced="law change").verdict
    assert (found.kind, found.outcome, found.forced) == ("final", "forced", "law change")
    assert [line["what"] for line in journal.lines(refused)] == ["refused"]

    toy_turn.evaluated(refused, {"old": 0.9, "new": 0.9})
    found = judged.whole(refused, forced="law change").verdict
    assert (found.outcome, found.forced) == ("promoted", "")


def test_the_replay_of_a_forced_verdict_is_headed_by_that_word(
    refused: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    verdict = gate.judge(refused, "accuracy", force_reason="law change")
    kept = verdicts.keep(refused, 2, verdict)
    told = {**verdict.summary(), "version": "v2", "verdict": kept}
    journal.append(refused, "forced", by="ana", reason="law change", **told)
    for how in ("--show", "--replay"):
        assert main.start(["gate", how, "2"]) == 0
        shown = " ".join(capsys.readouterr().out.split())
        assert "FORCED 2 · new against v1" in shown and "REFUSED" not in shown
        assert "Then v2 serves, against the rule: law change" in shown


def test_the_history_names_the_episode_that_was_lost(
    refused: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.start(["history"]) == 0
    shown = capsys.readouterr().out
    assert "refused" in shown and re.search(r"old −\d", shown) and "forgot" in shown


def test_a_verdict_replays_after_the_scorers_code_changed_and_says_so(
    refused: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stored rows are decided on again; nothing is scored."""
    monkeypatch.setattr(extractive, "scorer", lambda *_: "another scorer")
    assert main.start(["gate", "--replay", "1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    note = "the scorer's code has changed since; the kept rows are as they were scored"
    assert (told["same"], told["differences"], told["notes"]) == (True, [], [note])
    assert main.start(["gate", "--replay", "1"]) == 0
    shown = capsys.readouterr().out
    assert "bit-identical" in shown and "the scorer's code has changed since" in shown


def test_rows_with_other_statistics_are_not_decided_on_again(
    refused: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extractive, "STATISTICS", ("n", "f1"))
    assert main.start(["gate", "--replay", "1"]) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "NOT the same" in shown
    assert "has_n, has_f1, has_em, no_n, no_right, are n, f1" in shown
