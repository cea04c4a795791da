"""The flow against a real local server: both doors, its states, and what stands after each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from onward import files, locks
from onward.episodes.turn import Turn
from onward.errors import Busy, Cancelled, IntegrityError
from onward.project import Project
from onward.registry import journal, versions
from tests.flows import projects

pytestmark = pytest.mark.timeout(1200)

STAGES = ["inputs", "validate", "prepare", "finetune", "evaluate", "export", "benchmark"]


def improve(project: Project, **how: Any) -> Any:
    from flows.improve import improve as flow

    return flow(str(project.root), **how, return_state=True)


def everything(project: Project) -> set[str]:
    """All files but caches, locks and what Git and DVC keep for themselves."""
    found = (path for path in project.root.rglob("*") if path.is_file())
    names = {path.relative_to(project.root).as_posix() for path in found}
    return {name for name in names if not name.startswith((".git/", ".dvc/", ".onward/"))}


def lock(project: Project) -> dict[str, Any]:
    return dict(YAML(typ="safe").load((project.root / "dvc.lock").read_text())["stages"])


def test_both_doors_leave_the_same(opened: Project, promoted: Project, connected: str) -> None:
    state = improve(opened)
    assert (state.name, state.type.value) == ("Promoted", "COMPLETED")
    assert everything(opened) == everything(promoted)
    by_flow, by_dvc = lock(opened), lock(promoted)
    assert list(by_flow) == list(by_dvc) == STAGES
    for stage in STAGES[:-1]:
        assert by_flow[stage] == by_dvc[stage], stage
    assert by_flow["benchmark"]["deps"] == by_dvc["benchmark"]["deps"]
    ours, theirs = (versions.champion(project) for project in (opened, promoted))
    assert ours and theirs
    assert (ours.version, ours.candidate) == (theirs.version, theirs.candidate)
    assert _artifacts(connected) >= {
        "validation", "before-and-after", "latency", "verdict-accuracy", "verdict-final",
    }  # fmt: skip


def _artifacts(api: str) -> set[str]:
    import httpx

    return {found["key"] for found in httpx.post(f"{api}/artifacts/filter", json={}).json()}


def test_what_a_first_turn_leaves(promoted: Project) -> None:
    names = everything(promoted)
    assert {name for name in names if "/" not in name} == {
        ".gitignore", "data.dvc", "dvc.lock", "dvc.yaml", "params.yaml", "prefect.yaml",
    } | ({".dvcignore"} & names)  # fmt: skip
    assert {name.partition("/")[0] for name in names if "/" in name} == {"models", "turn", "data"}
    models = {name for name in names if name.startswith("models/")}
    assert {name for name in models if name.count("/") == 1} == {
        "models/turn.json", "models/champion.json", "models/journal.jsonl",
    }  # fmt: skip
    assert {"models/registry/v1.dvc", "models/verdicts/1.dvc"} <= models
    assert files.verify(promoted.version("v1")) and files.verify(promoted.verdict(1))
    assert [line["what"] for line in journal.lines(promoted)] == ["promoted"]


def test_nothing_to_do(promoted: Project, connected: str) -> None:
    before = {name: files.sha256(promoted.root / name) for name in everything(promoted)}
    state = improve(promoted)
    assert state.name == "NothingToDo"
    assert "v1 serves" in state.message
    assert before == {name: files.sha256(promoted.root / name) for name in everything(promoted)}


@pytest.mark.parametrize("word", ["Cancelling", "Cancelled"])
def test_a_run_that_the_dashboard_cancels_ends_before_its_next_step(
    opened: Project, connected: str, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    import httpx
    from prefect.runtime import flow_run

    from cli.run import _why
    from flows import improve as flow

    def cancel(project: Project) -> list[str]:
        state = {"type": word.upper(), "name": word}
        where = f"{connected}/flow_runs/{flow_run.id}/set_state"
        httpx.post(where, json={"state": state}).raise_for_status()
        return []

    monkeypatch.setattr(flow, "begin", cancel)
    before = everything(opened)
    state = improve(opened)
    assert (state.name, state.type.value) == ("Cancelled", "CANCELLED")
    assert isinstance(_why(state, "1"), Cancelled)
    assert everything(opened) == before and journal.lines(opened) == []
    assert locks.is_held(opened.run_lock) is False


def test_nothing_is_left_to_learn_where_the_new_episode_was_withdrawn(
    promoted: Project, connected: str
) -> None:
    projects.open_episode(promoted, "second", projects.rows(2, "city"))
    projects.onward(promoted.root, "episode", "withdraw", "second", "--reason", "wrong city")
    assert Turn.read(promoted).learning == ()
    assert improve(promoted).name == "NothingToDo"


def test_I4_a_damaged_episode_fails_typed_and_changes_nothing(
    promoted: Project, connected: str
) -> None:
    path = promoted.data / "0001-first" / "train.parquet"
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    state = improve(promoted)
    assert (state.name, state.type.value) == ("Failed", "FAILED")
    assert isinstance(state.result(raise_on_failure=False), IntegrityError)
    assert [line["what"] for line in journal.lines(promoted)] == ["promoted"]
    projects.onward(promoted.root, "verify", code=1)
    projects.onward(promoted.root, "repair")
    projects.onward(promoted.root, "verify")
    assert improve(promoted).name == "NothingToDo"


def test_F10_a_second_run_is_told_who_runs(promoted: Project, connected: str) -> None:
    with locks.held(promoted.run_lock, "a test"):
        done = projects.onward(promoted.root, "run", "--json", code=1, PREFECT_API_URL=connected)
        assert json.loads(done.stdout)["error"] == "Busy"
        assert "a test" in json.loads(done.stdout)["what"]
    with pytest.raises(Busy), _held_by_another(promoted.run_lock):
        improve(promoted).result()


def _held_by_another(lock: Path) -> Any:
    """The lock, taken so that this process's own context does not count as its holder."""
    import contextlib
    import fcntl
    import os

    @contextlib.contextmanager
    def held() -> Any:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            os.close(descriptor)

    return held()


