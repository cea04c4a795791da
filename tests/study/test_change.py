"""Values written into params.yaml: nothing else moves."""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest

from onward import config
from onward.config import Finetune
from onward.errors import SettingsError
from onward.study import change

MINE = (
    "# mine\n"
    "project: {name: 'toy',   recipe: extractive}\n"
    "\n"
    "finetune:\n"
    "    epochs: 2.0 # few\n"
    '    tuning:   "lora"\n'
    "\n"
    "    # of both matrices\n"
    "    lora_rank: 8\n"
    "evaluate:\n"
    f"  stop: [{', '.join(repr('a long end ' + word) for word in 'abcdefghij')}]\n"
    "  # more\n"
    "benchmark:\n"
    "- nothing\n"
)


def moved(before: str, after: str) -> list[str]:
    """The lines that differ."""
    lines = difflib.ndiff(before.splitlines(keepends=True), after.splitlines(keepends=True))
    return [line for line in lines if line[0] in "+-"]


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_only_the_lines_of_the_values_change(ending: str, tmp_path: Path) -> None:
    """A block of four spaces was indented by two, and a long list was wrapped."""
    before = MINE.replace("\n", ending)
    params = tmp_path / "params.yaml"
    params.write_bytes(before.encode())
    change.apply(
        params,
        {
            "finetune.epochs": 3.5,
            "finetune.tuning": "full",
            "finetune.learning_rate": 1.23e-5,
            "evaluate.n_best": 2,
            "strategy.rows": "replay",
        },
    )
    assert moved(before, params.read_bytes().decode()) == [
        f"-     epochs: 2.0 # few{ending}",
        f"+     epochs: 3.5 # few{ending}",
        f'-     tuning:   "lora"{ending}',
        f"+     tuning:   full{ending}",
        f"+     learning_rate: 1.23e-05{ending}",
        f"+   n_best: 2{ending}",
        f"+ strategy:{ending}",
        f"+   rows: replay{ending}",
    ]


def test_only_one_line_of_the_projects_own_settings_changes(tmp_path: Path) -> None:
    before = (Path(__file__).parents[2] / "params.yaml").read_text(encoding="utf-8")
    found = config.load(Path(__file__).parents[2] / "params.yaml")["finetune"]
    for key in found:
        after = change.changed(before, {f"finetune.{key}": 77})
        assert [line[0] for line in moved(before, after)] == ["-", "+"]
        read = change._plain().load(after)["finetune"]
        assert read == {**found, key: 77}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("finetune:\n  seed: 1", "finetune:\n  seed: 1\n  epochs: 3.5\n"),
        ("finetune:\n  epochs:\n  seed: 1\n", "finetune:\n  epochs: 3.5\n  seed: 1\n"),
        ("finetune: # why\n", "finetune: # why\n  epochs: 3.5\n"),
        ('{"finetune": {"epochs": 2}}', '{"finetune": {"epochs": 3.5}}'),
        (
            "finetune:\n  few:\n  - [a]\n  - b # last\n\n# next\ngit: {}\n",
            "finetune:\n  few:\n  - [a]\n  - b # last\n  epochs: 3.5\n\n# next\ngit: {}\n",
        ),
    ],
)
def test_a_value_goes_where_its_block_is(before: str, after: str) -> None:
    assert change.changed(before, {"finetune.epochs": 3.5}) == after


@pytest.mark.parametrize(
    "before",
    [
        "finetune: {}\n",
        "finetune: ~ # why\n",
        "finetune: {seed: 1}\n",
        "a: &x 2.0\nfinetune:\n  epochs: *x\n",
        "---\nfinetune:\n  seed: 1\n...\n",
    ],
)
def test_what_has_no_place_of_its_own_is_written_by_the_library(before: str) -> None:
    was = change._plain().load(before)
    now = change._plain().load(change.changed(before, {"finetune.epochs": 3.5}))
    assert now == {**was, "finetune": {**(was["finetune"] or {}), "epochs": 3.5}}


def test_a_block_that_two_share_is_not_changed_for_one_of_them() -> None:
    before = "export: &x {threads: 1}\nfinetune: *x\n"
    with pytest.raises(SettingsError, match=r"finetune\.threads cannot be written alone") as caught:
        change.changed(before, {"finetune.threads": 2})
    assert "`threads: 2`" in caught.value.fix


def test_the_winner_is_written_and_all_else_stays(tmp_path: Path) -> None:
    params = tmp_path / "params.yaml"
    text = "# mine\nfinetune:\n  epochs: 2 # few\n  seed: 1\ngit:\n  commit: false\n"
    params.write_text(text)
    change.apply(params, {"finetune.epochs": 3.5, "evaluate.n_best": 2})
    after = params.read_text()
    assert "# mine" in after and "epochs: 3.5 # few" in after and "commit: false" in after
    assert config.load(params)["evaluate"] == {"n_best": 2}


@pytest.mark.parametrize(
    "held", ["", "# mine\n", "finetune:\n  # epochs: 2\nevaluate:\n  n_best: 3\n"]
)
def test_a_block_without_a_key_takes_values(held: str, tmp_path: Path) -> None:
    """The search ended in a TypeError after its last try, and what it had found was not written."""
    params = tmp_path / "params.yaml"
    params.write_text(held)
    change.apply(params, {"finetune.epochs": 3.5})
    assert config.read(params, Finetune).epochs == 3.5
    assert all(line in params.read_text() for line in held.splitlines() if "#" in line)
