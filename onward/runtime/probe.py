"""Load a package in a fresh process and ask it what it must still know.

    python -m onward.runtime.probe PACKAGE_DIR [--variant int8] [--manifest SHA256]

The package itself holds a few real held-out rows with the answers that it gave when it was
exported (package.json: probes). Exit 0 when they come out the same, else the typed error as one
JSON line and exit 1. `probe` runs that in a subprocess and raises the error here.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from onward import files
from onward.errors import IntegrityError, InternalError, OnwardError
from onward.runtime import package as packages

SECONDS = 120
A_TOKEN = 1.0
"""Seconds more for each token that the probes may come to where the model writes: the largest that
fits into one file takes a good part of one on two cores that others use, too."""
_NOT_ASKED = ("unit", "answers")
_NEAR = 1e-3
"""Of a number, relative or absolute: how far another machine's last bits may move it."""


def check(folder: Path, variant: str | None = None, manifest: str | None = None) -> dict[str, Any]:
    """Load the package here and compare its answers with its probes.

    Returns:
        {variant, provider, artifact, probes: how many were asked}.

    Raises:
        IntegrityError: a file is not what was sealed, or an answer differs.
    """
    from onward.runtime.session import Session

    # The CPU, so that a probe means the same on every machine and takes no accelerator's memory.
    session = Session(folder, variant, provider="cpu", manifest=manifest)
    probes = session.package.spec["probes"]
    if not probes:
        raise IntegrityError(
            "The package has no probes", where=str(folder), fix="export the model again"
        )
    for number, item in enumerate(probes):
        asked = {name: text for name, text in item.items() if name not in _NOT_ASKED}
        got, expected = session.answer(asked), item["answers"][session.variant]
        if not _same(got, expected):
            raise IntegrityError(
                f"Probe {number} is answered differently in a fresh process",
                where=f"{folder}: {session.variant}",
                fix="export the model again on this machine; nothing was promoted",
                details={"expected": expected, "got": got["text"], "asked": asked},
            )
    return {
        "variant": session.variant,
        "provider": session.provider,
        "artifact": session.artifact,
        "probes": len(probes),
    }


def _same(got: dict[str, Any], expected: str) -> bool:
    if "value" in got:
        return math.isclose(got["value"], float(expected), rel_tol=_NEAR, abs_tol=_NEAR)
    return bool(got["text"] == expected)


def probe(package: Path, variant: str | None = None, manifest: str | None = None) -> dict[str, Any]:
    """`check` in a fresh process. Returns what it found; raises what it raised.

    Raises:
        IntegrityError, MissingFiles, ...: as `check`.
        InternalError: the process died or did not end in time.
    """
    command = [sys.executable, "-m", "onward.runtime.probe", str(package)]
    command += ["--variant", variant] if variant else []
    command += ["--manifest", manifest] if manifest else []
    seconds = _seconds(package)
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds, env=_environment()
        )
    except subprocess.TimeoutExpired as error:
        raise _died(package, f"did not answer within {seconds:.0f} s") from error
    try:
        found = json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError) as error:
        last = done.stderr.strip()[-400:]
        raise _died(package, f"ended with {done.returncode}: {last}") from error
    if "error" in found:
        raise OnwardError.from_json(found)
    return dict(found)


def _seconds(package: Path) -> float:
    """How long the process may take; whether the package is what was sealed is for it to say."""
    path = package / packages.SPEC
    spec = files.read_json(path) if path.is_file() else {}
    longest = spec.get("decoding", {}).get("max_new_tokens", 0) if "generation" in spec else 0
    return SECONDS + A_TOKEN * longest * len(spec.get("probes", ()))


def _environment() -> dict[str, str]:
    """The child imports this very code, wherever the parent was started."""
    root = str(Path(__file__).parents[2])
    paths = [root, os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}


def _died(package: Path, how: str) -> InternalError:
    return InternalError(
        f"The process that tried the package {how}",
        where=str(package),
        fix="run `python -m onward.runtime.probe` on it to see why",
    )


def main(arguments: list[str] | None = None) -> int:
    """The command line; the last line of its output is one JSON object."""
    parser = argparse.ArgumentParser(prog="onward.runtime.probe", description=__doc__)
    parser.add_argument("package", type=Path)
    parser.add_argument("--variant")
    parser.add_argument("--manifest")
    given = parser.parse_args(arguments)
    try:
        found = check(given.package, given.variant, given.manifest)
    except OnwardError as error:
        found = error.to_json()
    sys.stdout.write(json.dumps(found) + "\n")
    return 1 if "error" in found else 0


if __name__ == "__main__":
    sys.exit(main())
