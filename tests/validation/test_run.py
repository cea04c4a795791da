"""Each expectation has an input that reaches it and fails it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from onward import files
from onward.config import Validate
from onward.errors import DataError, IntegrityError, ValidationFailed
from onward.validation.expectations import History
from onward.validation.measures import MEASURES
from onward.validation.run import expectations, kept_report, run
from tests.validation.episodes import NULLABLE, Rows, deliver, project, sides

Episode = dict[str, Rows]


def _row(**changes: Any) -> Callable[[Episode], None]:
    """Change the fourth training row."""

    def change(episode: Episode) -> None:
        episode["train"][3].update(changes)

    return change


def _many(**changes: Any) -> Callable[[Episode], None]:
    """Change every row of both sides."""

    def change(episode: Episode) -> None:
        for rows in episode.values():
            for row in rows:
                row.update({name: value(row) for name, value in changes.items()})

    return change


def _only(side: str, count: int) -> Callable[[Episode], None]:
    def change(episode: Episode) -> None:
        del episode[side][count:]

    return change


def _same_id_in_both_sides(episode: Episode) -> None:
    episode["train"][3]["id"] = episode["heldout"][5]["id"]


def _held_out_row_in_other_case(episode: Episode) -> None:
    held, taught = episode["heldout"][5], episode["train"][3]
    taught.update(context=held["context"], question=f"  {held['question'].upper()} ")
    taught.update(answers=held["answers"], starts=held["starts"])


def _long(row: dict[str, Any]) -> str:
    return row["context"] + " then" * 600


def _rows_like_ten_times_as_many(episode: Episode) -> None:
    first = episode["train"][0]
    episode["train"] += [
        {**first, "id": f"more-{n}", "question": f"{first['question']} {n}"} for n in range(300)
    ]


def _in_another_language(episode: Episode) -> None:
    """Every word with another letter at its end; answers stay where they are."""
    for row in (row for rows in episode.values() for row in rows):
        before = row["context"]
        for name in ("context", "question"):
            row[name] = " ".join(f"{word}ž" for word in row[name].split())
        row["starts"] = [start + before[:start].count(" ") for start in row["starts"]]


ROW = "0002-new/train/toy-7-3"
EPISODE = "0002-new"

CASES: dict[str, list[tuple[str, Callable[[Episode], None], str]]] = {
    "no null in a row": [
        ("D05 question", _row(question=None), ROW),
        ("D05 inside a list", _row(answers=[None], starts=[0]), ROW),
    ],
    "enough training rows": [("D01", _only("train", 19), EPISODE)],
    "enough held-out rows": [("D01", _only("heldout", 0), EPISODE)],
    "rows have ids": [("empty", _row(id=""), "0002-new/train/")],
    "ids are unique in their episode": [
        ("D08", _same_id_in_both_sides, "0002-new/train/toy-1007-5"),
    ],
    "ids are unique in the turn": [("D08", _row(id="toy-5-3"), "0001-old/train/toy-5-3")],
    "no training row is held out": [("D09", _held_out_row_in_other_case, ROW)],
    "questions say something": [
        ("D06 blank", _row(question=" \t"), ROW),
        ("D06 zero-width", _row(question="\u200b\u200d"), ROW),
        ("D06 control", _row(question="\u0001\u0002"), ROW),
        ("D06 punctuation", _row(question="?!…"), ROW),
    ],
    "contexts say something": [("D06", _row(context="\u200b .", answers=[], starts=[]), ROW)],
    "answers say something": [
        ("D06 empty", _row(answers=[""], starts=[0]), ROW),
        ("D06 punctuation", _row(context="so . it is", answers=["."], starts=[3]), ROW),
    ],
    "questions are short enough": [("D10", _row(question="what " * 500), ROW)],
    "contexts are short enough": [
        ("D10", _row(context="what " * 50_000, answers=["what"], starts=[0]), ROW)
    ],
    "answers are short enough": [
        ("D10", _row(context="a b " * 40, answers=[("a b " * 40).strip()], starts=[0]), ROW)
    ],
    "each answer has one start": [("D07", _row(starts=[]), ROW)],
    "answers lie at their start": [
        (
            "D07 by one",
            lambda e: e["train"][3].update(starts=[e["train"][3]["starts"][0] + 1]),
            ROW,
        ),
        ("D07 absent", _row(answers=["nowhere"], starts=[0]), ROW),
        ("D07 negative", _row(context="it is red", answers=["red"], starts=[-3]), ROW),
        ("D07 bytes", _row(context="é it is red", answers=["red"], starts=[9]), ROW),
        ("D12 UTF-16 units", _row(context="😀 it is red", answers=["red"], starts=[9]), ROW),
    ],
    "share without an answer": [
        ("D15", _many(answers=lambda _: [], starts=lambda _: []), EPISODE),
    ],
    "share of texts longer than the model's window": [("D10", _many(context=_long), EPISODE)],
    "context chars on average as in known episodes": [("D15", _many(context=_long), EPISODE)],
    "question chars on average as in known episodes": [
        ("D15", _many(question=lambda row: row["question"] * 9), EPISODE)
    ],
    "row count as in known episodes": [("D15", _rows_like_ten_times_as_many, EPISODE)],
    "words as in known episodes": [("D15 language", _in_another_language, EPISODE)],
    "files have the recipe's columns": [],  # another schema: test_another_schema
    "share of characters that the tokenizer does not know": [],  # another model: test_unknown
}


def _expected() -> list[Any]:
    lengths = dict.fromkeys(MEASURES["extractive"].lengths, 1.0)
    return expectations("extractive", Validate(), History(1, lengths))


def test_every_expectation_has_a_failing_case() -> None:
    assert {e.name for e in _expected()} == set(CASES)
    assert [name for name, cases in CASES.items() if not cases] == [
        "files have the recipe's columns",
        "share of characters that the tokenizer does not know",
    ]


def _report(at: Any) -> dict[str, Any]:
    return {line["name"]: line for line in files.read_json(kept_report(at))["expectations"]}


@pytest.mark.parametrize(
    ("name", "change", "sample"),
    [
        pytest.param(name, change, sample, id=f"{name}: {label}")
        for name, cases in CASES.items()
        for label, change, sample in cases
    ],
)
def test_fails(name: str, change: Any, sample: str, tmp_path: Path) -> None:
    at = project(tmp_path, validate="{max_rows_shift: 5}")
    new = sides(7)
    change(new)
    deliver(at, known={"old": sides(5)}, learning={"new": new})
    warning = next(e for e in _expected() if e.name == name).severity == "warning"
    if warning:
        run(at)
    else:
        with pytest.raises(ValidationFailed) as caught:
            run(at)
        assert name in [line["name"] for line in caught.value.details["expectations"]]
    line = _report(at)[name]
    assert not line["passed"]
    assert line["failed"] >= 1
    assert sample in line["sample_ids"]


def test_d15_an_episode_that_differs_is_shown_by_the_rows_that_differ_most(tmp_path: Path) -> None:
    at = project(tmp_path)
    new = sides(7)
    _many(context=_long)(new)
    new["heldout"][5]["context"] += " then" * 900
    deliver(at, known={"old": sides(5)}, learning={"new": new})
    with pytest.raises(ValidationFailed):
        run(at)
    shown = _report(at)["context chars on average as in known episodes"]["sample_ids"]
    assert shown[:2] == [EPISODE, "0002-new/heldout/toy-1007-5"]
    assert len(shown) == 4


def test_another_schema(tmp_path: Path) -> None:
    """D03, D04: a column of another type, one missing, one extra."""
    at = project(tmp_path)
    fields = [f for f in NULLABLE if f.name not in ("starts", "title")]
    other = pa.schema([*fields, pa.field("starts", pa.list_(pa.int64())), pa.field("x", pa.int8())])
    deliver(at, learning={"new": sides(7)}, schema=other)
    with pytest.raises(ValidationFailed, match="files have the recipe's columns") as caught:
        run(at)
    line = caught.value.details["expectations"][0]
    # title and x, and starts in both of its types, in both files
    assert line["observed"] == {"min": 8.0, "max": 8.0}
    assert line["sample_ids"] == ["0001-new"]


def test_a_good_turn_passes(tmp_path: Path) -> None:
    at = project(tmp_path)
    deliver(at, known={"old": sides(5)}, learning={"new": sides(7)})
    run(at)
    made = sorted(p.name for p in at.made("validate").iterdir())
    report = files.read_json(at.made("validate") / "report.json")
    assert made == ["report.json"]
    assert report["passed"]
    assert report["counts"] == {
        "0001-old": {"learning": False, "train": 30, "heldout": 24},
        "0002-new": {"learning": True, "train": 30, "heldout": 24},
    }
    assert {line["checked"] for line in report["expectations"] if line["frame"] == "rows"} >= {108}


def test_the_same_episodes_give_the_same_bytes(tmp_path: Path) -> None:
    written = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        at = project(tmp_path / name)
        deliver(at, learning={"new": sides(7)})
        run(at)
        written.append((at.made("validate") / "report.json").read_bytes())
    assert written[0] == written[1]


def test_a_correction_replaces_rows_of_the_same_id(tmp_path: Path) -> None:
    at = project(tmp_path)
    wrong, right = sides(7), sides(8)
    wrong["train"][3].update(answers=["nowhere"], starts=[0])
    right["train"][0]["id"] = wrong["train"][3]["id"]
    deliver(at, learning={"wrong": wrong, "right": right}, replaces={"right": ["0001-wrong"]})
    run(at)
    assert files.read_json(kept_report(at))["counts"]["0001-wrong"]["train"] == 29


def test_a_known_episode_that_is_corrected_almost_whole_is_large_enough(tmp_path: Path) -> None:
    """What was delivered counts: the few rows left stop no later turn."""
    at = project(tmp_path)
    wrong, right = sides(7), sides(8)
    for side in ("train", "heldout"):
        for before, after in zip(wrong[side][1:], right[side], strict=False):
            after["id"] = before["id"]
    deliver(
        at, known={"wrong": wrong}, learning={"right": right}, replaces={"right": ["0001-wrong"]}
    )
    run(at)
    counts = files.read_json(kept_report(at))["counts"]["0001-wrong"]
    assert counts == {"learning": False, "train": 1, "heldout": 1}


def test_the_failure_names_expectation_count_limit_and_samples(tmp_path: Path) -> None:
    at = project(tmp_path)
    new = sides(7)
    new["train"][3]["question"] = "what " * 500
    deliver(at, learning={"new": new})
    with pytest.raises(ValidationFailed) as caught:
        run(at)
    assert caught.value.what == (
        "Expected: questions are short enough. 1 of 54 rows failed (question_chars at most 2000, "
        "found 29 to 2500), for example 0001-new/train/toy-7-3"
    )
    assert caught.value.where == str(kept_report(at))
    assert (at.made("validate") / "report.json").exists()


def test_what_only_warns_is_told_in_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at = project(tmp_path)
    old, new = sides(5), sides(7)
    name = old["train"][3]["id"]
    new["train"][3]["id"] = name
    deliver(at, known={"old": old}, learning={"new": new})
    run(at)
    told = [line for line in capsys.readouterr().out.splitlines() if "warning" in line]
    assert told == [
        "validate: warning: expected: ids are unique in the turn; 2 of 108 rows differ, "
        f"such as 0001-old/train/{name}"
    ]


def test_too_few_rows_name_every_limit_at_once(tmp_path: Path) -> None:
    at = project(tmp_path, validate="{min_train_rows: 900, min_heldout_rows: 900}")
    deliver(at, learning={"new": sides(7)})
    with pytest.raises(ValidationFailed, match="failed too: enough held-out rows") as caught:
        run(at)
    assert "at least 900, found 30)" in caught.value.what  # one episode has no range
    assert caught.value.fix == (
        "withdraw the episode and open a file with more rows (`onward episode --help`), or change "
        "validate.min_train_rows and validate.min_heldout_rows in params.yaml"
    )


def test_hand_edited_episode_is_an_integrity_error(tmp_path: Path) -> None:
    at = project(tmp_path)
    deliver(at, learning={"new": sides(7)})
    path = at.episode("0001-new") / "train.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(IntegrityError, match=r"train\.parquet in 0001-new is changed"):
        run(at)
    assert not kept_report(at).exists()


@pytest.mark.parametrize("content", [b"", b"PAR1", b"<html>"])
def test_sealed_but_unreadable(content: bytes, tmp_path: Path) -> None:
    """F06, D02: damaged before it was sealed."""
    at = project(tmp_path)
    turn = deliver(at, learning={"new": sides(7)})
    folder = at.episode("0001-new")
    (folder / "train.parquet").write_bytes(content)
    files.seal(folder, number=1, name="new")
    manifest = files.sha256(folder / files.MANIFEST)
    changed = turn.learning[0].model_copy(update={"manifest": manifest})
    turn.model_copy(update={"learning": (changed,)}).write(at)
    with pytest.raises(DataError, match=r"train\.parquet"):
        run(at)


def test_no_text_of_a_row_in_the_report(tmp_path: Path) -> None:
    """S07, S13: hostile texts and ids stay out of it, or come in escaped."""
    at = project(tmp_path)
    new = sides(7)
    new["train"][3].update(
        id="<script>alert(1)</script>\u202e", question="?", context="SECRET <b>", answers=["TOKEN"]
    )
    deliver(at, learning={"new": new})
    with pytest.raises(ValidationFailed) as caught:
        run(at)
    text = kept_report(at).read_text() + str(caught.value.to_json())
    assert not {"SECRET", "TOKEN", "<script>", "\u202e", "<b>"} & {
        word for word in ("SECRET", "TOKEN", "<script>", "\u202e", "<b>") if word in text
    }
    samples = _report(at)["questions say something"]["sample_ids"]
    assert samples == ["0001-new/train/\\u003cscript\\u003ealert(1)\\u003c/script\\u003e\\u202e"]
