"""Validate the episodes of the turn: check their bytes, measure, judge, report.

The report is turn/validate/report.json. DVC deletes a failed stage's outputs at its next try, so a
copy for people lies in .onward/reports/validate.json, whatever the outcome.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from onward import config, files
from onward.episodes import turn as turns
from onward.episodes.folders import manifest_of
from onward.learning import base
from onward.progress import Progress
from onward.project import Project
from onward.validation import columns, unknown
from onward.validation.expectations import Expectation, History, like, of_any_recipe
from onward.validation.floors import floors
from onward.validation.measures import MEASURES
from onward.validation.report import failure, report, warnings
from onward.validation.suite import judge


def run(project: Project) -> None:
    """Write turn/validate/report.json.

    Raises:
        IntegrityError: an episode is not the one that the turn names.
        ValidationFailed: an expectation or a floor failed: which, on how many rows, sample ids.
    """
    turn = turns.Turn.read(project)
    turns.check(project, turn)
    with Progress("validate", total=1) as progress:
        found = examine(project, turn)
        progress.advance()
    for path in (kept_report(project), project.made("validate") / "report.json"):
        files.write_json(path, found)
    failed = failure(found, where=str(kept_report(project)))
    if failed is not None:
        raise failed
    for line in warnings(found):
        print(f"validate: {line}", flush=True)  # noqa: T201 - the log of the stage


def kept_report(project: Project) -> Path:
    """Where the last report can be read after a failure, too."""
    return project.private / "reports" / "validate.json"


def examine(project: Project, turn: turns.Turn) -> dict[str, Any]:
    """The report over the turn's episodes, passed or not."""
    settings = config.read(project.params, config.Validate)
    window = config.read(project.params, config.Prepare).max_length
    reader = unknown.Reader(tokenizer_file(project, turn))
    frames = columns.measure(_deliveries(project, turn), turn.recipe, window, reader)
    expected = expectations(turn.recipe, settings, columns.history(frames, turn.recipe))
    outcomes = judge(expected, frames)
    return report(outcomes, floors(outcomes, frames), frames)


def tokenizer_file(project: Project, turn: turns.Turn) -> Path:
    """The tokenizer of the turn's base.

    Raises:
        IntegrityError, MissingFiles, SettingsError: as `base.source` says.
    """
    return base.source(project, turn) / "tokenizer.json"


def expectations(
    recipe: str, settings: config.Validate, history: History | None
) -> list[Expectation]:
    """All that is expected of a turn; with a history, that new episodes resemble known ones."""
    measure = MEASURES[recipe]
    listed = [*of_any_recipe(settings), *measure.expectations(settings)]
    return listed + (
        [*like(history, settings), *measure.like(settings)] if history is not None else []
    )


def _deliveries(project: Project, turn: turns.Turn) -> list[columns.Delivery]:
    return [
        columns.Delivery(
            project.episode(folder),
            folder in turn.learning_episodes,
            tuple(manifest_of(project, folder).get("replaces", [])),
        )
        for folder in (*turn.known_episodes, *turn.learning_episodes)
    ]
