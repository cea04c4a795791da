"""The gates on a project whose stages have run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from onward import files
from onward.config import Evaluate
from onward.episodes.turn import Turn
from onward.errors import IntegrityError, MissingFiles, NotFinite, SettingsError
from onward.evaluation import gate, gathering, scorer
from onward.evaluation.checks import FAILED, OPEN, PASSED
from onward.evaluation.gate import judge, nothing_to_do
from onward.evaluation.ledger import LedgerPart, write_parts
from onward.project import Project
from onward.recipes import extractive
from onward.registry import journal, versions
from tests.evaluation import toy_turn


@pytest.fixture
def first(tmp_path: Path) -> Project:
    """No champion yet; the candidate answers nine of ten."""
    at = toy_turn.project(tmp_path)
    toy_turn.finetuned(at)
    toy_turn.evaluated(at, 0.9)
    return at


@pytest.fixture
def update(tmp_path: Path) -> Project:
    """v1 knows `old`; the candidate learns `new` and forgets nothing."""
    at = toy_turn.project(tmp_path, known=("old",))
    toy_turn.serving(at, {"old": 0.9, "new": 0.3}, learned=("0001-old",))
    toy_turn.finetuned(at)
    toy_turn.evaluated(at, {"old": 0.95, "new": 0.9})
    return at


def marks(verdict: gate.Verdict) -> dict[str, str]:
    """Of every check but the slices'."""
    return {check.unit: check.mark for check in verdict.checks if check.kind != "slice"}


def params(at: Project, old: str, new: str) -> None:
    text = at.params.read_text()
    assert old in text
    at.params.write_text(text.replace(old, new))


