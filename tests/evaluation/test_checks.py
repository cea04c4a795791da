"""What a verdict says in words, and what of it the journal keeps."""

from __future__ import annotations

import pytest

from onward.evaluation.checks import (
    FAILED,
    LEARNING,
    MEMORY,
    OPEN,
    P95,
    P95_CHANGE,
    PASSED,
    WITHDRAWN,
    Check,
    Verdict,
    episode_name,
    listed,
    sentence,
    signed,
)


def verdict(*checks: Check, outcome: str = "refused") -> Verdict:
    return Verdict(
        outcome=outcome,  # type: ignore[arg-type]
        kind="final",
        checks=checks,
        reasons=("a", "b"),
        level=0.05,
        candidate="c",
        champion="v7",
        turn="t",
        learning=("0004-faq", "0005-legal"),
        key="k",
        settings={"margin": 5.0},
    )


GAIN = Check("gain", LEARNING, PASSED, rows=640, change=4.1, limit=1.0)
LOST = Check("harm", "0001-a", FAILED, rows=812, change=-1.9, limit=-1.0)
UNCLEAR = Check("harm", "0002-b", OPEN, rows=90, change=-0.2, limit=-1.0, rows_needed=1220)


@pytest.mark.parametrize(
    ("check", "said"),
    [
        (LOST, "a is forgotten: −1.9 F1 on 812 rows, limit −1.0"),
        (
            UNCLEAR,
            "b is undecided: −0.2 F1 on 90 rows, limit −1.0; needs about 1,220 rows",
        ),
        (
            Check("harm", "0002-b", OPEN, 640, change=-4.0, limit=-5.0, rows_needed=340),
            "b is undecided: −4.0 F1 on 640 rows, limit −5.0; "
            "340 rows would do for an unchanged one, so it looks worse",
        ),
        (
            Check("gain", LEARNING, OPEN, 640, change=0.4, limit=1.0),
            "learning faq and legal is undecided: +0.4 F1 on 640 rows, limit +1.0; "
            "no number of rows would settle it at this value",
        ),
        (
            Check("floor", "0001-a", FAILED, 340, new=20.04, limit=25.0),
            "a is too low: 20.0 F1 on 340 rows, limit 25.0",
        ),
        (
            Check("budget", P95_CHANGE, FAILED, 60, 38.0, 60.0, 57.9, limit=25.0),
            "p95 change % is over its budget: 57.9 in 60 timings, limit 25.0",
        ),
        (
            Check("budget", MEMORY, FAILED, new=2412.0, limit=2000.0),
            "memory MB is over its budget: 2,412.0, limit 2,000.0",
        ),
        (Check("budget", P95, FAILED, note="was not measured"), "p95 ms: was not measured"),
        (Check("evidence", "candidate", FAILED, note="gone"), "candidate: gone"),
    ],
)
def test_each_sentence_names_what_number_limit_and_n(check: Check, said: str) -> None:
    assert sentence(check, "F1", ("0004-faq", "0005-legal")) == said


def test_without_learning_names_it_says_learning() -> None:
    assert sentence(Check("gain", LEARNING, FAILED, note="no learning rows"), "F1") == (
        "learning: no learning rows"
    )


def test_json_restores_the_same_verdict() -> None:
    given = verdict(GAIN, LOST, UNCLEAR)
    assert Verdict.from_json(given.to_json()) == given
    assert "evidence" not in given.to_json()


def test_the_summary_is_what_the_history_shows() -> None:
    assert verdict(GAIN, LOST, UNCLEAR).summary() == {
        "turn": "t",
        "candidate": "c",
        "key": "k",
        "champion": "v7",
        "episodes": ["0004-faq", "0005-legal"],
        "learning_change": 4.1,
        "worst_unit": "0001-a",
        "worst_change": -1.9,
        "rows_needed": 1220,
        "because": "forgot",
    }


def test_a_candidate_that_was_refused_unscored_says_why() -> None:
    gone = Check("evidence", WITHDRAWN, FAILED, note="candidate c was withdrawn: wrong prices")
    assert verdict(gone).because == "withdrawn"


def test_more_rows_are_not_asked_for_where_there_are_enough() -> None:
    worse = Check("harm", "0002-b", OPEN, 640, change=-4.0, limit=-5.0, rows_needed=340)
    found = verdict(worse).summary()
    assert (found["rows_needed"], found["because"]) == (None, "looks worse")
    found = verdict(UNCLEAR, worse).summary()
    assert (found["rows_needed"], found["because"]) == (1220, "too few rows")


def test_the_summary_of_a_first_champion_has_no_changes() -> None:
    found = verdict(Check("floor", "0001-a", PASSED, 340, new=60.0, limit=25.0)).summary()
    assert found["learning_change"] is found["worst_unit"] is found["rows_needed"] is None
    assert found["because"] == ""


def test_the_two_words_name_a_failure_before_an_open_check() -> None:
    assert verdict(UNCLEAR, LOST).because == "forgot"
    assert verdict(GAIN, UNCLEAR).because == "too few rows"
    slow = Check("budget", P95, FAILED, new=600.0, limit=500.0)
    assert verdict(GAIN, slow).because == "over budget"
    unclear = Check("budget", P95, OPEN, new=600.0, limit=500.0)
    assert verdict(GAIN, unclear).because == "budget unclear", "rows would not help"


@pytest.mark.parametrize(
    ("outcome", "passes"),
    [
        ("passed", True),
        ("promoted", True),
        ("forced", True),
        ("refused", False),
        ("undecided", False),
    ],
)
def test_what_lets_the_loop_go_on(outcome: str, passes: bool) -> None:
    assert verdict(outcome=outcome).passes is passes


def test_names_and_numbers() -> None:
    assert episode_name("0004-faq-2") == "faq-2"
    assert episode_name("12345-faq") == "faq"
    assert episode_name("learning") == "learning"
    assert listed(()) == ""
    assert listed(("0004-faq",)) == "faq"
    assert listed(("0004-faq", "0005-legal", "0006-x")) == "faq, legal and x"
    assert [signed(value) for value in (4.05, -1.94, 0.0)] == ["+4.0", "−1.9", "+0.0"]
