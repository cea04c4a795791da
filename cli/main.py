"""`onward`: the front door.

    onward                  how the champion stands, and what needs you
    onward run              learn what is new, prove it, promote it
    onward gate --show 9    why a verdict came out as it did

Exit codes: 0 promoted or nothing to do, 2 refused or undecided, 3 wrong usage or settings,
4 cancelled, 1 failure. Nothing heavy is imported here: each command imports what it needs when it
runs.
"""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

from cli import (
    ask,
    combinations,
    compare,
    doctor,
    episode,
    gate,
    matrix,
    new,
    output,
    pretrain,
    run,
    search,
    server,
    status,
    study,
    versions,
    watch,
)
from onward.errors import DiskFull, InternalError, NotPermitted, OnwardError, UsageError

INTERRUPTED = 128 + signal.SIGINT

app = typer.Typer(
    name="onward",
    help="Keeps a question-answering model up to date and never lets it slip back.",
    epilog="Exit codes: 0 promoted or nothing to do, 2 refused or undecided, "
    "3 wrong usage or settings, 4 cancelled, 1 failure.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(episode.app, name="episode")
app.add_typer(server.app, name="server")
for group in (
    new,
    run,
    pretrain,
    watch,
    gate,
    matrix,
    versions,
    status,
    ask,
    study,
    combinations,
    compare,
    search,
    doctor,
):
    for command in group.COMMANDS:
        app.command(command.__name__)(command)


@app.callback(invoke_without_command=True)
def begin(
    context: typer.Context,
    project: Annotated[
        str | None, typer.Option("--project", "-C", help="The project's folder, if not this one.")
    ] = None,
    debug: Annotated[  # read by `start` below, wherever it stands
        bool, typer.Option("--debug", help="Show the traceback of an error, too.")
    ] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Keeps a question-answering model up to date and never lets it slip back."""
    output.choose(project)
    if version:
        from importlib.metadata import version as installed

        typer.echo(installed("onward"))
        raise typer.Exit
    if context.invoked_subcommand is None:
        status.status()


def start(arguments: list[str]) -> int:
    """Run one command line (without the program's name) and return its exit code."""
    debug = "--debug" in arguments
    as_json = "--json" in arguments
    arguments = [word for word in arguments if word != "--debug"]
    try:
        with output.only_json(as_json):
            return _run(arguments, as_json=as_json, debug=debug)
    except OSError as error:
        # Nothing more can be printed. That a reader (head, less) has seen enough is no error of
        # ours; a full disk was told on stderr.
        _drop()
        return 0 if isinstance(error, BrokenPipeError) else DiskFull.exit_code


def _run(arguments: list[str], *, as_json: bool, debug: bool) -> int:
    try:
        try:
            app(arguments, prog_name="onward")
        finally:
            _let_out()
    except SystemExit as ended:
        return _of_typer(ended, as_json=as_json)
    except output.Ended as ended:
        return ended.code
    except OnwardError as error:
        if debug:
            traceback.print_exc()
        output.failure(error, as_json=as_json)
        return error.exit_code
    except KeyboardInterrupt:
        return _interrupted()
    except BrokenPipeError:
        raise
    except OSError as error:
        known = _of_the_system(error)
        if known is None:
            return _defect(error, as_json=as_json, debug=debug)
        if debug:
            traceback.print_exc()
        output.failure(known, as_json=as_json)
        return known.exit_code
    except Exception as error:  # noqa: BLE001 - the border: every defect gets a type here
        return _defect(error, as_json=as_json, debug=debug)
    return 0


def _let_out() -> None:
    """What was printed gets out now, where an error of it is told, not as the interpreter ends."""
    try:
        sys.stdout.flush()
    except OSError:
        _drop()
        raise


def _drop() -> None:
    """What cannot get out goes nowhere; the interpreter would try again, and end with its 120."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _of_typer(ended: SystemExit, *, as_json: bool) -> int:
    """Only Typer raises it: for wrong usage, which is 2, a reader that is gone, and Ctrl-C."""
    why = ended.__context__
    if isinstance(why, BrokenPipeError):
        raise why
    if ended.code == INTERRUPTED:
        return _interrupted()
    if ended.code != 2:
        return int(ended.code or 0)
    if as_json:  # Typer has told people, on stderr
        said = getattr(why, "format_message", lambda: "The command line is incomplete")()
        wrong = UsageError(said, where="onward", fix="the same command with --help says its words")
        output.answer(True, wrong.to_json())
    return UsageError.exit_code


def _interrupted() -> int:
    sys.stderr.write("Interrupted; the same command goes on from what was kept\n")
    return INTERRUPTED


def _of_the_system(error: OSError) -> OnwardError | None:
    """What the system refuses wherever it is asked; None: not one of these."""
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return NotPermitted(
            f"This command may not use a file: {error.strerror}",
            where=str(error.filename or ""),
            fix="give this user the right to it (a project's folder must be writable), "
            "or use a copy",
        )
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(
            f"The disk is full: {error.strerror}",
            where=str(error.filename or "what this command prints, or a file that it writes"),
            fix="free some space, then run the same command again",
        )
    return None


def _defect(error: Exception, *, as_json: bool, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    output.failure(
        InternalError(
            f"{type(error).__name__}: {error}",
            where="this is a defect of Onward",
            fix="run it again with --debug and report what it prints",
        ),
        as_json=as_json,
    )
    return InternalError.exit_code


def main() -> None:
    """The console script."""
    # `python` in dvc.yaml means this one, also where the environment was not activated.
    here = str(Path(sys.executable).parent)
    paths = os.environ.get("PATH", "").split(os.pathsep)
    if here not in paths:
        os.environ["PATH"] = os.pathsep.join([here, *paths])
    os.environ.setdefault("DVC_NO_ANALYTICS", "1")
    os.environ.setdefault("DO_NOT_TRACK", "1")
    # Closed by whoever began it (`>&-`): what is printed goes nowhere, and the work is done.
    nowhere = Path(os.devnull)
    sys.stdout, sys.stderr = (
        stream or nowhere.open("w", encoding="utf-8") for stream in (sys.stdout, sys.stderr)
    )
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a Latin-1 terminal shows ? for ✓, and the rest
    sys.exit(start(sys.argv[1:]))
