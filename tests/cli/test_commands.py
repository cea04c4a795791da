"""Every command on a promoted toy project: one JSON object, and text that says something."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from cli import examples, main
from onward import files, fingerprints
from onward.project import Project
from onward.registry import journal
from tests import toys
from tests.flows import projects

pytestmark = pytest.mark.timeout(1200)

CONTEXT = "the note says that it was a fox near the box ."
LOOKING = [
    ("status", {"champion": "v1", "running": None}),
    ("history", {"champion": "v1"}),
    ("verify", {"clean": True, "problems": []}),
    ("rollback", {"targets": []}),
    ("gate", {"outcome": "nothing to do", "version": "v1"}),
    ("promote", {"outcome": "nothing to do", "version": "v1"}),
    ("gate --show 1", {"outcome": "promoted", "seq": 1, "version": "v1"}),
    ("gate --replay 1", {"seq": 1, "same": True, "differences": []}),
    ("gate --examples 1", {"seq": 1, "before": "the trivial baseline"}),
    ("matrix", {"metric": "F1", "units": ["0001-first"], "joint": None}),
    ("watch", {"outcome": "nothing"}),
    ("episode list", {}),
    ("episode list --quarantined", {"episodes": []}),
    ("episode show first", {"folder": "0001-first", "state": "known", "number": 1}),
    (
        "run --dry-run",
        {
            "known": [],
            "learning": ["0001-first"],
            "stages": [],
            "nothing": "v1 serves, and is what these episodes and settings make",
        },
    ),
    ("run --dry-run --fresh", {"base": "the pretrained encoder", "learning": ["0001-first"]}),
    ("report", {}),
    ("repair", {"repaired": []}),
    ("server status", {"configured": False, "answers": False}),
    ("server stop", {"stopped": False}),
]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return projects.promoted(tmp_path_factory.mktemp("commands"))


@pytest.fixture
def here(shared: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Project:
    monkeypatch.chdir(shared.root)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    return shared


@pytest.mark.parametrize(("command", "expected"), LOOKING)
def test_looking_changes_nothing_and_says_it_twice(
    command: str,
    expected: dict[str, Any],
    here: Project,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = {path: files.sha256(path) for path in (here.journal, here.champion, here.turn)}
    assert main.start([*command.split(), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {key: told[key] for key in expected} == expected
    assert main.start(command.split()) == 0
    assert capsys.readouterr().out.strip()
    assert before == {path: files.sha256(path) for path in before}


def test_ask_answers_with_a_span_of_the_context(
    here: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    question = "what animal is named in note 1?"
    assert main.start(["ask", question, "--context", CONTEXT, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["text"] in CONTEXT
    assert told["version"] == "v1"
    assert main.start(["ask", "--demo"]) == 0
    assert capsys.readouterr().out.startswith("Q  ")
    assert main.start(["ask", question]) == 3
    capsys.readouterr()
    assert main.start(["ask", question, "--file", "no-such-file"]) == 3
    assert capsys.readouterr().err.startswith("There is no file no-such-file\n")
    # The context served, and the file was not read.
    assert main.start(["ask", question, "--context", CONTEXT, "--file", str(here.params)]) == 3
    assert "given twice" in capsys.readouterr().err


def test_opening_the_same_file_again_says_whose_rows_it_brings(
    here: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = toys.write_jsonl(tmp_path / "again.jsonl", projects.rows(1, "colour", "animal"))
    assert main.start(["episode", "open", "again", str(source), "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert re.search(r"^Repeated +all \d+ rows are in 0001-first already", told, re.MULTILINE)


def test_doctor_says_what_is_well_and_what_to_do(
    here: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.start(["doctor", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    looked = {finding["what"] for finding in told["findings"]}
    assert looked == {
        "versions", "settings", "encoder", "providers", "disk", "folders", "server", "run lock",
        "trainer", "data", "registry",
    }  # fmt: skip
    assert all(finding["well"] for finding in told["findings"])


@pytest.fixture
def own(here: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of the project that a test may damage, and the folder that commands run in."""
    found = Project(projects.copy(here.root, tmp_path))
    monkeypatch.chdir(found.root)
    return found


