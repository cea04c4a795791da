"""The front door: exit codes, help, errors in three lines, and nothing heavy imported."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.text import Text

from cli import main, output
from onward import errors
from onward.errors import Busy, OnwardError, SettingsError, Withdrawn

COMMANDS = [
    "new", "run", "watch", "gate", "promote", "matrix", "rollback", "reinstate", "adopt",
    "repair", "verify", "history", "status", "ask", "report", "study", "doctor",
    "pretrain", "combinations", "compare", "search",
    "episode open", "episode list", "episode show", "episode withdraw",
    "server start", "server stop", "server status",
]  # fmt: skip


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_help_names_every_command_and_cuts_none(capsys: pytest.CaptureFixture[str]) -> None:
    listed = []
    for arguments in ([], ["episode"], ["server"]):
        assert main.start([*arguments, "--help"]) == 0
        shown = capsys.readouterr().out
        rows = shown.partition("Commands:\n")[2].partition("\n\n")[0]
        assert "..." not in rows
        names = [line.split()[0] for line in rows.splitlines()]
        listed += [" ".join([*arguments, name]) for name in names]
    assert set(listed) - {"episode", "server"} == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_worth_reading(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.start([*command.split(), "--help"]) == 0
    shown = capsys.readouterr().out
    assert "--json" in shown
    described = shown.partition("\n\n")[2].partition("Options:")[0].partition("Arguments:")[0]
    assert len(described.split()) >= 5
    for line in shown.partition("Options:")[2].splitlines():
        if line.lstrip().startswith("--"):
            assert len(line.split()) > 2 or "  " not in line.strip(), f"{command}: {line}"


@pytest.mark.parametrize(
    "arguments",
    [["bogus"], ["gate", "--bogus"], ["gate", "--show", "x"], ["episode", "open"], ["new"]],
)
def test_wrong_usage_is_3_and_not_typers_2(
    arguments: list[str], empty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.start(arguments) == 3
    assert main.start([*arguments, "--json"]) == 3
    told = json.loads(capsys.readouterr().out)
    assert told["error"] == "UsageError" and told["what"] and "--help" in told["fix"]


@pytest.mark.parametrize("command", COMMANDS)
def test_arguments_are_capitals_and_flags_have_no_opposite(command: str) -> None:
    found: Any = typer.main.get_command(main.app)
    for word in command.split():
        found = found.commands[word]
    for one in found.params:
        if one.param_type_name == "argument":
            assert one.metavar and one.metavar.isupper(), one.name
        else:
            assert not one.secondary_opts, one.name


def test_outside_a_project_is_wrong_usage(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.start([]) == 3
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 3
    assert "onward new" in said[2]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Busy("busy", where="here", fix="wait"), 1),
        (SettingsError("bad", where="params.yaml", fix="mend"), 3),
        (Withdrawn("gone", where="candidate", fix="reinstate"), 2),
    ],
)
def test_an_error_is_three_lines_and_its_code(
    error: OnwardError,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def raises() -> None:
        raise error

    monkeypatch.setattr(main.status, "status", raises)
    assert main.start([]) == code
    assert capsys.readouterr().err.splitlines() == error.lines()
    assert main.start(["--debug"]) == code
    assert "Traceback" in capsys.readouterr().err


def test_a_defect_becomes_typed_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def raises() -> None:
        raise ZeroDivisionError("[red]by zero")

    monkeypatch.setattr(main.status, "status", raises)
    assert main.start([]) == 1
    said = capsys.readouterr().err
    assert "ZeroDivisionError: [red]by zero" in said
    assert "Traceback" not in said


def test_json_is_one_object_also_for_errors_and_noise(
    empty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.start(["status", "--json"]) == 3
    said = capsys.readouterr()
    assert json.loads(said.out)["error"] == "UsageError"
    with output.only_json(True):
        print("progress")
        output.note("more progress")
        output.answer(True, {"a": 1}, "text")
    said = capsys.readouterr()
    assert json.loads(said.out) == {"a": 1}
    assert said.err == "progress\nmore progress\n"


def test_text_is_never_read_as_markup(capsys: pytest.CaptureFixture[str]) -> None:
    output.answer(False, {}, "[bold]S07[/bold]" + "x" * 200)
    assert capsys.readouterr().out == "[bold]S07[/bold]" + "x" * 200 + "\n"


def test_no_text_becomes_an_emoji_or_moves_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    """An answer 1:100:5 was told as 1💯5, and a row could clear the screen."""
    output.answer(False, {}, "1:100:5\nS07\x1b[2J\x9b2J", Text("a:b:c"))
    output.note("a:b:c \x1b[2J")
    output.failure(Busy("a:b:c \x07"), as_json=False)
    said = capsys.readouterr()
    assert said.out == "1:100:5\nS07 [2J 2J\na:b:c\na:b:c  [2J\n"
    assert said.err.splitlines()[0] == "a:b:c  "


@pytest.mark.parametrize("arguments", [["--help"], ["status"], ["history"]])
def test_light_commands_import_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys; from cli import main; main.start(sys.argv[1:]);"
        "print([m for m in ('torch', 'prefect', 'dvc', 'transformers', 'pandas', 'onnxruntime',"
        " 'great_expectations') if m in sys.modules], file=sys.stderr)"
    )
    root = Path(main.__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=root, capture_output=True, text=True
    )
    assert done.stderr.strip().splitlines()[-1] == "[]", done.stderr


def test_an_interrupted_command_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    # Within the command, where Typer catches it first.
    monkeypatch.setattr(main.status, "status", interrupted)
    assert main.start([]) == 130
    told = capsys.readouterr()
    assert told.err == "Interrupted; the same command goes on from what was kept\n"
    assert told.out == ""


def test_a_run_that_ends_in_a_state_of_others_is_a_typed_error() -> None:
    """I4: never a green run, and no defect either."""
    from prefect.states import Cancelled, Completed

    from cli.run import _why

    ended = _why(Cancelled(message="cancelled; nothing was promoted"), "7")
    assert isinstance(ended, errors.Cancelled) and ended.exit_code == 4
    assert ended.what == "cancelled; nothing was promoted" and "7" in ended.where
    other = _why(Completed(), "7")
    assert isinstance(other, errors.ServerError) and "Completed" in other.what


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_file_that_may_not_be_written_is_no_defect(
    number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), "/project/.onward/run.lock")

    monkeypatch.setattr(main, "app", refused)
    assert main.start(["run"]) == 1
    what, where, fix = capsys.readouterr().err.splitlines()
    assert os.strerror(number) in what and where == "/project/.onward/run.lock"
    assert "defect" not in what + fix and "writable" in fix


def _printing_to(out: Any, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`onward combinations`, a command that needs no project, in a process of its own."""
    begin = "import sys; from cli.main import start; sys.exit(start(sys.argv[1:]))"
    return _python(begin, out, "combinations", "--recipe", "chat", *arguments)


