"""The terms by their names in strategy.term."""

from __future__ import annotations

from types import ModuleType

from onward.learning.terms import der, distill, ewc, none

TERMS: dict[str, ModuleType] = {"none": none, "ewc": ewc, "distill": distill, "der": der}
