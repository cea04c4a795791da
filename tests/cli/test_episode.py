"""`onward episode`: what it says of episodes that are open, quarantined in part, or withdrawn."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli import main
from onward.project import Project
from tests import toys

NAME = "support-mails-of-the-first-quarter-of-the-year-2026"


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with two open episodes; one row of the first is quarantined."""
    folder = tmp_path / "p"
    assert main.start(["new", str(folder), "--recipe", "classification"]) == 0
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(tmp_path))
    for seed, (name, last) in enumerate({NAME: b"caf\xe9,a\n", "faq": b""}.items(), start=1):
        rows = toys.toy_texts(80, seed, "classification")
        lines = [f"{seed} {row['text']},{row['label']}" for row in rows]
        source = tmp_path / f"{name}.csv"
        source.write_bytes("\n".join(["text,label", *lines, ""]).encode() + last)
        assert main.start(["episode", "open", name, str(source)]) == 0
    return Project.find(folder)


def test_a_list_cuts_no_name_and_says_where_quarantined_rows_are(
    two: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    capsys.readouterr()
    assert main.start(["episode", "list"]) == 0
    listed = capsys.readouterr().out
    assert "…" not in listed and "quarantined.jsonl" not in listed
    assert main.start(["episode", "list", "--quarantined"]) == 0
    listed = capsys.readouterr().out
    assert "0002-faq" not in listed
    assert f"  {two.data}/0001-{NAME}/quarantined.jsonl\n" in listed


def test_withdrawing_again_says_the_reason_that_is_kept(
    two: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    for reason in ("wrong labels", "another word"):
        assert main.start(["episode", "withdraw", "faq", "--reason", reason]) == 0
    said = capsys.readouterr().out
    assert "Withdrew 0002-faq: wrong labels\n" in said
    assert "0002-faq was withdrawn already: wrong labels\n" in said
    assert "another word" not in said


def test_few_held_out_rows_are_told_before_anything_is_trained(
    two: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = str(tmp_path / "faq.csv")
    few = "held-out rows are fewer than gate.min_rows, 100: a turn with them is undecided"

    def told(*arguments: str) -> str:
        capsys.readouterr()
        assert main.start(["episode", "open", "more", source, "--dry-run", *arguments]) == 0
        return capsys.readouterr().out

    assert few in told()
    assert few not in told("--group", "small")
    two.params.write_text(two.params.read_text().replace("min_rows: 100", "min_rows: 2", 1))
    assert few not in told()
    two.params.write_text(two.params.read_text().replace("min_rows: 2", "min_rows: much", 1))
    assert few not in told(), "a stage that reads the gate's block says what is wrong with it"


def test_columns_that_no_field_is_read_from_are_told(
    two: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of QNLI's two texts one was dropped without a word."""
    rows = toys.toy_texts(80, 3, "classification")
    lines = [f"{row['text']},{n},{row['label']},{n}" for n, row in enumerate(rows)]
    source = tmp_path / "more.csv"
    source.write_text("\n".join(["sentence,annotator,label,confidence", *lines, ""]))
    for opening in (["--dry-run"], ["--dry-run", "--json"], []):
        capsys.readouterr()
        assert main.start(["episode", "open", "more", str(source), *opening]) == 0
        said = capsys.readouterr().out
        if "--json" in opening:
            assert json.loads(said)["unread"] == ["annotator", "confidence"]
        else:
            assert "\nNot read     annotator, confidence\n" in said
    source.write_text("\n".join(["text,label", *(f"{r['text']},{r['label']}" for r in rows), ""]))
    assert main.start(["episode", "open", "again", str(source), "--dry-run"]) == 0
    assert "Not read" not in capsys.readouterr().out


def test_a_field_may_be_left_out(
    two: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--map title=`, which the message about an empty side advises."""
    rows = toys.toy_texts(80, 3, "classification")
    source = tmp_path / "more.csv"
    lines = [f"{row['text']},{row['label']},{row['label']}" for row in rows]
    source.write_text("\n".join(["text,label,title", *lines, ""]))
    opening = ["episode", "open", "more", str(source), "--dry-run", "--json", "--map"]
    capsys.readouterr()
    assert main.start([*opening, "title="]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["source"]["mapping"] == {"text": "text", "label": "label"}
    assert found["guessed"] and found["unread"] == ["title"]
    assert main.start([*opening, "label="]) == main.start([*opening, "=title"]) == 3


def test_a_correction_says_how_many_rows_it_replaces(
    two: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its rows have no ids: those whose texts are the same replace the others."""
    header, *lines = (tmp_path / "faq.csv").read_text().splitlines()
    source = tmp_path / "mended.csv"
    more = [f"another {line}" for line in lines[50:]]
    source.write_text("\n".join([header, *lines[:50], *more, ""]))
    capsys.readouterr()
    assert main.start(["episode", "open", "m", str(source), "--corrects", "faq", "--dry-run"]) == 0
    assert "\nCorrects     50 rows of 0002-faq\n" in capsys.readouterr().out
