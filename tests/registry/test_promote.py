"""Promotion: what it leaves, in which order, and whom it refuses."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest

from onward import files, locks
from onward.episodes import rows as parquet
from onward.episodes.turn import Turn
from onward.errors import Busy, Conflict, DiskFull, IntegrityError, UsageError, Withdrawn
from onward.evaluation import ledger
from onward.project import Project
from onward.recipes import classification
from onward.registry import journal, promote, versions
from tests.registry import turns


def ready(
    project: Project, content: str = "first", labels: tuple[str, ...] = (), **changes: Any
) -> Any:
    """A kept verdict that is about to be promoted."""
    turns.candidate(project, content, labels)
    at = versions.pointer(project)
    judged = dataclasses.replace(
        turns.verdict(project, "promoted", at.version if at else None), **changes
    )
    turns.keep_verdict(project, journal.next_seq(project), judged)
    return judged


def promoting(project: Project, judged: Any, seq: int = 1, **options: Any) -> versions.Champion:
    given = {"keep": turns.kept, "by": "gate", "probe": turns.answers, **options}
    return promote.promote(project, judged, seq, **given)


def names(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_a_version_holds_exactly_what_serves_and_what_made_it(project: Project) -> None:
    champion = turns.promoted(project, "first")
    assert names(champion.folder) == [
        "card.json",
        "checkpoint/config.json",
        "checkpoint/model.safetensors",
        "checkpoint/tokenizer.json",
        "ledger.parquet",
        "manifest.json",
        "matrix.json",
        "matrix.parquet",
        "memory/memory.json",
        "package/manifest.json",
        "package/model.int8.onnx",
        "package/model.onnx",
        "package/package.json",
        "package/serving.json",
        "package/tokenizer.json",
        "package/tokenizer_config.json",
        "spec.json",
    ]
    assert files.read_json(champion.package / "serving.json") == {
        "schema": 1,
        "variant": "int8",
        "provider": "cpu",
    }
    files.verify(champion.package)


def test_the_ledger_holds_the_candidate_and_the_variant_that_serves(project: Project) -> None:
    champion = turns.promoted(project, "first")
    parts = ledger.read_parts(champion.folder / "ledger.parquet")
    assert sorted((part.artifact, part.provider) for part in parts) == sorted(
        [(champion.candidate, "torch"), ("int8 of first", "onnx-cpu")]
    )


def test_the_card_says_where_it_came_from(project: Project) -> None:
    files.write_json(project.made("inputs") / "machine.json", {"cpu": "toy"})
    card = turns.promoted(project, "first").card
    turn = Turn.read(project)
    assert card["turn"] == turn.id
    assert card["base"] == {"kind": "pretrained", "name": "toy", "sha256": "0" * 64}
    assert [line["episode"] for line in card["learned"]] == ["0001-faq"]
    assert card["learned"] == card["learning"] and card["known"] == []
    assert card["data"]["md5"] == "1.dir" and card["revision"] == "abc"
    assert card["parameters"]["project"]["name"] == "toy"
    assert card["environment"]["machine"] == {"cpu": "toy"}
    assert "numpy" in card["environment"]["packages"]
    assert card["metrics"] == {"0001-faq": {"f1": 61.0}} and card["latency"] is None
    assert card["package"] == {"variant": "int8", "provider": "cpu"}
    assert card["verdict"]["seq"] == 1 and len(card["verdict"]["checks"]) == 2
    assert not {"at", "date", "time"} & set(card)


def test_a_card_names_only_what_is_installed(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    from onward.registry import lineage

    monkeypatch.setattr(lineage, "PACKAGES", ("numpy", "not-installed"))
    assert list(lineage.environment(project)["packages"]) == ["numpy"]


def test_the_journal_line_and_the_pointer_say_the_same(project: Project) -> None:
    champion = turns.promoted(project, "first")
    (line,) = journal.lines(project)
    at = versions.pointer(project)
    assert at is not None and at.line == line and at.manifest == champion.manifest
    expected = {
        "seq": 1,
        "what": "promoted",
        "by": "gate",
        "candidate": champion.candidate,
        "turn": Turn.read(project).id,
        "champion": None,
        "version": "v1",
        "manifest": champion.manifest,
        "episodes": ["0001-faq"],
        "learning_change": 4.0,
        "worst_unit": "0001-faq",
        "worst_change": -0.5,
        "verdict": files.sha256(project.verdict(1) / files.MANIFEST),
    }
    assert {key: line[key] for key in expected} == expected


def test_versions_count_up_and_the_line_names_the_one_before(project: Project) -> None:
    turns.promoted(project, "first")
    champion = turns.promoted(project, "second")
    assert (champion.version, champion.seq) == ("v2", 2)
    assert journal.lines(project)[1]["champion"] == "v1"
    assert sorted(path.name for path in project.registry.iterdir()) == [
        "v1",
        "v1.dvc",
        "v2",
        "v2.dvc",
    ]


def test_the_order_is_verdict_version_probe_pointer_journal(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def note(what: str) -> Any:
        def noted(path: Path) -> None:
            state = "pointer" if project.champion.exists() else "no pointer"
            lines = len(journal.lines(project))
            seen.append(f"{what} {path.name}, {state}, {lines} lines")

        return noted

    judged = ready(project)
    promoting(project, judged, keep=note("keep"), probe=note("probe"))
    assert seen == [
        "keep 1, no pointer, 0 lines",
        "probe package, no pointer, 0 lines",
        "keep v1, no pointer, 0 lines",
    ]


def test_i1_a_package_that_does_not_answer_is_never_pointed_to(project: Project) -> None:
    turns.promoted(project, "first")
    before = project.champion.read_bytes()

    def fails(package: Path) -> None:
        raise IntegrityError("Probe 1 is answered differently")

    with pytest.raises(IntegrityError, match="Probe 1"):
        turns.promoted(project, "second", probe=fails)
    assert project.champion.read_bytes() == before
    assert turns.promoted(project, "second").version == "v2"


def test_i1_a_package_that_changes_between_probe_and_pointer_is_not_pointed_to(
    project: Project,
) -> None:
    def spoils(folder: Path) -> None:
        if folder.name == "v1":
            (folder / "package" / "model.onnx").write_text("swapped")

    with pytest.raises(IntegrityError, match="onnx in v1 is changed"):
        turns.promoted(project, "first", keep=spoils)
    assert not project.champion.exists()


def test_the_default_probe_is_the_runtimes(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    from onward.runtime import probe

    asked: list[Path] = []
    monkeypatch.setattr(probe, "probe", asked.append)
    promoting(project, ready(project), probe=None)
    assert asked == [project.version("v1") / "package"]


def test_what_serves_already_is_left_alone(project: Project) -> None:
    champion = turns.promoted(project, "first")
    before = project.champion.read_bytes()
    again = promoting(project, turns.verdict(project), 2)
    assert again == champion and project.champion.read_bytes() == before


@pytest.mark.parametrize("outcome", ["passed", "refused", "undecided"])
def test_only_a_promoting_verdict_promotes(project: Project, outcome: Any) -> None:
    judged = ready(project, outcome=outcome)
    with pytest.raises(UsageError, match=outcome):
        promoting(project, judged)
    assert versions.versions(project) == [] and journal.lines(project) == []


def test_a_forced_promotion_is_journaled_as_such_with_its_reason(project: Project) -> None:
    judged = ready(project, outcome="forced")
    promoting(project, judged, by="li", reason="law change")
    (line,) = journal.lines(project)
    assert (line["what"], line["by"], line["reason"]) == ("forced", "li", "law change")


def test_f10_the_second_of_two_promotions_is_refused(project: Project) -> None:
    """Both judged against no champion: compare-and-swap lets one through."""
    slow = ready(project, "slow")
    shutil.copytree(project.root / "turn", project.root / "kept")
    files.remove(project.verdict(1))
    turns.promoted(project, "fast")
    shutil.rmtree(project.root / "turn")
    (project.root / "kept").rename(project.root / "turn")
    turns.keep_verdict(project, 2, slow)
    with pytest.raises(Conflict, match="judged against no champion; now v1 serves"):
        promoting(project, slow, 2)
    assert [line["version"] for line in journal.lines(project)] == ["v1"]


def test_f10_a_number_taken_by_another_is_a_conflict(project: Project) -> None:
    judged = ready(project)
    journal.append(project, "withdrawn", episode="0009-x", reason="x")
    with pytest.raises(Conflict, match="went on to SEQ 2"):
        promoting(project, judged, 1)


def test_f10_the_pointer_moving_under_a_promotion_is_a_conflict(project: Project) -> None:
    """Somebody who ignores the lock writes the pointer while the package is tried."""
    turns.promoted(project, "first")

    def intrudes(package: Path) -> None:
        at = files.read_json(project.champion)
        files.write_json(project.champion, {**at, "seq": 7})

    with pytest.raises(Conflict, match="changed while this ran"):
        turns.promoted(project, "second", probe=intrudes)


def test_f10_the_journal_going_on_under_a_promotion_is_a_conflict(project: Project) -> None:
    """Seen before the pointer moves: moved, it would carry a line that is not the next."""
    turns.promoted(project, "first")
    before = project.champion.read_bytes()

    def intrudes(package: Path) -> None:
        journal.append(project, "withdrawn", episode="0009-x", reason="x")

    with pytest.raises(Conflict, match="went on to SEQ 3 since 2 was announced"):
        turns.promoted(project, "second", probe=intrudes)
    assert project.champion.read_bytes() == before


def test_f10_a_held_lock_is_told_at_once(project: Project) -> None:
    import threading

    judged = ready(project)
    refused: list[Busy] = []

    def other() -> None:
        try:
            promoting(project, judged)
        except Busy as error:
            refused.append(error)

    with locks.held(project.run_lock, "a rollback"):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert "a rollback is going on" in refused[0].what
    assert not project.champion.exists()


def test_inside_a_run_that_holds_the_lock_it_goes_on(project: Project) -> None:
    with locks.held(project.run_lock, "a run"):
        assert turns.promoted(project, "first").version == "v1"


def test_a_withdrawn_candidate_is_refused(project: Project) -> None:
    judged = ready(project)
    journal.append(project, "withdrawn", candidate=judged.candidate, reason="unsafe")
    files.remove(project.verdict(1))
    turns.keep_verdict(project, 2, judged)
    with pytest.raises(Withdrawn, match="unsafe"):
        promoting(project, judged, 2)


def test_another_candidate_than_the_judged_one_is_a_conflict(project: Project) -> None:
    judged = ready(project)
    turns.candidate(project, "trained meanwhile")
    with pytest.raises(Conflict, match="another candidate"):
        promoting(project, judged)


@pytest.mark.parametrize("damaged", ["finetune/model/config.json", "export/package/model.onnx"])
def test_f05_outputs_that_are_not_their_manifests_are_refused(
    project: Project, damaged: str
) -> None:
    judged = ready(project)
    (project.root / "turn" / damaged).write_text("flipped")
    with pytest.raises(IntegrityError, match="is changed"):
        promoting(project, judged)
    assert names(project.registry) == []


def test_a_damaged_verdict_is_refused(project: Project) -> None:
    judged = ready(project)
    (project.verdict(1) / "verdict.json").write_text("{}")
    with pytest.raises(IntegrityError, match=r"verdict.json in 1 is changed"):
        promoting(project, judged)


@pytest.mark.parametrize(("stage", "whose"), [("evaluate", "candidate"), ("export", "package")])
def test_ledgers_of_another_candidate_are_refused(project: Project, stage: str, whose: str) -> None:
    judged = ready(project)
    with files.building(project.made(stage), replace=True) as folder:
        if stage == "export":
            turns._package(folder / "package", "first")
        ledger.write_parts(folder / "ledger.parquet", [turns.part("stranger", "torch")])
    with pytest.raises(IntegrityError, match=f"no rows of the {whose}"):
        promoting(project, judged)
    assert names(project.registry) == []


def test_a_candidate_without_memory_has_none(project: Project) -> None:
    turns.candidate(project, "first")
    shutil.rmtree(project.made("finetune") / "memory")
    files.seal(project.made("finetune"))
    made_id = files.sha256(project.made("finetune") / files.MANIFEST)
    with files.building(project.made("evaluate"), replace=True) as folder:
        ledger.write_parts(folder / "ledger.parquet", [turns.part(made_id, "torch")])
    judged = turns.verdict(project)
    turns.keep_verdict(project, 1, judged)
    assert not (promoting(project, judged).folder / "memory").exists()


def test_the_torch_rows_may_carry_the_models_own_fingerprint(project: Project) -> None:
    from onward.evaluation.runner import fingerprint

    judged = ready(project)
    named = fingerprint(project.made("finetune") / "model")
    with files.building(project.made("evaluate"), replace=True) as folder:
        ledger.write_parts(folder / "ledger.parquet", [turns.part(named, "torch")])
    found = ledger.read_parts(promoting(project, judged).folder / "ledger.parquet")
    assert named in {part.artifact for part in found}


def test_f04_what_cannot_fit_is_refused_before_it_starts(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = ready(project)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 0))
    with pytest.raises(DiskFull, match="bytes needed, 0 free"):
        promoting(project, judged)
    assert names(project.registry) == []


def test_equal_turns_give_equal_versions(tmp_path: Path) -> None:
    made = [turns.project(tmp_path / name) for name in ("one", "two")]
    manifests = {turns.promoted(project, "first").manifest for project in made}
    assert len(manifests) == 1


def test_a_refusal_is_journaled_and_its_rows_are_kept(project: Project) -> None:
    judged = ready(project, outcome="refused")
    assert promote.record(project, judged, 1, keep=turns.kept, by="gate") == 1
    (line,) = journal.lines(project)
    assert (line["what"], line["version"], line["champion"]) == ("refused", None, None)
    assert journal.verdict_for(project, judged.key) == line
    assert (project.verdicts / "1.dvc").exists() and not project.champion.exists()


def test_a_refusal_names_the_champion_that_stays(project: Project) -> None:
    turns.promoted(project, "first")
    judged = ready(project, "second", outcome="undecided")
    promote.record(project, judged, 2, keep=turns.kept)
    assert journal.lines(project)[1]["champion"] == "v1"


def test_a_promoting_verdict_is_not_recorded_as_a_refusal(project: Project) -> None:
    judged = ready(project)
    with pytest.raises(UsageError, match="Verdict 1 promotes"):
        promote.record(project, judged, 1, keep=turns.kept)


def test_a_refusal_with_a_number_taken_by_another_is_a_conflict(project: Project) -> None:
    judged = ready(project, outcome="refused")
    journal.append(project, "withdrawn", episode="0009-x", reason="x")
    with pytest.raises(Conflict):
        promote.record(project, judged, 1, keep=turns.kept)


def test_a_package_without_a_label_of_the_champion_is_refused(project: Project) -> None:
    """A second look: whatever judged it, what asks for a label must not find it gone."""
    promoting(project, ready(project, labels=("ham", "spam")))
    judged = ready(project, "second", labels=("spam", "offer"))
    before = project.champion.read_bytes()
    with pytest.raises(Conflict, match="lacks 1 of v1's labels, first 'ham'"):
        promoting(project, judged, 2)
    assert project.champion.read_bytes() == before and not project.version("v2").exists()


def test_labels_may_grow_and_move(project: Project) -> None:
    promoting(project, ready(project, labels=("ham", "spam")))
    judged = ready(project, "second", labels=("offer", "spam", "ham"))
    assert promoting(project, judged, 2).version == "v2"


def test_a_label_is_dropped_only_by_force(project: Project) -> None:
    promoting(project, ready(project, labels=("ham", "spam")))
    judged = ready(project, "second", labels=("spam",), outcome="forced")
    assert promoting(project, judged, 2, reason="ham has left the menu").version == "v2"


@pytest.mark.parametrize(("elsewhere", "may_go"), [("spam", True), ("ham", False)])
def test_a_label_that_only_a_withdrawn_episode_had_may_go(
    project: Project, elsewhere: str, may_go: bool
) -> None:
    """As at the gate: what was withdrawn with its label is no promise any more."""
    row = {"id": "1", "title": None, "text": "an offer", "pair": None, "label": elsewhere}
    for side in ("train", "heldout"):
        path = project.episode(turns.EPISODES[1]) / f"{side}.parquet"
        parquet.write(path, [row], classification.SCHEMA)
    turns.turn(project, learning=turns.EPISODES, recipe="classification")
    promoting(project, ready(project, labels=("ham", "spam")))
    journal.append(project, "withdrawn", episode=turns.EPISODES[0], reason="a mistake")
    turns.turn(project, learning=turns.EPISODES[1:], recipe="classification")
    judged = ready(project, "second", labels=("spam",))
    seq = journal.next_seq(project)
    if may_go:
        assert promoting(project, judged, seq).version == "v2"
    else:
        with pytest.raises(Conflict, match="first 'ham'"):
            promoting(project, judged, seq)
