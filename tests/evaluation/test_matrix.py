"""The matrix in each version's folder, and the one that is made of all of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onward import files
from onward.errors import IntegrityError, UsageError
from onward.evaluation import cells, ledger, matrix
from onward.evaluation.evidence import Evidence, Side, Unit
from onward.evaluation.ledger import Entry
from onward.evaluation.transfer import BASELINE
from onward.project import Project
from onward.recipes.extractive import STATISTICS
from onward.registry import journal, rollback, versions
from onward.registry.promote import promote
from onward.report import facts
from tests.registry import turns

FAQ, LEGAL = turns.EPISODES
ROWS = 40
K = len(STATISTICS)


def side(right: float, rows: int = ROWS) -> Side:
    """F1 is `right` percent."""
    table = np.zeros((rows, K))
    table[:, 0] = 1
    table[: round(rows * right / 100), 1:3] = 1
    return Side(tuple(f"row{n:03}" for n in range(rows)), table)


def unit(name: str, new: Side | None, old: Side | None = None, *, known: bool = False) -> Unit:
    rows = tuple(f"row{n:03}" for n in range(ROWS))
    return Unit(name, known=known, learning=not known, rows=rows, new=new, old=old)


def promoted(
    project: Project, content: str, units: list[Unit] | None, *, outcome: str = "promoted"
) -> str:
    """A candidate of these final verdict's units, made a version. Returns its name."""
    turns.candidate(project, content)
    at = versions.pointer(project)
    verdict = turns.verdict(project, outcome, at.version if at else None)
    learned = tuple(one.name for one in units or () if one.learning)
    evidence = Evidence(
        "final", verdict.turn, verdict.candidate, verdict.champion, tuple(units or ()),
        statistics=STATISTICS,
    )  # fmt: skip
    judged = replace(verdict, learning=learned, evidence=evidence if units else None)
    seq = journal.next_seq(project)
    turns.keep_verdict(project, seq, judged)
    reason = "law change" if outcome == "forced" else ""
    found = promote(
        project, judged, seq, keep=turns.kept, by="gate", reason=reason, probe=turns.answers
    )
    return found.version


def baseline(project: Project, **right: float) -> None:
    """What the stage evaluate keeps of the trivial baseline, beside the candidate's rows."""
    path = project.made("evaluate") / "ledger.parquet"
    entries = {
        name: {row: Entry("{}", tuple(values)) for row, values in zip(
            side(percent).rows, side(percent).statistics.tolist(), strict=True)}
        for name, percent in right.items()
    }  # fmt: skip
    made = ledger.part(BASELINE, BASELINE, BASELINE, entries)
    ledger.write_parts(path, [*ledger.read_parts(path), made])
    files.seal(path.parent)


def test_the_status_shows_what_serves_and_not_its_checkpoint(tmp_path: Path) -> None:
    """An int8 package may be a point below: the status said 61.0, the matrix 80.0."""
    made = turns.project(tmp_path)
    promoted(made, "first", [unit(FAQ, side(80)), unit(LEGAL, side(60))])
    assert files.read_json(made.made("scores.json")) == {FAQ: {"f1": 61.0}}
    told = versions.card(made, "v1")["served"]
    assert [told[name]["f1"] for name in (FAQ, LEGAL, "all")] == [80.0, 60.0, 70.0]
    champion = facts.collect(made, check=False).champion
    assert champion is not None and (champion.score, champion.rows) == (70.0, 2 * ROWS)
    assert champion.worst == ("legal", 60.0) and champion.episodes == 2
    assert matrix.collect(made).scores["v1", LEGAL] == 60.0


def two(root: Path, *, new: float, old: float) -> Project:
    """v1 has 80 on faq; v2 learned legal, and was judged on faq by these scores."""
    made = turns.project(root)
    promoted(made, "first", [unit(FAQ, side(80))])
    turns.turn(made, learning=(LEGAL,), base="v1")
    units = [unit(FAQ, side(new), side(old), known=True), unit(LEGAL, side(70), side(20))]
    promoted(made, "second", units)
    return made


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """v2 lost two points and a half of faq."""
    return two(tmp_path, new=77.5, old=80)


def shown(found: matrix.Matrix) -> dict[str, list[float | None]]:
    return {
        one.name: [found.scores.get((one.name, name)) for name in found.units]
        for one in found.versions
    }


