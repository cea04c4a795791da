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

from onward import files
from onward.evaluation.checks import Verdict, ways_out
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
    create_table_artifact(
        [_flat(row) for row in report["expectations"]],
        key="validation",
        description="Expectations on the episodes of this turn",
    )


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
    """A Markdown table of turn/benchmark/report.json."""
    lines = [
        f"**{report['variant']}** on **{report['provider']}** serves: {report['why']}",
        "",
        "| variant | batch | length | p50 ms | p95 ms | p99 ms | tokens/s |",
        "| --- | --: | --: | --: | --: | --: | --: |",
    ]
    for found in report["timings"]:
        numbers = [f"{found[key]:.1f}" for key in ("p50_ms", "p95_ms", "p99_ms")]
        cells = [found["variant"], str(found["batch"]), str(found["length"]), *numbers]
        lines.append(f"| {' | '.join(cells)} | {found['tokens_per_s']:,.0f} |")
    return "\n".join(lines)


def show_verdict(verdict: Verdict) -> None:
    """The verdict as the terminal shows it."""
    create_markdown_artifact(
        verdict_page(verdict), key=f"verdict-{verdict.kind}", description=verdict.outcome
    )


def verdict_page(verdict: Verdict) -> str:
    """The checks as a Markdown table, the reasons, and ways out where there are any."""
    against = verdict.champion or "the floor"
    lines = [
        f"**{verdict.outcome.upper()}** · {verdict.subject} against {against}",
        "",
        "| | | rows | old | new | change | low | high | limit |",
        "| --- | --- | --: | --: | --: | --: | --: | --: | --: |",
    ]
    for check in verdict.checks:
        numbers = (check.old, check.new, check.change, check.low, check.high, check.limit)
        cells = ["—" if value is None else f"{value:.1f}" for value in numbers]
        lines.append(f"| {check.mark} | {check.unit} | {check.rows} | {' | '.join(cells)} |")
    told = [*verdict.reasons, *filter(None, [ways_out(verdict)])]
    return "\n".join([*lines, "", *(f"- {reason}" for reason in told)])


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    nested = (dict, list)
    return {key: str(value) if isinstance(value, nested) else value for key, value in row.items()}
