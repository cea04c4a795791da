"""What every command prints: text for people, or one JSON object with --json.

>>> answer(False, {"version": "v1"}, "v1 serves")
v1 serves
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from rich.console import Console

from onward.errors import OnwardError, UsageError
from onward.project import Project


def _kept(reason: str) -> str:
    """A reason, as the journal keeps it. Raises UsageError: bytes of it are no text."""
    try:
        reason.encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"The reason is not in UTF-8 from character {error.start + 1} on",
            where="--reason",
            fix="type it in a terminal that writes UTF-8, or in plain letters",
        ) from error
    return reason


Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Reason = Annotated[str, typer.Option(help="Why; it is kept in the journal.", callback=_kept)]

_answers: list[TextIO] = []

_CONTROLS = {code: " " for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n"}
"""Characters that a terminal obeys and does not show: by them a row could clear the screen."""


class Ended(Exception):
    """A command ended with this exit code and has said why: 2 for refused or undecided."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exit code {code}")
        self.code = code


@contextlib.contextmanager
def only_json(on: bool) -> Iterator[None]:
    """With `on`, whatever else is printed (progress, notes) goes to stderr."""
    if not on:
        yield
        return
    _answers.append(sys.stdout)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        _answers.pop()


def answer(as_json: bool, data: dict[str, Any], *parts: Any) -> None:
    """Print `data` as JSON, or `parts` (text or Rich renderables) for people."""
    if as_json:
        out = _answers[-1] if _answers else sys.stdout
        escaped = (out.encoding or "").lower() != "utf-8"  # where a ? would stand for it
        out.write(json.dumps(data, sort_keys=True, ensure_ascii=escaped, allow_nan=False) + "\n")
        out.flush()
        return
    shown = console()
    for part in parts:
        if isinstance(part, str):
            # Text of ours and of rows alike: never read as Rich's markup, never cut.
            shown.print(plain(part), markup=False, soft_wrap=True)
        else:
            shown.print(part)


def console(*, stderr: bool = False) -> Console:
    """Where text goes as it stands: Rich would make an emoji of the :100: in 1:100:5."""
    return Console(stderr=stderr, highlight=False, emoji=False)


def plain(text: str) -> str:
    r"""A text with a space for each control character but tabs and ends of lines.

    >>> plain("red \x1b[31m")
    'red  [31m'
    """
    return text.translate(_CONTROLS)


def note(text: str) -> None:
    """One line on the way; main() sends it to stderr with --json."""
    console().print(plain(text), markup=False, soft_wrap=True)


def failure(error: OnwardError, *, as_json: bool) -> None:
    """An error in three lines on stderr: what, where, what to do."""
    out = console(stderr=True)
    for line in error.lines():
        out.print(plain(line), markup=False, soft_wrap=True)
    if as_json:
        answer(True, error.to_json())


def here() -> Project:
    """The project of the current folder, or of `onward --project DIR`.

    Raises:
        UsageError: there is none.
    """
    chosen = _chosen[-1] if _chosen else None
    return Project.find(Path(chosen) if chosen else None)


def require_file(path: Path) -> None:
    """Refuse a path on the command line that is no file. Raises UsageError."""
    if not path.is_file():
        what = f"{path} is a folder" if path.is_dir() else f"There is no file {path.name}"
        raise UsageError(what, where=str(path.absolute()), fix="check the path")


_chosen: list[str] = []


def choose(folder: str | None) -> None:
    """Remember what --project named, for this one invocation."""
    _chosen.clear()
    if folder:
        _chosen.append(folder)
