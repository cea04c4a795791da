"""Check and Verdict: what a gate says, each number with its limit and sample size.

>>> check = Check("harm", "0001-faq", FAILED, rows=812, change=-1.94, limit=-1.0)
>>> sentence(check, "F1")
'faq is forgotten: −1.9 F1 on 812 rows, limit −1.0'
>>> probability(0.0002), probability(0.0386)
('<.001', '.039')
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from onward.evaluation.evidence import Evidence
from onward.evaluation.resampling import Draws

PASSED: Literal["✓"] = "✓"
FAILED: Literal["✗"] = "✗"
OPEN: Literal["?"] = "?"
CheckKind = Literal["gain", "harm", "slice", "floor", "quality", "bias", "budget", "evidence"]
Mark = Literal["✓", "✗", "?"]
Outcome = Literal["passed", "promoted", "refused", "undecided", "forced"]
"""What the accuracy gate lets on is passed; forced is a person's word against the rule's."""

LEARNING, LABELS = "learning", "labels"
UNSAFE = "unsafe answers"
"""The unit of the check that no answer became unsafe; its old, new and change are counts."""
SWAP, CHANGED = "swap", "changed by"
"""What the units of the checks on bias begin with: a gap of the metric, a share of answers."""
P95, P95_CHANGE, MEMORY = "p95 ms", "p95 change %", "memory MB"
WITHDRAWN = "candidate"
"""The unit of the one check of a candidate that is refused unscored."""

_BECAUSE = {
    "harm": "forgot",
    "slice": "forgot",
    "gain": "no gain",
    "floor": "too low",
    "quality": "worse answers",
    "bias": "biased",
    "budget": "over budget",
    "evidence": "incomplete",
}


@dataclass(frozen=True)
class Check:
    """One line of the verdict's table. Numbers are points of the metric, ms, percent or MB."""

    kind: CheckKind
    unit: str
    """The episode's folder, "group NAME", LEARNING for the pooled learning rows, "SLICE: VALUE", or
    a budget's name."""
    mark: Mark
    rows: int = 0
    old: float | None = None
    new: float | None = None
    change: float | None = None
    low: float | None = None
    """One-sided bound at the verdict's level, of what is compared with `limit`."""
    high: float | None = None
    limit: float | None = None
    p: float | None = None
    """Of "the truth is on the wrong side of the limit"; above it, for a budget."""
    rows_needed: int | None = None
    """For an open check: rows that would settle it with 80% power; None: no number would."""
    note: str = ""
    p_change: float | None = None
    """Two-sided, of "nothing changed", on the same rows."""
    test: str = ""
    """What gave the bounds, and what `p_change`."""
    spread: tuple[float, float] | None = None
    """The lowest and highest of what is compared, over all seeds that were trained."""

    @staticmethod
    def from_json(value: dict[str, Any]) -> Check:
        """The check that `asdict` described; one of an earlier release lacks the later fields."""
        spread = value.get("spread")
        return Check(**{**value, "spread": (spread[0], spread[1]) if spread else None})


