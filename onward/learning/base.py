"""What a turn starts from: the folder of its base, verified, and the memory beside it."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

from onward import files
from onward.episodes.turn import Turn
from onward.errors import IntegrityError
from onward.learning import encoder
from onward.project import Project


def where(project: Project, turn: Turn) -> Path:
    """The folder with the base's weights and tokenizer; nothing in it is checked.

    Raises:
        MissingFiles: the encoder is not on this machine.
        SettingsError: the encoder is one that is refused.
    """
    if turn.base.kind == "version":
        return project.version(turn.base.name) / "checkpoint"
    if turn.base.kind == "adopted":
        return _adopted(project, turn.base.name)
    return encoder.locate(turn.base.name, project.root)


def source(project: Project, turn: Turn) -> Path:
    """The folder with the base's weights and tokenizer, its bytes checked against the turn.

    Raises:
        IntegrityError: they are not those that the turn names.
        MissingFiles: the version or the encoder is not on this machine.
        SettingsError: the encoder is one that is refused.
    """
    folder, adopted = where(project, turn), turn.base.kind == "adopted"
    if turn.base.kind == "version":
        files.verify(folder.parent, turn.base.sha256)
        encoder.check(folder)
        return folder
    if adopted:
        adopted_folder(project, turn.base.name)
    found = encoder.fingerprint(folder, project.cache)
    if found != turn.base.sha256:
        raise IntegrityError(
            f"The model {turn.base.name} is not the one that the turn names",
            where=str(folder),
            fix="`onward adopt` its folder again"
            if adopted
            else "install the one it was begun with, or take this one with `onward run --fresh`",
            details={"expected": turn.base.sha256, "found": found},
        )
    return folder


def began(project: Project, turn: Turn) -> Path | None:
    """The folder of the encoder that a turn's line of versions began with.

    None where that cannot be told: an adopted model, a version or a folder that is not on this
    machine, or a folder that holds another encoder by now.
    """
    told = turn.base.model_dump()
    if told["kind"] == "pretrained":
        return where(project, turn)
    while told["kind"] == "version":
        path = project.version(told["name"]) / "spec.json"
        if not path.is_file():
            return None
        told = files.read_json(path)["base"]
    folder = project.root / told["name"]
    if told["kind"] != "pretrained" or not (folder / "config.json").is_file():
        return None
    return folder if encoder.fingerprint(folder, project.cache) == told["sha256"] else None


def _adopted(project: Project, name: str) -> Path:
    return project.root / "models" / "adopted" / name


def adopted_folder(project: Project, name: str) -> Path:
    """models/adopted/NAME: config, weights and tokenizer of an adopted model, by its manifest.

    Raises:
        MissingFiles: it is not on this machine.
        IntegrityError: a file differs from the manifest.
    """
    folder = _adopted(project, name)
    files.verify(folder)
    encoder.check(folder)
    return folder


def memory(project: Project, turn: Turn) -> Path | None:
    """The memory beside the base's checkpoint; None where the base is not a version.

    `source` has verified it together with the version.
    """
    if turn.base.kind != "version":
        return None
    return project.version(turn.base.name) / "memory"


def spec(project: Project, turn: Turn) -> dict[str, Any]:
    """The spec of the base, where it is a version; nothing for a pretrained encoder."""
    if turn.base.kind != "version":
        return {}
    found: dict[str, Any] = files.read_json(project.version(turn.base.name) / "spec.json")
    return found


def labels(project: Project, turn: Turn, recipe: ModuleType) -> list[str]:
    """The labels of the base in the order of its outputs; none of a pretrained encoder."""
    if turn.base.kind == "adopted":
        return list(recipe.labels_of(adopted_folder(project, turn.base.name)))
    return list(spec(project, turn).get("labels", []))
