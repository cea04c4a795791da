"""Great Expectations as the judge of a list of expectations.

Every expectation becomes one of its own and is run over a pandas frame of derived columns. Its
results keep counts and the ids of a few failing lines, nothing else. Its telemetry and progress
bars are off, nothing is stored, and Data Docs, which would show values as raw HTML, are not made.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any

from onward.errors import InternalError
from onward.validation.columns import Frames
from onward.validation.expectations import Expectation

SAMPLES = 5
"""Ids kept per failed expectation."""

POINTED = 3
"""Rows shown of an episode that failed."""

_ROW = ["episode", "side", "id"]


@dataclass(frozen=True)
class Outcome:
    """What one expectation came to: lines looked at, lines that failed, where some of them are."""

    expectation: Expectation
    passed: bool
    checked: int
    failed: int
    samples: tuple[str, ...]
    observed: dict[str, Any] | None


def judge(expectations: list[Expectation], frames: Frames) -> list[Outcome]:
    """Run the expectations, in their order. A frame without lines gives outcomes with checked 0.

    Raises:
        InternalError: Great Expectations could not compute one, say for a column that is missing.
    """
    outcomes: dict[str, Outcome] = {}
    judging = _quiet_context()
    for name in dict.fromkeys(e.frame for e in expectations):
        listed = [e for e in expectations if e.frame == name]
        frame = frames.of(name)
        if len(frame):
            outcomes |= _run(judging, name, listed, frame)
        else:
            outcomes |= {e.name: Outcome(e, False, 0, 0, (), None) for e in listed}
    return [_pointed(outcomes[e.name], frames.rows) for e in expectations]


def _pointed(outcome: Outcome, rows: Any) -> Outcome:
    """With rows of the first episode that failed, those that are furthest in `points`."""
    of = outcome.expectation
    if not (of.points and outcome.samples):
        return outcome
    there = rows[rows["episode"] == outcome.samples[0]]
    low = of.low is not None and outcome.observed is not None and outcome.observed["min"] < of.low
    furthest = there.sort_values(of.points, ascending=low, kind="stable").head(POINTED)
    shown = (furthest[part].astype(str) for part in _ROW)
    return replace(
        outcome, samples=(*outcome.samples, *("/".join(one) for one in zip(*shown, strict=True)))
    )


def _run(judging: Any, name: str, listed: list[Expectation], frame: Any) -> dict[str, Outcome]:
    identity = _ROW if name == "rows" else ["episode"]
    batch = (
        judging.data_sources.add_pandas(name)
        .add_dataframe_asset(name)
        .add_batch_definition_whole_dataframe(name)
        .get_batch({"dataframe": frame})
    )
    found = batch.validate(_suite(listed), result_format=_counts_and_ids(identity))
    by_name = {result.expectation_config.meta["name"]: result for result in found.results}
    return {e.name: _outcome(e, by_name[e.name], frame, identity) for e in listed}


def _quiet_context() -> Any:
    """In memory alone: no telemetry, no progress bars, no folder for Data Docs."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx
    from great_expectations.data_context.types import base

    stores = base.InMemoryStoreBackendDefaults(init_temp_docs_sites=False)
    quiet = base.DataContextConfig(
        store_backend_defaults=stores,
        progress_bars=base.ProgressBarsConfig(globally=False),
        analytics_enabled=False,
    )
    return gx.get_context(mode="ephemeral", project_config=quiet)


def _suite(listed: list[Expectation]) -> Any:
    import great_expectations as gx

    return gx.ExpectationSuite(name="episodes", expectations=[_native(e) for e in listed])


def _native(expected: Expectation) -> Any:
    from great_expectations.expectations import ExpectColumnValuesToBeBetween

    return ExpectColumnValuesToBeBetween(
        column=expected.column,
        min_value=expected.low,
        max_value=expected.high,
        meta={"name": expected.name},
    )


def _counts_and_ids(identity: list[str]) -> dict[str, Any]:
    return {
        "result_format": "SUMMARY",
        "partial_unexpected_count": SAMPLES,
        "unexpected_index_column_names": identity,
        "return_unexpected_index_query": False,
    }


def _outcome(expected: Expectation, result: Any, frame: Any, identity: list[str]) -> Outcome:
    if "element_count" not in result.result:
        raise InternalError(
            f"The expectation {expected.name!r} could not be computed",
            where=f"column {expected.column} of {expected.frame}",
            fix="run it again with --debug; report it if it stays",
            details={"exception": str(result.exception_info)[:2000]},
        )
    counts = result.result
    samples = counts.get("partial_unexpected_index_list") or []
    return Outcome(
        expectation=expected,
        passed=bool(result.success),
        checked=int(counts["element_count"]) - int(counts["missing_count"]),
        failed=int(counts["unexpected_count"]),
        samples=tuple("/".join(str(s[part]) for part in identity) for s in samples),
        observed=_observed(frame[expected.column]),
    )


def _observed(values: Any) -> dict[str, Any] | None:
    """Least and greatest value; None where all are null."""
    if values.isna().all():
        return None
    return {"min": round(float(values.min()), 3), "max": round(float(values.max()), 3)}
