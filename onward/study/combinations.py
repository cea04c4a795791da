"""A combination of rows, policy, term, structure and tuning, and its short name.

>>> parse("replay-herding+der").name, parse("analytic").structure, parse("replay").policy
('replay-herding+der', 'analytic', 'reservoir')
>>> parse("naive+ewc+lora")
Combination(rows='naive', policy='', term='ewc', structure='single', tuning='lora')

A name is made of parts joined by +, in any order; what it leaves out is naive rows, no term, a
single set of weights and full tuning (adapters: lora). What may be combined is the one table's word
(onward/learning/table.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, get_args

from onward import config
from onward.config import Evaluate, Finetune, Identity, Prepare, Strategy
from onward.errors import SettingsError, UsageError
from onward.learning import table

FROZEN = 3
"""Lower layers that the tuning `last` keeps still, where params.yaml names none."""

Blocks = dict[str, dict[str, Any]]
"""Blocks of params.yaml, every key filled in."""


def _values(kind: type[config.Settings], key: str) -> tuple[str, ...]:
    found: tuple[str, ...] = get_args(kind.model_fields[key].annotation)
    return found


PARTS = {
    "rows": _values(Strategy, "rows"),
    "policy": _values(Strategy, "policy"),
    "term": _values(Strategy, "term"),
    "structure": _values(Strategy, "structure"),
    "tuning": _values(Finetune, "tuning"),
}
_PLAIN = {"rows": "naive", "policy": "", "term": "none", "structure": "single"}
_TUNING = {"adapters": "lora"}
"""The tuning of a structure, where a name says none; else full."""


@dataclass(frozen=True)
class Combination:
    """One way to learn."""

    rows: str = "naive"
    policy: str = ""
    """Which rows are remembered; empty where none are."""
    term: str = "none"
    structure: str = "single"
    tuning: str = "full"

    @property
    def name(self) -> str:
        """The shortest name that `parse` takes."""
        rows = f"replay-{self.policy}" if self.rows == "replay" else self.rows
        parts = [rows] if rows != "naive" else []
        parts += [part for part in (self.term, self.structure) if part not in ("none", "single")]
        parts += [self.tuning] if self.tuning != _TUNING.get(self.structure, "full") else []
        bare = rows == "naive" and self.structure == "single"
        return "+".join((["naive"] if bare else []) + parts)

    @property
    def held(self) -> bool:
        """Whether it is held to the steps of another: joint is the bound, and takes its own."""
        return self.rows != "joint"

    def blocks(
        self, base: Mapping[str, Any], *, seed: int, threads: int, chosen: Mapping[str, Any]
    ) -> Blocks:
        """The settings of one trial.

        Args:
            base: blocks as params.yaml has them; what the combination decides is put over them.
            seed: of the drawing of rows and of training.
            threads: of training and scoring.
            chosen: block.key -> value, put over both.

        Raises:
            SettingsError: a value is out of its limits, or the table refuses the combination.
        """
        frozen = int(base.get("finetune", {}).get("frozen_layers") or FROZEN)
        over: Blocks = {
            "project": {},
            "prepare": {"early_stopping_percent": 0.0, "seed": seed},
            "finetune": {
                "tuning": self.tuning,
                "frozen_layers": frozen if self.tuning == "last" else 0,
                "prompt": "",
                "patience": 0,
                "challengers": 1,
                "seed": seed,
                "threads": threads,
            },
            "strategy": {"rows": self.rows, "term": self.term, "structure": self.structure}
            | ({"policy": self.policy} if self.policy else {}),
            "evaluate": {"threads": threads},
        }
        for key, value in chosen.items():
            block, _, name = key.partition(".")
            over[block][name] = value
        kinds: dict[str, type[config.Settings]] = {
            kind.block: kind for kind in (Identity, Prepare, Finetune, Strategy, Evaluate)
        }
        found = {
            name: config.parse({**(base.get(name) or {}), **over[name]}, kind, where=self.name)
            for name, kind in kinds.items()
        }
        table.check(found["project"].recipe, self.tuning, found["strategy"])  # type: ignore[attr-defined, arg-type]
        return {name: values.model_dump(mode="json") for name, values in found.items()}


def parse(name: str) -> Combination:
    """The combination of a name. Raises UsageError: a part is unknown or named twice."""
    found: dict[str, str] = {}
    for part in name.split("+"):
        rows, _, policy = part.partition("-")
        said = {"rows": rows, "policy": policy} if policy else _kind(part, name)
        for kind, value in said.items():
            if value not in PARTS[kind] or kind in found:
                raise _wrong(name, part)
            found[kind] = value
    replays = found.get("rows") == "replay"
    if "policy" in found and not replays:
        raise _wrong(name, found["policy"])
    if replays:
        found.setdefault("policy", PARTS["policy"][0])
    found.setdefault("tuning", _TUNING.get(found.get("structure", ""), "full"))
    return Combination(**{**_PLAIN, **found})


def _kind(part: str, name: str) -> dict[str, str]:
    for kind, values in PARTS.items():
        if part in values and kind != "policy" and part != _PLAIN.get(kind):
            return {kind: part}
    if part == "naive":
        return {"rows": part}
    raise _wrong(name, part)


def _wrong(name: str, part: str) -> UsageError:
    return UsageError(
        f"{part!r} in {name!r} is unknown, or named twice",
        where="; ".join(f"{kind}: {', '.join(values)}" for kind, values in PARTS.items()),
        fix="join parts by +, the policy behind replay by -, as in replay-herding+der",
    )


def every(recipe: str, tunings: Sequence[str] = ("full",)) -> list[Combination]:
    """All that the table allows for a recipe, single sets of weights with these tunings alone."""
    found = []
    kinds = (PARTS["rows"], PARTS["term"], PARTS["structure"], PARTS["tuning"])
    for rows, term, structure, tuning in product(*kinds):
        if tuning not in tunings and tuning != _TUNING.get(structure):
            continue
        for policy in PARTS["policy"] if rows == "replay" else ("",):
            one = Combination(rows, policy, term, structure, tuning)
            if allowed(recipe, one):
                found.append(one)
    return found


def allowed(recipe: str, one: Combination) -> bool:
    """Whether the table allows a combination with a recipe."""
    said = {"rows": one.rows, "term": one.term, "structure": one.structure}
    said |= {"policy": one.policy} if one.policy else {}
    try:
        table.check(recipe, one.tuning, Strategy.model_validate(said))
    except SettingsError:
        return False
    return True
