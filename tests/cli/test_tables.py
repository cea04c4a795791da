"""The tables as a person sees them, at several widths."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console, RenderableType

from cli.tables import history_table, verdict_table
from onward.evaluation.checks import (
    LEARNING,
    MEMORY,
    P95,
    P95_CHANGE,
    UNSAFE,
    Check,
    Verdict,
    sentence,
)
from tasks import artifacts

CHECKS = (
    Check("gain", LEARNING, "✓", 640, 58.9, 63.0, 4.1, 2.9, 5.3, 1.0, 0.0001),
    Check("harm", "0001-encyclopedia", "✗", 812, 74.2, 72.3, -1.9, -2.7, -1.1, -1.0, 0.975),
    Check("harm", "0002-science", "✓", 700, 77.0, 76.9, -0.1, -0.7, 0.5, -1.0, 0.002),
    Check("harm", "0003-support", "?", 90, 63.0, 62.8, -0.2, -3.1, 2.7, -1.0, 0.294, 1220),
    Check("budget", P95, "✓", 60, None, 41.2, None, 40.1, 42.6, 500.0, 0.0001),
    Check("budget", P95_CHANGE, "✓", 60, 38.0, 41.0, 7.9, 5.5, 9.9, 25.0, 0.011),
    Check("budget", MEMORY, "✓", 0, None, 412.2, None, None, None, 2000.0),
)
NAMES = ("0004-faq", "0005-legal")
REFUSED = Verdict(
    outcome="refused",
    kind="final",
    checks=CHECKS,
    reasons=tuple(sentence(check, "F1", NAMES) for check in (CHECKS[1], CHECKS[3])),
    level=0.05,
    candidate="c",
    champion="v7",
    turn="t",
    subject="fp32 package, CPU",
    learning=NAMES,
)
FIRST = replace(
    REFUSED,
    outcome="promoted",
    champion=None,
    checks=(
        Check("floor", "0001-encyclopedia", "✓", 340, None, 61.2, None, 57.0, 65.4, 25.0, 0.0001),
    ),
    reasons=(),
    learning=("0001-encyclopedia",),
)
LINES: list[dict[str, Any]] = [
    {
        "seq": 5,
        "at": "2026-10-28T10:00:00+00:00",
        "what": "forced",
        "champion": "v6",
        "version": "v7",
        "candidate": "c7",
        "episodes": ["0003-support"],
        "learning_change": 3.0,
        "worst_unit": "0002-science",
        "worst_change": -1.2,
        "by": "li",
        "reason": "law change",
    },
    {
        "seq": 6,
        "at": "2026-11-02T10:00:00+00:00",
        "what": "undecided",
        "champion": "v7",
        "version": None,
        "episodes": ["0004-faq"],
        "learning_change": 0.9,
        "worst_unit": "0002-science",
        "worst_change": -0.2,
        "rows_needed": 1410,
        "by": "gate",
    },
    {
        "seq": 8,
        "at": "2026-11-13T10:00:00+00:00",
        "what": "rollback",
        "champion": "v8",
        "version": "v7",
        "candidate": "c7",
        "withdraws": ["c8"],
        "by": "ana",
        "reason": "p95 doubled",
    },
    {
        "seq": 9,
        "at": "2026-11-22T10:00:00+00:00",
        "what": "refused",
        "champion": "v7",
        "version": None,
        "episodes": ["0004-faq", "0005-legal"],
        "learning_change": 4.1,
        "worst_unit": "0001-encyclopedia",
        "worst_change": -1.9,
        "by": "gate",
        "because": "forgot",
    },
]
BEFORE = {
    "seq": 4,
    "at": "2026-10-20T10:00:00+00:00",
    "what": "promoted",
    "version": "v6",
    "candidate": "c6",
}
WHOLE = [BEFORE, *LINES]


def shown(what: RenderableType, width: int = 80) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(what)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def test_an_episode_with_too_few_rows_for_ever_has_its_ways_out_told() -> None:
    few = replace(CHECKS[3], rows=15, note="fewer than gate.min_rows, 20")
    group = replace(few, unit="group small")
    stuck = replace(REFUSED, outcome="undecided", checks=(few, group), settings={"min_rows": 20})
    told = " ".join(shown(verdict_table(stuck, 9)).split())
    assert "Ways support gets no more held-out rows" in told
    for way in ("--corrects", "--group", "gate.min_rows", "withdraw", "promote --force"):
        assert way in told
    assert "Ways" not in shown(verdict_table(replace(stuck, checks=(group,)), 9))
    assert "Ways" not in shown(verdict_table(replace(stuck, settings={"min_rows": 15}), 9))
    page = artifacts.verdict_page(stuck)
    assert "support gets no more held-out rows" in page


def test_a_refusal_looks_like_this() -> None:
    assert (
        shown(verdict_table(REFUSED, 9))
        == """\
