"""Which keys a try reads: one that no try reads moves nothing, and its best value says nothing.

>>> blocks = {
...     "project": {"recipe": "extractive"},
...     "finetune": {"tuning": "full"},
...     "strategy": {"rows": "naive", "term": "none", "structure": "single"},
... }
>>> require_read({"finetune.epochs": (1, 2)}, blocks, "version", where="here")
>>> require_read({"finetune.epochs": (1, 2)}, blocks, "pretrained", where="here")
Traceback (most recent call last):
onward.errors.SettingsError: No try would read finetune.epochs

What this does not cover: keys of the blocks prepare and evaluate, and keys that a try reads without
effect, such as a seed or the number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

from onward import recipes
from onward.errors import SettingsError
from onward.learning import table
from onward.learning.job import PACKED, afresh, packs
from onward.learning.table import Cell
from onward.study.combinations import Blocks
from onward.study.space import Space

_RATES = {
    "finetune.learning_rate": "finetune.first_learning_rate",
    "finetune.epochs": "finetune.first_epochs",
}
"""Key of a training that goes on from a version -> of one that begins with pretrained weights."""

_PACKING = "finetune.packing"

_TRAINED = frozenset(
    {
        "finetune.optimizer",
        "finetune.schedule",
        "finetune.warmup_percent",
        "finetune.weight_decay",
        "finetune.clip",
        "finetune.batch_size",
        "finetune.micro_batch",
        "finetune.dropout",
        _PACKING,
        "finetune.patience",
        "finetune.save_every",
    }
)
"""Keys that every training reads, and nothing else; _PACKING where windows are packed."""

_KEPT = frozenset({"strategy.rows", "strategy.term"})
"""Keys that say how the old is kept, which a first turn has none of."""

_NEXT = frozenset({"strategy.ewc_decay", "strategy.fisher_rows"})
"""Keys of what is remembered: the next turn reads it."""

_PARTS: dict[str, tuple[str, ...]] = {
    "finetune.frozen_layers": ("finetune.tuning", "last"),
    "finetune.lora_rank": ("finetune.tuning", "lora", "dora"),
    "finetune.lora_alpha": ("finetune.tuning", "lora", "dora"),
    "finetune.bottleneck_size": ("finetune.tuning", "bottleneck"),
    "finetune.virtual_tokens": ("finetune.tuning", "prompt", "prefix"),
    "finetune.prompt": ("finetune.tuning", "none"),
    "finetune.prompt_rows": ("finetune.tuning", "none"),
    "finetune.retriever": ("finetune.tuning", "none"),
    "strategy.replay_rows": ("strategy.rows", "replay"),
    "strategy.replay_percent": ("strategy.rows", "replay"),
    "strategy.policy": ("strategy.rows", "replay"),
    "strategy.ewc_weight": ("strategy.term", "ewc"),
    "strategy.distill_weight": ("strategy.term", "distill"),
    "strategy.temperature": ("strategy.term", "distill"),
    "strategy.der_alpha": ("strategy.term", "der"),
    "strategy.der_beta": ("strategy.term", "der"),
    "strategy.analytic_features": ("strategy.structure", "analytic", "adapted"),
    "strategy.analytic_ridge": ("strategy.structure", "analytic", "adapted"),
}
"""Key -> the key that decides whether it is read, and the words that do."""


def require_read(space: Space, blocks: Blocks, base: str, *, where: str) -> None:
    """Refuse a key that no try of a space can read.

    Args:
        space: what is searched.
        blocks: the present settings, every key filled in.
        base: the kind of the turn's base.
        where: of the space, for the message.

    Raises:
        SettingsError: names the key, and the one to search in its place where there is one.
    """
    among: list[Any] = [space.get(key, (_present(blocks, key),)) for key in _DECIDING]
    every = [_cell(blocks, words) for words in product(*among)]
    ways = [one for one in every if table.reason(one) is None]
    for key in space if ways else ():
        if not any(_reads(key, one, base) for one in ways):
            fix = _fix(key, ways, base)
            raise SettingsError(f"No try would read {key}", where=where, fix=fix)


_DECIDING = ("finetune.tuning", "strategy.rows", "strategy.term", "strategy.structure")
"""In the order of a cell of the table, behind the recipe."""


def trained(blocks: Blocks, base: str) -> bool:
    """Whether a training with these settings has a rate: a model that is asked has none."""
    return _trains(_cell(blocks, [_present(blocks, key) for key in _DECIDING]), base)


def _cell(blocks: Blocks, words: Sequence[Any]) -> Cell:
    return Cell(blocks["project"]["recipe"], *words)


def _present(blocks: Blocks, key: str) -> Any:
    block, _, name = key.partition(".")
    return blocks[block][name]


def _trains(one: Cell, base: str) -> bool:
    """Whether the trainer runs: not where a head is solved for, or a model asked."""
    first = base == "pretrained"
    solved = one.structure == "analytic" or (one.structure == "adapted" and not first)
    return one.tuning != "none" and not solved


def _reads(key: str, one: Cell, base: str) -> bool:
    """Whether a try of this cell reads a key, or may."""
    first = afresh(base, one.structure)
    if key in _RATES or key in _RATES.values():
        return _trains(one, base) and (key in _RATES.values()) is first
    if key == _PACKING and not packs(recipes.get(one.recipe), one.tuning):
        return False
    if key in _TRAINED:
        return _trains(one, base)
    if key in _NEXT:
        return False
    decides, *words = _PARTS.get(key, (key,))
    if base == "pretrained" and decides in _KEPT:
        return False
    if words and getattr(one, decides.partition(".")[2]) not in words:
        return False
    return decides != "finetune.tuning" or not words or one.tuning == "none" or _trains(one, base)


def _fix(key: str, ways: list[Cell], base: str) -> str:
    """What to do with a key that is not read."""
    pairs = {**_RATES, **{first: later for later, first in _RATES.items()}}
    twin = pairs.get(key, "")
    if twin and any(_reads(twin, one, base) for one in ways):
        return f"search {twin}: it is the one that this turn reads"
    if key == _PACKING and any(_trains(one, base) for one in ways):
        return f"leave it out: only a chat is packed, with finetune.tuning {' or '.join(PACKED)}"
    if key in _NEXT:
        return "leave it out: what is remembered by it is read in the next turn"
    decides, *words = _PARTS.get(key, (key,))
    if base == "pretrained" and decides in _KEPT:
        return "leave it out: a first turn has nothing old to keep"
    if words and not any(getattr(one, decides.partition(".")[2]) in words for one in ways):
        return f"leave it out, or set or search {decides}: {' or '.join(words)}"
    return "leave it out: nothing is trained here, as finetune.tuning and strategy.structure say"