class TestAccuracy:
    def test_a_first_candidate_above_the_floor_passes(self, first: Project) -> None:
        verdict = judge(first, "accuracy")
        assert (verdict.outcome, verdict.champion, verdict.kind) == ("passed", None, "accuracy")
        assert marks(verdict) == {"0001-new": PASSED}
        assert verdict.checks[0].rows == 60
        assert verdict.evidence is not None and verdict.evidence.units[0].baseline is not None

    def test_a_recipe_whose_rows_are_right_or_wrong_is_judged_by_counts(
        self, first: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert judge(first, "accuracy").checks[0].test == "bootstrap"
        monkeypatch.setattr(extractive, "RIGHT_OR_WRONG", True)
        assert judge(first, "accuracy").checks[0].test == "Wilson's score"

    def test_a_challenger_is_judged_on_old_and_new(self, update: Project) -> None:
        verdict = judge(update, "accuracy")
        assert marks(verdict) == {"learning": PASSED, "0001-old": PASSED}
        assert (verdict.outcome, verdict.champion) == ("passed", "v1")
        slices = {check.unit for check in verdict.checks if check.kind == "slice"}
        assert slices and all(": " in name for name in slices)
        assert verdict.learning == ("0002-new",)

    def test_forgetting_refuses(self, update: Project) -> None:
        toy_turn.evaluated(update, {"old": 0.3, "new": 0.95})
        verdict = judge(update, "accuracy")
        assert marks(verdict) == {"learning": PASSED, "0001-old": FAILED}
        assert verdict.outcome == "refused"
        assert verdict.reasons[0].startswith("old is forgotten: −")

    def test_a_floor_at_the_trivial_baseline_is_a_settings_error(self, first: Project) -> None:
        params(first, "floor: 45", "floor: 1")
        with pytest.raises(SettingsError, match="is 1, but the trivial baseline") as raised:
            judge(first, "accuracy")
        assert raised.value.details["unit"] == "0001-new"
        assert "gate.floor" in raised.value.where
        params(first, "floor: 1", f"floor: {raised.value.details['baseline']!r}")
        with pytest.raises(SettingsError, match="but the trivial baseline reaches"):
            judge(first, "accuracy")

    def test_such_a_floor_is_told_before_anything_is_trained(self, first: Project) -> None:
        files.remove(first.made("finetune"))
        gate.check_floor(first)
        params(first, "floor: 45", "floor: 1")
        with pytest.raises(SettingsError, match="is 1, but the trivial baseline") as raised:
            gate.check_floor(first)
        assert raised.value.details["unit"] == "0001-new"
        assert f"set gate.floor above {raised.value.details['baseline']:.1f}" in raised.value.fix

    def test_with_a_champion_the_floor_does_not_matter(self, update: Project) -> None:
        params(update, "floor: 45", "floor: 1")
        gate.check_floor(update)
        assert judge(update, "accuracy").outcome == "passed"

    def test_a_withdrawn_episode_is_no_unit(self, update: Project) -> None:
        toy_turn.evaluated(update, {"old": 0.3, "new": 0.95})
        journal.append(update, "withdrawn", reason="wrong labels", episode="0001-old")
        assert marks(judge(update, "accuracy")) == {"learning": PASSED}

    def test_an_episode_of_the_champions_card_counts_without_being_in_the_turn(
        self, update: Project
    ) -> None:
        turn = files.read_json(update.turn)
        turn["known"] = []
        files.write_json(update.turn, turn)
        verdict = judge(update, "accuracy")
        assert marks(verdict)["0001-old"] == PASSED

    def test_a_candidate_that_lacks_rows_is_refused(self, update: Project) -> None:
        short = toy_turn.answers(update, 0.9)
        short["0001-old"].popitem()
        del short["0002-new"]
        toy_turn.evaluated(update, 0.9)
        self._rewrite(update, short)
        verdict = judge(update, "accuracy")
        assert verdict.outcome == "refused"
        assert verdict.reasons == (
            "learning new: was not scored (the challenger)",
            "old: 1 of 60 rows were not scored (the challenger)",
        )

    def _rewrite(self, at: Project, entries: dict[str, Any]) -> None:
        from onward.evaluation.ledger import part
        from onward.evaluation.runner import fingerprint

        artifact = fingerprint(at.made("finetune") / "model")
        with files.building(at.made("evaluate"), replace=True) as made:
            mine = part(artifact, "torch", toy_turn.SCORER, entries)
            write_parts(made / "ledger.parquet", [mine])

    def test_rows_that_are_in_the_ledger_and_not_tested_do_not_matter(
        self, update: Project
    ) -> None:
        before = judge(update, "accuracy")
        more = toy_turn.answers(update, {"old": 0.95, "new": 0.9})
        more["0001-old"]["f" * 64] = next(iter(more["0001-old"].values()))
        self._rewrite(update, more)
        assert judge(update, "accuracy").checks == before.checks


class TestSeeds:
    """Two seeds were trained; the candidate is the first."""

    def scored(self, at: Project, provider: str, *right: float) -> gate.Verdict:
        from onward.evaluation.runner import fingerprint

        trained = [{"seed": 13 + n, "model": f"model-{n}" if n else "model"} for n in range(2)]
        with files.building(at.made("finetune"), replace=True) as made:
            for one in trained:
                (made / str(one["model"])).mkdir()
                (made / str(one["model"]) / "model.safetensors").write_text(f"weights {one}")
            files.write_json(made / "spec.json", {**toy_turn.SPEC, "challengers": trained})
        folders = [at.made("finetune") / str(one["model"]) for one in trained]
        parts = [
            toy_turn.ledger(at, fingerprint(folder), provider, share)
            for folder, share in zip(folders, right, strict=False)
        ]
        with files.building(at.made("evaluate"), replace=True) as made:
            write_parts(made / "ledger.parquet", parts)
        return judge(at, "accuracy")

    @pytest.mark.parametrize("provider", ["torch", "torch-cuda"])
    def test_all_count_wherever_they_were_scored(self, first: Project, provider: str) -> None:
        """On a GPU the others read as "was not scored", which refused."""
        verdict = self.scored(first, provider, 0.9, 0.8)
        assert verdict.outcome == "passed" and verdict.challengers == (13, 14)
        (floor,) = verdict.checks
        assert floor.spread is not None and floor.spread[0] < floor.spread[1]

    def test_a_seed_that_was_not_scored_refuses(self, first: Project) -> None:
        verdict = self.scored(first, "torch", 0.9)
        assert verdict.reasons == ("new: was not scored (seed 14)",)


class TestStale:
    def test_no_candidate_names_the_command(self, tmp_path: Path) -> None:
        at = toy_turn.project(tmp_path)
        with pytest.raises(MissingFiles, match="no candidate"):
            judge(at, "accuracy")

    def test_an_evaluation_of_another_candidate_is_not_judged(self, first: Project) -> None:
        toy_turn.finetuned(first, "other weights")
        with pytest.raises(MissingFiles, match="not made from the candidate"):
            judge(first, "accuracy")

    @pytest.mark.parametrize("stage", ["evaluate", "export", "benchmark"])
    def test_a_stage_that_has_not_run_is_named(self, first: Project, stage: str) -> None:
        toy_turn.exported(first, 0.9)
        toy_turn.benchmarked(first)
        files.remove(first.made(stage))
        with pytest.raises(MissingFiles, match=f"turn/{stage} was not made") as raised:
            judge(first, "accuracy" if stage == "evaluate" else "final")
        assert "dvc repro" in raised.value.fix

    def test_f05_a_changed_ledger_is_caught(self, first: Project) -> None:
        path = first.made("evaluate") / "ledger.parquet"
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        with pytest.raises(IntegrityError):
            judge(first, "accuracy")

    def test_f05_a_changed_episode_is_caught(self, first: Project) -> None:
        (first.episode("0001-new") / "heldout.parquet").write_bytes(b"other")
        with pytest.raises(IntegrityError):
            judge(first, "accuracy")

    def test_f05_a_changed_candidate_is_caught(self, first: Project) -> None:
        (first.made("finetune") / "model" / "model.safetensors").write_text("edited")
        with pytest.raises(IntegrityError):
            judge(first, "accuracy")

    def test_f05_a_changed_champion_is_caught(self, update: Project) -> None:
        (update.version("v1") / "spec.json").write_text("{}")
        with pytest.raises(IntegrityError):
            judge(update, "accuracy")


class TestFinal:
    @pytest.fixture
    def ready(self, update: Project) -> Project:
        toy_turn.exported(update, {"old": 0.95, "new": 0.9})
        toy_turn.benchmarked(update, champion="v1")
        return update

    def test_a_package_within_its_budgets_is_promoted(self, ready: Project) -> None:
        verdict = judge(ready, "final")
        assert verdict.outcome == "promoted"
        assert verdict.subject == "fp32 package, CPU"
        assert list(marks(verdict)) == [
            "learning",
            "0001-old",
            "p95 ms",
            "p95 change %",
            "memory MB",
        ]
        timed = next(check for check in verdict.checks if check.unit == "p95 ms")
        assert timed.new == pytest.approx(40.94)

    def test_the_subject_is_the_device_that_answered_not_the_one_that_was_timed(
        self, ready: Project
    ) -> None:
        """The stage export answers on the CPU, wherever the package is to serve."""
        path = ready.made("benchmark") / "report.json"
        files.write_json(path, {**files.read_json(path), "provider": "cuda"})
        assert judge(ready, "final").subject == "fp32 package, CPU, timed on CUDA"

    def test_the_package_is_judged_not_the_checkpoint(self, ready: Project) -> None:
        toy_turn.exported(ready, {"old": 0.2, "new": 0.9})
        assert judge(ready, "final").outcome == "refused"
        assert judge(ready, "accuracy").outcome == "passed"

    def test_each_sides_served_variant_is_judged_on_every_known_unit(self, update: Project) -> None:
        """Both packages hold fp32 and int8. The challenger serves int8, which lost the old
        episode, and the champion fp32; the other variants would pass and are not looked at."""
        good, lost = {"old": 0.95, "new": 0.9}, {"old": 0.3, "new": 0.9}
        toy_turn.exported(update, good, others={"int8": lost})
        toy_turn.benchmarked(update, champion="v1", variant="int8")
        verdict = judge(update, "final")
        assert (verdict.outcome, verdict.subject) == ("refused", "int8 package, CPU")
        assert marks(verdict)["0001-old"] == FAILED
        assert verdict.evidence is not None
        for unit in verdict.evidence.units:
            assert unit.new is not None and unit.old is not None
            assert (unit.new.artifact, unit.old.artifact) == ("onnx-new-int8", "onnx-old")
        known = {unit.name for unit in verdict.evidence.units if unit.known}
        assert known == {"0001-old"}
        toy_turn.benchmarked(update, champion="v1", variant="fp32")
        assert judge(update, "final").outcome == "promoted"

    def test_a_slow_one_is_refused(self, ready: Project) -> None:
        toy_turn.benchmarked(ready, ms=900, champion="v1")
        assert marks(judge(ready, "final"))["p95 ms"] == FAILED

    def test_a_first_package_needs_no_champions_timings(self, first: Project) -> None:
        toy_turn.exported(first, 0.9)
        toy_turn.benchmarked(first)
        assert list(marks(judge(first, "final"))) == ["0001-new", "p95 ms", "memory MB"]

    def test_a_turn_from_another_base_is_held_to_the_absolute_limits(self, ready: Project) -> None:
        toy_turn.benchmarked(ready, champion=None)
        verdict = judge(ready, "final")
        assert "p95 change %" not in marks(verdict)
        assert verdict.outcome == "promoted"

    def test_memory_that_was_not_measured_refuses(self, ready: Project) -> None:
        path = ready.made("benchmark") / "report.json"
        report = files.read_json(path)
        files.write_json(path, {**report, "memory": {}})
        assert marks(judge(ready, "final"))["memory MB"] == FAILED

    def test_an_export_of_another_package_is_not_judged(self, ready: Project) -> None:
        toy_turn.exported(ready, 0.9)
        with files.building(ready.made("export"), replace=True) as made:
            (made / "package").mkdir()
            toy_turn.package(made / "package", "another")
            write_parts(
                made / "ledger.parquet", [toy_turn.ledger(ready, "onnx-new", "onnx-cpu", 1.0)]
            )
        with pytest.raises(MissingFiles, match="turn/export was not made"):
            judge(ready, "final")


class TestChampionRows:
    """Rows that neither the turn nor the champion's version holds are scored, once."""

    @pytest.fixture
    def scored(self, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
        calls: list[Any] = []

        def score(recipe: Any, runner: Any, rows: Any, **named: Any) -> LedgerPart:
            calls.append((runner, sorted(rows), named))
            made = {unit: {} for unit in rows}
            return toy_turn.part("scored", runner.provider, toy_turn.SCORER, made)

        monkeypatch.setattr(scorer, "score", score)
        return calls

    def bare(self, at: Project, keep: str = "") -> None:
        """Rewrite v1 without its ledger parts but those of one provider."""
        from onward.evaluation.ledger import read_parts

        folder = at.version("v1")
        parts = [p for p in read_parts(folder / "ledger.parquet") if p.provider == keep]
        (folder / files.MANIFEST).unlink()
        write_parts(folder / "ledger.parquet", parts)
        files.seal(folder, version="v1")
        toy_turn.point(at, "v1")

    def test_rows_of_the_turn_come_before_those_of_the_version(self, update: Project) -> None:
        from onward.evaluation.runner import fingerprint

        self.bare(update)
        artifact = fingerprint(update.version("v1") / "checkpoint")
        base = toy_turn.ledger(update, artifact, "torch", {"old": 0.9, "new": 0.3}, seed=1)
        toy_turn.evaluated(update, {"old": 0.95, "new": 0.9}, base)
        assert judge(update, "accuracy").outcome == "passed"

    def test_rows_under_another_scorer_are_scored_again(
        self, update: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from onward.evaluation import evaluate

        asked = []

        def score_model(at: Any, _: Any, model: Path, spec: Path, rows: Any, *rest: Any) -> Any:
            counts = {unit: len(given) for unit, given in rows.items()}
            asked.append((model.name, spec.name, counts))
            return toy_turn.ledger(at, "again", "torch", {"old": 0.9, "new": 0.3}, seed=1)

        monkeypatch.setattr(evaluate, "score_model", score_model)
        params(update, "evaluate: {threads: 1}", "evaluate: {threads: 1, n_best: 2}")
        assert judge(update, "accuracy").outcome == "passed"
        assert asked == [("checkpoint", "v1", {"0001-old": 60, "0002-new": 60})]

    @pytest.mark.parametrize("how", ["one row less", "another provider"])
    def test_rows_that_lack_one_or_come_from_elsewhere_are_scored_again(
        self, update: Project, monkeypatch: pytest.MonkeyPatch, how: str
    ) -> None:
        from onward.evaluation import evaluate
        from onward.evaluation.runner import fingerprint

        right = {"old": 0.9, "new": 0.3}
        self.bare(update)
        artifact = fingerprint(update.version("v1") / "checkpoint")
        rows = toy_turn.answers(update, right, seed=1)
        if how == "one row less":
            rows["0001-old"].popitem()
        provider = "torch" if how == "one row less" else "torch-cuda"
        base = toy_turn.part(artifact, provider, toy_turn.SCORER, rows)
        toy_turn.evaluated(update, {"old": 0.95, "new": 0.9}, base)
        again = toy_turn.ledger(update, "again", "torch", right, 1)
        monkeypatch.setattr(evaluate, "score_model", lambda *_: again)
        verdict = judge(update, "accuracy")
        assert verdict.outcome == "passed" and verdict.evidence is not None
        assert {one.old.artifact for one in verdict.evidence.units if one.old} == {"again"}

    def test_f07_a_champion_that_answers_nan_refuses(
        self, update: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from onward.evaluation import evaluate

        def score_model(*_: Any) -> Any:
            raise NotFinite("a logit is NaN")

        monkeypatch.setattr(evaluate, "score_model", score_model)
        self.bare(update)
        verdict = judge(update, "accuracy")
        assert verdict.outcome == "refused"
        assert verdict.reasons[0] == "evidence: the champion cannot be scored: a logit is NaN"

    def test_a_package_is_scored_by_a_session_on_the_same_provider(
        self, update: Project, scored: list[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from onward.runtime import session

        class Fake:
            provider, artifact, tokenizer = "onnx-cpu", "onnx-old", "tokenizer"
            prepare, evaluate = toy_turn.prepare(), toy_turn.DECODING

            def __init__(self, package: Path, **named: Any) -> None:
                self.asked = (package, named)

        monkeypatch.setattr(session, "Session", Fake)
        toy_turn.exported(update, 0.9)
        toy_turn.benchmarked(update, champion="v1")
        self.bare(update, keep="torch")
        verdict = judge(update, "final")
        (runner, units, named) = scored[0]
        assert runner.asked == (update.version("v1") / "package", {"provider": "cpu", "threads": 1})
        assert units == ["0001-old", "0002-new"]
        assert named["cache"] == update.cache / "ledger"
        assert "was not scored (the champion)" in verdict.reasons[0]

    def test_a_checkpoint_is_scored_by_torch(self, update: Project, toy_encoder: Path) -> None:
        """The real runner on a toy model, whose untrained head answers next to nothing."""
        import torch
        from transformers import AutoTokenizer

        from onward.recipes import extractive

        folder = update.version("v1")
        (folder / files.MANIFEST).unlink()
        torch.manual_seed(0)
        extractive.build(toy_encoder, {}).save_pretrained(folder / "checkpoint")
        AutoTokenizer.from_pretrained(toy_encoder).save_pretrained(folder / "checkpoint")
        files.seal(folder, version="v1")
        toy_turn.point(update, "v1")
        verdict = judge(update, "accuracy")
        assert {c.rows for c in verdict.checks if c.kind != "slice"} == {60}
        assert all(c.old is not None and c.old < 50 for c in verdict.checks)
        assert verdict.outcome == "passed"
        assert list((update.cache / "ledger").iterdir())


def test_an_episode_whose_rows_a_later_one_replaced_is_no_unit(tmp_path: Path) -> None:
    """It is left out of the turn, but the champion's card still names it."""
    from tests.validation.episodes import deliver, sides

    at = toy_turn.project(tmp_path, learning=())
    rows = sides(1, heldout=60)
    deliver(at, learning={"old": rows, "mended": rows}, replaces={"mended": ["0001-old"]})
    value = files.read_json(at.turn)
    value["learning"] = value["learning"][1:]
    files.write_json(at.turn, value)
    toy_turn.serving(at, 0.5, learned=("0001-old",))
    champion = versions.champion(at)
    found = gathering.tests(at, Turn.read(at), champion)
    assert [(one.episode, len(one.rows)) for one in found] == [("0002-mended", 60)]


@pytest.mark.parametrize("known", [True, False])
def test_an_episode_whose_held_out_rows_alone_were_replaced_is_no_unit(
    tmp_path: Path, known: bool
) -> None:
    """Its training rows are left; "has no test rows" refused every candidate from then on."""
    from tests.validation.episodes import deliver, sides

    at = toy_turn.project(tmp_path, learning=())
    old = sides(1, heldout=60)
    mended = {"train": sides(2)["train"], "heldout": old["heldout"]}
    replaces = {"mended": ["0001-old"]}
    if known:
        deliver(at, known={"old": old}, learning={"mended": mended}, replaces=replaces)
        toy_turn.serving(at, {"old": 0.5, "mended": 0.3}, learned=("0001-old",))
    else:
        deliver(at, learning={"old": old, "mended": mended}, replaces=replaces)
    toy_turn.finetuned(at)
    toy_turn.evaluated(at, 0.9)
    verdict = judge(at, "accuracy")
    assert verdict.evidence is not None and verdict.reasons == ()
    assert [unit.name for unit in verdict.evidence.units] == ["0002-mended"]
    assert verdict.outcome == "passed"


def test_an_episode_without_held_out_rows_that_none_replaced_refuses(tmp_path: Path) -> None:
    from tests.validation.episodes import deliver, sides

    at = toy_turn.project(tmp_path, learning=())
    deliver(at, learning={"bare": {**sides(1), "heldout": []}, "new": sides(2, heldout=60)})
    toy_turn.finetuned(at)
    toy_turn.evaluated(at, 0.9)
    verdict = judge(at, "accuracy")
    assert verdict.reasons == ("bare: has no test rows",)


class TestTries:
    def test_the_level_halves_for_each_other_candidate_of_the_turn(self, first: Project) -> None:
        toy_turn.evaluated(first, 0.2)
        one = judge(first, "accuracy")
        toy_turn.journaled(first, "refused", one)
        assert judge(first, "accuracy").level == 0.05  # itself does not count
        toy_turn.finetuned(first, "two")
        toy_turn.evaluated(first, 0.9)
        two = judge(first, "accuracy")
        assert two.level == 0.025
        toy_turn.journaled(first, "undecided", two)
        toy_turn.journaled(first, "undecided", two)
        toy_turn.finetuned(first, "three")
        toy_turn.evaluated(first, 0.9)
        assert judge(first, "accuracy").level == 0.0125

    def test_candidates_of_another_turn_do_not_count(self, first: Project) -> None:
        journal.append(first, "refused", turn="another", candidate="x", key="k")
        assert judge(first, "accuracy").level == 0.05


class TestWithdrawn:
    def withdraw(self, at: Project) -> str:
        candidate = files.sha256(at.made("finetune") / files.MANIFEST)
        journal.append(at, "rollback", by="ana", reason="p95 doubled", withdraws=[candidate])
        return candidate

    def test_it_is_refused_before_anything_is_scored(self, update: Project) -> None:
        candidate = self.withdraw(update)
        (update.made("evaluate") / "ledger.parquet").unlink()
        for kind in ("accuracy", "final"):
            verdict = judge(update, kind, force_reason="I want it")  # type: ignore[arg-type]
            assert (verdict.outcome, verdict.forced, verdict.evidence) == ("refused", "", None)
            assert "p95 doubled" in verdict.reasons[0]
            assert f"`onward reinstate {candidate[:12]}" in verdict.reasons[0]

    def test_its_refusal_does_not_stand_in_the_way_after_a_reinstatement(
        self, update: Project
    ) -> None:
        candidate = self.withdraw(update)
        refused = judge(update, "accuracy")
        assert nothing_to_do(update) is None
        toy_turn.journaled(update, "refused", refused)
        assert "refused already" in (nothing_to_do(update) or "")
        journal.append(update, "reinstated", reason="it was the disk", candidate=candidate)
        assert nothing_to_do(update) is None
        assert judge(update, "accuracy").outcome == "passed"


class TestForce:
    def test_a_reason_turns_a_refusal_into_forced_and_keeps_the_reasons(
        self, update: Project
    ) -> None:
        toy_turn.evaluated(update, {"old": 0.3, "new": 0.95})
        verdict = judge(update, "accuracy", force_reason="the law changed")
        assert (verdict.outcome, verdict.forced) == ("forced", "the law changed")
        assert verdict.passes
        assert FAILED in marks(verdict).values() and verdict.reasons

    def test_what_passes_is_not_forced(self, update: Project) -> None:
        verdict = judge(update, "accuracy", force_reason="the law changed")
        assert (verdict.outcome, verdict.forced) == ("passed", "")


class TestKey:
    def test_the_same_inputs_have_the_same_key(self, update: Project) -> None:
        assert judge(update, "accuracy").key == judge(update, "accuracy").key

    @pytest.mark.parametrize(
        "change",
        "candidate champion rows roles settings quality code scorer kind".split(),
    )
    def test_each_part_of_it_changes_it(
        self, update: Project, change: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        right = {"old": 0.95, "new": 0.9}
        before, kind = judge(update, "accuracy").key, "accuracy"
        if change == "candidate":
            toy_turn.finetuned(update, "other")
            toy_turn.evaluated(update, right)
        elif change == "champion":
            update.champion.unlink()
        elif change in ("rows", "roles"):
            self._deliver_again(update, change)
            toy_turn.evaluated(update, right)
            self._scored_anew(update, monkeypatch)
        elif change == "settings":
            params(update, "margin: 10", "margin: 9")
        elif change == "quality":
            params(update, "gate: {", "quality: {gate: {unsafe: report}}\ngate: {")
        elif change == "code":
            monkeypatch.setattr(gate, "CODE", ("rule.py",))
        elif change == "scorer":
            params(update, "evaluate: {threads: 1}", "evaluate: {threads: 1, max_answer_tokens: 9}")
            self._scored_anew(update, monkeypatch)
        else:
            toy_turn.exported(update, right)
            toy_turn.benchmarked(update, champion="v1")
            kind = "final"
        assert judge(update, kind).key != before  # type: ignore[arg-type]

    def _scored_anew(self, at: Project, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            "onward.evaluation.evaluate.score_model",
            lambda *_: toy_turn.ledger(at, "again", "torch", 0.5),
        )

    def _deliver_again(self, at: Project, change: str) -> None:
        from tests.validation.episodes import deliver, sides

        for episode in ("0001-old", "0002-new"):
            files.remove(at.episode(episode))
        rows = 61 if change == "rows" else 60
        old, new = {"old": sides(1, heldout=60)}, {"new": sides(2, heldout=rows)}
        if change == "rows":
            deliver(at, known=old, learning=new)
        else:
            deliver(at, learning={**old, **new})

    def test_another_benchmark_report_is_another_final_verdict(self, update: Project) -> None:
        toy_turn.exported(update, 0.9)
        toy_turn.benchmarked(update, ms=40, champion="v1")
        final, accuracy = judge(update, "final").key, judge(update, "accuracy").key
        toy_turn.benchmarked(update, ms=41, champion="v1")
        assert judge(update, "final").key != final
        assert judge(update, "accuracy").key == accuracy


class TestNothingToDo:
    def test_without_a_candidate_there_is_something(self, tmp_path: Path) -> None:
        assert nothing_to_do(toy_turn.project(tmp_path)) is None

    def test_a_new_candidate_is_something(self, update: Project) -> None:
        assert nothing_to_do(update) is None

    def test_a_candidate_that_serves_is_nothing(self, update: Project) -> None:
        card = update.version("v1") / "card.json"
        candidate = files.sha256(update.made("finetune") / files.MANIFEST)
        files.write_json(card, {**files.read_json(card), "candidate": candidate})
        assert "v1 serves" in (nothing_to_do(update) or "")

    def test_how_it_answers_was_changed_since_and_it_says_so(self, update: Project) -> None:
        """A stop string was set, the run said that v1 is what these settings make: it went on."""
        from tasks import verdicts

        card = update.version("v1") / "card.json"
        candidate = files.sha256(update.made("finetune") / files.MANIFEST)
        files.write_json(card, {**files.read_json(card), "candidate": candidate})
        decoding = Evaluate(no_answer=True, threads=9).model_dump(mode="json")
        files.write_json(update.version("v1") / "package" / "package.json", {"decoding": decoding})
        assert nothing_to_do(update) == "v1 serves, and is what these episodes and settings make"
        for said, told in (
            ('  stop: ["\\n"]\n', "evaluate.stop is"),
            ('  stop: ["\\n"]\n  max_new_tokens: 9\n', "evaluate.max_new_tokens, stop are"),
        ):
            files.write_text(update.params, f"project: {{name: toy}}\nevaluate:\n{said}")
            assert verdicts.nothing_to_do(update) == (
                f"v1 serves, and is what these episodes make; {told} for the next version, "
                "not for this one"
            )

    @pytest.mark.parametrize("what", ["refused", "undecided"])
    def test_a_verdict_that_did_not_promote_is_not_repeated(
        self, update: Project, what: str
    ) -> None:
        seq = toy_turn.journaled(update, what, judge(update, "accuracy"))
        assert nothing_to_do(update) == (
            f"this candidate was {what} already, as {seq}: `onward gate --show {seq}` says why"
        )

    def test_it_is_not_repeated_where_its_package_was_never_made(
        self, update: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A run that ends at the accuracy gate makes no export, and another would make none."""
        from tasks import stage, verdicts

        behind = ["export", "benchmark"]
        monkeypatch.setattr(stage, "stale", lambda _project: behind)
        assert verdicts.nothing_to_do(update) is None
        toy_turn.journaled(update, "undecided", judge(update, "accuracy"))
        assert "undecided already" in (verdicts.nothing_to_do(update) or "")
        behind.insert(0, "evaluate")
        assert verdicts.nothing_to_do(update) is None

    def test_a_final_verdict_counts_as_long_as_its_report_stands(self, update: Project) -> None:
        toy_turn.exported(update, {"old": 0.95, "new": 0.9})
        toy_turn.benchmarked(update, ms=900, champion="v1")
        toy_turn.journaled(update, "refused", judge(update, "final"))
        assert "refused already" in (nothing_to_do(update) or "")
        assert nothing_to_do(update, package=False) is None
        toy_turn.benchmarked(update, ms=40, champion="v1")
        assert nothing_to_do(update) is None

    def test_a_promoted_candidate_that_was_rolled_back_and_reinstated_is_judged_again(
        self, update: Project
    ) -> None:
        toy_turn.journaled(update, "promoted", judge(update, "accuracy"))
        assert nothing_to_do(update) is None

    def test_other_gate_settings_are_something(self, update: Project) -> None:
        toy_turn.journaled(update, "refused", judge(update, "accuracy"))
        params(update, "margin: 10", "margin: 11")
        assert nothing_to_do(update) is None

    def test_it_loads_no_model(self, update: Project) -> None:
        code = (
            "import sys, json; from pathlib import Path; from onward.project import Project;"
            "from onward.evaluation.gate import nothing_to_do;"
            "nothing_to_do(Project(Path(sys.argv[1])));"
            "heavy = ('torch', 'transformers', 'onnxruntime', 'prefect', 'dvc');"
            "print(json.dumps([m for m in heavy if m in sys.modules]))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(update.root)],
            capture_output=True,
            text=True,
            check=True,
        )
        assert json.loads(done.stdout) == []


def test_too_few_rows_are_undecided_with_the_number_that_would_do(tmp_path: Path) -> None:
    at = toy_turn.project(tmp_path, heldout=19)
    toy_turn.finetuned(at)
    toy_turn.evaluated(at, 0.9)
    verdict = judge(at, "accuracy")
    assert (verdict.outcome, marks(verdict)) == ("undecided", {"0001-new": OPEN})
    assert "needs about 20 rows" in verdict.reasons[0]