def test_what_does_not_pass_is_journaled_once_and_never_a_failure(
    made: Project, connected: str
) -> None:
    projects.change(made.root, gate={"min_rows": 10_000})
    state = improve(made)
    assert (state.name, state.type.value) == ("Undecided", "COMPLETED")
    assert improve(made).name == "NothingToDo"
    (line,) = journal.lines(made)
    assert files.verify(made.verdict(1), line["verdict"])
    assert versions.pointer(made) is None
    shown = projects.onward(made.root, "gate", "--show", "1").stdout
    assert "nothing serves yet" in shown
    done = projects.onward(made.root, "gate", "--json", code=2)
    assert json.loads(done.stdout)["seq"] == 1
    projects.onward(made.root, "promote", code=2)
    assert len(journal.lines(made)) == 1

    projects.change(made.root, gate={"min_rows": 20})
    assert improve(made).name == "Promoted"
    assert [line["what"] for line in journal.lines(made)] == ["undecided", "promoted"]


def test_forced_is_marked_for_ever(made: Project) -> None:
    projects.change(made.root, gate={"min_rows": 10_000})
    projects.onward(made.root, "promote", "--force", code=3)
    projects.onward(made.root, "promote", "--force", "--reason", "law change")
    (line,) = journal.lines(made)
    assert (line["what"], line["reason"], line["version"]) == ("forced", "law change", "v1")
    assert "forced !" in projects.onward(made.root, "history").stdout
    assert "against the rule: law change" in projects.onward(made.root, "status").stdout
    shown = projects.onward(made.root, "gate", "--show", "1").stdout
    assert "v1 serves, against the rule: law change" in shown
    card = files.read_json(made.version("v1") / "card.json")
    assert (card["verdict"]["outcome"], card["verdict"]["forced"]) == ("forced", "law change")
    projects.onward(made.root, "report")
    page = (made.root / "report" / "index.html").read_text()
    assert "Promoted against the rule by" in page and "law change" in page


@pytest.mark.slow
def test_refused_then_learned_with_the_next_and_a_rollback_stands(
    promoted: Project, connected: str
) -> None:
    """The champion knows the first kinds of question already; cities it does not."""
    projects.change(promoted.root, gate={"gain": 5.0})
    projects.open_episode(promoted, "again", projects.rows(2, "colour", "animal"))
    assert improve(promoted).name == "Refused"
    assert improve(promoted).name == "NothingToDo"
    assert [line["what"] for line in journal.lines(promoted)] == ["promoted", "refused"]
    assert _serving(promoted) == "v1"

    projects.open_episode(promoted, "cities", projects.rows(3, "city"))
    turn = Turn.read(promoted)
    assert turn.known_episodes == ["0001-first"]
    assert turn.learning_episodes == ["0002-again", "0003-cities"]
    assert improve(promoted).name == "Promoted"
    assert _serving(promoted) == "v2"

    projects.onward(promoted.root, "rollback", code=0)
    projects.onward(promoted.root, "rollback", "--to", "v1", "--reason", "a test")
    state = improve(promoted)
    assert state.name in ("Refused", "NothingToDo")
    assert improve(promoted).name == "NothingToDo"
    assert _serving(promoted) == "v1"
    projects.onward(promoted.root, "verify")
    for seq in (1, 2, 3):
        projects.onward(promoted.root, "gate", "--replay", str(seq))


def _serving(project: Project) -> str | None:
    at = versions.pointer(project)
    return at.version if at else None
