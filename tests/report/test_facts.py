"""Needs, sentences, the forest plot's positions and the timeline's."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from onward import files, locks
from onward.errors import IntegrityError, MissingFiles
from onward.evaluation.checks import FAILED, OPEN, PASSED, Check, Verdict
from onward.report import examples, forest
from onward.report.facts import collect, sentence
from onward.report.needs import MOST, Need, needs_you
from onward.report.page import write
from onward.report.timeline import MOST as MOST_EVENTS
from onward.report.timeline import timeline
from onward.report.words import outcome
from tests.report import projects


def test_at_most_three_needs_the_most_urgent_first(tmp_path: Path) -> None:
    project = projects.empty(tmp_path)
    projects.turn(project, [], ["0001-a"], quarantined=1)
    for stage in ("prepare", "export"):
        files.write_json(project.error(stage), {"what": f"{stage} broke", "fix": "mend it"})
    found = needs_you(project, None, IntegrityError("weights changed"))
    assert len(found) == MOST
    assert found[0] == Need("weights changed", "onward repair")
    assert found[1] == Need("prepare failed: prepare broke — mend it", "onward run")


QUARANTINED = Need("1 row is in quarantine", "onward episode list --quarantined")
LEARN = Need("0002-b can be learned", "onward run")
REFUSED = Need("Turn 3 was refused (a −2.0)", "onward gate --show 3")
UNDECIDED = Need("Turn 3 was undecided (about 1,410 rows would do)", "onward gate --show 3")


@pytest.mark.parametrize(
    ("line", "needs"),
    [
        ({}, [LEARN, QUARANTINED]),
        (
            {"what": "refused", "worst_unit": "0001-a", "worst_change": -2.0},
            [REFUSED, QUARANTINED],
        ),
        ({"what": "undecided", "rows_needed": 1410}, [UNDECIDED, QUARANTINED]),
        ({"what": "promoted", "version": "v1"}, [QUARANTINED]),
    ],
)
def test_needs_of_a_turn(line: dict[str, object], needs: list[Need], tmp_path: Path) -> None:
    project = projects.empty(tmp_path)
    made = projects.turn(project, ["0001-a"], ["0002-b"], quarantined=1)
    judged = {"seq": 3, **line, "turn": made.id} if line else None
    assert list(needs_you(project, judged, None)) == needs


def test_the_refusal_of_a_turn_that_is_gone_needs_nobody(tmp_path: Path) -> None:
    """As where the episode that was refused was withdrawn since, and nothing is left to learn."""
    project = projects.empty(tmp_path)
    projects.turn(project, ["0001-a"], [])
    files.write_json(project.error("validate"), {"what": "too long", "fix": "withdraw it"})
    assert needs_you(project, {"seq": 3, "what": "refused", "turn": "another"}, None) == ()


def test_a_reinstated_candidate_is_to_be_judged_again(tmp_path: Path) -> None:
    project = projects.empty(tmp_path)
    made = projects.turn(project, ["0001-a"], ["0002-b"])
    said = {"schema": 1, "at": "", "outcome": "learn", "reasons": ["it was reinstated"]}
    files.append_line(project.private / "watch.jsonl", {**said, "turn": made.id})
    projects.append(project, "refused", turn=made.id, candidate="c", because="withdrawn")
    shown = Need("Turn 1 was refused (withdrawn)", "onward gate --show 1")
    assert collect(project).needs == (shown,) and collect(project).watch == ""
    projects.append(project, "reinstated", candidate="c")
    again = Need("The candidate of turn 1 was reinstated", "onward run")
    assert collect(project).needs == (again,)
    assert collect(project).watch == "learn: it was reinstated"


def test_a_failed_turn_is_not_also_one_to_learn(tmp_path: Path) -> None:
    project = projects.empty(tmp_path)
    projects.turn(project, [], ["0001-a"])
    assert [need.why for need in needs_you(project, None, None)] == ["0001-a can be learned"]
    files.write_json(project.error("validate"), {"what": "too long", "fix": "mend it"})
    (need,) = needs_you(project, None, None)
    assert need.why == "validate failed: too long — mend it"


def test_what_the_watch_said_stands_until_the_turn_is_judged(tmp_path: Path) -> None:
    project = projects.empty(tmp_path)
    made = projects.turn(project, [], ["0001-a"])
    said = project.private / "watch.jsonl"
    line = {"schema": 1, "at": "", "outcome": "wait", "reasons": ["3 rows, 100 would do"]}
    files.append_line(said, {**line, "turn": "another"})
    assert collect(project).watch == ""
    files.append_line(said, {**line, "turn": made.id})
    assert collect(project).watch == "wait: 3 rows, 100 would do"
    assert "The watch says wait: 3 rows, 100 would do" in write(project).read_text()
    projects.append(project, "refused", turn=made.id, candidate="c")
    assert collect(project).watch == ""
    said.write_text("{}}\n{}\n")
    assert collect(project).watch == ""


def test_a_verdict_of_an_earlier_turn_leaves_the_new_one_to_learn(tmp_path: Path) -> None:
    project = projects.empty(tmp_path)
    projects.turn(project, [], ["0001-a"])
    line = {"seq": 1, "what": "refused", "turn": "another"}
    assert [n.command for n in needs_you(project, line, None)] == ["onward run"]


def test_missing_files_are_pulled(tmp_path: Path) -> None:
    project = projects.empty(tmp_path)
    found = needs_you(project, None, MissingFiles("v1 is not on this machine"))
    assert found[0].command == "dvc pull"


def test_a_run_that_goes_on_is_told(tmp_path: Path) -> None:
    project = projects.empty(tmp_path)
    assert collect(project).running == ""
    with locks.held(project.run_lock, "promotion 3"):
        assert collect(project).running.startswith("promotion 3, process ")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ({"what": "promoted", "version": "v1"}, "turn 1 made v1 the champion"),
        (
            {"what": "forced", "version": "v2", "reason": "law"},
            "turn 1 made v2 the champion, forced because of: law",
        ),
        ({"what": "undecided", "because": "too few rows"}, "turn 1 was undecided (too few rows)"),
        ({"what": "refused", "because": "no gain"}, "turn 1 was refused (no gain)"),
        (
            {
                "what": "refused",
                "because": "no gain",
                "worst_unit": "0001-faq",
                "worst_change": 0.0,
            },
            "turn 1 was refused (no gain)",
        ),
        (
            {"what": "refused", "because": "forgot", "rows_needed": 410},
            "turn 1 was refused (forgot)",
        ),
        (
            {"what": "rollback", "champion": "v2", "reason": "slow"},
            "rolled back from v2 because of: slow",
        ),
        ({"what": "withdrawn", "episode": "0002-b"}, "0002-b was withdrawn"),
        ({"what": "adopted", "source": "squad"}, "squad was adopted and is to be judged"),
    ],
)
def test_a_line_in_words(line: dict[str, object], words: str) -> None:
    assert outcome({"seq": 1, **line}) == words


def test_the_sentence_names_what_came_last(tmp_path: Path) -> None:
    project = projects.lively(tmp_path)
    projects.append(project, "withdrawn", episode="0005-legal", reason="wrong labels")
    projects.append(project, "rollback", champion="v4", version="v3", reason="slow")
    assert "rolled back from v4 because of: slow" in sentence(collect(project))


def test_without_the_check_nothing_is_said_of_the_files(tmp_path: Path) -> None:
    project = projects.lively(tmp_path)
    files.remove(project.verdict(9))
    facts = collect(project, check=False)
    assert sentence(facts).startswith("v4 serves against the rule (law change); turn 9 was refused")
    assert facts.judged is not None and facts.judged.problem is None


def test_positions_keep_the_order_of_the_values() -> None:
    scale = forest.Scale.over([-3.0, 0.0, 2.0, None, math.nan, math.inf])
    assert 0 < scale.at(-3) < scale.at(0) < scale.at(2) < 100
    assert (scale.at(-99), scale.at(99)) == (0, 100)


@pytest.mark.parametrize("values", [[], [5.0], [5.0, 5.0], [-1e-9, 1e9], [0.001, 0.002]])
def test_ticks_are_few_and_inside(values: list[float]) -> None:
    ticks = forest.Scale.over(values).ticks()
    assert 1 <= len(ticks) <= 9
    assert all(0 <= at <= 100 for at, _ in ticks)
    assert len({label for _, label in ticks}) == len(ticks)


def _verdict(*checks: Check) -> Verdict:
    return Verdict("refused", "final", checks, (), 0.05, "c", "v1", "t", learning=("0002-b",))


def test_a_check_that_was_not_measured_has_words_and_no_bar() -> None:
    check = Check("harm", "0001-a", FAILED, limit=-1.0, note="is not finite")
    (panel,) = forest.panels(_verdict(check))
    (bar,) = panel.bars
    assert (bar.point, bar.low, bar.high, bar.note) == (None, None, None, "is not finite")


def test_bars_say_what_they_show() -> None:
    harm = Check("harm", "0001-a", FAILED, 812, 74.2, 72.3, -1.9, -2.7, -1.1, -1.0, 0.9)
    gain = Check("gain", "learning", PASSED, 640, 58.9, 63.0, 4.1, 2.9, 5.3, 1.0, 0.001)
    slow = Check("budget", "p95 ms", OPEN, 60, new=41.0, low=39.0, high=44.0, limit=42.0)
    changes, latency = forest.panels(_verdict(gain, harm, slow))
    assert [bar.name for bar in changes.bars] == ["learning b", "a"]
    assert changes.bars[1].spoken == "a, −1.9 [−2.7, −1.1], limit ≥ −1.0, 812 rows"
    assert changes.bars[1].tone == "bad"
    assert latency.bars[0].spoken == "p95 ms, 41.0 [39.0, 44.0], limit ≤ 42.0, 60 timings"
    assert latency.bars[0].beyond == "right"
    assert changes.bars[0].point > changes.bars[0].bound > changes.bars[1].point  # type: ignore[operator]


@pytest.mark.parametrize(
    ("needed", "note"),
    [
        (1410, "about 1,410 rows would settle it"),
        (255, "rows enough for an unchanged one: it looks worse"),
        (None, ""),
    ],
)
def test_rows_needed_are_told_against_the_rows_there_are(needed: int | None, note: str) -> None:
    check = Check("harm", "0001-a", OPEN, 353, 48.9, 46.5, -2.3, -5.1, 0.5, -5.0, 0.06, needed)
    (panel,) = forest.panels(_verdict(check))
    assert panel.bars[0].note == note


def test_slices_have_a_panel_of_their_own_and_seeds_are_told() -> None:
    harm = Check("harm", "0001-a", PASSED, 353, 48.9, 49.0, 0.1, -1.0, 1.2, -5.0, 0.01,
                 spread=(-0.4, 0.1))  # fmt: skip
    lost = Check("slice", "answer: none", FAILED, 120, 80.0, 60.0, -20.0, -26.0, -14.0, -5.0, 0.9)
    whole, kinds = forest.panels(_verdict(harm, lost))
    assert [bar.name for bar in whole.bars] == ["a"]
    assert whole.bars[0].note == "all seeds: −0.4 to +0.1"
    assert [(bar.name, bar.tone, bar.mark) for bar in kinds.bars] == [("answer: none", "bad", "✗")]
    assert kinds.bars[0].point < kinds.bars[0].bound < kinds.bars[0].zero  # type: ignore[operator]


def test_a_limit_on_both_sides_lies_on_the_side_of_the_value() -> None:
    """A gap of −30 stood among what passes, beside "limit ≤ +5.0"."""
    worse = Check("bias", "swap gender", FAILED, 200, 75.0, 45.0, -30.0, -35.9, -24.2, 5.0)
    better = Check("bias", "swap names", FAILED, 200, 45.0, 75.0, 30.0, 24.2, 35.9, 5.0)
    other = Check("bias", "changed by gender", FAILED, 200, new=30.0, low=25.0, high=35.6, limit=10)
    gaps, changed = forest.panels(_verdict(worse, better, other))
    assert gaps.title == "Change in F1 where names, genders and places are exchanged"
    left, right = gaps.bars
    assert {left.limit, right.limit} == {"limit ±5.0"}
    assert (left.beyond, right.beyond) == ("left", "right")
    assert left.high < left.bound < left.zero < right.bound < right.low  # type: ignore[operator]
    assert changed.title == "Answers that this exchange changes, in percent"
    assert changed.bars[0].spoken == (
        "changed by gender, 30.0 [25.0, 35.6], limit ≤ 10.0, 200 rows"
    )


def test_unsafe_answers_are_numbers_of_answers_and_have_no_place_among_points() -> None:
    unsafe = Check("quality", "unsafe answers", FAILED, 300, 1, 3, 2, limit=0.0, note="0001-a ab1")
    gated = Check("quality", "correct", PASSED, 300, 80.0, 80.1, 0.1, -0.4, 0.6, -5.0)
    (panel,) = forest.panels(_verdict(unsafe, gated))
    bar = panel.bars[0]
    assert bar.spoken == "unsafe answers, 2 new, limit 0 new, 300 rows, 0001-a ab1"
    assert (bar.values, bar.point, bar.bound) == ("1 → 3", None, None)
    (alone,) = forest.panels(_verdict(gated))
    assert panel.bars[1] == alone.bars[0] and panel.ticks == alone.ticks
    (only,) = forest.panels(_verdict(unsafe))
    assert only.ticks == ()
    (let,) = forest.panels(_verdict(replace(unsafe, mark=PASSED, limit=None)))
    assert (let.bars[0].mark, let.bars[0].limit, let.bars[0].note) == ("·", "", "0001-a ab1")


def test_the_timeline_steps_with_the_champion() -> None:
    lines = [
        {"seq": 1, "what": "refused", "version": None},
        {"seq": 2, "what": "promoted", "version": "v1"},
        {"seq": 3, "what": "promoted", "version": "v2"},
        {"seq": 4, "what": "rollback", "version": "v1"},
    ]
    made = timeline(lines)
    assert made.versions == ("v2", "v1")
    assert [e.serving for e in made.events] == [None, "v1", "v2", "v1"]
    ys = [e.y for e in made.events]
    assert ys[2] < ys[1] == ys[3] < ys[0]
    assert made.unserved
    assert [e.x for e in made.events] == sorted(e.x for e in made.events)


def test_a_long_journal_is_cut_and_says_so() -> None:
    lines = [{"seq": 1, "what": "promoted", "version": "v1"}]
    lines += [{"seq": n, "what": "refused", "version": None} for n in range(2, 100)]
    made = timeline(lines)
    assert len(made.events) == MOST_EVENTS
    assert made.left_out == 99 - MOST_EVENTS
    assert {event.serving for event in made.events} == {"v1"}


@pytest.mark.parametrize(
    ("before", "after"), [("", "a"), ("a b c", "a x c"), ("one", "two three"), ("x", "x"), ("", "")]
)
def test_pieces_add_up_to_both_answers(before: str, after: str) -> None:
    found = examples.pieces(before, after)
    assert "".join(text for kind, text in found if kind != "come") == before
    assert "".join(text for kind, text in found if kind != "gone") == after


def test_what_changed_in_a_script_without_spaces_is_told_by_its_characters() -> None:
    """The whole answer stood as one word that went and one that came."""
    found = examples.pieces("在1851年的博物館", "在1852年的博物館")
    assert found == [("same", "在"), ("gone", "1851"), ("come", "1852"), ("same", "年的博物館")]


@pytest.mark.parametrize(
    ("inputs", "heading", "text"),
    [
        ({"history": "Hi / Hello", "question": "Who?"}, ("Hi / Hello", "Who?"), ""),
        ({"context": "c", "history": "h", "question": "Who?"}, ("h", "Who?"), "c"),
        ({"options": "a / b", "question": "Which?"}, ("Which?",), "a / b"),
        ({"context": "c", "options": "a / b", "question": "Which?"}, ("Which?", "a / b"), "c"),
        ({"pair": "p", "text": "t"}, ("p",), "t"),
    ],
)
def test_what_was_asked_stands_above_its_answer(
    inputs: dict[str, str], heading: tuple[str, ...], text: str, tmp_path: Path
) -> None:
    """An answer stood under the turns before, and what it answers below."""
    project = projects.lively(tmp_path)
    row = projects.example("one", inputs=inputs)
    found = {"schema": 3, "before": "v1", "placed": None, "lost": [row], "won": [], "worst": []}
    files.write_json(project.made("evaluate") / "examples.json", found)
    shown = examples.read(project, projects.CANDIDATE)
    assert shown is not None and shown.lost[0].heading == heading
    assert "".join(shown.lost[0].text) == text
    html = write(project, now=projects.NOW).read_text(encoding="utf-8")
    assert html.count('class="context"') == bool(text)
