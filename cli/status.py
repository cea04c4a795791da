"""`onward status`, also bare `onward`: the champion, the last turn, and what needs you."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cli.output import Json, answer, here
from onward.wording import counted

if TYPE_CHECKING:
    from onward.report.facts import Facts, Standing

WIDTH = 60
_LENGTHS = (("d", 86_400), ("h", 3_600), ("min", 60))


def status(as_json: Json = False) -> None:
    """The champion, the last turn, and what needs you."""
    from onward.report.facts import collect

    # The champion's files are not hashed here: `onward verify` does that.
    facts = collect(here(), check=False)
    answer(as_json, _data(facts), *_lines(facts))


def _data(facts: Facts) -> dict[str, Any]:
    champion = facts.champion
    return {
        "project": facts.project,
        "champion": champion.version if champion else None,
        "since": champion.since if champion else None,
        "metric": champion.metric if champion else None,
        "score": champion.score if champion else None,
        "worst": list(champion.worst) if champion and champion.worst else None,
        "forced": (champion.forced or None) if champion else None,
        "problem": champion.problem.to_json() if champion and champion.problem else None,
        "episodes": facts.episodes,
        "last": facts.last,
        "running": facts.running or None,
        "watch": facts.watch or None,
        "needs": [{"why": need.why, "command": need.command} for need in facts.needs],
    }


def _lines(facts: Facts) -> list[str]:
    name = f"onward · {facts.project}"
    lines = [f"{name:<{WIDTH - 5}}{datetime.now().astimezone():%H:%M}"]
    lines.append(f"champion  {_champion(facts.champion)}")
    if facts.champion and facts.champion.score is not None:
        lines.append(f"quality   {_quality(facts.champion)}")
    if facts.last:
        lines.append(f"last turn {_last(facts.last)}")
    if facts.watch:
        lines.append(f"watch     {facts.watch}")
    if facts.running:
        lines.append(f"running   {facts.running}")
    if facts.needs and not facts.running:
        lines.append("Needs you")
        width = max(len(need.command) for need in facts.needs)
        lines += [f"  {need.command:<{width}}   {need.why}" for need in facts.needs]
    return lines


def _champion(champion: Standing | None) -> str:
    if champion is None:
        return "none yet"
    since = f"  serving {_age(champion.since)}" if champion.since else ""
    forced = f" · forced against the rule: {champion.forced}" if champion.forced else ""
    problem = f" · {champion.problem.what}" if champion.problem else ""
    return f"{champion.version}{since}{forced}{problem}"


def _quality(champion: Standing) -> str:
    over = counted(champion.episodes, "episode")
    text = f"{champion.metric} {champion.score:.1f} on {champion.rows:,} held-out rows of {over}"
    if champion.worst and champion.episodes > 1:
        text += f" · worst: {champion.worst[0]} {champion.worst[1]:.1f}"
    return text


def _last(line: dict[str, Any]) -> str:
    from onward.report.words import why

    what = f"{line['seq']} · {line['what'].upper()} {_age(line['at'])} ago"
    detail = why(line) if line["what"] in ("refused", "undecided") else line.get("version")
    return f"{what} · {detail}" if detail else what


def _age(at: str) -> str:
    """9 d, 3 h, 5 min or 12 s; a clock that was set back counts as no time."""
    seconds = max((datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds(), 0)
    for name, length in _LENGTHS:
        if seconds >= length:
            return f"{seconds // length:.0f} {name}"
    return f"{seconds:.0f} s"


COMMANDS = (status,)