REFUSED  9 · faq and legal against v7 · fp32 package, CPU
               rows   v7  new change [90%]        limit     p
✓ learning      640 58.9 63.0 +4.1 [+2.9,+5.3]    ≥+1.0 <.001
✗ encyclopedia  812 74.2 72.3 −1.9 [−2.7,−1.1]    ≥−1.0  .975
✓ science       700 77.0 76.9 −0.1 [−0.7,+0.5]    ≥−1.0  .002
? support        90 63.0 62.8 −0.2 [−3.1,+2.7]    ≥−1.0  .294
✓ p95 ms                 41.2 [40.1,42.6]          ≤500 <.001
✓ p95 change        38.0 41.0 +7.9% [+5.5,+9.9] ≤+25.0%  .011
✓ memory MB               412                    ≤2,000
Why   encyclopedia is forgotten: −1.9 F1 on 812 rows, limit −1.0
And   support is undecided: −0.2 F1 on 90 rows, limit −1.0; needs about 1,220
      rows
Now   nothing changed; v7 serves
See   onward gate --examples 9 · --replay 9"""
    )


def test_a_first_champion_shows_its_score_and_no_old_side() -> None:
    assert (
        shown(verdict_table(FIRST, 1, version="v1"))
        == """\
PROMOTED  1 · encyclopedia as first champion · fp32 package, CPU
               rows  new score [90%] limit     p
✓ encyclopedia  340 61.2 [57.0,65.4] ≥25.0 <.001
Now   v1 serves
See   onward gate --examples 1 · --replay 1"""
    )


@pytest.mark.parametrize(
    ("changed", "version", "now"),
    [
        ({"outcome": "refused"}, None, "nothing changed; v7 serves"),
        ({"outcome": "undecided"}, None, "nothing changed; v7 serves"),
        ({"outcome": "refused", "champion": None}, None, "nothing changed; nothing serves yet"),
        ({"outcome": "passed", "kind": "accuracy"}, None, "export, benchmark and the final gate"),
        ({"outcome": "promoted"}, None, "`onward promote` makes it the champion"),
        ({"outcome": "promoted"}, "v8", "v8 serves"),
        ({"outcome": "forced", "forced": "law"}, "v8", "v8 serves, against the rule: law"),
    ],
)
def test_it_says_what_is_so_now(changed: dict[str, Any], version: str | None, now: str) -> None:
    text = shown(verdict_table(replace(REFUSED, **changed), version=version))
    assert f"Now   {now}" in text
    assert "See" not in text
    assert text.startswith(str(changed["outcome"]).upper())


def test_the_printed_interval_names_its_level() -> None:
    for level, printed in ((0.05, "[90%]"), (0.025, "[95%]"), (0.0125, "[97.5%]")):
        assert f"change {printed}" in shown(verdict_table(replace(REFUSED, level=level)))


@pytest.mark.parametrize(
    ("width", "kept", "left_out"),
    [
        (100, ["p", "rows", "v7", "limit"], []),
        (58, ["rows", "v7", "limit"], ["p"]),
        (52, ["v7", "limit"], ["rows"]),
        (45, ["change", "limit"], ["v7", "new"]),
        (38, ["change", "limit"], ["v7", "new"]),
    ],
)
def test_narrow_terminals_leave_out_columns_and_cut_no_number(
    width: int, kept: list[str], left_out: list[str]
) -> None:
    text = shown(verdict_table(REFUSED, 9), width)
    head = next(line for line in text.splitlines() if "change [90%]" in line).split()
    assert [name for name in kept if name in head] == kept
    assert not [name for name in left_out if name in head]
    for check in ("+4.1 [+2.9,+5.3]", "−1.9 [−2.7,−1.1]", "≥−1.0"):
        assert check in text
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text


def test_a_narrow_terminal_shows_the_number_that_is_held_against_a_limit() -> None:
    """Memory and a first champion's score had a limit, and no number beside it."""
    assert "✓ memory MB    412              " in shown(verdict_table(REFUSED, 9), 45)
    assert "✓ p95 ms       41.2 [40.1,42.6] " in shown(verdict_table(REFUSED, 9), 45)
    assert "61.2 [57.0,65.4] ≥25.0" in shown(verdict_table(FIRST, 1), 36)


def test_a_check_without_numbers_shows_why() -> None:
    broken = Check("harm", "0002-science", "✗", note="was not scored")
    text = shown(verdict_table(replace(REFUSED, checks=(broken,)), 9))
    assert "✗ science" in text and "was not scored" in text