def test_each_version_by_each_episode(project: Project) -> None:
    found = matrix.collect(project)
    assert found.units == (FAQ, LEGAL)
    assert shown(found) == {"v1": [80, 20], "v2": [77.5, 70]}
    assert found.rows("v2", LEGAL) == ROWS
    assert [(one.name, one.serves, one.on_line) for one in found.versions] == [
        ("v1", False, True), ("v2", True, True),
    ]  # fmt: skip
    first, second = found.versions
    assert not found.knew(first, LEGAL) and found.knew(second, FAQ) and found.knew(second, LEGAL)
    measured = {one.name: one.value for one in found.measures}
    assert measured == {"average": 73.75, "forgetting": 2.5, "backward": -2.5}


def test_what_was_measured_at_the_promotion_is_kept_with_the_version(project: Project) -> None:
    found = matrix.collect(project)
    assert found.versions[1].promoted_with == found.measures
    assert [one.name for one in found.versions[0].promoted_with] == ["average"]


def test_a_version_carries_the_rows_of_its_line(project: Project) -> None:
    files.remove(project.version("v1"))
    assert shown(matrix.collect(project)) == {"v1": [80, 20], "v2": [77.5, 70]}


def test_where_a_verdict_scored_the_champion_again_that_is_what_counts(tmp_path: Path) -> None:
    """Both sides of a change are then of one scorer; what was carried may be of an earlier one."""
    found = matrix.collect(two(tmp_path, new=75, old=75))
    assert shown(found) == {"v1": [75, 20], "v2": [75, 70]}
    assert {one.name: one.value for one in found.measures}["forgetting"] == 0


def test_a_version_that_is_nowhere_is_blank_and_never_zero(project: Project) -> None:
    for name in ("v1", "v2"):
        files.remove(project.version(name))
    found = matrix.collect(project)
    assert shown(found) == {"v1": [], "v2": []}
    assert found.measures == () and found.to_json()["measures"] == {}


def test_forward_transfer_is_told_from_the_trivial_baseline(tmp_path: Path) -> None:
    made = turns.project(tmp_path)
    promoted(made, "first", [unit(FAQ, side(80))])
    turns.turn(made, learning=(LEGAL,), base="v1")
    units = [unit(FAQ, side(80), side(80), known=True), unit(LEGAL, side(70), side(20))]
    turns.candidate(made, "second")
    baseline(made, **{FAQ: 5, LEGAL: 10})
    kept, turns.candidate = turns.candidate, lambda *_: ""  # type: ignore[assignment]
    try:
        promoted(made, "second", units)
    finally:
        turns.candidate = kept
    (forward,) = (one for one in matrix.collect(made).measures if one.name == "forward")
    assert forward.value == 20 - 10
    assert forward.low < forward.high


def test_a_rollback_keeps_the_line_readable(project: Project) -> None:
    rollback.rollback(project, "v1", "slow", probe=turns.answers)
    found = matrix.collect(project)
    assert shown(found) == {"v1": [80, 20], "v2": [77.5, 70]}
    assert [(one.name, one.serves, one.on_line) for one in found.versions] == [
        ("v1", True, True), ("v2", False, False),
    ]  # fmt: skip
    assert {one.name: one.value for one in found.measures} == {
        "average": 80
    }  # it never learned legal

    turns.turn(project, learning=(LEGAL,), base="v1")
    promoted(project, "third", [
        unit(FAQ, side(82.5), side(80), known=True), unit(LEGAL, side(60), side(20)),
    ])  # fmt: skip
    found = matrix.collect(project)
    assert found.line.versions == ("v1", "v3")
    assert shown(found)["v2"] == [77.5, 70]
    assert {o.name: o.value for o in found.measures}["forgetting"] == -2.5


def test_a_forced_promotion_is_marked_and_its_broken_rows_stay_blank(project: Project) -> None:
    turns.turn(project, learning=(), base="v2")
    broken, short = side(50), side(50, ROWS - 1)
    broken.statistics[3, 1] = np.nan
    promoted(project, "third", [
        unit(FAQ, broken, side(77.5), known=True), unit(LEGAL, short, side(70), known=True),
    ], outcome="forced")  # fmt: skip
    found = matrix.collect(project)
    assert [one.forced for one in found.versions] == [False, False, True]
    assert shown(found)["v3"] == [None, None]


def test_a_withdrawn_episode_is_shown_as_such_and_counts_no_more(project: Project) -> None:
    journal.append(project, "withdrawn", episode=FAQ, reason="wrong labels")
    found = matrix.collect(project)
    assert found.withdrawn == {FAQ: "wrong labels"}
    assert shown(found)["v2"] == [77.5, 70]
    assert {one.name: one.value for one in found.measures} == {"average": 70}


