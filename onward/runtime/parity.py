"""Whether a graph answers as the torch model does: logits on a sample, the metric on all rows.

>>> import numpy as np
>>> a = [{"start_logits": np.zeros(3)}]; b = [{"start_logits": np.array([0.0, 0.5, 0.0])}]
>>> difference(a, b)
0.5
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import ModuleType
from typing import Any

import numpy as np

from onward.errors import ParityError
from onward.evaluation.ledger import LedgerPart
from onward.evaluation.statistics import Draws, Interval, paired
from onward.recipes.shapes import Feature

Outputs = dict[str, np.ndarray]
WINDOWS = 36


@dataclass(frozen=True)
class UnitScore:
    """The primary metric of one unit by both, on the same rows."""

    unit: str
    rows: int
    torch: float
    onnx: float

    @property
    def change(self) -> float:
        """onnx minus torch, in points."""
        return self.onnx - self.torch

    def to_json(self) -> dict[str, Any]:
        """For report.json."""
        return {**asdict(self), "change": round(self.change, 6)}


def sample(features: Sequence[Feature], windows: int = WINDOWS) -> list[list[Feature]]:
    """Batches for the logits: the shortest and longest alone, mixed lengths padded together.

    Windows are taken evenly from short to long, so every length that occurs is near one of them.
    """
    ordered = sorted(features, key=lambda feature: len(feature["input_ids"]))
    places = np.linspace(0, len(ordered) - 1, min(windows, len(ordered))).astype(int)
    chosen = [ordered[place] for place in places]
    # Strided, so that a batch holds short and long ones and most of its rows are padded.
    mixed = [chosen[start::6] for start in range(min(6, len(chosen)))]
    return [[chosen[0]], [chosen[-1]], *mixed]


def difference(ours: Sequence[Outputs], theirs: Sequence[Outputs]) -> float:
    """The largest absolute difference of any output; infinite where one is not finite."""
    largest = 0.0
    for one, other in zip(ours, theirs, strict=True):
        for name, values in one.items():
            gap = float(np.max(np.abs(values - other[name]), initial=0.0))
            largest = max(largest, gap if math.isfinite(gap) else math.inf)
    return largest


def logits(onnx: Any, torch: Any, batches: Sequence[list[Feature]], limit: float) -> float:
    """The largest difference of logits between two runners.

    Raises:
        ParityError: it is above `limit`, or an output is not finite.
    """
    gaps = [difference(onnx.predict(batch), torch.predict(batch)) for batch in batches]
    worst = max(range(len(gaps)), key=gaps.__getitem__)
    if not gaps[worst] <= limit:
        lengths = [len(feature["input_ids"]) for feature in batches[worst]]
        raise ParityError(
            f"Logits of the ONNX graph differ from torch's by {gaps[worst]:.3g}; "
            f"the limit is {limit:g}",
            where=f"a batch of windows of {lengths} tokens",
            fix="the graph is wrong: export with the pinned versions, or raise "
            "export.max_logit_difference if you know why",
            details={"difference": str(gaps[worst]), "limit": limit, "lengths": lengths},
        )
    return gaps[worst]


MOST_TIES = 0.1
"""Share of the rows that the last bits may decide. A text of 64 tokens meets a tie now and then."""

_ROUNDED = 1e-5
"""A ledger keeps so many digits of a log-probability."""

Pair = tuple[str, Mapping[str, Any], Mapping[str, Any]]
"""Where, what ONNX Runtime generated and what torch did: each tokens and logprobs, among others."""


def generations(onnx: LedgerPart, torch: LedgerPart) -> list[Pair]:
    """The generations of every row of `torch` by both."""
    pairs: list[Pair] = []
    for unit in torch.units():
        ours = onnx.predictions(unit)
        onnx.require({unit: torch.statistics(unit)[0]})
        theirs = torch.predictions(unit).items()
        pairs += [(f"{unit}, row {row[:12]}", ours[row], other) for row, other in theirs]
    return pairs


def tokens(pairs: Sequence[Pair], limit: float) -> dict[str, int]:
    """Whether the same tokens were generated, one by one.

    Two tokens whose log-probabilities lie nearer to each other than logits may differ are a tie
    that the last bits decide; what comes after it is another text. Ties are counted, and refused
    where they are more than chance makes: of MOST_TIES rows, at least of one.
    Of a tie neither token has more than half of the probability: where both runners are sure, each
    of its own token, nothing was nearly equal.

    Args:
        pairs: as `generations` gives them, of greedy decoding.
        limit: how far a logit may differ.

    Returns:
        {rows, equal, ties}.

    Raises:
        ParityError: a token differs that is no tie, one of the two stops earlier, or ties are many.
    """
    found = {"rows": len(pairs), "equal": 0, "ties": 0}
    half = -math.log1p(math.exp(-2 * limit)) + _ROUNDED
    for where, ours, theirs in pairs:
        at = _first_other(ours["tokens"], theirs["tokens"])
        if at is None:
            _require_length(where, len(ours["tokens"]), len(theirs["tokens"]))
            found["equal"] += 1
            continue
        both = [float(side["logprobs"][at]) for side in (ours, theirs)]
        gap = abs(both[0] - both[1])
        if not (gap <= 2 * limit and max(both) <= half):
            raise ParityError(
                f"ONNX Runtime generates another token than torch, which is no tie: their "
                f"log-probabilities are {gap:.3g} apart, the higher is {max(both):.3g}",
                where=f"{where}, token {at}",
                fix="the graph is wrong: export with the pinned versions; nothing was exported",
                details={"onnx": ours["tokens"][at], "torch": theirs["tokens"][at]},
            )
        found["ties"] += 1
    if found["ties"] > max(1, MOST_TIES * len(pairs)):
        raise ParityError(
            f"ONNX Runtime generates another token than torch in {found['ties']} of {len(pairs)} "
            "rows, each nearly as likely: too many to be the last bits",
            where="turn/export",
            fix="the graph is wrong: export with the pinned versions; nothing was exported",
            details=dict(found),
        )
    return found


def _first_other(ours: Sequence[int], theirs: Sequence[int]) -> int | None:
    pairs = zip(ours, theirs, strict=False)
    return next((at for at, (one, other) in enumerate(pairs) if one != other), None)


def _require_length(where: str, ours: int, theirs: int) -> None:
    if ours != theirs:
        raise ParityError(
            f"ONNX Runtime and torch generate the same tokens, but {ours} and {theirs} of them",
            where=f"{where}, token {min(ours, theirs)}",
            fix="the package's tokenizer says another text of them, which has a stop string: "
            "nothing was exported",
        )


def scores(recipe: ModuleType, onnx: LedgerPart, torch: LedgerPart) -> list[UnitScore]:
    """The primary metric of each unit of `torch` by both."""
    found = []
    for unit in torch.units():
        rows, _ = torch.statistics(unit)
        onnx.require({unit: rows})
        values = [float(recipe.metrics(part.total(unit))[recipe.PRIMARY]) for part in (torch, onnx)]
        found.append(UnitScore(unit, len(rows), *values))
    return found


def require(found: Sequence[UnitScore], limit: float) -> None:
    """Check each unit's change against the limit, in points either way.

    Raises:
        ParityError: with the numbers of the worst unit.
    """
    wrong = [one for one in found if not abs(one.change) <= limit]
    if not wrong:
        return
    worst = max(wrong, key=lambda one: abs(one.change))
    raise ParityError(
        f"The ONNX graph scores {worst.onnx:.2f} where torch scores {worst.torch:.2f} "
        f"({worst.change:+.2f}); the limit is {limit:g}",
        where=f"{worst.unit}, {worst.rows} held-out rows",
        fix="the graph is wrong: export with the pinned versions; nothing was exported",
        details={"units": [one.to_json() for one in found], "limit": limit},
    )


def loss(
    recipe: ModuleType, new: LedgerPart, old: LedgerPart, draws: Draws | None = None
) -> Interval:
    """The paired change of the primary metric, new minus old, over all units of `old`."""
    strata = list(_aligned(new, old))
    return paired(strata, lambda total: recipe.metrics(total)[recipe.PRIMARY], draws or Draws())


def _aligned(new: LedgerPart, old: LedgerPart) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for unit in old.units():
        rows, before = old.statistics(unit)
        new.require({unit: rows})
        names, after = new.statistics(unit)
        place = {name: at for at, name in enumerate(names)}
        yield after[[place[row] for row in rows]], before
