"""What a run shows on the dashboard: progress, tables, the verdict, the latency picture."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from onward import files, recipes
from onward.errors import ValidationFailed
from onward.evaluation.checks import Verdict, listed, ways_out
from onward.project import Project

_PROGRESS = re.compile(r"^(?P<what>.+?) (?P<percent>\d+)% \d+/\d+ ")


class ProgressBar:
    """A progress artifact that follows lines such as "finetune 42% 210/500 1:23 left"."""

    def __init__(self, step: str) -> None:
        self.step = step
        self._artifacts: dict[str, UUID] = {}
        self._lost = False

    def follow(self, line: str) -> None:
        """Move the bar where the line is one of onward/progress.py; else do nothing."""
        found = _PROGRESS.match(line)
        if found is None or self._lost:
            return
        try:
            self._show(found["what"], float(found["percent"]))
        except httpx.HTTPError:
            # Raised here it would end the stage's process. The state at the step's end goes to the
            # same server, so the run still fails where the server stays away, with the stage done.
            self._lost = True

    def _show(self, what: str, percent: float) -> None:
        if what in self._artifacts:
            update_progress_artifact(self._artifacts[what], percent)
            return
        name = re.sub(r"[^a-z0-9-]+", "-", f"{self.step}-{what}".lower()).strip("-")
        self._artifacts[what] = create_progress_artifact(
            percent, key=f"progress-{name}", description=f"{self.step}: {what}"
        )


def show_validation(project: Project) -> None:
    """The expectations of the turn, as a table."""
    report = files.read_json(project.made("validate") / "report.json")
    _show_expectations(report["expectations"], "Expectations on the episodes of this turn")


def show_failed(error: ValidationFailed) -> None:
    """The expectations that stopped the turn, in the place of the whole table."""
    if found := error.details.get("expectations"):
        _show_expectations(found, "Expectations that failed")


def _show_expectations(found: list[dict[str, Any]], description: str) -> None:
    create_table_artifact(expectations(found), key="validation", description=description)


def expectations(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Lines of turn/validate/report.json as a person reads them, those that failed first."""
    return [
        {
            "passed": "✓" if one["passed"] else "✗",
            "expectation": one["name"],
            "of": one["frame"],
            "found": _between(one["observed"]),
            "limit": _between(one["limit"]),
            "failed": f"{one['failed']:,} of {one['checked']:,}",
            "severity": one["severity"],
            "such as": ", ".join(map(str, one["sample_ids"])),
        }
        for one in sorted(found, key=lambda one: bool(one["passed"]))
    ]


def _between(ends: dict[str, Any] | None) -> str:
    """At least 20, at most 60, 199.3 to 3,188.3; empty where neither end is there."""
    low, high = ((ends or {}).get(end) for end in ("min", "max"))
    told = [f"{value:,.6g}" for value in (low, high) if value is not None]
    if len(told) == 2:
        return told[0] if low == high else " to ".join(told)
    return "".join(f"at {'least' if low is not None else 'most'} {one}" for one in told)


def show_scores(project: Project) -> None:
    """Before and after, by episode."""
    summary = files.read_json(project.made("evaluate") / "summary.json")
    create_markdown_artifact(
        before_and_after(summary), key="before-and-after", description="Held-out rows, by episode"
    )


def before_and_after(summary: dict[str, Any]) -> str:
    """A Markdown table of turn/evaluate/summary.json, in points of the primary metric."""
    metric, before = summary["metric"], summary["before"]
    lines = [
        f"{recipes.shown(metric)}, in points.",
        "",
        f"| episode | rows | {before} | candidate | change |",
        "| --- | --: | --: | --: | --: |",
    ]
    for unit, told in summary["units"].items():
        old, new = told["before"][metric], told["after"][metric]
        lines.append(f"| {unit} | {told['rows']} | {old:.1f} | {new:.1f} | {new - old:+.1f} |")
    return "\n".join(lines)


def show_latency(project: Project) -> None:
    """The latency picture and its numbers in one page; the picture is part of it, not a link."""
    folder = project.made("benchmark")
    report = files.read_json(folder / "report.json")
    pictures = [picture(path) for path in sorted(folder.glob("*.png"))]
    create_markdown_artifact(
        "\n\n".join([latency(report), *pictures]),
        key="latency",
        description="Milliseconds by variant, batch and length",
    )


def picture(path: Path) -> str:
    """A PNG as a part of a Markdown page."""
    data = base64.b64encode(path.read_bytes()).decode()
    return f"![{path.stem}](data:image/png;base64,{data})"


def latency(report: dict[str, Any]) -> str:
    """A Markdown table of turn/benchmark/report.json, and what its times span."""
    written = report["timings"][0].get("new_tokens")
    keys = ["p50_ms", "p95_ms", "p99_ms", *(["first_token_p95_ms"] if written else [])]
    heads = [key.replace("_", " ") for key in keys]
    lines = [
        f"**{report['variant']}** on **{report['provider']}** would serve: {report['why']}",
        "",
        f"Timed {report['timed']}{f'; benchmark.new_tokens: {written}' if written else ''}.",
        "",
        f"| variant | batch | length | {' | '.join(heads)} | tokens/s |",
        f"| --- | --: | --: | {' | '.join('--:' for _ in keys)} | --: |",
    ]
    for found in report["timings"]:
        numbers = [f"{found[key]:.1f}" for key in keys]
        cells = [found["variant"], str(found["batch"]), str(found["length"]), *numbers]
        lines.append(f"| {' | '.join(cells)} | {found['tokens_per_s']:,.0f} |")
    return "\n".join(lines)


def show_verdict(verdict: Verdict) -> None:
    """The verdict with all of its checks, slices that were kept among them."""
    create_markdown_artifact(
        verdict_page(verdict), key=f"verdict-{verdict.kind}", description=verdict.outcome
    )


def verdict_page(verdict: Verdict) -> str:
    """The checks as a Markdown table, the reasons, and ways out where there are any."""
    learned = listed(verdict.learning) or "no new episode"
    against = f"against {verdict.champion}" if verdict.champion else "as first champion"
    head = [f"**{verdict.outcome.upper()}**", f"{learned} {against}", verdict.subject]
    lines = [
        " · ".join(filter(None, head)),
        "",
        f"{verdict.metric} in points; low and high are the ends of "
        f"{100 * (1 - 2 * verdict.level):.4g}% intervals.",
        "",
        f"| | | rows | {verdict.champion or 'old'} | new | change | low | high | limit |",
        "| --- | --- | --: | --: | --: | --: | --: | --: | --: |",
    ]
    for check in verdict.checks:
        numbers = (check.old, check.new, check.change, check.low, check.high, check.limit)
        cells = ["—" if value is None else f"{value:.1f}" for value in numbers]
        unit = _plain(check.unit)
        lines.append(f"| {check.mark} | {unit} | {check.rows:,} | {' | '.join(cells)} |")
    told = [*map(_plain, verdict.reasons), *filter(None, [ways_out(verdict)])]
    return "\n".join([*lines, "", *(f"- {reason}" for reason in told)])


def _plain(text: str) -> str:
    """Text that Markdown shows as it stands, on one line: a slice's name may be anybody's words."""
    return re.sub(r"([\\`*_\[\]<>|#~&!])", r"\\\1", " ".join(text.split()))