def test_versions_older_than_the_matrix_are_read_from_their_ledgers(tmp_path: Path) -> None:
    made = turns.project(tmp_path)
    name = promoted(made, "first", [unit(FAQ, side(80))])
    folder = made.version(name)
    answered = {FAQ: {row: Entry("{}", tuple(v)) for row, v in zip(
        side(65).rows, side(65).statistics.tolist(), strict=True)}}  # fmt: skip
    for file in (cells.ROWS_FILE, matrix.MEASURES_FILE):
        (folder / file).unlink()
    others = ledger.part(
        "fp32 of first", "onnx-cpu", "s", {FAQ: {"row000": Entry("{}", (0.0,) * K)}}
    )
    served = ledger.part("int8 of first", "onnx-cpu", "s", answered)
    ledger.write_parts(folder / "ledger.parquet", [others, served])
    found = matrix.collect(made)
    assert shown(found) == {"v1": [65]}
    assert found.versions[0].promoted_with == ()


def test_statistics_that_another_release_counted_otherwise_are_not_shown(tmp_path: Path) -> None:
    """The rows of tests/registry have two statistics, not the recipe's."""
    made = turns.project(tmp_path)
    promoted(made, "first", None)
    assert cells.stored(made.version("v1"), "v1")
    assert shown(matrix.collect(made)) == {"v1": []}


def test_the_gap_to_a_version_trained_on_everything(project: Project) -> None:
    found = matrix.collect(project, joint="v1")
    (gap,) = (one for one in found.measures if one.name == "gap")
    assert gap.value == ((80 - 77.5) + (20 - 70)) / 2
    with pytest.raises(UsageError, match="no rows of v9"):
        matrix.collect(project, joint="v9")


@pytest.mark.parametrize("rows", ["naive", "replay", "joint", None])
def test_the_gap_is_to_a_version_that_learned_everything_at_once(
    project: Project, rows: str | None
) -> None:
    """joint is the default of the settings; a card that lies elsewhere says nothing against it."""
    at = project.version("v2") / "card.json"
    strategy = {"strategy": {"rows": rows}} if rows else {}
    card = files.read_json(at)
    assert card["known"]
    files.write_json(at, {**card, "parameters": {**card["parameters"], **strategy}})
    if rows in ("naive", "replay"):
        with pytest.raises(UsageError, match=f"knew {FAQ}, .* '{rows}'") as error:
            matrix.collect(project, joint="v2")
        assert "run --fresh" in str(error.value.fix)
        at.unlink()
    assert matrix.collect(project, joint="v2").joint == "v2"


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"parameters": {"finetune": {"tuning": "none"}}}, "made without training"),
        ({"base": {"kind": "adopted"}}, "trained elsewhere"),
    ],
)
def test_there_is_no_gap_to_a_version_that_learned_nothing(
    project: Project, told: dict[str, Any], why: str
) -> None:
    at = project.version("v1") / "card.json"
    files.write_json(at, {**files.read_json(at), **told})
    with pytest.raises(UsageError, match=f"v1 did not learn these episodes: it was {why}") as error:
        matrix.collect(project, joint="v1")
    assert "run --fresh" in error.value.fix


def test_an_adopted_model_learned_none_of_the_episodes(tmp_path: Path) -> None:
    made = turns.project(tmp_path)
    at = turns.turn(made, learning=(FAQ,))
    adopted = at.model_copy(update={"base": at.base.model_copy(update={"kind": "adopted"})})
    adopted.write(made)
    journal.append(made, "adopted", turn=adopted.id, source="squad")
    promoted(made, "first", [unit(FAQ, side(80))])
    found = matrix.collect(made)
    assert found.versions[0].learned == () and not found.knew(found.versions[0], FAQ)
    assert shown(found) == {"v1": [80]}


def test_equal_turns_give_equal_bytes(tmp_path: Path) -> None:
    made = []
    for name in ("a", "b"):
        one = turns.project(tmp_path / name)
        order = [unit(FAQ, side(80)), unit(LEGAL, side(60))]
        promoted(one, "first", order if name == "a" else order[::-1])
        made.append(one.version("v1"))
    for file in (cells.ROWS_FILE, matrix.MEASURES_FILE):
        assert files.sha256(made[0] / file) == files.sha256(made[1] / file)


def test_F06_a_damaged_matrix_is_named(project: Project) -> None:
    path = project.version("v2") / cells.ROWS_FILE
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(IntegrityError, match=r"matrix\.parquet"):
        matrix.collect(project)
