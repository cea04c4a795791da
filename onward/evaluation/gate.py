"""The gates of a turn: refuse what is withdrawn, gather the evidence, decide by the rule.

    verdict = judge(project, "accuracy")     # passed, refused or undecided
    verdict = judge(project, "final")        # promoted, refused or undecided
    verdicts.keep(project, seq, verdict)

A verdict is named by its `key`: candidate, champion, tests, settings, code, what scores answers,
and benchmark report. The same key is not judged twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from onward import config, files, recipes
from onward.config import Evaluate, Gate, Quality
from onward.episodes import turn as turns
from onward.episodes.turn import Turn
from onward.errors import MissingFiles, SettingsError
from onward.evaluation import gathering
from onward.evaluation.checks import FAILED, WITHDRAWN, Check, Verdict, episode_name
from onward.evaluation.evidence import Kind
from onward.evaluation.gathering import Heldout
from onward.evaluation.rule import decide, level_of
from onward.evaluation.runner import resolve
from onward.evaluation.statistics import Array, Score
from onward.project import Project
from onward.quality import gathered
from onward.registry import journal, versions
from onward.registry.versions import Champion

__all__ = [
    "Check",
    "Verdict",
    "check_floor",
    "code",
    "decide",
    "judge",
    "nothing_to_do",
    "score_of",
]

CODE = (
    "budgets.py",
    "comparing.py",
    "evidence.py",
    "proportions.py",
    "quality_rule.py",
    "resampling.py",
    "rule.py",
    "statistics.py",
    "../quality/columns.py",
)
"""What can change a decision; the scorer's own hash covers how rows are scored."""


def judge(project: Project, kind: Kind, *, force_reason: str = "") -> Verdict:
    """The verdict on turn/finetune's candidate against the champion. Journals nothing.

    Args:
        project: whose turn.
        kind: the accuracy gate judges the checkpoint, the final one the package and its budgets.
        force_reason: a person's reason to go on against the rule: the outcome is then "forced"
            where it would be refused or undecided. A withdrawn candidate stays refused.

    Returns:
        The verdict; its `evidence` is what `verdicts.keep` stores.

    Raises:
        SettingsError: gate.floor does not lie above the trivial baseline.
        MissingFiles: a stage has not run on this candidate, or files must be pulled.
        IntegrityError: data, outputs or the champion differ from their manifests.
    """
    turn = Turn.read(project)
    settings = config.read(project.params, Gate)
    quality = config.read(project.params, Quality)
    candidate = _candidate(project)
    champion = versions.champion(project)
    turns.check(project, turn)
    units = gathering.tests(project, turn, champion)
    key = _key(project, turn, kind, candidate, champion, units, settings)
    withdrawn = journal.withdrawn_candidates(project).get(candidate)
    if withdrawn is not None:
        return replace(_withdrawn(turn, kind, candidate, champion, withdrawn), key=key)
    files.verify(project.made("finetune"), candidate)
    evidence = gathering.gather(project, kind, turn, champion, candidate, units)
    measured = {u.name: u.baseline for u in evidence.units if u.baseline is not None}
    if champion is None:
        _refuse_floor(project, measured, evidence.metric, settings)
    level = level_of(settings, evidence.tries)
    score, sizes = score_of(turn.recipe), recipes.sizes(recipes.get(turn.recipe))
    verdict = replace(decide(evidence, settings, level, score, quality.gate, sizes), key=key)
    if force_reason and not verdict.passes:
        return replace(verdict, outcome="forced", forced=force_reason)
    return verdict


def check_floor(project: Project) -> None:
    """Refuse a floor that shows nothing before anything is trained. Loads no model.

    Where a champion serves, the floor does not matter and no row is read.

    Raises:
        SettingsError: gate.floor does not lie above the trivial baseline.
        IntegrityError, MissingFiles: an episode is not the one that the turn names.
    """
    if versions.pointer(project) is not None:
        return
    turn = Turn.read(project)
    turns.check(project, turn)
    units = gathering.tests(project, turn, None)
    metric = recipes.shown(recipes.get(turn.recipe).PRIMARY)
    settings = config.read(project.params, Gate)
    _refuse_floor(project, gathering.baselines(project, turn, units), metric, settings)


def nothing_to_do(project: Project, *, package: bool = True) -> str | None:
    """Why there is nothing to judge: the candidate serves, or was judged so already. Else None.

    Scores nothing and loads no model. Without `package` the stages behind the accuracy gate are to
    be made anew, so that only its verdict counts.
    """
    made = project.made("finetune") / files.MANIFEST
    if not made.exists():
        return None
    turn, candidate = Turn.read(project), files.sha256(made)
    champion = versions.champion(project, check=False)
    if champion is not None and champion.candidate == candidate:
        return _serves(project, champion)
    settings = config.read(project.params, Gate)
    units = gathering.tests(project, turn, champion)
    kinds: tuple[Kind, ...] = (
        ("accuracy", "final") if package and _report(project) else ("accuracy",)
    )
    for kind in kinds:
        key = _key(project, turn, kind, candidate, champion, units, settings)
        line = journal.verdict_for(project, key)
        if line is not None and line["what"] in ("refused", "undecided"):
            return (
                f"this candidate was {line['what']} already, as {line['seq']}: "
                f"`onward gate --show {line['seq']}` says why"
            )
    return None