def test_doctor_names_the_folders_that_may_not_be_written(
    here: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All was well in a project where every command that writes ended in `Permission denied`."""
    allowed = os.access
    monkeypatch.setattr(
        os, "access", lambda at, mode: Path(at) != here.data and allowed(at, mode)
    )  # as for any user but root
    assert main.start(["doctor"]) == 1
    assert f"✗ folders    not writable: {here.data}\n" in capsys.readouterr().out


def test_doctor_looks_at_the_rest_where_the_turn_cannot_be_read(
    own: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    own.turn.write_text("{")
    assert main.start(["doctor"]) == 1
    told = capsys.readouterr().out
    assert "✗ data       turn.json is not readable JSON" in told
    assert "✓ registry   all files are as recorded" in told


def test_what_is_damaged_is_named_by_doctor_and_verify_and_repaired(
    own: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = own.version("v1") / "checkpoint" / "model.safetensors"
    weights.chmod(0o644)
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    heldout = own.episode("0001-first") / "heldout.parquet"
    heldout.chmod(0o644)
    heldout.unlink()
    assert main.start(["verify"]) == 1
    said = capsys.readouterr().err
    assert "model.safetensors" in said and "heldout.parquet" in said
    assert main.start(["doctor"]) == 1
    assert "onward repair" in capsys.readouterr().out
    assert main.start(["repair"]) == 0
    said = capsys.readouterr().out
    assert "model.safetensors" in said and "heldout.parquet" in said
    assert main.start(["verify"]) == 0


@pytest.mark.parametrize(
    "command",
    [
        "gate --show 9", "gate --show 1 --replay 1", "promote --force", "promote --reason x",
        "rollback --to v9 --reason x", "rollback --to v1 --reason x", "rollback --reason x",
        "rollback --to ../v1 --reason x", "reinstate v1 --reason x", "episode show nothing",
        "episode withdraw first --reason ''", "episode open bad/name first.jsonl",
        "episode open x no-such-file.csv", "episode open x dvc.yaml --map question",
        "adopt no-such-folder",
    ],
)  # fmt: skip
def test_what_cannot_be_is_wrong_usage_with_what_to_do(
    command: str, here: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    before = journal.lines(here)
    arguments = [word if word != "''" else "" for word in command.split()]
    assert main.start(arguments) == 3
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 3, said
    assert journal.lines(here) == before


def test_wrong_settings_are_3_and_name_the_nearest_key(
    here: Project,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    own = projects.copy(here.root, tmp_path)
    projects.change(own, gate={"margn": 1})
    monkeypatch.chdir(own)
    assert main.start(["run"]) == 3
    assert "'margin'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changed", "said", "code"),
    [
        ({"strategy": {"rows": "joint", "term": "der"}}, "needs strategy.rows replay", 3),
        ({"benchmark": {"provider": "cuda"}}, "no NVIDIA device", 1),
    ],
)
def test_a_run_refuses_at_once_what_a_later_stage_would(
    changed: dict[str, dict[str, str]],
    said: str,
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A dry run said that it would make all stages; CUDA was missed after the training."""
    from onward.runtime import providers

    own = projects.opened(tmp_path)
    projects.change(own.root, **changed)
    monkeypatch.chdir(own.root)
    monkeypatch.setattr(providers, "devices", lambda: 0)
    for more in (["--dry-run"], []):
        assert main.start(["run", *more]) == code
        assert said in capsys.readouterr().err
    assert not own.made("inputs").exists()


def test_stages_that_are_not_made_are_named(
    here: Project,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    own = projects.opened(tmp_path)
    monkeypatch.chdir(own.root)
    assert main.start(["gate"]) == 3
    assert "dvc repro" in capsys.readouterr().err
    assert main.start(["run", "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["stages"][0] == "validate"


def test_one_row_is_a_row() -> None:
    found = {"before": "v1", "counts": {"lost": 1, "won": 0}, "placed": None, "score": "chrF"}
    told = ["LOST against v1: 1 row, by chrF", "WON against v1: 0 rows, by chrF"]
    assert examples.lines({**found, "lost": [], "won": []}) == told


def test_the_lines_of_a_text_stand_under_its_first() -> None:
    """A dialogue's turns stood at the margin, like rows of their own."""
    side = {"text": "He went.\nSo.", "score": 7.0, "probability": 0.5, "no_answer": False}
    row = {"unit": "0001-a", "id": "1", "inputs": {"question": "A: Hi\nB: Oh\n"}}
    row |= {"answers": ["Bye"], "before": side, "after": side}
    found = {"before": "v1", "counts": {"lost": 1, "won": 0}, "placed": None, "nothing": ""}
    shown = examples.lines({**found, "score": "F1", "lost": [row], "won": []})
    under = " " * len("    question  ")
    assert shown[2] == f"    question  A: Hi\n{under}B: Oh"
    assert shown[4] == f"    before    He went.\n{under}So.   (score 7, probability 0.50)"


def test_status_counts_rows_and_the_matrix_episodes(
    here: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.start(["status"]) == 0
    assert re.search(
        r"quality   F1 [\d.]+ on \d+ held-out rows of 1 episode", capsys.readouterr().out
    )
    assert main.start(["matrix"]) == 0
    assert "v1's mean over its episodes" in " ".join(capsys.readouterr().out.split())


def test_a_dry_run_beside_a_run_is_told_who_holds_the_project(
    here: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    with here.run_lock.open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert main.start(["run", "--dry-run"]) == 1
    what, _, todo = capsys.readouterr().err.splitlines()
    assert what.startswith("Busy: ") and "`onward run --wait`" in todo


def test_a_dry_run_foresees_what_the_machine_and_the_code_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It promised nothing to do, and after an upgrade the run trained; and the other way round."""
    own = projects.promoted(tmp_path)
    monkeypatch.chdir(own.root)

    def foreseen() -> tuple[list[str], str | None]:
        assert main.start(["run", "--dry-run", "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        return told["stages"], told["nothing"]

    serves = "v1 serves, and is what these episodes and settings make"
    shutil.rmtree(own.made("inputs"))
    assert foreseen() == ([], serves) and not own.made("inputs").exists()
    real = fingerprints.code

    def changed(stage: str, recipe: str) -> Any:
        return {**real(stage, recipe), "new": "1"} if stage == upgraded else real(stage, recipe)

    monkeypatch.setattr(fingerprints, "code", changed)
    for upgraded, stages, nothing in (
        ("finetune", ["finetune", "evaluate", "export", "benchmark"], None),
        ("benchmark", ["benchmark"], serves),
    ):
        assert foreseen() == (stages, nothing)
    monkeypatch.setattr(fingerprints, "code", real)
    projects.open_episode(own, "second", projects.rows(2, "city"))
    projects.onward(own.root, "episode", "withdraw", "second", "--reason", "wrong city")
    assert foreseen() == ([], "every open episode is learned already")
