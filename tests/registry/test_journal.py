"""The journal: append-only, numbered, and the facts derived from it."""

from __future__ import annotations

import getpass
from pathlib import Path

import pytest

from onward import files
from onward.errors import Conflict, IntegrityError
from onward.project import Project
from onward.registry import journal


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_lines_are_numbered_from_one_and_carry_what_was_given(project: Project) -> None:
    assert journal.next_seq(project) == 1
    assert journal.append(project, "withdrawn", by="ana", reason="wrong", episode="0001-a") == 1
    assert journal.append(project, "reinstated", by="li", reason="mended", episode="0001-a") == 2
    first, second = journal.lines(project)
    assert {**first, "at": ""} == {
        "schema": 1,
        "seq": 1,
        "what": "withdrawn",
        "at": "",
        "by": "ana",
        "reason": "wrong",
        "episode": "0001-a",
    }
    assert second["seq"] == 2 and journal.next_seq(project) == 3


def test_by_is_the_user_unless_given(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    journal.append(project, "withdrawn", candidate="c")
    assert journal.lines(project)[0]["by"] == getpass.getuser()

    def nobody() -> str:
        raise KeyError("uid 4711")

    monkeypatch.setattr("getpass.getuser", nobody)
    assert journal.user() == "unknown"


def test_an_unknown_kind_is_a_defect(project: Project) -> None:
    with pytest.raises(ValueError, match="not one of"):
        journal.append(project, "promotd")
    assert not project.journal.exists()


def test_f10_a_number_that_was_announced_must_still_be_the_next(project: Project) -> None:
    journal.append(project, "withdrawn", seq=1, candidate="a")
    with pytest.raises(Conflict, match="SEQ 2, not 1"):
        journal.append(project, "withdrawn", seq=1, candidate="b")
    assert [line["candidate"] for line in journal.lines(project)] == ["a"]


def test_f09_order_is_the_number_whatever_the_clock_says(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datetime as clock

    class Jumping(clock.datetime):
        days = iter([0, 3650, -1, 3650])

        @classmethod
        def now(cls, zone: clock.tzinfo | None = None) -> clock.datetime:  # type: ignore[override]
            return clock.datetime(2026, 11, 22, tzinfo=zone) + clock.timedelta(next(cls.days))

    monkeypatch.setattr(journal, "datetime", Jumping)
    journal.append(project, "withdrawn", reason="1", candidate="c")
    journal.append(project, "reinstated", reason="2", candidate="c")
    journal.append(project, "withdrawn", reason="3", candidate="c")
    assert [line["seq"] for line in journal.lines(project)] == [1, 2, 3]
    assert journal.lines(project)[2]["at"] < journal.lines(project)[0]["at"]
    assert journal.withdrawn_candidates(project) == {"c": "3"}


@pytest.mark.parametrize(
    "damage",
    [
        b'{"schema":1,"seq":2,"what":"withdrawn"}\n',
        b'{"schema":1,"what":"withdrawn"}\n',
        b"[]\n",
        b"not json\n",
    ],
)
def test_a_damaged_journal_is_refused(project: Project, damage: bytes) -> None:
    project.journal.parent.mkdir()
    project.journal.write_bytes(damage)
    with pytest.raises(IntegrityError) as caught:
        journal.lines(project)
    assert caught.value.where.endswith("journal.jsonl:1")


def test_a_removed_line_in_the_middle_is_noticed(project: Project) -> None:
    for name in "abc":
        journal.append(project, "withdrawn", candidate=name)
    lines = project.journal.read_bytes().splitlines(keepends=True)
    project.journal.write_bytes(lines[0] + lines[2])
    with pytest.raises(IntegrityError, match="SEQ 2"):
        journal.lines(project)


@pytest.mark.parametrize("field", [{"schema": 2}, {"what": "annulled"}])
def test_a_line_of_a_newer_release_is_refused(project: Project, field: dict[str, object]) -> None:
    line = {"schema": 1, "seq": 1, "what": "withdrawn", "at": "", "by": "", **field}
    files.append_line(project.journal, line)
    with pytest.raises(IntegrityError, match="does not know"):
        journal.lines(project)


def test_i3_a_torn_last_line_was_never_acknowledged(project: Project) -> None:
    journal.append(project, "withdrawn", candidate="a")
    with project.journal.open("ab") as out:
        out.write(b'{"schema":1,"seq":2,"wha')
    assert journal.next_seq(project) == 2
    assert journal.append(project, "withdrawn", candidate="b") == 2
    assert [line["candidate"] for line in journal.lines(project)] == ["a", "b"]


def test_withdrawn_candidates_by_rollback_withdrawal_and_reinstatement(project: Project) -> None:
    journal.append(project, "rollback", reason="slow", candidate="old", withdraws=["new"])
    journal.append(project, "withdrawn", reason="unsafe", candidate="other")
    assert journal.withdrawn_candidates(project) == {"new": "slow", "other": "unsafe"}
    journal.append(project, "reinstated", reason="mended", candidate="new")
    assert journal.withdrawn_candidates(project) == {"other": "unsafe"}
    assert journal.withdrawn_episodes(project) == {}


def test_withdrawn_episodes(project: Project) -> None:
    journal.append(project, "withdrawn", reason="wrong", episode="0001-a")
    journal.append(project, "withdrawn", reason="private", episode="0002-b")
    journal.append(project, "reinstated", reason="mended", episode="0001-a")
    assert journal.withdrawn_episodes(project) == {"0002-b": "private"}
    assert journal.withdrawn_candidates(project) == {}


def judged(project: Project, what: str, turn: str, candidate: str, key: str) -> None:
    journal.append(project, what, turn=turn, candidate=candidate, key=key)


def test_the_last_verdict_of_a_key(project: Project) -> None:
    judged(project, "undecided", "t1", "c1", "k1")
    judged(project, "refused", "t1", "c1", "k2")
    judged(project, "forced", "t1", "c1", "k1")
    found = journal.verdict_for(project, "k1")
    assert found is not None and (found["seq"], found["what"]) == (3, "forced")
    assert journal.verdict_for(project, "k9") is None


def test_a_candidate_returns_by_a_reinstatement_after_its_verdict(project: Project) -> None:
    for what in ("promoted", "rollback", "reinstated"):
        journal.append(project, what, candidate="a")
    journal.append(project, "refused", candidate="a")
    first, _, _, last = journal.lines(project)
    assert journal.returned(project, first) and not journal.returned(project, last)
    assert not journal.returned(project, {**first, "candidate": "b"})


def test_a_candidate_that_was_forced_is_not_judged_again(project: Project) -> None:
    for what in ("forced", "rollback", "reinstated"):
        journal.append(project, what, candidate="a")
    assert not journal.returned(project, journal.lines(project)[0])