_IDLE = frozenset({"batch_size", "threads"})
"""Keys of `evaluate` that no answer depends on."""


def _serves(project: Project, champion: Champion) -> str:
    """That what was made serves already, and which answers of another kind were asked for since.

    How a version decodes lies in its package, which no run changes.
    """
    made = f"{champion.version} serves, and is what these episodes"
    packaged = champion.package / "package.json"
    was = files.read_json(packaged).get("decoding", {}) if packaged.is_file() else {}
    now = config.read(project.params, Evaluate).model_dump(mode="json", exclude_none=True)
    others = sorted(key for key in was.keys() & now.keys() - _IDLE if was[key] != now[key])
    if not others:
        return f"{made} and settings make"
    are = "is" if len(others) == 1 else "are"
    return f"{made} make; evaluate.{', '.join(others)} {are} for the next version, not for this one"


def score_of(recipe: str) -> Score:
    """A recipe's primary metric in percent, from column sums."""
    module = recipes.get(recipe)

    def score(totals: Array) -> Array:
        found: Array = module.metrics(totals)[module.PRIMARY]
        return found

    return score


def code() -> str:
    """Hash of the source that can change a decision."""
    here = Path(__file__).parent
    return files.digest({name: files.sha256(here / name) for name in CODE})


def _key(
    project: Project,
    turn: Turn,
    kind: Kind,
    candidate: str,
    champion: Champion | None,
    units: Sequence[Heldout],
    settings: Gate,
) -> str:
    """The verdict's name. A withdrawn candidate's refusal has a name of its own, so that it does
    not stand in the way after a reinstatement."""
    return files.digest(
        {
            "candidate": candidate,
            "champion": champion.manifest if champion else None,
            "tests": {u.episode: [u.known, u.learning, u.group, sorted(u.rows)] for u in units},
            "scorer": _scorer(project, turn),
            "settings": settings.model_dump(),
            "quality": config.read(project.params, Quality).model_dump(),
            "answers": gathered.scorer(project, turn.recipe),
            "code": code(),
            "benchmark": _report(project) if kind == "final" else None,
            "withdrawn": journal.withdrawn_candidates(project).get(candidate),
        }
    )


def _scorer(project: Project, turn: Turn) -> str:
    spec = files.read_json(project.made("finetune") / "spec.json")
    prepare, evaluate = resolve(spec, config.read(project.params, Evaluate))
    return str(recipes.get(turn.recipe).scorer(evaluate, prepare))


def _report(project: Project) -> str | None:
    path = project.made("benchmark") / "report.json"
    return files.sha256(path) if path.exists() else None


def _candidate(project: Project) -> str:
    """The candidate's id: sha256 of the manifest of turn/finetune."""
    path = project.made("finetune") / files.MANIFEST
    if not path.exists():
        raise MissingFiles(
            "There is no candidate to judge",
            where=str(path.parent),
            fix="`onward run`, or `dvc repro evaluate`, makes one",
        )
    return files.sha256(path)


def _withdrawn(
    turn: Turn, kind: Kind, candidate: str, champion: Champion | None, reason: str
) -> Verdict:
    note = f"candidate {candidate[:12]} was withdrawn: {reason}"
    return Verdict(
        outcome="refused",
        kind=kind,
        checks=(Check("evidence", WITHDRAWN, FAILED, note=note),),
        reasons=(f"{note}; `onward reinstate {candidate[:12]} --reason ...` lets it be judged",),
        level=0.0,
        candidate=candidate,
        champion=champion.version if champion else None,
        turn=turn.id,
        learning=tuple(turn.learning_episodes),
    )


def _refuse_floor(
    project: Project, baselines: Mapping[str, float], metric: str, settings: Gate
) -> None:
    """A floor that the trivial baseline reaches shows nothing."""
    baseline, unit = max(
        ((value, name) for name, value in baselines.items()), default=(float("-inf"), "")
    )
    if settings.floor > baseline:
        return
    raise SettingsError(
        f"gate.floor is {settings.floor:g}, but the trivial baseline reaches {baseline:.1f} "
        f"{metric} on {episode_name(unit)}",
        where=f"{project.params}: gate.floor",
        fix=f"set gate.floor above {baseline:.1f}: what the first champion must be shown to reach",
        details={"floor": settings.floor, "baseline": baseline, "unit": unit},
    )
