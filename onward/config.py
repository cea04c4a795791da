"""params.yaml as typed, frozen settings: one class per block, unknown keys refused.

The classes are in `onward.settings`; here is how they are read.

>>> Gate.model_validate({"margin": 3.0}).margin
3.0
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from onward.errors import SettingsError
from onward.settings import (
    Benchmark,
    Episode,
    Evaluate,
    Export,
    Finetune,
    Gate,
    GitSettings,
    Identity,
    Measure,
    Prepare,
    Pretrain,
    Quality,
    QualityGate,
    Settings,
    Strategy,
    Validate,
    Watch,
)

__all__ = [
    "BLOCKS",
    "Benchmark",
    "Episode",
    "Evaluate",
    "Export",
    "Finetune",
    "Gate",
    "GitSettings",
    "Identity",
    "Measure",
    "Prepare",
    "Pretrain",
    "Quality",
    "QualityGate",
    "Settings",
    "Strategy",
    "Validate",
    "Watch",
    "load",
    "parse",
    "read",
]


BLOCKS: dict[str, type[Settings]] = {
    kind.block: kind
    for kind in (
        Identity,
        Episode,
        Validate,
        Strategy,
        Prepare,
        Finetune,
        Pretrain,
        Evaluate,
        Gate,
        Quality,
        Export,
        Benchmark,
        Watch,
        GitSettings,
    )
}

Kind = TypeVar("Kind", bound=Settings)


def load(path: Path) -> dict[str, Any]:
    """The plain values of a params.yaml; unknown blocks, doubled keys and tags are refused.

    Raises:
        SettingsError: the file is missing, not plain YAML, or names an unknown block.
    """
    try:
        values = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(
            "There is no params.yaml", where=str(path), fix="`onward new DIR` writes one"
        ) from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"params.yaml is not plain YAML{_said(error)}",
            where=str(path),
            fix="mend it there; tags and doubled keys are not taken",
        ) from error
    if not isinstance(values, dict):
        raise SettingsError(
            "params.yaml holds no blocks", where=str(path), fix="see `onward new --help`"
        )
    for name in values:
        if name not in BLOCKS:
            raise SettingsError(
                f"params.yaml has an unknown block {name!r}{_nearest(str(name), list(BLOCKS))}",
                where=str(path),
                fix=f"blocks are {', '.join(BLOCKS)}",
            )
    return values


def read(path: Path, kind: type[Kind]) -> Kind:
    """One block of params.yaml, its defaults filled in.

    Args:
        path: params.yaml.
        kind: the settings class; its `block` names the block.

    Raises:
        SettingsError: names the key, the value and the nearest known key.
    """
    return parse(load(path).get(kind.block) or {}, kind, where=str(path))


def parse(values: Any, kind: type[Kind], *, where: str) -> Kind:
    """The settings of one block from plain values. Raises SettingsError as `read` does."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join([kind.block, *(str(part) for part in first["loc"])])
        held, known = kind.block, list(kind.model_fields)
        if first["type"] == "extra_forbidden":
            held, known = key.rpartition(".")[0], _keys(kind, first["loc"][:-1])
            hint = _nearest(str(first["loc"][-1]), known)
            what = f"{Path(where).name} has an unknown key {key}{hint}"
        elif first["type"] == "value_error":  # it speaks of several keys and names them
            what = str(first["ctx"]["error"])
        else:
            said = _AS_YAML.get(first["type"], first["msg"])
            what = f"{key}: {said}, not {first.get('input')!r:.80}"
        raise SettingsError(what, where=where, fix=f"keys of {held}: {', '.join(known)}") from error


_AS_YAML = {
    "tuple_type": "Input should be a list, as in [a, b]",
    "list_type": "Input should be a list, as in [a, b]",
    "dict_type": "Input should be keys with values",
    "model_type": "Input should be keys with values",
}
"""What pydantic calls by the names of Python's types."""


def _said(error: Exception) -> str:
    """What a parser found, with its line where it knows one."""
    if isinstance(error, MarkedYAMLError) and error.problem and error.problem_mark:
        return f", line {error.problem_mark.line + 1}: {' '.join(error.problem.split())[:200]}"
    return f": {' '.join(str(error).split())[:300]}"


def _keys(kind: type[Settings], path: tuple[int | str, ...]) -> list[str]:
    """The keys of a block, or of the part of it that a path leads to."""
    for name in path:
        kind = kind.model_fields[str(name)].annotation  # type: ignore[assignment]
    return list(kind.model_fields)


def _nearest(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