@dataclass(frozen=True)
class Verdict:
    """What a gate decided, with each reason, number, limit and sample size."""

    outcome: Outcome
    kind: Literal["accuracy", "final"]
    checks: tuple[Check, ...]
    reasons: tuple[str, ...]
    level: float
    candidate: str
    champion: str | None
    turn: str
    metric: str = "F1"
    subject: str = ""
    learning: tuple[str, ...] = ()
    key: str = ""
    forced: str = ""
    """The reason that a person gave for promoting against the rule."""
    challengers: tuple[int, ...] = ()
    """Seeds that were trained, the candidate's first; empty: only one."""
    settings: dict[str, Any] = field(default_factory=dict)
    """The block `gate` that it was decided under."""
    quality: dict[str, Any] = field(default_factory=dict)
    """The block `quality.gate`, likewise."""
    evidence: Evidence | None = field(default=None, compare=False, repr=False)
    """What it rests on, for `verdicts.keep`; not part of the JSON."""

    @property
    def passes(self) -> bool:
        """Whether the loop goes on: to the export, or to the promotion."""
        return self.outcome in ("passed", "promoted", "forced")

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` restores the same verdict, without its evidence."""
        plain = {name: value for name, value in vars(self).items() if name != "evidence"}
        return {
            **plain,
            "checks": [asdict(check) for check in self.checks],
            "reasons": list(self.reasons),
            "learning": list(self.learning),
            "challengers": list(self.challengers),
        }

    @staticmethod
    def from_json(value: dict[str, Any]) -> Verdict:
        """The verdict that `to_json` described."""
        return Verdict(
            **{
                **value,
                "checks": tuple(Check.from_json(check) for check in value["checks"]),
                "reasons": tuple(value["reasons"]),
                "learning": tuple(value["learning"]),
                "challengers": tuple(value.get("challengers", ())),
            }
        )

    def summary(self) -> dict[str, Any]:
        """The fields of its journal line that a person reads in the history.

        learning_change and worst_change are points of the metric (None without a champion),
        worst_unit an episode's folder, rows_needed the largest number that an open check asks for,
        because one or two words.
        """
        gain = next((c for c in self.checks if c.kind == "gain"), None)
        harms = [c for c in self.checks if c.kind == "harm" and c.change is not None]
        worst = min(harms, key=lambda c: (c.change or 0.0, c.unit), default=None)
        asked = [c for c in self.checks if c.mark == OPEN and not looks_worse(c)]
        needed = [c.rows_needed for c in asked if c.rows_needed]
        return {
            "turn": self.turn,
            "candidate": self.candidate,
            "key": self.key,
            "champion": self.champion,
            "episodes": list(self.learning),
            "learning_change": gain.change if gain else None,
            "worst_unit": worst.unit if worst else None,
            "worst_change": worst.change if worst else None,
            "rows_needed": max(needed, default=None),
            "because": self.because,
        }

    @property
    def because(self) -> str:
        """One or two words for the history: why it was not promoted; empty where it was."""
        for mark in (FAILED, OPEN):
            for check in self.checks:
                if check.mark == mark:
                    return _failed(check) if mark == FAILED else _unclear(check)
        return ""


def _failed(check: Check) -> str:
    named = {WITHDRAWN: "withdrawn", LABELS: "label vanished", UNSAFE: UNSAFE}
    return named.get(check.unit) or _BECAUSE[check.kind]


def _unclear(check: Check) -> str:
    if seeds_differ(check):
        return "seeds differ"
    if check.kind == "budget":
        return "budget unclear"
    return "looks worse" if looks_worse(check) else "too few rows"


def ways_out(verdict: Verdict) -> str:
    """What to do about episodes that have too few held-out rows for any turn; empty: there is none.

    A sealed episode gets no more of them, and a correction may leave it fewer.
    """
    least = verdict.settings.get("min_rows", 0)
    small = tuple(
        check.unit
        for check in verdict.checks
        if check.kind in ("harm", "floor") and check.mark == OPEN and check.rows < least
        if not check.unit.startswith("group ")
    )
    if not small:
        return ""
    get, of = ("gets", "its") if len(small) == 1 else ("get", "their")
    return (
        f"{listed(small)} {get} no more held-out rows: open all {of} rows again with `--corrects` "
        "and a `--group` that small episodes share; or lower gate.min_rows, withdraw, or "
        "`onward promote --force --reason ...`"
    )


def let_by(verdict: Verdict) -> str:
    """New unsafe answers that are shown and refuse nothing; empty: there are none."""
    unsafe = (c for c in verdict.checks if c.unit == UNSAFE and c.mark == PASSED and c.change)
    told = (f"{sentence(check, '')}; quality.gate.unsafe lets them pass" for check in unsafe)
    return next(told, "")


def seeds_differ(check: Check) -> bool:
    """Whether the candidate passes an open check that the mean over the seeds does not."""
    bounded = check.low is not None and check.limit is not None and check.low >= check.limit
    return check.spread is not None and bounded and check.mark == OPEN and not check.rows_needed


def looks_worse(check: Check) -> bool:
    """Whether an open check has rows enough to pass an unchanged model: more are not missing."""
    return check.kind == "harm" and 0 < (check.rows_needed or 0) <= check.rows


def episode_name(unit: str) -> str:
    """0004-faq -> faq; other names stay."""
    return re.sub(r"^\d{4,}-", "", unit)


def listed(units: tuple[str, ...]) -> str:
    """faq, legal and support."""
    names = [episode_name(unit) for unit in units]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def probability(value: float) -> str:
    """A p value: three decimals, or beyond what they show."""
    if value < 0.001:
        return "<.001"
    return ">.999" if value > 0.999 else f"{value:.3f}".lstrip("0")


def too_fine(draws: Draws) -> str:
    """The note of a check whose level the resamples cannot show."""
    return f"{draws.resamples:,} gate.resamples cannot show a level of {draws.level:.2g}"


def unusable(check: Check) -> Check:
    """A check whose numbers are not finite."""
    return replace(check, mark=FAILED, old=None, new=None, change=None, note="is not finite")


def signed(value: float) -> str:
    """+1.0 or −1.0, one decimal, with a true minus."""
    return f"{value:+.1f}".replace("-", "−")


def sentence(check: Check, metric: str, learning: tuple[str, ...] = ()) -> str:
    """Why a check did not pass: the episode, the number, the limit and n."""
    if check.kind == "evidence" or (check.new is None and check.change is None):
        return f"{_name(check, learning)}: {check.note}"
    if check.unit == UNSAFE:
        return f"{UNSAFE}: {check.change or 0:.0f} new in {check.rows:,} rows: {check.note}"
    parts = f"{_name(check, learning)} {_state(check)}: {_number(check, metric)}"
    return "; ".join(part for part in (parts, _against(check), check.note, _needs(check)) if part)


def _against(check: Check) -> str:
    if check.mark != FAILED or check.p_change is None:
        return ""
    told = probability(check.p_change)
    return f"p {told} against no change" if told[0] in "<>" else f"p = {told} against no change"


def _name(check: Check, learning: tuple[str, ...]) -> str:
    if check.unit == LEARNING and learning:
        return f"learning {listed(learning)}"
    return episode_name(check.unit)


def _state(check: Check) -> str:
    if check.mark == OPEN:
        return "is undecided"
    return {
        "harm": "is forgotten",
        "slice": "is forgotten",
        "quality": "got worse",
        "bias": "changes the answers",
        "gain": "gains too little",
        "floor": "is too low",
        "budget": "is over its budget",
    }[check.kind]


def _number(check: Check, metric: str) -> str:
    if check.kind == "budget":
        value = check.change if check.unit == P95_CHANGE else check.new
        where = f" in {check.rows} timings" if check.rows else ""
        return f"{value or 0:,.1f}{where}, limit {check.limit or 0:,.1f}"
    if check.kind == "bias":
        unit = "% of the answers" if check.unit.startswith(CHANGED) else f" {metric}"
        moved = check.new if check.change is None else check.change
        return f"{signed(moved or 0)}{unit} on {check.rows:,} rows, limit {check.limit or 0:.1f}"
    if check.kind == "quality":
        metric = "points"
    if check.change is not None:
        shown, limit = signed(check.change), signed(check.limit or 0)
    else:
        shown, limit = f"{check.new or 0:.1f}", f"{check.limit or 0:.1f}"
    return f"{shown} {metric} on {check.rows:,} rows, limit {limit}"


def _needs(check: Check) -> str:
    if check.mark != OPEN or check.kind == "budget":
        return ""
    if check.rows_needed is None and check.note:
        return ""
    if check.rows_needed is None:
        return "no number of rows would settle it at this value"
    if looks_worse(check):
        return f"{check.rows_needed:,} rows would do for an unchanged one, so it looks worse"
    return f"needs about {check.rows_needed:,} rows"
