"""The search for an int8 graph that keeps the score.

Schemes are tried from the fastest to the most faithful. One is kept where its loss is shown to lie
within the budget: the upper 95% bound of the paired loss against fp32 on all held-out rows, not
the mean. Each try is reported with its numbers, kept or not.

>>> Int8().report(Export(int8=False))["kept"]
False
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from onward.config import Export
from onward.errors import NotFinite
from onward.evaluation.ledger import LedgerPart
from onward.evaluation.statistics import Draws, Interval
from onward.runtime import parity
from onward.runtime.graph import Graph
from onward.runtime.package import Package
from onward.runtime.quantise import SCHEMES
from onward.runtime.session import Session

if TYPE_CHECKING:
    from onward.runtime.export import Job


@dataclass(frozen=True)
class Try:
    """One scheme's numbers. `change` and its bounds are int8 minus fp32, in points."""

    scheme: str
    about: str
    bytes: int
    change: float | None
    low: float | None
    high: float | None
    flag: str = ""

    def within(self, limit: float) -> bool:
        """Whether even the pessimistic bound is within the budget."""
        return not self.flag and self.low is not None and self.low >= -limit


@dataclass(frozen=True)
class Int8:
    """The kept session and its ledger part, if any, and every try."""

    session: Session | None = None
    part: LedgerPart | None = None
    tries: tuple[Try, ...] = ()
    left_out: str = ""
    """Why none was tried."""

    def report(self, settings: Export) -> dict[str, Any]:
        """For report.json: kept or not, and why."""
        return {
            "asked": settings.int8,
            "kept": self.session is not None,
            "max_loss": settings.int8_max_loss,
            "why": self._why(settings),
            "tries": [one.__dict__ for one in self.tries],
        }

    def _why(self, settings: Export) -> str:
        if not settings.int8:
            return "export.int8 is off"
        if self.left_out:
            return self.left_out
        told = "; ".join(_told(one) for one in self.tries)
        limit = f"a loss of at most {settings.int8_max_loss:g} has to be shown"
        return f"{'kept' if self.session else 'not kept'}: {told}; {limit}"


def search(
    job: Job,
    settings: Export,
    graph: Graph,
    parts: Mapping[str, Graph],
    fp32: Package,
    before: LedgerPart,
) -> Int8:
    """Try the schemes in order until one is within the budget.

    Args:
        job: rows, recipe and settings of the scorer.
        settings: int8_max_loss.
        graph: the fp32 graph.
        parts: further graphs of the variant, by their names.
        fp32: its package, whose tokenizer and encoding the variant shares.
        before: the fp32 variant's rows.
    """
    tries: list[Try] = []
    for scheme in SCHEMES:
        others = {name: scheme.make(other) for name, other in parts.items()}
        made = replace(fp32, variant="int8", model=scheme.make(graph), parts=others)
        session = job.session(made)
        part, found = _score(job, session, scheme.name, before)
        one = _try(scheme.name, scheme.about, _size(session.package), found)
        tries.append(one)
        print(f"export: int8 {_told(one)}", flush=True)  # noqa: T201 - a stage's log
        if part is not None and one.within(settings.int8_max_loss):
            return Int8(session, part, tuple(tries))
    return Int8(tries=tuple(tries))


def _size(package: Package) -> int:
    return sum(map(len, (package.model, *package.parts.values())))


def _score(
    job: Job, session: Session, name: str, before: LedgerPart
) -> tuple[LedgerPart | None, Interval]:
    try:
        part = job.score(session, f"score int8 {name}")
    except NotFinite as error:
        return None, Interval(0.0, 0.0, 0.0, 0.0, error.what)
    return part, parity.loss(job.recipe, part, before, Draws())


def _try(scheme: str, about: str, size: int, found: Interval) -> Try:
    if found.flag:
        return Try(scheme, about, size, None, None, None, found.flag)
    value, low, high = (round(x, 4) for x in (found.value, found.low, found.high))
    return Try(scheme, about, size, value, low, high)


def _told(one: Try) -> str:
    if one.flag:
        return f"{one.scheme}: {one.flag}"
    return f"{one.scheme}: {one.change:+.2f} [{one.low:+.2f}, {one.high:+.2f}] points"
