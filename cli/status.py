"""`onward status`, also bare `onward`: the champion, the last turn, and what needs you."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from cli.output import Json, answer, here
from onward.project import Project

WIDTH = 60


def status(as_json: Json = False) -> None:
    """The champion, the last turn, and what needs you."""
    project = here()
    data = state(project)
    answer(as_json, data, *_lines(data))


def state(project: Project) -> dict[str, Any]:
    """What `onward status` shows, as plain values."""
    from onward import config, locks
    from onward.registry import journal, versions

    lines = journal.lines(project)
    pointer = versions.pointer(project)
    verdicts = [line for line in lines if line["what"] in journal.VERDICTS]
    running = locks.holder(project.run_lock) if locks.is_held(project.run_lock) else None
    quarantined, learning = _episodes(project)
    data = {
        "project": config.read(project.params, config.Identity).name,
        "champion": pointer.version if pointer else None,
        "serving_since": _at(lines, pointer.seq) if pointer else None,
        "quality": _quality(project, pointer.version) if pointer else None,
        "last": verdicts[-1] if verdicts else None,
        "running": running,
        "learning": learning,
        "quarantined": quarantined,
    }
    return {**data, "needs": _needs(project, data)}


def _at(lines: list[dict[str, Any]], seq: int) -> str | None:
    return next((line["at"] for line in lines if line["seq"] == seq), None)


def _quality(project: Project, version: str) -> dict[str, Any] | None:
    """The champion's score over the episodes and its worst one, from its card."""
    raise NotImplementedError


def _episodes(project: Project) -> tuple[int, list[str]]:
    """Quarantined rows of all open episodes, and the folders that the turn is to learn."""
    from onward.episodes.folders import folders
    from onward.episodes.turn import Turn

    found = folders(project)
    quarantined = sum(item.manifest["counts"]["quarantined"] for item in found)
    learning = Turn.read(project).learning_episodes if project.turn.exists() else []
    return quarantined, learning


def _needs(project: Project, data: dict[str, Any]) -> list[str]:
    """At most three commands that a person should give next."""
    if data["running"]:
        return []
    last, needs = data["last"], []
    if not project.turn.exists():
        return ["onward episode open NAME FILE"]
    turn_id = _turn_id(project)
    if last is None or last.get("turn") != turn_id:
        needs.append("onward run")
    if last is not None and last["what"] in ("refused", "undecided"):
        needs.append(f"onward gate --show {last['seq']}")
    if data["quarantined"]:
        needs.append("onward episode list --quarantined")
    return needs[:3]


def _turn_id(project: Project) -> str:
    from onward.episodes.turn import Turn

    return Turn.read(project).id


def _lines(data: dict[str, Any]) -> list[str]:
    now = datetime.now().astimezone()
    head = f"onward · {data['project']}"
    lines = [f"{head}{now:%H:%M}".replace(head, head.ljust(WIDTH - 5), 1)]
    lines.append(f"champion  {_champion(data)}")
    if quality := data["quality"]:
        lines.append(f"quality   {quality['text']}")
    if last := data["last"]:
        lines.append(f"last turn {_last(last)}")
    if data["running"]:
        who = data["running"]
        lines.append(f"running   {who['purpose']}, process {who['pid']} since {who['since']}")
    if data["needs"]:
        lines.append("Needs you")
        lines += [f"  {command}" for command in data["needs"]]
    return lines


def _champion(data: dict[str, Any]) -> str:
    if data["champion"] is None:
        return "none yet"
    since = data["serving_since"]
    return f"{data['champion']}  serving {_age(since)}" if since else data["champion"]


def _age(at: str) -> str:
    """How long ago, for people; a clock that went back counts as now."""
    seconds = max((datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds(), 0)
    for name, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f} {name}"
    return "since just now"


def _last(line: dict[str, Any]) -> str:
    parts = [str(line["seq"]), line["what"].upper()]
    if line["what"] in ("promoted", "forced"):
        parts.append(f"{line['version']}")
    elif line.get("worst_unit"):
        change = f"{line['worst_change']:+.1f}".replace("-", "−")
        parts.append(f"{line['worst_unit'].partition('-')[2] or line['worst_unit']} {change}")
    return f"{parts[0]} · {' · '.join(parts[1:])} · {_age(line['at'])} ago"


COMMANDS = (status,)
