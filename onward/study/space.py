"""What a search may choose: keys of params.yaml, each with its values or its range.

    finetune.first_learning_rate: {low: 0.00001, high: 0.001, log: true}
    finetune.batch_size: [8, 16, 32]

>>> parse({"finetune.epochs": {"low": 1, "high": 4}}, where="here")
{'finetune.epochs': Range(low=1.0, high=4.0, log=False, whole=False)}
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from onward import config
from onward.config import Evaluate, Finetune, Prepare, Strategy
from onward.errors import SettingsError, UsageError

STAGES: dict[str, type[config.Settings]] = {
    "prepare": Prepare,
    "finetune": Finetune,
    "strategy": Strategy,
    "evaluate": Evaluate,
}
"""The blocks that a search may choose from."""


@dataclass(frozen=True)
class Range:
    """Numbers from low to high; log: their logarithms evenly; whole: of a key that counts."""

    low: float
    high: float
    log: bool = False
    whole: bool = False


Space = dict[str, Range | tuple[Any, ...]]


def of_file(path: Path) -> Space:
    """The space of a YAML file. Raises SettingsError as `parse`, and where it cannot be read."""
    try:
        found = YAML(typ="safe", pure=True).load(path.read_bytes())
    except (OSError, YAMLError) as error:
        raise _wrong(" ".join(str(error).split())[:200], str(path)) from error
    return parse(found, where=str(path))


def parse(values: Any, *, where: str) -> Space:
    """The space of plain values.

    Raises:
        SettingsError: a key is none of STAGES, its values are neither a range nor a list, or one
            of them is none that the key takes.
    """
    if not isinstance(values, dict) or not values:
        raise _wrong("it names no keys", where)
    return {str(key): _one(str(key), value, where) for key, value in values.items()}


def _one(key: str, value: Any, where: str) -> Range | tuple[Any, ...]:
    block, _, name = key.partition(".")
    if block not in STAGES or name not in STAGES[block].model_fields:
        raise _wrong(f"{key!r} is no key of {', '.join(STAGES)}", where)
    if isinstance(value, list) and len(value) > 1:
        _require_each(block, name, value, where)
        return tuple(value)
    try:
        found = Range(**value)
        ordered = found.low < found.high and (found.low > 0 or not found.log)
        finite = math.isfinite(found.low) and math.isfinite(found.high)
    except TypeError:
        ordered = finite = False
    if not (ordered and finite):
        raise _wrong(f"{key} is neither a list of values nor a range with low below high", where)
    low, high = float(found.low), float(found.high)
    kind = STAGES[block].model_fields[name].annotation
    if kind not in (int, float):
        raise _wrong(f"{key} takes no numbers: give it a list of values", where)
    whole = kind is int
    if whole and not (low.is_integer() and high.is_integer()):
        raise _wrong(f"{key} takes whole numbers, its range does not end at any", where)
    _require_each(block, name, [low, high], where)
    return Range(low, high, bool(found.log), whole)


def _require_each(block: str, name: str, values: Sequence[Any], where: str) -> None:
    """Refuse a value that the key never takes; those that contradict others are tries that fail."""
    for value in values:
        try:
            STAGES[block].model_validate({name: value})
        except ValidationError as error:
            own = [one["msg"] for one in error.errors() if one["loc"][:1] == (name,)]
            if own:
                raise _wrong(f"{block}.{name}: {own[0]}, not {value!r:.80}", where) from error


def _wrong(why: str, where: str) -> SettingsError:
    return SettingsError(
        f"This is no space to search: {why}",
        where=where,
        fix="a line a key, as `finetune.epochs: {low: 1, high: 4}` or `finetune.clip: [0.5, 1]`",
    )


def default(stage: str, present: Mapping[str, Any], first: bool) -> Space:
    """What is searched of a stage where no file says it: around the present settings.

    Args:
        stage: of STAGES.
        present: the stage's block, every key filled in.
        first: whether the base is a pretrained encoder, whose rate and epochs have own keys.

    Raises:
        UsageError: a stage without a space of its own.
    """
    if stage != "finetune":
        raise UsageError(
            f"The stage {stage!r} has no space of its own",
            where="onward search",
            fix=f"give --space with keys of {', '.join(STAGES)}, or search finetune",
        )
    rate, epochs = ("first_learning_rate", "first_epochs") if first else ("learning_rate", "epochs")
    return {
        f"finetune.{rate}": Range(present[rate] / 10, min(1.0, present[rate] * 10), log=True),
        f"finetune.{epochs}": Range(present[epochs] / 2, present[epochs] * 2),
        "finetune.warmup_percent": (0.0, 10.0, 20.0),
        "finetune.schedule": ("linear", "cosine"),
    }
