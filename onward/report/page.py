"""`onward report`: report/index.html, one static file that needs no server and no script.

Everything that comes from a row, a name or a reason passes through Jinja's escaping; the page's
own policy forbids scripts, foreign addresses and any style but its own, by hash.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from onward import files
from onward.evaluation.checks import episode_name, listed, signed
from onward.project import Project
from onward.report import by_label, examples, forest, quality, record
from onward.report.facts import Facts, collect, sentence
from onward.report.timeline import timeline
from onward.report.words import outcome, worst


def write(project: Project, *, now: datetime | None = None) -> Path:
    """Write the page and return its path.

    Args:
        project: which project.
        now: the time that the page names; default the clock's.

    Raises:
        IntegrityError: the journal or the pointer cannot be read.
        SettingsError: params.yaml cannot be read.
    """
    facts = collect(project, now=now)
    candidate = str(facts.judged.line.get("candidate", "")) if facts.judged else ""
    shown = examples.read(project, candidate) if candidate else None
    answers = quality.read(project, candidate) if candidate else None
    labels = by_label.read(project, candidate) if candidate else None
    path = project.root / "report" / "index.html"
    kept = record.collect(project, facts.journal)
    files.write_text(path, render(facts, shown, kept, answers, labels))
    return path


def render(
    facts: Facts,
    shown: examples.Examples | None,
    kept: record.Record,
    answers: quality.Answers | None = None,
    labels: by_label.Labels | None = None,
) -> str:
    """The page as HTML: the same facts give the same bytes."""
    verdict = facts.judged.verdict if facts.judged else None
    css = _asset("page.css")
    return (
        _environment()
        .get_template("page.html")
        .render(
            css=css,
            policy=_policy(css),
            facts=facts,
            sentence=sentence(facts),
            panels=forest.panels(verdict) if verdict else [],
            verdict=verdict,
            timeline=timeline(facts.journal),
            examples=shown,
            answers=answers,
            labels=labels,
            record=kept,
            interval=f"{100 * (1 - 2 * verdict.level):.4g}" if verdict and verdict.evidence else "",
        )
    )


def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FunctionLoader(_asset),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        day=_day,
        episode=episode_name,
        heading=lambda text: text[:1].upper() + text[1:],
        listed=lambda units: listed(tuple(units)),
        minute=_minute,
        outcome=outcome,
        signed=_signed,
        worst=worst,
    )
    return made


def _asset(name: str) -> str:
    return resources.files("onward.report").joinpath("templates", name).read_text(encoding="utf-8")


def _policy(css: str) -> str:
    """No scripts, no addresses, and no style but the page's own."""
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def _time(at: str | datetime) -> datetime | None:
    try:
        parsed = at if isinstance(at, datetime) else datetime.fromisoformat(at)
    except ValueError:
        return None
    return parsed.astimezone(UTC)


def _day(at: str | datetime) -> str:
    """22 Nov 2026; what is no time is shown as it stands."""
    time = _time(at)
    return f"{time.day} {time:%b %Y}" if time else str(at)


def _minute(at: str | datetime) -> str:
    """22 Nov 2026, 14:02 UTC."""
    time = _time(at)
    return f"{_day(time)}, {time:%H:%M} UTC" if time else str(at)


def _signed(value: Any) -> str:
    return "—" if value is None else signed(value)