def test_a_verdict_without_a_table_still_gives_its_reason() -> None:
    gone = Check("evidence", "candidate", "✗", note="withdrawn")
    verdict = replace(REFUSED, checks=(gone,), reasons=("candidate was withdrawn: slow",))
    assert "limit" not in shown(verdict_table(verdict))
    assert "Why   candidate was withdrawn: slow" in shown(verdict_table(verdict))
    assert "--examples" not in shown(verdict_table(verdict, 9)), "it rests on no rows"


def test_a_kept_verdict_says_what_was_so_then() -> None:
    text = shown(verdict_table(FIRST, 1, version="v1", kept=True))
    assert "Then   v1 serves" in text and "Now" not in text


def test_s07_markup_in_names_and_reasons_is_shown_as_it_stands() -> None:
    verdict = replace(
        REFUSED,
        learning=("0004-[red]faq",),
        reasons=("[bold]x[/bold] \x1b[31m\u202e",),
        subject="[link=https://x]y[/link]",
    )
    text = shown(verdict_table(verdict, 9))
    assert "[bold]x[/bold]" in text and "[red]faq" in text and "[link=https://x]" in text
    assert "\x1b" not in text and "\u202e" not in text
    line = {**LINES[2], "reason": "[red]slow[/red]", "by": "<b>"}
    assert "<b> · [red]slow[/red]" in shown(history_table([line], "v7"))


def test_small_and_large_p_values() -> None:
    def p(value: float | None) -> str:
        check = replace(CHECKS[0], p=value)
        line = shown(verdict_table(replace(REFUSED, checks=(check,)))).splitlines()[2]
        return line.rpartition("≥+1.0")[2].strip()

    assert [p(v) for v in (0.0001, 0.001, 0.05, 0.9994, None)] == [
        "<.001",
        ".001",
        ".050",
        ">.999",
        "",
    ]


def test_the_history_looks_like_this() -> None:
    assert (
        shown(history_table(WHOLE, "v7", 4))
        == """\
SEQ DATE   WHAT      CHAMPION EPISODE   NEW  WORST OLD         BY · WHY
  9 22 Nov refused   v7       4+5 legal +4.1 encyclopedia −1.9 gate · forgot
  8 13 Nov rollback  v8 → v7  —         —    —                 ana · p95 doubled
  6 02 Nov undecided v7       4 faq     +0.9 needs 1,410 rows  gate
  5 28 Oct forced !  v6 → v7  3 support +3.0 science −1.2      li · law change
● v7 serves · undo: onward rollback --to v6 --reason …"""
    )


@pytest.mark.parametrize(
    ("width", "left_out"), [(79, ""), (74, "DATE"), (60, "BY · WHY"), (40, "WORST OLD")]
)
def test_a_narrow_history_leaves_out_columns(width: int, left_out: str) -> None:
    text = shown(history_table(WHOLE, "v7", 4), width)
    assert "refused" in text and "v8 → v7" in text and "+4.1" in text
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text.replace("--reason …", "")
    assert not left_out or left_out not in text


def test_a_long_reason_is_cut_short() -> None:
    line = {**LINES[2], "reason": "because " * 30}
    text = shown(history_table([line], "v7"), 100)
    assert max(map(len, text.splitlines())) <= 100
    assert "ana · because because" in text


def test_wide_characters_count_as_the_two_columns_that_they_take() -> None:
    """A reason in Chinese took twice the room it was given, and its column was left out."""
    line = {**LINES[2], "reason": "價格錯誤，客戶投訴太多次，" * 3}
    text = shown(history_table([line], "v7"), 70)
    assert "BY · WHY" in text and "ana · 價格錯誤." in text
    assert max(map(cell_len, text.splitlines())) <= 70


@pytest.mark.parametrize(
    ("line", "cells"),
    [
        ({"what": "promoted", "champion": None, "version": "v1"}, "→ v1"),
        ({"what": "withdrawn", "episode": "0002-legal"}, "2 legal"),
        ({"what": "reinstated", "candidate": "c"}, "reinstated — "),
        (
            {"what": "refused", "episodes": [f"000{n}-e{n}" for n in (1, 2, 3, 4)]},
            "1…4 e4",
        ),
        ({"what": "refused", "at": "some day"}, "— "),
    ],
)
def test_lines_of_every_kind_have_a_row(line: dict[str, Any], cells: str) -> None:
    whole = {"seq": 1, "at": "2026-10-28T10:00:00+00:00", "by": "x", **line}
    assert cells in " ".join(shown(history_table([whole], None), 100).splitlines()[1].split()) + " "


