"""Write what of the machine and of the code each stage depends on. Light: always run.

`python -m onward.stages.inputs` in a project's root writes turn/inputs/machine.json and one file
per stage; see onward/fingerprints.py for what they hold and what they leave out.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from onward import config, files, fingerprints
from onward.episodes import turn as turns
from onward.errors import UsageError
from onward.learning import encoder
from onward.project import Project
from onward.stages.entry import start


def run(project: Project) -> None:
    """Write turn/inputs/machine.json and turn/inputs/STAGE.json.

    Raises:
        UsageError: no episode is open, or all of them are learned.
        SettingsError: params.yaml cannot be read, names an unknown recipe, or another recipe or
            encoder than the turn.
    """
    found = _found(project)
    if not turns.Turn.read(project).learning:
        raise UsageError(
            f"There is nothing to learn: {turns.ALL_LEARNED}",
            where=str(project.turn),
            fix="open another, or learn all of them anew with `onward run --fresh`",
        )
    for name, value in found.items():
        files.write_json(project.made("inputs") / name, value)


def would(project: Project) -> dict[str, bytes]:
    """What `run` would write: path from the project's root -> bytes. Errors as `run`."""
    folder = project.made("inputs").relative_to(project.root)
    made = {}
    with tempfile.TemporaryDirectory() as beside:
        for name, value in _found(project).items():
            files.write_json(Path(beside) / name, value)
            made[str(folder / name)] = (Path(beside) / name).read_bytes()
    return made


def current(project: Project) -> bool:
    """Whether `run` would write what is there already. Asked by a flow, it saves a process."""
    folder = project.made("inputs")
    return all(
        (folder / name).is_file() and files.read_json(folder / name) == value
        for name, value in _found(project).items()
    )


def _found(project: Project) -> dict[str, dict[str, Any]]:
    turns.require_settings(project, turns.Turn.read(project))
    recipe = config.read(project.params, config.Identity).recipe
    stages = {f"{stage}.json": fingerprints.code(stage, recipe) for stage in fingerprints.STAGES}
    stages["evaluate.json"] |= _lists(project)
    stages["finetune.json"] |= _prompt(project)
    return {"machine.json": fingerprints.machine(), **stages}


def _prompt(project: Project) -> dict[str, Any]:
    """The prompt template that params.yaml names, and what finds its examples."""
    settings = config.read(project.params, config.Finetune)
    if not settings.prompt:
        return {}
    path = project.prompt(settings.prompt)
    told = {"prompt": files.sha256(path) if path.is_file() else ""}
    return told | _model("retriever", settings.retriever, project)


def _model(role: str, name: str, project: Project) -> dict[str, str]:
    """The content of a folder of the user's; a package's is its release, which machine.json has."""
    if not (Path(name).expanduser() / "config.json").is_file():
        return {}
    return {role: encoder.fingerprint(encoder.locate(name), project.cache)}


def _lists(project: Project) -> dict[str, Any]:
    """The project's own files that params.yaml names for quality, and the encoder that scores by
    them where it is a folder; DVC sees only their names."""
    measure = config.read(project.params, config.Quality).measure
    named = {name: project.root / name for name in (*measure.lists, *measure.examples)}
    hashes = {name: files.sha256(at) if at.is_file() else "" for name, at in named.items()}
    told: dict[str, Any] = {"files": hashes} if named else {}
    return told | ({} if measure.answers == "off" else _model("encoder", measure.encoder, project))


if __name__ == "__main__":
    start("inputs", run)
