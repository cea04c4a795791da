"""`onward doctor`: what is installed, what runs, what is damaged, and what to do about it."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

from cli.output import Ended, Json, answer, here
from onward.errors import OnwardError
from onward.project import Project

PACKAGES = (
    "onward", "torch", "transformers", "onnxruntime-gpu", "onnx", "prefect", "dvc",
    "great-expectations", "numpy", "pyarrow",
)  # fmt: skip
LEAST_FREE = 3 * 2**30
"""Bytes: a turn of a small model with its optimizer state, package and DVC's copies."""


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, what is there, and what to do where it is not well."""

    what: str
    state: str
    well: bool = True
    fix: str = ""


def doctor(as_json: Json = False) -> None:
    """What is installed, what runs, what is damaged, what to do.

    Looks at versions, settings, encoder, providers, disk, folders, server, locks and every hash.
    Exit code 1 where something is not well.
    """
    project = here()
    found = [_versions(), _settings(project), _encoder(project)]
    found += [_providers(project), _disk(project), _folders(project), _server(project)]
    found += [*_locks(project), *_integrity(project)]
    ill = [finding for finding in found if not finding.well]
    data = {"well": not ill, "findings": [asdict(finding) for finding in found]}
    answer(as_json, data, *[line for finding in found for line in _lines(finding)])
    if ill:
        raise Ended(1)


def _lines(finding: Finding) -> list[str]:
    first = f"{'✓' if finding.well else '✗'} {finding.what:<10} {finding.state}"
    return [first, f"  {'':<10} {finding.fix}"] if finding.fix else [first]


def _tried(what: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(what, look())
    except OnwardError as error:
        return Finding(what, f"{error.what} ({error.where})", well=False, fix=error.fix)


def _versions() -> Finding:
    found, missing = [f"Python {platform.python_version()}"], []
    for name in PACKAGES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        state = f"not installed: {', '.join(missing)}"
        return Finding("versions", state, well=False, fix="`make env` installs them")
    return Finding("versions", ", ".join(found))


def _settings(project: Project) -> Finding:
    from onward import config

    def look() -> str:
        for block in config.BLOCKS.values():
            config.read(project.params, block)
        return "params.yaml reads well"

    return _tried("settings", look)


def _encoder(project: Project) -> Finding:
    from onward import config
    from onward.learning import encoder, scratch

    def look() -> str:
        name = config.read(project.params, config.Identity).encoder
        if name.startswith(scratch.PREFIX) and not project.turn.exists():
            encoder.require(name)
            return f"{name} is made once an episode is open"
        return f"{name} in {encoder.locate(name, project.root)}"

    return _tried("encoder", look)


def _providers(project: Project) -> Finding:
    import onnxruntime

    from onward import config
    from onward.runtime import providers

    def look() -> str:
        device = providers.pick(config.read(project.params, config.Benchmark).provider)
        return f"{device} is used; this build of ONNX Runtime knows {', '.join(known)}"

    known = [
        name.removesuffix("ExecutionProvider") for name in onnxruntime.get_available_providers()
    ]
    return _tried("providers", look)


def _disk(project: Project) -> Finding:
    free = shutil.disk_usage(project.root).free
    state = f"{free / 2**30:.1f} GiB free"
    if free < LEAST_FREE:
        fix = "free some space; `dvc gc --workspace` drops objects that nothing names"
        return Finding("disk", state, well=False, fix=fix)
    return Finding("disk", state)


def _folders(project: Project) -> Finding:
    """Whether every folder that commands write to lets this user do so."""
    root = project.root
    places = [root, project.data, project.champion.parent, project.registry, project.verdicts]
    places += [root / "turn", root / "report", root / "studies", project.private]
    places += [root / ".dvc", root / ".dvc" / "cache", root / ".git"]
    refused = [str(at) for at in places if at.exists() and not os.access(at, os.W_OK | os.X_OK)]
    if refused:
        fix = "give this user the right to them"
        return Finding("folders", f"not writable: {', '.join(refused)}", well=False, fix=fix)
    return Finding("folders", "all are writable")


def _server(project: Project) -> Finding:
    from tasks import server

    if api := server.configured():
        if server.healthy(api):
            return Finding("server", f"{api} answers")
        fix = f"start it, or unset PREFECT_API_URL; {server.WITHOUT}"
        return Finding("server", f"{api} does not answer", well=False, fix=fix)
    running = server.find(project)
    if running is None:
        return Finding("server", "none is running; `onward run` starts the project's own")
    if server.healthy(running.api):
        return Finding("server", f"{running.dashboard} answers, process {running.pid}")
    state = f"process {running.pid} runs but does not answer"
    return Finding("server", state, well=False, fix="`onward server stop`, then run again")


def _locks(project: Project) -> list[Finding]:
    from onward import locks

    found = []
    for what, path in (("run lock", project.run_lock), ("trainer", project.train_lock)):
        if locks.is_held(path):
            who = locks.holder(path)
            state = f"held by process {who['pid']} since {who['since']}: {who['purpose']}"
        else:
            state = "free"
        found.append(Finding(what, state))
    return found


def _integrity(project: Project) -> list[Finding]:
    from onward.episodes import repair
    from onward.registry import verify

    looks: list[tuple[str, Callable[[Project], list[Any]]]] = [
        ("data", repair.problems),
        ("registry", verify.verify_all),
    ]
    found = []
    for what, look in looks:
        try:
            problems = look(project) if what != "data" or project.turn.exists() else []
        except OnwardError as error:  # what says how it should be cannot be read itself
            problems = [error]
        found += [Finding(what, f"{p.what} ({p.where})", False, p.fix) for p in problems]
        if not problems:
            found.append(Finding(what, "all files are as recorded"))
    return found


COMMANDS = (doctor,)