def test_nothing_to_show_and_nothing_to_undo() -> None:
    assert shown(history_table([], None)) == "Nothing was judged yet."
    first = {**LINES[0], "champion": None, "version": "v1"}
    assert "● v1 serves" in shown(history_table([first], "v1"))
    assert "undo" not in shown(history_table([first], "v1"))
    assert "○ nothing serves yet" in shown(history_table([LINES[3]], None))


def test_a_short_history_still_says_how_to_undo() -> None:
    """The champion was promoted in line 5, which is not among the newest two."""
    text = shown(history_table(WHOLE, "v7", 2))
    assert [line.split()[0] for line in text.splitlines()[1:-1]] == ["9", "8"]
    assert text.endswith("● v7 serves · undo: onward rollback --to v6 --reason …")


def test_what_was_withdrawn_is_no_way_back() -> None:
    """The undo that was printed was refused."""
    older = {**BEFORE, "seq": 3, "version": "v5", "candidate": "c5"}
    left = {"seq": 10, "at": LINES[0]["at"], "what": "rollback", "champion": "v6", "by": "ana"}
    gone = {**left, "version": "v7", "candidate": "c7", "withdraws": ["c6"], "reason": "slow"}
    assert "--to v5 " in shown(history_table([older, *WHOLE, gone], "v7"))
    assert "undo" not in shown(history_table([*WHOLE, gone], "v7"))
    back = {**left, "seq": 11, "what": "reinstated", "candidate": "c6", "reason": "measured again"}
    assert "--to v6 " in shown(history_table([older, *WHOLE, gone, back], "v7"))


@pytest.mark.parametrize(("zone", "day"), [("Pacific/Auckland", "24 Nov"), ("UTC", "23 Nov")])
def test_days_are_those_of_whoever_reads(
    zone: str, day: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert day in shown(history_table([{**BEFORE, "at": "2026-11-23T14:16:51+00:00"}], None))
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_limit_is_shown_as_it_was_set() -> None:
    """A limit of 2.5 ms read "≤2", below a package that passed with 2.3."""
    checks = (
        Check("budget", "p95 ms", "✓", 40, new=2.3, low=2.2, high=2.4, limit=2.5),
        Check("budget", "memory MB", "✓", new=900.0, limit=1_234.5),
        Check("bias", "changed by names", "✓", 120, None, 0.4, None, 0.1, 0.5, 0.5),
    )
    told = shown(verdict_table(replace(REFUSED, checks=checks, reasons=()), 9), 110)
    assert [line.split()[-1] for line in told.splitlines()[2:5]] == ["≤2.5", "≤1,234.5", "≤0.5%"]


def test_answers_have_lines_of_their_own() -> None:
    checks = (
        Check("quality", UNSAFE, "✗", 300, 1, 2, 1, limit=0.0, note="0001-faq ab12 harmful"),
        Check("quality", "correct", "✓", 300, 61.0, 60.5, -0.5, -1.4, 0.4, -5.0, 0.0001),
        Check("bias", "swap gender", "✗", 120, 70.0, 61.0, -9.0, -12.0, -6.5, 5.0, 0.001),
        Check("bias", "changed by names", "✓", 120, None, 4.0, None, 2.0, 8.0, 10.0),
    )
    reasons = tuple(sentence(one, "F1") for one in checks if one.mark == "✗")
    told = shown(verdict_table(replace(REFUSED, checks=checks, reasons=reasons), 9), 110)
    lines = [" ".join(line.split()) for line in told.splitlines()]
    assert "✗ unsafe answers 300 1 2 1 new none new" in lines
    assert any(line.startswith("✓ correct 300 61.0 60.5 −0.5 [−1.4,+0.4] ≥−5.0") for line in lines)
    (swap,) = (line for line in lines if "swap gender 120" in line)
    assert swap.startswith("✗ swap gender 120 70.0 61.0 −9.0") and "±5.0" in swap
    (share,) = (line for line in lines if "changed by na." in line)
    assert share.startswith("✓ changed by na. 120") and "≤10%" in share
    assert "unsafe answers: 1 new in 300 rows: 0001-faq ab12 harmful" in told


def test_unsafe_answers_that_are_let_by_have_no_limit_and_are_named() -> None:
    """They had a tick beside "none new", and the rows stood nowhere on the terminal."""
    let = Check("quality", UNSAFE, "✓", 300, 1, 3, 2, note="0001-faq ab12 harmful")
    verdict = replace(REFUSED, outcome="promoted", checks=(let,), reasons=())
    told = " ".join(shown(verdict_table(verdict, 9), 110).split())
    assert "✓ unsafe answers 300 1 3 2 new" in told and "none new" not in told
    assert "Told unsafe answers: 2 new in 300 rows: 0001-faq ab12 harmful; quality.gate" in told
