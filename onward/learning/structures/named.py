"""The structures by their names in strategy.structure."""

from __future__ import annotations

from types import ModuleType

from onward.learning.structures import adapted, adapters, analytic, single

STRUCTURES: dict[str, ModuleType] = {
    "single": single,
    "adapters": adapters,
    "analytic": analytic,
    "adapted": adapted,
}
