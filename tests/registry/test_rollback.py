"""Rolling back, the turn that follows it, and letting a candidate return."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from onward import files
from onward.episodes.turn import Turn
from onward.errors import IntegrityError, InternalError, MissingFiles, UsageError, Withdrawn
from onward.project import Project
from onward.registry import journal, versions
from onward.registry import rollback as rollback_module
from onward.registry.finish import finish
from onward.registry.rollback import reinstate, rollback, targets
from tests.registry import turns


@pytest.fixture
def three(project: Project) -> Project:
    """v1, v2 and v3, all of the first episode."""
    for content in ("first", "second", "third"):
        turns.promoted(project, content)
    return project


def back(project: Project, to: str, reason: str = "slow") -> versions.Champion:
    return rollback(project, to, reason, by="ana", probe=turns.answers)


def candidate_of(project: Project, version: str) -> str:
    return str(versions.card(project, version)["candidate"])


def test_the_target_serves_and_the_one_left_is_withdrawn(three: Project) -> None:
    champion = back(three, "v1")
    assert (champion.version, champion.seq) == ("v1", 4)
    line = journal.lines(three)[3]
    expected = {
        "what": "rollback",
        "by": "ana",
        "reason": "slow",
        "champion": "v3",
        "version": "v1",
        "candidate": candidate_of(three, "v1"),
        "withdraws": [candidate_of(three, "v3")],
    }
    assert {key: line[key] for key in expected} == expected
    assert journal.withdrawn_candidates(three) == {candidate_of(three, "v3"): "slow"}
    assert versions.champion(three) == champion


def test_a_version_skipped_on_the_way_is_not_withdrawn(three: Project) -> None:
    back(three, "v1")
    found = {target.version: target.problem for target in targets(three)}
    assert found["v2"] is None
    assert isinstance(found["v3"], Withdrawn)


def test_targets_are_verified_and_newest_first(three: Project) -> None:
    (three.version("v1") / "spec.json").write_text("edited")
    found = targets(three)
    assert [(target.version, target.seq) for target in found] == [("v2", 2), ("v1", 1)]
    assert found[0].problem is None and isinstance(found[1].problem, IntegrityError)


def test_without_a_champion_there_are_no_targets(project: Project) -> None:
    assert targets(project) == []
    with pytest.raises(UsageError, match="v1 was never promoted"):
        back(project, "v1")


@pytest.mark.parametrize(
    ("to", "why"), [("v3", "serves already"), ("v9", "never promoted"), ("../v1", "not a version")]
)
def test_what_cannot_be_a_target(three: Project, to: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        back(three, to)
    assert journal.next_seq(three) == 4


def test_a_version_of_the_same_candidate_is_no_target(three: Project) -> None:
    """It would be withdrawn by the very rollback that brings it back."""
    again = turns.promoted(three, "first")
    assert again.version == "v4" and again.candidate == candidate_of(three, "v1")
    with pytest.raises(UsageError, match="same candidate as v4"):
        back(three, "v1")
    assert {t.version for t in targets(three) if t.problem is None} == {"v2", "v3"}


@pytest.mark.parametrize("reason", ["", "  \n"])
def test_a_rollback_needs_a_reason(three: Project, reason: str) -> None:
    with pytest.raises(UsageError, match="needs a reason"):
        back(three, "v1", reason)


def test_i1_a_damaged_target_is_refused(three: Project) -> None:
    (three.version("v1") / "package" / "model.onnx").write_text("flipped")
    before = three.champion.read_bytes()
    with pytest.raises(IntegrityError):
        back(three, "v1")
    assert three.champion.read_bytes() == before and journal.next_seq(three) == 4


def test_s12_a_target_with_a_manifest_of_its_own_is_refused_untried(three: Project) -> None:
    """Only the journal still knows what was promoted."""
    folder = three.version("v1")
    (folder / "package" / "model.onnx").write_text("edited")
    files.seal(folder, version="v1")
    problem = {target.version: target.problem for target in targets(three)}["v1"]
    assert isinstance(problem, IntegrityError) and "recorded" in problem.what
    with pytest.raises(IntegrityError, match="not the one that was recorded"):
        rollback(three, "v1", "slow", probe=lambda _: pytest.fail("tried"))


def test_a_target_that_is_not_here_is_missing(three: Project) -> None:
    files.remove(three.version("v1"))
    with pytest.raises(MissingFiles):
        back(three, "v1")


def test_i1_a_target_that_does_not_answer_is_refused(three: Project) -> None:
    def fails(package: Path) -> None:
        raise IntegrityError("Probe 1 is answered differently")

    with pytest.raises(IntegrityError, match="Probe 1"):
        rollback(three, "v1", "slow", probe=fails)
    assert versions.champion(three).version == "v3"  # type: ignore[union-attr]


def test_the_default_probe_is_the_runtimes(three: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    from onward.runtime import probe

    asked: list[Path] = []
    monkeypatch.setattr(probe, "probe", asked.append)
    rollback(three, "v1", "slow")
    assert asked == [three.version("v1") / "package"]


@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_an_episode_that_is_not_here_stops_no_rollback(three: Project, damage: str) -> None:
    """It ended in an error after the pointer had moved, and the next one could not begin."""
    turns.turn(three, learning=turns.EPISODES[1:], base="v3")
    folder, away = three.episode(turns.EPISODES[0]), three.root / "away"
    shutil.copytree(folder, away)
    if damage == "missing":
        files.remove(folder)
    else:
        (folder / "train.parquet").write_bytes(b"other")
    assert back(three, "v2").version == "v2"
    assert back(three, "v1").version == "v1"
    assert Turn.read(three).base.name == "v3"
    with pytest.raises((MissingFiles, IntegrityError)):
        finish(three)  # so no run begins on a base that was withdrawn
    shutil.rmtree(folder, ignore_errors=True)
    away.rename(folder)
    assert finish(three) == ["the turn starts from v1 now: v3 was withdrawn"]


def test_promote_rollback_run_the_rollback_stands(three: Project) -> None:
    back(three, "v2")
    with pytest.raises(Withdrawn, match="slow"):
        turns.promoted(three, "third")
    assert versions.champion(three).version == "v2"  # type: ignore[union-attr]


def test_the_next_promotion_goes_on_counting(three: Project) -> None:
    back(three, "v1")
    champion = turns.promoted(three, "fourth")
    assert (champion.version, champion.seq) == ("v4", 5)
    assert journal.lines(three)[4]["champion"] == "v1"


def test_a_withdrawn_version_is_no_target_until_it_is_reinstated(three: Project) -> None:
    back(three, "v1")
    with pytest.raises(Withdrawn, match="v3 was withdrawn: slow"):
        back(three, "v3", "back again")
    assert reinstate(three, "v3", "measured again", by="li") == candidate_of(three, "v3")
    assert back(three, "v3", "back again").version == "v3"
    assert journal.withdrawn_candidates(three) == {candidate_of(three, "v1"): "back again"}


def test_reinstating_by_the_candidates_id_or_its_beginning(three: Project) -> None:
    back(three, "v2")
    named = candidate_of(three, "v3")
    with pytest.raises(UsageError, match="does not name"):
        reinstate(three, named[:7], "too short")
    assert reinstate(three, named[:8], "fine") == named
    back(three, "v1")
    assert reinstate(three, candidate_of(three, "v2"), "fine") == candidate_of(three, "v2")


def test_i3_a_reinstatement_completes_a_killed_rollback_first(three: Project) -> None:
    """It died between pointer and line: the line keeps its number, and the next has another."""
    back(three, "v2")
    back(three, "v1")
    *before, _ = three.journal.read_bytes().splitlines(keepends=True)
    three.journal.write_bytes(b"".join(before))
    reinstate(three, "v3", "measured again")
    found = [(line["what"], line.get("champion")) for line in journal.lines(three)[3:]]
    assert found == [("rollback", "v3"), ("rollback", "v2"), ("reinstated", None)]


def test_only_what_is_withdrawn_is_reinstated(three: Project) -> None:
    for name in ("v1", "v9", "0" * 64):
        with pytest.raises(UsageError, match="does not name a withdrawn candidate"):
            reinstate(three, name, "why not")
    with pytest.raises(UsageError, match="needs a reason"):
        reinstate(three, "v1", "")


def test_a_reinstated_candidate_may_be_promoted_again(three: Project) -> None:
    back(three, "v2")
    reinstate(three, "v3", "measured again")
    assert turns.promoted(three, "third").version == "v4"


# ---- the turn after a rollback ------------------------------------------------------------------


def next_turn(project: Project) -> None:
    """The second episode was opened on top of v3."""
    turns.turn(project, learning=turns.EPISODES[1:], base="v3")


def test_a_turn_whose_base_is_withdrawn_is_composed_anew(three: Project) -> None:
    next_turn(three)
    back(three, "v2")
    turn = Turn.read(three)
    assert (turn.base.kind, turn.base.name) == ("version", "v2")
    assert turn.known_episodes == ["0001-faq"] and turn.learning_episodes == ["0002-legal"]


def test_a_turn_on_another_base_stays(three: Project) -> None:
    before = three.turn.read_bytes()
    back(three, "v1")
    assert three.turn.read_bytes() == before
    turns.turn(three, learning=turns.EPISODES[1:], base="v2")
    before = three.turn.read_bytes()
    assert finish(three) == [] and three.turn.read_bytes() == before


def test_a_champion_withdrawn_by_name_stays_the_base_until_another_serves(three: Project) -> None:
    next_turn(three)
    journal.append(three, "withdrawn", candidate=candidate_of(three, "v3"), reason="unsafe")
    before = three.turn.read_bytes()
    assert finish(three) == [] and three.turn.read_bytes() == before


def test_where_the_data_is_not_here_the_turn_waits_for_a_start_where_it_is(three: Project) -> None:
    next_turn(three)
    before = three.turn.read_bytes()
    three.data.rename(three.root / "elsewhere")
    back(three, "v2")
    assert three.turn.read_bytes() == before
    (three.root / "elsewhere").rename(three.data)
    assert finish(three) == ["the turn starts from v2 now: v3 was withdrawn"]
    assert Turn.read(three).base.name == "v2"


def test_a_server_that_has_no_turn_can_roll_back(three: Project) -> None:
    three.turn.unlink()
    assert back(three, "v1").version == "v1"


def test_the_same_rollback_again_leaves_all_as_it_is(three: Project) -> None:
    first = back(three, "v1")
    before = deliveries_of(three)
    assert back(three, "v1", "another reason") == first
    assert deliveries_of(three) == before


def deliveries_of(project: Project) -> dict[str, str]:
    return {str(path): files.sha256(path) for path in project.root.rglob("*") if path.is_file()}


def test_a_rollback_whose_tags_failed_is_finished_by_the_same_command(
    three: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It was told to be run again, and then that v1 serves already: `prod` stayed where it was."""
    from cli import main
    from tasks import verdicts

    monkeypatch.chdir(three.root)
    monkeypatch.setattr(rollback_module, "in_a_fresh_process", turns.answers)
    published: list[str] = []

    def publish(project: Project) -> None:
        at = versions.pointer(project)
        assert at is not None
        published.append(at.version)
        if len(published) == 1:
            raise InternalError("git add failed", where="here", fix="run the command again")

    monkeypatch.setattr(verdicts, "publish", publish)
    typed = ["rollback", "--to", "v1", "--reason", "slow"]
    assert main.start(typed) == 1 and main.start(typed) == 0
    assert published == ["v1", "v1"] and journal.next_seq(three) == 5
    assert "v1 serves again (4 in the journal)" in capsys.readouterr().out


def test_where_git_cannot_commit_nothing_is_rolled_back(
    three: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from cli import main

    monkeypatch.chdir(three.root)
    files.write_text(three.params, "project: {name: toy}\ngit: {commit: true}\n")
    assert main.start(["rollback", "--to", "v1", "--reason", "slow"]) == 3
    assert "not a Git repository" in capsys.readouterr().err
    assert journal.next_seq(three) == 4
