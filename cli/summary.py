"""What `onward run` prints at its end: learned, before and after, latency, version, reports."""

from __future__ import annotations

from typing import Any

from onward import files, recipes
from onward.project import Project
from onward.wording import before, counted

NEWEST = 4
"""Versions of the matrix that are printed; `onward matrix` shows all."""


def result(project: Project, outcome: str) -> dict[str, Any]:
    """The end of a run as plain values; what the turn did not come to is None."""
    from onward.episodes.turn import Turn
    from onward.registry import journal, versions

    turn = Turn.read(project)
    pointer = versions.pointer(project)
    judged = [line for line in journal.lines(project) if line["what"] in journal.VERDICTS]
    made = outcome != "NothingToDo"
    return {
        "outcome": outcome,
        "champion": pointer.version if pointer else None,
        "seq": judged[-1]["seq"] if judged and made else None,
        "learned": [] if turn.base.kind == "adopted" else turn.learning_episodes,
        "scores": _read(project, "evaluate", "summary.json") if made else None,
        "latency": _read(project, "benchmark", "report.json") if outcome == "Promoted" else None,
    }


def lines(project: Project, data: dict[str, Any]) -> list[Any]:
    """The same for people."""
    if data["outcome"] == "NothingToDo":
        serves = f"{data['champion']} serves" if data["champion"] else "Nothing serves yet"
        return [f"Nothing to do: {data['message']}", serves]
    told: list[Any] = ["", *_verdict(project, data)]
    learned = ", ".join(data["learned"]) or "nothing here: the model is as it was adopted"
    told.append(f"Learned    {learned}")
    told += _scores(data["scores"])
    told += _matrix(project)
    if data["latency"]:
        told.append(f"Latency    {_latency(data['latency'])}")
    if data["outcome"] == "Promoted":
        told.append(f"Version    {data['champion']} serves, in {project.version(data['champion'])}")
    told += [f"Report     {data['report']}", f"Run        {data['run']}"]
    told.append(f"Next       {_next(project, data)}")
    return told


def _verdict(project: Project, data: dict[str, Any]) -> list[Any]:
    seq = data["seq"]
    if seq is None:
        return []
    from cli.tables import verdict_table
    from onward.evaluation import verdicts

    version = data["champion"] if data["outcome"] == "Promoted" else None
    return [verdict_table(verdicts.read(project, seq), seq, version=version), ""]


def _scores(summary: dict[str, Any] | None) -> list[str]:
    if summary is None:
        return []
    told, metric = summary["units"]["all"], summary["metric"]
    old, new, name = told["before"][metric], told["after"][metric], recipes.shown(metric)
    exact = f", EM {told['after']['em']:.1f}" if "em" in told["after"] else ""
    than = before(summary["before"])
    return [
        f"Before     {name} {old:.1f} on {told['rows']:,} held-out rows ({than})",
        f"After      {name} {new:.1f}{exact}",
    ]


def _matrix(project: Project) -> list[Any]:
    """The newest versions by all episodes; nothing while there is but one of either."""
    from cli.matrix import parts
    from onward.evaluation.matrix import collect

    found = collect(project)
    return ["", *parts(found, last=NEWEST), ""] if len(found.versions) > 1 else []


def _latency(report: dict[str, Any]) -> str:
    batch, length = report["serving_shape"]
    for timing in report["timings"]:
        shape = (timing["batch"], timing["length"])
        if timing["variant"] == report["variant"] and shape == (batch, length):
            new = timing.get("new_tokens")
            written = f", {counted(new, 'token')} written" if new else ""
            return (
                f"p50 {timing['p50_ms']:.1f} ms, p95 {timing['p95_ms']:.1f} ms at {batch}x{length}"
                f"{written} ({report['variant']}, {report['provider']}, "
                f"{counted(report['threads'], 'thread')})"
            )
    return "not measured"


def _next(project: Project, data: dict[str, Any]) -> str:
    from onward.evaluation import verdicts

    if data["outcome"] == "Promoted":
        return "onward ask --demo"
    # A withdrawn candidate's refusal rests on no rows: there are no examples of it.
    what = "examples" if verdicts.read(project, data["seq"]).evidence else "show"
    return f"onward gate --{what} {data['seq']}"


def _read(project: Project, stage: str, name: str) -> Any:
    path = project.made(stage) / name
    return files.read_json(path) if path.exists() else None
