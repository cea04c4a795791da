"""Every verdict is kept and replays bit by bit."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from onward import files
from onward.errors import IntegrityError, MissingFiles
from onward.evaluation import gate, verdicts
from onward.evaluation.checks import Verdict
from onward.evaluation.evidence import Budgets, Evidence
from onward.evaluation.gate import judge
from onward.evaluation.rule import decide
from onward.evaluation.verdicts import Replay, keep, read, replay
from onward.project import Project
from onward.registry import journal
from tests.evaluation import toy_turn
from tests.evaluation.cases import budgets, settings, side, unit

RECIPE = ("has_n", "has_f1", "has_em", "no_n", "no_right")


def wide(points: Any) -> Any:
    """A side with the statistics of the extractive recipe."""
    values = np.asarray(points, dtype=np.float64)
    one = np.ones(len(values))
    statistics = np.column_stack([one, values, values == 1, 0 * one, 0 * one])
    rows = side(values).rows
    return replace(
        side(values),
        statistics=statistics,
        predictions=tuple(f'{{"text":"{row}"}}' for row in rows),
        artifact="a",
        provider="torch",
        scorer="s",
    )


def evidence(**changed: Any) -> Evidence:
    chance = np.random.default_rng(0)
    old, new = chance.random(90), chance.random(90)
    units = (
        replace(unit("0001-old", old), new=wide(new), old=wide(old)),
        replace(
            unit("0002-new", new, known=False, learning=True),
            new=wide(np.minimum(new + 0.3, 1)),
            old=wide(new),
        ),
    )
    given: dict[str, Any] = {
        "kind": "final",
        "turn": "t",
        "candidate": "c",
        "champion": "v1",
        "units": units,
        "budgets": budgets(),
        "statistics": RECIPE,
    }
    return Evidence(**{**given, **changed})


def decided(given: Evidence) -> Verdict:
    return decide(given, settings(), 0.05, gate.score_of("extractive"))


@pytest.fixture
def kept(tmp_path: Path) -> Project:
    at = Project(tmp_path)
    keep(at, 1, decided(evidence()))
    return at


def test_the_folder_holds_exactly_these_files(kept: Project) -> None:
    names = sorted(path.name for path in kept.verdict(1).iterdir())
    assert names == [
        "evidence.json",
        "manifest.json",
        "rows.parquet",
        "settings.json",
        "slices.parquet",
        "verdict.json",
    ]


def test_rows_hold_both_sides_with_what_made_them(kept: Project) -> None:
    rows = pq.read_table(kept.verdict(1) / "rows.parquet").to_pylist()
    assert len(rows) == 4 * 90
    assert {(row["unit"], row["side"]) for row in rows} == {
        (u, s) for u in ("0001-old", "0002-new") for s in ("new", "old")
    }
    first = rows[0]
    assert (first["artifact"], first["provider"], first["scorer"]) == ("a", "torch", "s")
    assert first["prediction"] == f'{{"text":"{first["row"]}"}}'


def test_equal_verdicts_give_equal_bytes(kept: Project, tmp_path: Path) -> None:
    again = Project(tmp_path / "again")
    assert keep(again, 1, decided(evidence())) == files.sha256(kept.verdict(1) / files.MANIFEST)


def test_the_order_of_rows_gives_equal_bytes(kept: Project, tmp_path: Path) -> None:
    given = evidence()
    turned = []
    for one in given.units[::-1]:
        sides = {}
        for which in ("new", "old"):
            s = getattr(one, which)
            sides[which] = replace(
                s, rows=s.rows[::-1], statistics=s.statistics[::-1], predictions=s.predictions[::-1]
            )
        turned.append(replace(one, **sides))
    again = Project(tmp_path / "again")
    manifest = keep(again, 1, decided(replace(given, units=tuple(turned))))
    assert manifest == files.sha256(kept.verdict(1) / files.MANIFEST)


def test_a_kept_verdict_is_not_written_over(kept: Project) -> None:
    with pytest.raises(IntegrityError, match="immutable"):
        keep(kept, 1, decided(evidence()))


def test_it_reads_back_as_it_was(kept: Project) -> None:
    verdict, before = read(kept, 1), decided(evidence())
    assert verdict == before
    assert verdict.evidence is not None
    assert verdict.evidence.budgets == budgets()
    one = verdict.evidence.units[0].new
    assert one is not None
    assert (one.aligned() == evidence().units[0].new.aligned()).all()  # type: ignore[union-attr]


def test_a_replay_is_bit_identical(kept: Project) -> None:
    found = replay(kept, 1)
    assert isinstance(found, Replay)
    assert (found.same, found.differences, found.notes) == (True, (), ())
    assert found.again == replace(found.kept, key="")


@pytest.mark.parametrize(
    "changed",
    [
        {"champion": None},
        {"kind": "accuracy"},
        {"problems": ("the champion cannot be scored",)},
        {"budgets": Budgets((math.nan, math.inf), (), math.nan, compared=False)},
        {"budgets": Budgets()},
        {"units": ()},
        {"units": (replace(unit("0001-old", None, rows=9), baseline=math.nan),)},
        {"units": (replace(unit("0001-old", None), new=wide([math.nan] * 60), old=wide([1.0])),)},
    ],
)
def test_any_verdict_replays(tmp_path: Path, changed: dict[str, Any]) -> None:
    at = Project(tmp_path)
    keep(at, 4, decided(evidence(**changed)))
    assert replay(at, 4).differences == ()


def test_a_later_candidates_verdict_replays_at_its_own_level(tmp_path: Path) -> None:
    at = Project(tmp_path)
    keep(at, 1, decide(evidence(), settings(), 0.05 / 4, gate.score_of("extractive")))
    assert replay(at, 1).differences == ()


def test_a_forced_verdict_replays_by_the_rule(tmp_path: Path) -> None:
    at, verdict = Project(tmp_path), decided(evidence(units=()))
    assert verdict.outcome == "refused"
    keep(at, 1, replace(verdict, outcome="forced", forced="law change"))
    found = replay(at, 1)
    assert found.same and found.kept.outcome == "forced"
    assert found.again is not None and found.again.outcome == "refused"


def test_a_withdrawn_candidates_refusal_has_nothing_to_replay(tmp_path: Path) -> None:
    at = toy_turn.project(tmp_path)
    candidate = toy_turn.finetuned(at)
    journal.append(at, "rollback", reason="slow", withdraws=[candidate])
    verdict = judge(at, "accuracy")
    keep(at, 2, verdict)
    found = replay(at, 2)
    assert (found.again, found.same, found.kept) == (None, True, verdict)


class TestTampered:
    def edit(self, at: Project, name: str, change: Any) -> None:
        """Change a kept file and seal the folder again, as someone who covers it up would."""
        folder = at.verdict(1)
        path = folder / name
        if name.endswith(".json"):
            value = files.read_json(path)
            change(value)
            files.write_json(path, value)
        else:
            table = pq.read_table(path)
            rows = table.to_pylist()
            change(rows)
            pq.write_table(
                table.from_pylist(rows, schema=table.schema), path, write_page_checksum=True
            )
        (folder / files.MANIFEST).unlink()
        files.seal(folder, kind="verdict")

    def test_a_flipped_bit_is_caught_by_the_manifest(self, kept: Project) -> None:
        path = kept.verdict(1) / "rows.parquet"
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        with pytest.raises(IntegrityError):
            replay(kept, 1)

    def test_a_flipped_statistic_is_reported_although_it_was_sealed_again(
        self, kept: Project
    ) -> None:
        def flip(rows: list[dict[str, Any]]) -> None:
            rows[0]["statistics"][1] = 1.0 - rows[0]["statistics"][1]

        self.edit(kept, "rows.parquet", flip)
        found = replay(kept, 1)
        assert not found.same
        assert any(line.startswith("harm of 0001-old: new was") for line in found.differences)

    def test_a_resealed_folder_differs_from_the_journal(self, kept: Project) -> None:
        sealed = files.sha256(kept.verdict(1) / files.MANIFEST)
        journal.append(kept, "refused", verdict=sealed, candidate="c", key="k", turn="t")
        assert replay(kept, 1).same
        self.edit(kept, "verdict.json", lambda value: value["reasons"].append("x"))
        with pytest.raises(IntegrityError, match="not the one that was recorded"):
            replay(kept, 1)

    def test_an_edited_verdict_is_reported(self, kept: Project) -> None:
        def soften(value: dict[str, Any]) -> None:
            value["outcome"] = "refused"
            value["checks"][0]["low"] = 99.0
            value["checks"].pop()
            value["reasons"].append("I say so")

        self.edit(kept, "verdict.json", soften)
        found = replay(kept, 1).differences
        assert any("the outcome was refused, is" in line for line in found)
        assert any("low was 99.0" in line for line in found)
        assert "there were 4 checks, are 5" in found
        assert "the reasons read differently" in found

    def test_other_settings_are_reported(self, kept: Project) -> None:
        self.edit(kept, "settings.json", lambda value: value["gate"].update(margin=1.0))
        assert any("limit was" in line for line in replay(kept, 1).differences)

    def test_another_schema_is_refused(self, kept: Project) -> None:
        self.edit(kept, "verdict.json", lambda value: value.update(schema=99))
        with pytest.raises(IntegrityError, match="does not know"):
            read(kept, 1)


def test_changed_code_is_noted(kept: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "code", lambda: "other")
    monkeypatch.setattr(verdicts, "_recipe_code", lambda recipe: "other")
    monkeypatch.setattr(np, "__version__", "99")
    found = replay(kept, 1)
    assert found.same
    assert [note.split(" has")[0].split(" was")[0] for note in found.notes] == [
        "the gate's code",
        "the scorer's code",
        "numpy",
    ]


def test_a_verdict_that_is_not_here_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(MissingFiles) as raised:
        replay(Project(tmp_path), 7)
    assert "dvc pull" in raised.value.fix


def test_a_judged_turn_replays(tmp_path: Path) -> None:
    at = toy_turn.project(tmp_path, known=("old",))
    toy_turn.serving(at, {"old": 0.9, "new": 0.3}, learned=("0001-old",))
    toy_turn.finetuned(at)
    toy_turn.evaluated(at, {"old": 0.4, "new": 0.9})
    verdict = judge(at, "accuracy")
    keep(at, 1, verdict)
    assert replay(at, 1).same
    assert read(at, 1) == verdict