def _python(code: str, out: Any, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        stdout=out,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(main.__file__).parent.parent,
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
    )


def test_a_reader_that_has_seen_enough_is_no_failure() -> None:
    """`onward history | head` ended with 1 where head was the faster."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as out:
        done = _printing_to(out)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_a_terminal_that_is_not_of_utf_8_is_no_defect(encoding: str, tmp_path: Path) -> None:
    def typed(*arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-m", "cli", *arguments],
            capture_output=True,
            cwd=Path(main.__file__).parent.parent,
            env={**os.environ, "PYTHONIOENCODING": encoding},
        )

    folder = tmp_path / "é"
    folder.mkdir()
    shown = typed("combinations", "--recipe", "chat")
    assert shown.returncode == 0 and b"naive" in shown.stdout
    told = typed("-C", str(folder), "status", "--json")
    assert json.loads(told.stdout.decode(encoding))["where"] == str(folder)


LAST_WORDS = """
import sys
from cli import main
main.app = lambda *_, **__: print("never flushed")
sys.exit(main.start([]))
"""


@pytest.mark.parametrize("more", [[], ["--json"], None])
def test_output_that_finds_the_disk_full_is_no_defect(more: list[str] | None) -> None:
    """Also where only what was printed last does not get out; the interpreter's own code is 120."""
    with Path("/dev/full").open("w") as out:
        done = _printing_to(out, *more) if more is not None else _python(LAST_WORDS, out)
    assert done.returncode == 1
    assert done.stderr.startswith("The disk is full")
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr


@pytest.mark.parametrize("more", ["", "--json"])
def test_with_its_output_closed_it_does_its_work(more: str) -> None:
    """`>&-` ended as a defect, the work done; with --json in a traceback."""
    typed = f'exec "$0" -m cli combinations --recipe chat {more} >&-'
    done = subprocess.run(
        ["sh", "-c", typed, sys.executable],
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(main.__file__).parent.parent,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "words",
    ["rollback --to v1", "reinstate v1", "adopt model", "promote --force", "episode withdraw faq"],
)
def test_a_reason_that_cannot_be_kept_is_refused(
    empty: Path, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a byte of Latin-1 becomes in Python: a journal in UTF-8 has no place for it."""
    assert main.start([*words.split(), "--reason", "zu sp\udce4t"]) == 3
    told = capsys.readouterr().err
    assert "not in UTF-8 from character 6 on" in told and "--reason" in told
