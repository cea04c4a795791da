"""Where the champion comes from, version by version, and the commands that make it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onward.errors import OnwardError
from onward.evaluation.checks import listed
from onward.project import Project
from onward.registry import versions

SHORT = 12


@dataclass(frozen=True)
class Made:
    """One version: what it was trained from, on what, and how."""

    version: str
    base: str
    learned: str
    strategy: str
    seed: str
    data: str
    revision: str
    candidate: str


@dataclass(frozen=True)
class Lineage:
    """The champion first, then what it was trained from, back to the pretrained encoder."""

    made: tuple[Made, ...]
    commands: tuple[str, ...]
    note: str
    """What to hold the result against, or why there is no command."""
    left_off: str = ""
    """Why the line ends early: a version that is not on this machine."""


def lineage(project: Project) -> Lineage | None:
    """The champion's line; None where nothing serves.

    Raises:
        IntegrityError: the pointer cannot be read.
    """
    at = versions.pointer(project)
    made: list[Made] = []
    cards: list[dict[str, Any]] = []
    name, left_off = (at.version if at else ""), ""
    while name and name not in {one.version for one in made}:
        try:
            card = versions.card(project, name)
        except OnwardError as error:
            left_off = f"{error.what}: {error.fix}"
            break
        made.append(_made(name, card))
        cards.append(card)
        base = card.get("base") or {}
        name = str(base.get("name", "")) if base.get("kind") == "version" else ""
    if at is None:
        return None
    commands, note = _again(cards[0]) if cards else ((), "")
    return Lineage(tuple(made), commands, note, left_off)


def _made(name: str, card: dict[str, Any]) -> Made:
    base = card.get("base") or {}
    settings = card.get("parameters") or {}
    finetune = settings.get("finetune") or {}
    adopted = base.get("kind") == "adopted"
    trained = not adopted and finetune.get("tuning") != "none"
    learned = () if adopted else card.get("learning") or ()
    return Made(
        version=name,
        base=f"{base.get('kind', '')} {base.get('name', '')}".strip(),
        learned=listed(tuple(one["episode"] for one in learned)),
        strategy="as it came" if adopted else _how(settings.get("strategy") or {}, finetune),
        seed=str(finetune.get("seed", "")) if trained else "",
        data=str((card.get("data") or {}).get("md5", ""))[:SHORT],
        revision=str(card.get("revision") or "")[: SHORT + 1],
        candidate=str(card.get("candidate", ""))[:SHORT],
    )


def _how(strategy: Mapping[str, Any], finetune: Mapping[str, Any]) -> str:
    """Strategy and tuning; of a candidate that was not trained its prompt template."""
    tuning, prompt = str(finetune.get("tuning", "")), finetune.get("prompt")
    if tuning == "none":
        return f"not trained, prompt {prompt}" if prompt else "not trained"
    parts = [strategy.get(key) for key in ("rows", "term", "structure")]
    told = [str(part) for part in parts if part and part != "none"]
    return " x ".join([*told, tuning]).removesuffix(" x ")


def _again(card: dict[str, Any]) -> tuple[tuple[str, ...], str]:
    """The commands, and what their result must be."""
    revision = str(card.get("revision") or "")
    expected = (
        f"turn/finetune/manifest.json then has the sha256 {str(card.get('candidate', ''))[:SHORT]}…"
        " on a machine of the same kind"
    )
    if not revision:
        return (), f"Git was not used: with the same data, turn and settings, {expected}"
    commands = (f"git checkout {revision.removesuffix('+')}", "dvc checkout", "dvc repro finetune")
    if revision.endswith("+"):
        expected += "; files had changes that were not committed, and the card holds the settings"
    return commands, expected
