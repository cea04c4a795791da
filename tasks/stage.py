"""Run one DVC stage, stream its log, raise its typed error: at once where it can be foreseen.

Free of Prefect.

DVC alone decides whether a stage is up to date; asking it first costs 10 ms, so a kept stage costs
no process.

>>> run_stage(project, "validate", print)  # doctest: +SKIP
'kept'
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal

from onward import config, recipes
from onward.episodes.turn import Turn
from onward.errors import MissingFiles
from onward.learning import base, table
from onward.project import Project
from onward.recipes import room
from onward.runtime import bench, providers
from onward.stages import inputs
from tasks import versions

STEPS = ("validate", "prepare", "finetune", "evaluate", "export", "benchmark")
"""The stages of dvc.yaml in order, but `inputs`, which every run starts with."""

BEFORE_THE_GATE = STEPS[:4]
"""What the accuracy gate judges by."""

_DVCS = re.compile(
    r"Running stage '|> python |(Generating|Updating) lock file|To (track|enable) |\tgit add "
    r"|\tdvc config |Use `dvc push`|ERROR: failed to reproduce|\s*$"
)
"""What DVC says around a stage; its errors are not among it."""

Outcome = Literal["kept", "made"]


def run_stage(
    project: Project, name: str, on_line: Callable[[str], None], run: str = ""
) -> Outcome:
    """Bring one stage up to date; the stages before it must be.

    Args:
        project: whose stage.
        name: as dvc.yaml names it.
        on_line: hears each line that the stage prints, while it runs.
        run: the id of the run, so that a typed error of an earlier one is not taken for its own.

    Returns:
        "kept" where DVC found it up to date, "made" where it ran.

    Raises:
        OnwardError: the stage's own typed error, or InternalError with the end of its log.
    """
    said = project.error(name)
    said.unlink(missing_ok=True)
    if _kept(project, name):
        return "kept"

    def own(line: str) -> None:
        # Once a stage has written its error, what it prints is that error, which is raised here.
        if not _DVCS.match(line) and not said.exists():
            on_line(line)

    versions.reproduce(project, name, on_line=own, run_id=run or uuid.uuid4().hex)
    return "made"


def _kept(project: Project, name: str) -> bool:
    # `inputs` is always_changed, so DVC would run it each time; asking its own code what it would
    # write costs 60 ms instead of a second for two processes.
    if name == "inputs":
        return versions.as_locked(project, name) and inputs.current(project)
    return not versions.stale(project, name)


def require(project: Project) -> None:
    """Refuse at once what a stage would refuse hours later, after those before it.

    Raises:
        SettingsError: recipe, tuning and strategy may not be combined, a shape that is to be
            timed is longer than the model, or the longest prompt leaves no room for an answer.
        ProviderError: the benchmark is to be timed on CUDA, and there is none.
        UsageError: promotions are to be committed, and Git cannot.
    """
    turn, timed = Turn.read(project), config.read(project.params, config.Benchmark)
    tuning = config.read(project.params, config.Finetune).tuning
    table.check(turn.recipe, tuning, config.read(project.params, config.Strategy))
    with suppress(MissingFiles):  # told by the stage that reads them
        source = base.where(project, turn)
        bench.check_shapes(source, timed)
        _require_room(project, turn, source)
    if timed.provider == "cuda":
        providers.pick("cuda")
    versions.require_committer(project)


def _require_room(project: Project, turn: Turn, source: Path) -> None:
    """Of a model that writes and is to be trained, whether answers fit, and those to be timed."""
    recipe = recipes.get(turn.recipe)
    # Reading its configuration takes seconds, which a run with nothing to do has not.
    if recipes.generates(recipe) and versions.stale(project, "finetune"):
        window = recipe.longest(config.read(project.params, config.Prepare))
        room.check(source, window, config.read(project.params, config.Evaluate).max_new_tokens)
        bench.check_answers(source, config.read(project.params, config.Benchmark))


def stale(project: Project) -> list[str]:
    """The stages that are behind, by what is on disk now; those after a stale one count."""
    return _from_first(lambda name: versions.stale(project, name))


def foreseen(project: Project) -> list[str]:
    """The stages that a run would make: it looks at the machine and the code first."""
    made = inputs.would(project)
    return _from_first(lambda name: versions.foreseen(project, name, made))


def _from_first(behind: Callable[[str], bool]) -> list[str]:
    first = next((at for at, name in enumerate(STEPS) if behind(name)), len(STEPS))
    return list(STEPS[first:])
