"""What is so, as plain values: the champion and its health, the last outcome, what needs a person.

Collected once and rendered elsewhere, so that the report page and `onward status` say the same.
Nothing here fails because a file is damaged or not on this machine: that is a fact, too.

>>> import tempfile; project = Project(Path(tempfile.mkdtemp()))
>>> _ = project.params.write_text("project: {name: toy}")
>>> facts = collect(project)
>>> sentence(facts)
'Nothing serves yet, and no episode is open'
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path  # noqa: F401 - for the example above
from typing import Any

from onward import config, locks, recipes
from onward.errors import OnwardError
from onward.evaluation import verdicts
from onward.evaluation.checks import Verdict, episode_name
from onward.project import Project
from onward.registry import journal, versions
from onward.report.needs import Need, needs_you
from onward.report.words import Line, outcome


@dataclass(frozen=True)
class Standing:
    """The version that serves: since when, whether its files are intact, and how good it was."""

    version: str
    seq: int
    since: str
    checked: bool = False
    """Whether its files were hashed and found intact."""
    problem: OnwardError | None = None
    forced: str = ""
    """A person's reason, where it was promoted against the rule."""
    metric: str = ""
    score: float | None = None
    episodes: int = 0
    rows: int = 0
    worst: tuple[str, float] | None = None
    """The episode it answers worst, and its score there."""


@dataclass(frozen=True)
class Judged:
    """The last verdict; `problem` says why its rows cannot be shown."""

    seq: int
    line: Line
    verdict: Verdict | None
    problem: OnwardError | None = None


@dataclass(frozen=True)
class Facts:
    """Everything that the report page and `onward status` show."""

    project: str
    as_of: datetime
    champion: Standing | None
    episodes: int
    """Open episodes of the turn; 0 where there is no turn."""
    journal: tuple[Line, ...]
    judged: Judged | None
    running: str
    """What holds the run's lock now; empty: nothing does."""
    needs: tuple[Need, ...]
    watch: str = ""
    """What the watch said of the present turn, where it is not judged yet."""

    @property
    def last(self) -> Line | None:
        """The last verdict or rollback."""
        told = (*journal.VERDICTS, "adopted", "rollback")
        return next((line for line in reversed(self.journal) if line["what"] in told), None)


def collect(project: Project, *, now: datetime | None = None, check: bool = True) -> Facts:
    """The facts as of now.

    Args:
        project: which project.
        now: the time that the page names; default the clock's.
        check: hash the champion's files, about a second for each 500 MB, and read the rows of
            the last verdict; without it neither is looked at.

    Raises:
        IntegrityError: the journal itself, or the pointer, cannot be read.
        SettingsError: params.yaml cannot be read.
    """
    lines = tuple(journal.lines(project))
    champion = _standing(project, lines, check)
    judged = _judged(project, lines, check)
    problem = champion.problem if champion else None
    return Facts(
        project=config.read(project.params, config.Identity).name,
        as_of=now or datetime.now(UTC),
        champion=champion,
        episodes=_episodes(project),
        journal=lines,
        judged=judged,
        running=_running(project),
        needs=needs_you(project, judged.line if judged else None, problem),
        watch=_watch(project, judged.line if judged else None),
    )


def sentence(facts: Facts) -> str:
    """Champion, health and last outcome in one sentence, without its full stop."""
    champion = facts.champion
    if champion is None:
        if facts.last is None:
            waiting = "no episode is open" if not facts.episodes else "no turn was judged"
            return f"Nothing serves yet, and {waiting}"
        return f"Nothing serves yet; {outcome(facts.last)}"
    health = " and its files are intact" if champion.checked else ""
    if champion.problem is not None:
        what = champion.problem.what
        health = f" and something is wrong: {what[:1].lower()}{what[1:]}"
    against = f" against the rule ({champion.forced})" if champion.forced else ""
    said = f"{champion.version} serves{against}{health}"
    return f"{said}; {outcome(facts.last)}" if facts.last else said


def _standing(project: Project, lines: tuple[Line, ...], check: bool) -> Standing | None:
    at = versions.pointer(project)
    if at is None:
        return None
    since = next((line["at"] for line in lines if line["seq"] == at.seq), "")
    made = (line for line in lines if line["what"] == "forced")
    forced = next((line["reason"] for line in made if line.get("version") == at.version), "")
    try:
        card = versions.card(project, at.version)
        if check:
            versions.verify(project, at.version)
        told = _quality(card)
        return Standing(at.version, at.seq, since, checked=check, forced=forced, **told)
    except OnwardError as error:
        return Standing(at.version, at.seq, since, problem=error, forced=forced)


def _quality(card: dict[str, Any]) -> dict[str, Any]:
    """The scores that the version was promoted with; nothing where its card has none.

    Its package's, as in the matrix; of an earlier release's version the checkpoint's.
    """
    scores = dict(card.get("served") or card.get("metrics") or {})
    total = scores.pop("all", None)
    if not total:
        return {}
    metric = recipes.get(card.get("recipe", "extractive")).PRIMARY
    by_episode = [(episode_name(unit), told[metric]) for unit, told in sorted(scores.items())]
    return {
        "metric": recipes.shown(metric),
        "score": total[metric],
        "rows": total["rows"],
        "episodes": len(by_episode),
        "worst": min(by_episode, key=lambda one: one[1], default=None),
    }


def _judged(project: Project, lines: tuple[Line, ...], check: bool) -> Judged | None:
    line = next((one for one in reversed(lines) if one["what"] in journal.VERDICTS), None)
    if line is None:
        return None
    if not check:
        return Judged(line["seq"], line, None)
    try:
        return Judged(line["seq"], line, verdicts.read(project, line["seq"]))
    except OnwardError as error:
        return Judged(line["seq"], line, None, error)


def _episodes(project: Project) -> int:
    from onward.episodes.turn import Turn

    if not project.turn.exists():
        return 0
    turn = Turn.read(project)
    return len(turn.known) + len(turn.learning)


def _watch(project: Project, verdict: Line | None) -> str:
    from onward.watch import record

    try:
        line = record.told(project)
    except OnwardError:  # `onward watch` says what is wrong with it
        return ""
    if line is None or line["outcome"] == "nothing":
        return ""
    if verdict is not None and verdict.get("turn") == line["turn"]:
        if not journal.returned(project, verdict):
            return ""
    return f"{line['outcome']}: {'; '.join(line['reasons'])}"


def _running(project: Project) -> str:
    if not locks.is_held(project.run_lock):
        return ""
    who = locks.holder(project.run_lock)
    return f"{who['purpose']}, process {who['pid']} since {who['since']}"
